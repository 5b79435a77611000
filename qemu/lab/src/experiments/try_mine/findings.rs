//! Findings of the same cause in one group.

use std::collections::BTreeMap;

use crate::experiments::class::Class;
use crate::experiments::record::Outcome;

/// Findings that share class, place, action and reason.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) class: Class,
    pub(super) reason: String,
    /// `complete misaddress`.
    pub(super) what: String,
    pub(super) count: usize,
    /// The command that repeats the first one.
    pub(super) replay: String,
}

/// The groups of all findings, gravest first.
pub(super) fn groups(outcomes: &[Outcome]) -> Vec<Group> {
    let mut groups: BTreeMap<(Class, String), Group> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.class.is_finding()) {
        let group = groups.entry((outcome.class, outcome.signature.clone())).or_insert_with(|| Group {
            class: outcome.class,
            reason: outcome.reason.clone(),
            what: outcome.signature.split(" | ").nth(1).unwrap_or_default().to_owned(),
            count: 0,
            replay: outcome.replay.clone(),
        });
        group.count += 1;
    }
    groups.into_values().collect()
}
