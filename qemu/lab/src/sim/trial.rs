//! A run with rules of its own, whose findings are facts: the simulator's side of an experiment.

use std::collections::BTreeMap;
use std::sync::Arc;

use ioat_stage::fault::catalog::CATALOG;
use ioat_stage::fault::{Fired, Trigger};
use ioat_stage::{Access, Action, ArmedRule, FaultBook, Point, Rule};

use super::run;
use super::scenario::Scenario;
use super::schedule::{Choices, Taken};
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

/// How many operations a run without a fault had.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// By point and channel; none where an operation has no channel.
    pub operations: BTreeMap<(Point, Option<u8>), u64>,
    /// Of those, reads, where there are reads and writes.
    pub reads: BTreeMap<(Point, Option<u8>), u64>,
}

/// Runs one seed of a scenario with these rules.
#[must_use]
pub fn trial(scenario: &Arc<Scenario>, seed: u64, rules: &[Rule], limits: Limits) -> Trial {
    trial_by(scenario, seed, rules, limits, Choices::Seed).0
}

/// The same, whose interleaving these choices make, and the switches that were carried out, where they were written down.
#[must_use]
pub fn trial_by(
    scenario: &Arc<Scenario>,
    seed: u64,
    rules: &[Rule],
    limits: Limits,
    choices: Choices,
) -> (Trial, Vec<Taken>) {
    let (trial, _, taken) = run_with(scenario, seed, &FaultBook::new(rules.iter().cloned()), limits, choices);
    (trial, taken)
}

/// Gives a trial's memory to the next run of this thread.
pub fn reuse(events: Vec<Stamped>) {
    world::reuse(events);
}

/// Runs one seed without a fault, and counts.
#[must_use]
pub fn census(scenario: &Arc<Scenario>, seed: u64) -> (Trial, Census) {
    let channels = u8::try_from(scenario.device.channels.get()).unwrap_or(0);
    let book = FaultBook::new([]);
    let mut counting = BTreeMap::new();
    for point in Point::ALL {
        for only in [None, Some(Access::Read)] {
            let row = CATALOG.iter().find(|row| row.point == point && row.only == only);
            let Some(action) = row.and_then(|row| Action::parse(row.samples[0])) else { continue };
            for channel in std::iter::once(None).chain((0..channels).map(Some)) {
                // A rule that never fires counts all that it could have fired at.
                let id = book.arm(Rule { point, channel, trigger: Trigger::Nth(u64::MAX), action });
                counting.insert(id, (point, only.is_some(), channel));
            }
        }
    }
    let (trial, armed, _) = run_with(scenario, seed, &book, scenario.limits(), Choices::Seed);
    let mut census = Census::default();
    for ArmedRule { id, seen, .. } in armed {
        let Some((point, read, channel)) = counting.get(&id).copied() else { continue };
        let table = if read { &mut census.reads } else { &mut census.operations };
        table.insert((point, channel), seen);
    }
    for table in [&mut census.operations, &mut census.reads] {
        without_channel(table);
    }
    (trial, census)
}

/// The counts without a channel counted all: what is left of them are operations of no channel.
fn without_channel(table: &mut BTreeMap<(Point, Option<u8>), u64>) {
    for point in Point::ALL {
        let of_channels = (0..=u8::MAX).filter_map(|channel| table.get(&(point, Some(channel)))).sum::<u64>();
        if let Some(all) = table.get_mut(&(point, None)) {
            *all -= of_channels.min(*all);
        }
    }
    table.retain(|_, count| *count > 0);
}

fn run_with(
    scenario: &Arc<Scenario>,
    seed: u64,
    faults: &Arc<FaultBook>,
    limits: Limits,
    choices: Choices,
) -> (Trial, Vec<ArmedRule>, Vec<Taken>) {
    let tally = Tally::of_trial();
    let (theirs, counts, book) = (scenario.clone(), tally.clone(), faults.clone());
    let past = world::run(seed, choices, limits, move || run::everything(&theirs, seed, &book, &counts));
    let Past { events, findings, time_ns, stuck, taken, .. } = past;
    let Counts { failures, failed, recovered, worked_ns, gone, armed, .. } =
        tally.note(|counts| counts.clone());
    let armed = if armed.is_empty() { faults.rules() } else { armed };
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
    (trial, armed, taken)
}
