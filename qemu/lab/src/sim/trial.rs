//! A run with rules of its own, whose findings are facts: the simulator's side of an experiment.

use std::sync::Arc;

use ioat_stage::fault::Fired;
use ioat_stage::{FaultBook, Rule};

use super::run;
use super::scenario::Scenario;
use super::schedule::{Choices, Taken};
pub use super::tally::Accesses;
use super::tally::{Counts, Tally};
use super::world::{self, Finding, Limits, Past, Stamped};

/// What came of a trial.
#[derive(Debug)]
pub struct Trial {
    /// All events of the stages, in order.
    pub events: Vec<Stamped>,
    /// What the oracle has to say, whatever the scenario expects.
    pub findings: Vec<Finding>,
    /// What the driver said of its failures.
    pub failures: Vec<String>,
    /// Operations that failed.
    pub failed: u64,
    /// Completions that were found by looking.
    pub recovered: u64,
    /// What fired.
    pub fired: Vec<Fired>,
    /// Virtual time when the last client had ended; at the end, if it never did.
    pub worked_ns: u64,
    /// Virtual time at the end.
    pub time_ns: u64,
    /// The device itself no longer answers.
    pub gone: bool,
    /// The run could not be ended: its memory is lost to this process.
    pub stuck: bool,
}

/// Runs one seed of a scenario with these rules.
#[must_use]
pub fn trial(scenario: &Arc<Scenario>, seed: u64, rules: &[Rule], limits: Limits) -> Trial {
    trial_by(scenario, seed, rules, limits, Choices::Seed).0
}

/// The same, with an interleaving that these choices make ([`run::run_by`]).
#[must_use]
pub fn trial_by(
    scenario: &Arc<Scenario>,
    seed: u64,
    rules: &[Rule],
    limits: Limits,
    choices: Choices,
) -> (Trial, Vec<Taken>) {
    let book = FaultBook::new(rules.iter().map(|rule| rule.clone().seeded(seed)));
    let (trial, _, taken) = run_with(scenario, seed, &book, limits, choices);
    (trial, taken)
}

/// Runs one seed without a fault, and counts the operations up to the clean work at the end.
#[must_use]
pub fn census(scenario: &Arc<Scenario>, seed: u64) -> (Trial, Accesses) {
    let book = FaultBook::new([]);
    book.census(true);
    let (trial, accesses, _) = run_with(scenario, seed, &book, scenario.limits(), Choices::Seed);
    (trial, if accesses.is_empty() { book.accesses() } else { accesses })
}

/// Gives a trial's memory to the next run of this thread.
pub fn reuse(events: Vec<Stamped>) {
    world::reuse(events);
}

fn run_with(
    scenario: &Arc<Scenario>,
    seed: u64,
    faults: &Arc<FaultBook>,
    limits: Limits,
    choices: Choices,
) -> (Trial, Accesses, Vec<Taken>) {
    let tally = Tally::of_trial();
    let (theirs, counts, book) = (scenario.clone(), tally.clone(), faults.clone());
    let past = world::run(seed, choices, limits, move || run::everything(&theirs, seed, &book, &counts));
    let Past { events, findings, time_ns, stuck, taken, .. } = past;
    let Counts { failures, failed, recovered, worked_ns, gone, accesses, .. } =
        tally.note(|counts| counts.clone());
    let trial = Trial {
        events,
        findings,
        failures,
        failed: failed.values().sum(),
        recovered,
        fired: faults.fired(),
        worked_ns: worked_ns.unwrap_or(time_ns),
        time_ns,
        gone,
        stuck,
    };
    (trial, accesses, taken)
}
