//! The simulator as a place: an experiment is a scenario, rules and a seed, in virtual time, and the same every time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::Mark;
use ioat_stage::trace::Stamped as Line;

use super::{Golden, Infra, Limits, Place};
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::{Fired, Observation};
use crate::sim::Scenario;
use crate::sim::trial::{self, Trial};
use crate::sim::world::{Finding, Limits as WorldLimits, Stamped, Wrong};

/// Firings that a journal's line has; `device.fired` counts them all.
const FIRED_MOST: usize = 32;

/// Trace events of a finding, and how many of them come before the last fault's.
const EVENTS_MOST: usize = 80;
const EVENTS_BEFORE: usize = 50;

/// The simulator in this process. A run that hangs leaves its stacks and its memory behind (`sim/world.rs`): whoever
/// expects many of those uses [`super::sim_process::SimProcess`].
pub struct SimPlace {
    scenario: Arc<Scenario>,
    /// Runs that could not be ended.
    stuck: u64,
}

impl SimPlace {
    /// The place of a scenario.
    #[must_use]
    pub const fn new(scenario: Arc<Scenario>) -> Self {
        Self { scenario, stuck: 0 }
    }

    /// Runs whose memory is lost to this process.
    #[must_use]
    pub const fn stuck(&self) -> u64 {
        self.stuck
    }

    fn observed(&mut self, trial: Trial, limits: &Limits) -> Observation {
        self.stuck += u64::from(trial.stuck);
        observation(trial, limits)
    }
}

impl Place for SimPlace {
    fn golden(&mut self, seed: u64) -> Result<Golden, Infra> {
        let (trial, accesses) = trial::census(&self.scenario, seed);
        let took_ns = trial.worked_ns;
        let limits = Limits { hang: Duration::MAX, degraded: Duration::MAX };
        let observation = self.observed(trial, &limits);
        let mut operations = BTreeMap::new();
        for ((point, channel, _), count) in &accesses {
            *operations.entry((*point, *channel)).or_default() += count;
        }
        Ok(Golden { took_ns, operations, accesses, observation })
    }

    fn run(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        let world = world_limits(&self.scenario, limits);
        let trial = trial::trial(&self.scenario, experiment.seed, &experiment.rules, world);
        Ok(self.observed(trial, limits))
    }
}

/// The world's limits: the scenario's own, and what the experiment says of a hang.
pub(crate) fn world_limits(scenario: &Scenario, limits: &Limits) -> WorldLimits {
    let own = scenario.limits();
    let hang_ns = u64::try_from(limits.hang.as_nanos()).unwrap_or(u64::MAX);
    WorldLimits { time_ns: own.time_ns.min(hang_ns), ..own }
}

/// What the oracle found, as facts of their kinds.
pub(crate) fn observation(trial: Trial, limits: &Limits) -> Observation {
    let mut seen = Observation { took_ns: trial.worked_ns, ..Observation::default() };
    let mut conduct = Vec::new();
    for finding in &trial.findings {
        let text = format!("{}: {}", word(finding.wrong), finding.text);
        match finding.wrong {
            // The driver's promise: memory that a dead engine might still write is kept, and with it the engine.
            Wrong::Resource | Wrong::Deadlock if trial.gone && only_the_device_waits(finding) => {
                seen.failures.push(format!("kept, because the device is gone: {text}"));
            }
            Wrong::Panic => seen.crashes.push(text),
            Wrong::Deadlock | Wrong::Limit | Wrong::Pending | Wrong::LostInterrupt | Wrong::Dpc => {
                seen.hangs.push(text);
            }
            Wrong::Corruption | Wrong::Completion | Wrong::Order | Wrong::Resource => {
                seen.corruptions.push(text)
            }
            Wrong::Outcome => seen.failures.push(text),
            // The device's view of the driver's manners, under a fault that the device itself made: for the report.
            Wrong::Conduct => conduct.push(serde_json::Value::from(finding.text.clone())),
        }
    }
    seen.failures.splice(0..0, trial.failures);
    if trial.recovered > 0 {
        seen.recoveries.push(format!("{} completions were found by looking", trial.recovered));
    }
    seen.slow = u128::from(seen.took_ns) > limits.degraded.as_nanos();
    seen.fired = trial.fired.iter().take(FIRED_MOST).map(Fired::from).collect();
    let mut device = serde_json::Map::new();
    let mut note = |key: &str, value: serde_json::Value| device.insert(key.to_owned(), value);
    note("events", trial.events.len().into());
    note("time_ns", trial.time_ns.into());
    note("fired", trial.fired.len().into());
    if trial.failed > 0 {
        note("failed", trial.failed.into());
    }
    if trial.gone {
        note("gone", true.into());
    }
    if !conduct.is_empty() {
        note("lint", conduct.into());
    }
    seen.device = device;
    // Few of many are findings, and nobody looks at the events of the others: they cost nothing there.
    if seen.class().is_finding() {
        seen.events = around_the_fault(&trial.events);
    }
    trial::reuse(trial.events);
    seen
}

