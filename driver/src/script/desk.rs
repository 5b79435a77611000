//! Where a script's faults go and its events come from: the device in this process, or one behind a control socket.

use std::collections::BTreeMap;

use ioat_stage::fault::Fired;
use ioat_stage::{ArmedRule, FaultBook, Point, Rule, RuleId};

use super::recording::{Recorded, Recording};

/// Operations by point and channel; none where an operation has no channel.
pub type Operations = BTreeMap<(Point, Option<u8>), u64>;

/// Takes fault rules for a device that is at work. An error is a text for the script, or that the device cannot be told or
/// asked.
#[expect(clippy::missing_errors_doc, reason = "said once, for all")]
pub trait FaultDesk: Send + Sync {
    /// Arms a rule, and gives its number. One that can never fire is an error.
    fn arm(&self, rule: Rule) -> Result<RuleId, String>;

    /// Arms rules that may speak of each other, all or none.
    fn arm_all(&self, rules: Vec<Rule>) -> Result<Vec<RuleId>, String>;

    /// Arms the rule of this name that rests (`armed=command`). None if there is none.
    fn arm_named(&self, name: &str) -> Result<Option<RuleId>, String>;

    /// Takes a rule out. False if there is none of this number.
    fn disarm(&self, id: RuleId) -> Result<bool, String>;

    /// The rules that are armed, in the order of arming.
    fn rules(&self) -> Result<Vec<ArmedRule>, String>;

    /// What fired, oldest first.
    fn fired(&self) -> Result<Vec<Fired>, String>;

    /// Takes all rules out, and forgets what fired and what was counted.
    fn clear(&self) -> Result<(), String>;

    /// Counts the operations of every point from now on, from 0; or no longer.
    fn census(&self, on: bool) -> Result<(), String>;

    /// What was counted.
    fn operations(&self) -> Result<Operations, String>;
}

impl FaultDesk for FaultBook {
    fn arm(&self, rule: Rule) -> Result<RuleId, String> {
        let ids = FaultDesk::arm_all(self, vec![rule])?;
        ids.first().copied().ok_or_else(|| "no rule was armed".to_owned())
    }

    fn arm_all(&self, rules: Vec<Rule>) -> Result<Vec<RuleId>, String> {
        self.admit(rules).map_err(|error| error.to_string())
    }

    fn arm_named(&self, name: &str) -> Result<Option<RuleId>, String> {
        Ok(Self::arm_named(self, name))
    }

    fn disarm(&self, id: RuleId) -> Result<bool, String> {
        Ok(Self::disarm(self, id))
    }

    fn rules(&self) -> Result<Vec<ArmedRule>, String> {
        Ok(Self::rules(self))
    }

    fn fired(&self) -> Result<Vec<Fired>, String> {
        Ok(Self::fired(self))
    }

    fn clear(&self) -> Result<(), String> {
        Self::clear(self);
        Ok(())
    }

    fn census(&self, on: bool) -> Result<(), String> {
        Self::census(self, on);
        Ok(())
    }

    fn operations(&self) -> Result<Operations, String> {
        Ok(Self::operations(self))
    }
}

/// Gives the events that were recorded. An error is a text for the script.
pub trait EventDesk: Send + Sync {
    /// The events since the last clearing, oldest first.
    ///
    /// # Errors
    /// When they cannot be had.
    fn events(&self) -> Result<Vec<Recorded>, String>;

    /// Forgets them.
    ///
    /// # Errors
    /// When the device cannot be told.
    fn clear(&self) -> Result<(), String>;
}

impl EventDesk for Recording {
    fn events(&self) -> Result<Vec<Recorded>, String> {
        Ok(Self::events(self))
    }

    fn clear(&self) -> Result<(), String> {
        Self::clear(self);
        Ok(())
    }
}
