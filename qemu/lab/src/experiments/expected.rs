//! Findings that are known: with a reason each, so that the gate is "nothing new".

use serde::Deserialize;

use super::class::Class;
use super::record::Outcome;

/// A finding that is no news. `campaign/file.rs` documents the keys.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Its class.
    pub class: Class,
    /// A point of one of its rules.
    #[serde(default)]
    pub point: Option<String>,
    /// The word of that rule's action.
    #[serde(default)]
    pub action: Option<String>,
    /// A part of its signature.
    #[serde(default)]
    pub signature: Option<String>,
    /// Why it is known.
    pub reason: String,
    /// Exactly these rules; from a set that expects it.
    #[serde(skip)]
    pub rules: Option<Vec<String>>,
}

impl Known {
    /// Whether this is about that.
    #[must_use]
    pub fn covers(&self, outcome: &Outcome) -> bool {
        let rule = |text: &String| {
            let Ok(rule) = text.parse::<ioat_stage::Rule>() else { return false };
            self.point.as_deref().is_none_or(|point| rule.point.name() == point)
                && self.action.as_deref().is_none_or(|action| rule.action.word() == action)
        };
        self.class == outcome.class
            && self.rules.as_ref().is_none_or(|rules| *rules == outcome.rules)
            && (outcome.rules.iter().any(rule) || (self.point.is_none() && self.action.is_none()))
            && self.signature.as_deref().is_none_or(|part| outcome.signature.contains(part))
    }
}