/// The events before and after the last one that a fault changed. A fault that no stage saw (a register's, a reset's) marks
/// none: then the last ones, for what follows is what went wrong.
fn around_the_fault(events: &[Stamped]) -> Vec<serde_json::Value> {
    let fault = events.iter().rposition(|stamped| stamped.event.mark == Mark::Faulted);
    let last_begin = events.len().saturating_sub(EVENTS_MOST);
    let begin = fault.map_or(last_begin, |fault| fault.saturating_sub(EVENTS_BEFORE).min(last_begin));
    let shown = events.iter().skip(begin).take(EVENTS_MOST);
    let lines =
        shown.map(|&Stamped { t_ns, side, event }| serde_json::to_value(Line { t_ns, side, what: event }));
    // Words and numbers: nothing of a line can fail.
    lines.filter_map(Result::ok).collect()
}

/// No task of the driver or of a client is among those that wait. A resource's finding names no task.
fn only_the_device_waits(finding: &Finding) -> bool {
    let Some((_, tasks)) = finding.text.split_once("no task can go on: ") else { return true };
    tasks.split("; ").all(|task| task.starts_with("channel-") || task.starts_with("timer "))
}

fn word(wrong: Wrong) -> String {
    serde_json::to_value(wrong).ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize, faulted: &[usize]) -> Vec<Stamped> {
        let event = |at: usize| ioat_stage::Event {
            stage: ioat_stage::Stage::Copy,
            channel: 0,
            generation: 1,
            sequence: at as u64,
            address: 0,
            len: 64,
            mark: if faulted.contains(&at) { Mark::Faulted } else { Mark::Ok },
            vector: None,
            processor: None,
        };
        (0..count)
            .map(|at| Stamped { t_ns: at as u64, side: ioat_stage::Side::Device, event: event(at) })
            .collect()
    }

    /// The first and the last event that are shown, and the marked ones among them.
    fn shown(count: usize, faulted: &[usize]) -> (usize, u64, u64, Vec<u64>) {
        let lines = around_the_fault(&events(count, faulted));
        let number = |line: &serde_json::Value| line["sequence"].as_u64().unwrap();
        let marked = lines.iter().filter(|line| line["mark"] == "faulted").map(number).collect();
        (lines.len(), number(&lines[0]), number(&lines[lines.len() - 1]), marked)
    }

    #[test]
    fn a_finding_shows_the_events_around_its_last_fault() {
        assert_eq!(shown(10, &[3]), (10, 0, 9, vec![3]));
        assert_eq!(shown(1000, &[3, 500]), (80, 450, 529, vec![500]));
        assert_eq!(shown(1000, &[20]), (80, 0, 79, vec![20]));
        assert_eq!(shown(1000, &[999]), (80, 920, 999, vec![999]));
        assert_eq!(shown(1000, &[]), (80, 920, 999, vec![]));
        assert!(around_the_fault(&[]).is_empty());
    }
}
