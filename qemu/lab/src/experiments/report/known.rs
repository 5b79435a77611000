//! Findings that are expected, with the reason: a CI can ask for "nothing new".

use serde::Deserialize;

use super::digest::faults;
use crate::experiments::{Class, Outcome};

/// One expectation. What is left out matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Only this class.
    pub class: Option<Class>,
    /// Only experiments with a rule at this point.
    pub point: Option<String>,
    /// Only experiments with a rule of this action's word.
    pub action: Option<String>,
    /// Only where the signature contains this.
    pub signature: Option<String>,
    /// Why that is so, for the reader of a report.
    pub reason: String,
}

impl Known {
    /// It is about this outcome.
    #[must_use]
    pub fn matches(&self, outcome: &Outcome) -> bool {
        let faults = faults(outcome);
        let point = |point: &String| faults.iter().any(|fault| fault.point == *point);
        let action = |action: &String| faults.iter().any(|fault| fault.action == *action);
        self.class.is_none_or(|class| class == outcome.class)
            && self.point.as_ref().is_none_or(point)
            && self.action.as_ref().is_none_or(action)
            && self.signature.as_ref().is_none_or(|part| outcome.signature.contains(part.as_str()))
    }
}
