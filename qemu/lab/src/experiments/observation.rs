//! What was seen of one experiment, and the verdict on it.
//!
//! A place reports facts, one list for each kind; it does not classify. [`Observation::class`] does, for all places alike.

use serde::{Deserialize, Serialize};

use super::class::Class;

/// A rule that fired, as files and reports have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fired {
    /// The rule.
    pub rule: String,
    /// The operation's number among those that the rule counts.
    pub nth: u64,
    /// Its channel, if it has one.
    pub channel: Option<u8>,
    /// Its number among those of its channel.
    pub channel_nth: u64,
    /// The rule that hits this operation alone.
    pub again: String,
}

impl From<&ioat_stage::fault::Fired> for Fired {
    fn from(fired: &ioat_stage::fault::Fired) -> Self {
        Self {
            rule: fired.rule.to_string(),
            nth: fired.nth,
            channel: fired.op.channel,
            channel_nth: fired.channel_nth,
            again: fired.again().to_string(),
        }
    }
}

/// The facts. Every text is one line that names what, where and when.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Observation {
    /// Why the experiment says nothing about the driver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub infra: Vec<String>,
    /// Panics, BUGs, oopses, signals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<String>,
    /// What did not go on: deadlocks, lockups, reset loops, limits, no clean batch after the fault, something left pending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hangs: Vec<String>,
    /// Wrong bytes, guard bands, completions told twice or never or out of order, leaks: without an error that says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corruptions: Vec<String>,
    /// Errors that the driver gave for work that was lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// What the driver noticed and mended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<String>,
    /// It took longer than its limit for "degraded".
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub slow: bool,
    /// What fired, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fired: Vec<Fired>,
    /// How long it took: virtual time in the simulator, else wall time.
    pub took_ns: u64,
    /// Trace events around the last fault, oldest first, in the words of a trace file's lines; only where the class is a finding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<serde_json::Value>,
    /// What the device saw: counters and states, by name, for the report.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub device: serde_json::Map<String, serde_json::Value>,
}

impl Observation {
    /// The one class.
    #[must_use]
    pub fn class(&self) -> Class {
        let facts = [
            (Class::InfraError, !self.infra.is_empty()),
            (Class::Crash, !self.crashes.is_empty()),
            (Class::Hang, !self.hangs.is_empty()),
            (Class::SilentDataCorruption, !self.corruptions.is_empty()),
            // Whatever else came of it, it did not come of a fault that never fired.
            (Class::NotActivated, self.fired.is_empty()),
            (Class::DetectedFailed, !self.failures.is_empty()),
            (Class::DetectedRecovered, !self.recoveries.is_empty()),
            (Class::Degraded, self.slow),
        ];
        facts.into_iter().find(|(_, holds)| *holds).map_or(Class::Masked, |(class, _)| class)
    }

    /// The first fact of the class: what a reader wants to know in one line.
    #[must_use]
    pub fn reason(&self) -> &str {
        let texts = match self.class() {
            Class::InfraError => &self.infra,
            Class::Crash => &self.crashes,
            Class::Hang => &self.hangs,
            Class::SilentDataCorruption => &self.corruptions,
            Class::DetectedFailed => &self.failures,
            Class::DetectedRecovered => &self.recoveries,
            Class::Degraded | Class::Masked | Class::NotActivated => return "",
        };
        texts.first().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired() -> Vec<Fired> {
        let rule = "msix: nth(3) drop".to_owned();
        vec![Fired { again: rule.clone(), rule, nth: 3, channel: Some(0), channel_nth: 3 }]
    }

    #[test]
    fn the_first_class_that_fits_is_the_class() {
        let texts = || vec!["one".to_owned()];
        let all = Observation {
            infra: texts(),
            crashes: texts(),
            hangs: texts(),
            corruptions: texts(),
            failures: texts(),
            recoveries: texts(),
            slow: true,
            fired: fired(),
            ..Observation::default()
        };
        let mut seen = vec![all.class()];
        let strip: [fn(&mut Observation); 8] = [
            |it| it.infra.clear(),
            |it| it.crashes.clear(),
            |it| it.hangs.clear(),
            |it| it.corruptions.clear(),
            |it| it.failures.clear(),
            |it| it.recoveries.clear(),
            |it| it.slow = false,
            |it| it.fired.clear(),
        ];
        let mut rest = all;
        for strip in strip {
            strip(&mut rest);
            seen.push(rest.class());
        }
        assert_eq!(seen, Class::ALL);
    }

    #[test]
    fn an_error_without_a_fault_that_fired_is_not_held_against_the_fault() {
        let it = Observation { failures: vec!["time-out".into()], ..Observation::default() };
        assert_eq!(it.class(), Class::NotActivated);
    }
}
