//! The simulator as a place: an experiment is a scenario, rules and a seed, in virtual time, and the same every time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Golden, Infra, Limits, Place};
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::{Fired, Observation};
use crate::sim::Scenario;
use crate::sim::trial::{self, Trial};
use crate::sim::world::{Limits as WorldLimits, Wrong};

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
    seen.failures.extend(trial.failures);
    if trial.recovered > 0 {
        seen.recoveries.push(format!("{} completions were found by looking", trial.recovered));
    }
    seen.slow = u128::from(seen.took_ns) > limits.degraded.as_nanos();
    seen.fired = trial.fired.iter().map(Fired::from).collect();
    let mut device = serde_json::Map::new();
    let mut note = |key: &str, value: serde_json::Value| device.insert(key.to_owned(), value);
    note("events", trial.events.len().into());
    note("time_ns", trial.time_ns.into());
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
    trial::reuse(trial.events);
    seen
}

fn word(wrong: Wrong) -> String {
    serde_json::to_value(wrong).ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
}
