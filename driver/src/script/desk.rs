//! Where a script's faults go and its events come from: the device in this process, or one behind a control socket.

use ioat_stage::fault::Fired;
use ioat_stage::{ArmedRule, FaultBook, Rule, RuleId};

use super::recording::{Recorded, Recording};

/// Takes fault rules for a device that is at work. An error is a text for the script.
pub trait FaultDesk: Send + Sync {
    /// Arms a rule, and gives its number.
    ///
    /// # Errors
    /// When the device cannot be told.
    fn arm(&self, rule: Rule) -> Result<RuleId, String>;

    /// Takes a rule out. False if there is none of this number.
    ///
    /// # Errors
    /// When the device cannot be told.
    fn disarm(&self, id: RuleId) -> Result<bool, String>;

    /// The rules that are armed, in the order of arming.
    ///
    /// # Errors
    /// When the device cannot be asked.
    fn rules(&self) -> Result<Vec<ArmedRule>, String>;

    /// What fired, oldest first.
    ///
    /// # Errors
    /// When the device cannot be asked.
    fn fired(&self) -> Result<Vec<Fired>, String>;
}

impl FaultDesk for FaultBook {
    fn arm(&self, rule: Rule) -> Result<RuleId, String> {
        Ok(Self::arm(self, rule))
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
