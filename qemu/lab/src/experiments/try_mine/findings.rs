//! Outcomes, and findings of the same cause in one group.

use std::collections::BTreeMap;

use super::page::Page;
use crate::experiments::class::Class;
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;
use crate::experiments::place::guest::kernel_log::without_numbers;
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

/// The record of one experiment.
pub(super) fn outcome(
    experiment: &Experiment,
    observation: Observation,
    wall_ns: u64,
    page: &Page,
) -> Outcome {
    let class = observation.class();
    let reason = observation.reason().to_owned();
    let rules: Vec<String> = experiment.rules.iter().map(ToString::to_string).collect();
    Outcome {
        id: experiment.id.clone(),
        replay: page.command(&rules),
        rules,
        seed: experiment.seed,
        class,
        signature: format!("{class}: {}: {}", what(experiment), without_numbers(&reason)),
        reason,
        wall_ns,
        observation,
    }
}

/// The groups of all findings, gravest first.
pub(super) fn groups(outcomes: &[Outcome]) -> Vec<Group> {
    let mut groups: BTreeMap<(Class, String), Group> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.class.is_finding()) {
        let group = groups.entry((outcome.class, outcome.signature.clone())).or_insert_with(|| Group {
            class: outcome.class,
            reason: outcome.reason.clone(),
            what: outcome.signature.split(": ").nth(1).unwrap_or_default().to_owned(),
            count: 0,
            replay: outcome.replay.clone(),
        });
        group.count += 1;
    }
    groups.into_values().collect()
}

fn what(experiment: &Experiment) -> String {
    let words = experiment.rules.iter().map(|rule| format!("{} {}", rule.point, rule.action.word()));
    words.collect::<Vec<_>>().join(" + ")
}
