//! Who runs candidates: the simulator, schedules and all, or a campaign's place.

use std::sync::Arc;

use super::candidate::Candidate;
use super::schedule::{Played, Stage};
use super::search::Judge;
use super::symptom::{self, Symptom};
use crate::experiments::campaign::{Campaign, PlaceName};
use crate::experiments::class::Class;
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;
use crate::experiments::place::setup::Setup;
use crate::experiments::place::{self, Golden, Infra, Limits, Place};
use crate::experiments::plan;
use crate::sim::run_by;
use crate::sim::schedule::Choices;
use crate::sim::trial::{self, Trial};

/// Runs that cannot be ended keep their stacks, mappings and descriptors; after so many the process has lost enough.
const STUCK_MOST: u64 = 300;

/// How something fails: what can be made smaller. What says nothing, or is as it should be, is no failure.
fn failure(observation: &Observation) -> Option<Symptom> {
    let says = !matches!(observation.class(), Class::InfraError | Class::Masked | Class::NotActivated);
    says.then(|| Symptom::of(observation))
}

/// The simulator.
pub struct Simulator {
    /// Whose limits count; none: the candidate is a scenario with its own expectations, as `netdma-lab sim` runs it.
    campaign: Option<Campaign>,
    stuck: u64,
}

impl Simulator {
    /// For a scenario with its expectations.
    #[must_use]
    pub const fn of_scenario() -> Self {
        Self { campaign: None, stuck: 0 }
    }

    /// For a campaign's experiments.
    #[must_use]
    pub const fn of_campaign(campaign: Campaign) -> Self {
        Self { campaign: Some(campaign), stuck: 0 }
    }

    /// Schedules of one candidate.
    pub fn stage<'a>(&'a mut self, candidate: &'a Candidate) -> OnStage<'a> {
        OnStage { simulator: self, candidate }
    }

    fn play(&mut self, candidate: &Candidate, choices: Choices) -> Played {
        match self.campaign.take() {
            None => self.seed(candidate, choices),
            Some(campaign) => {
                let played = self.trial(&campaign, candidate, choices);
                self.campaign = Some(campaign);
                played
            }
        }
    }

    fn seed(&mut self, candidate: &Candidate, choices: Choices) -> Played {
        let scenario = Arc::new(candidate.scenario.clone().with_rules(candidate.rules.clone()));
        let (report, taken) = run_by(&scenario, candidate.seed, choices);
        self.stuck += u64::from(report.stuck);
        Played {
            symptom: symptom::of_findings(&report.findings),
            reason: report.findings.first().map(symptom::reason).unwrap_or_default(),
            events: report.events,
            taken,
        }
    }

    fn trial(&mut self, campaign: &Campaign, candidate: &Candidate, choices: Choices) -> Played {
        let scenario = Arc::new(candidate.scenario.clone());
        let golden = trial::trial(&scenario, candidate.seed, &[], scenario.limits());
        let Trial { worked_ns: took_ns, stuck, events, .. } = golden;
        trial::reuse(events);
        let limits = campaign.factors.limits(&campaign.place, &Golden { took_ns, ..Golden::default() });
        let world = place::sim::world_limits(&scenario, &limits);
        let (trial, taken) = trial::trial_by(&scenario, candidate.seed, &candidate.rules, world, choices);
        self.stuck += u64::from(stuck) + u64::from(trial.stuck);
        let events = trial.events.clone();
        let observation = place::sim::observation(trial, &limits);
        Played { symptom: failure(&observation), reason: observation.reason().to_owned(), events, taken }
    }
}

impl Judge for Simulator {
    fn judge(&mut self, candidate: &Candidate) -> Result<Option<Symptom>, Infra> {
        Ok(self.play(candidate, Choices::Seed).symptom)
    }

    fn spent(&self) -> Option<String> {
        let text =
            || format!("{STUCK_MOST} runs could not be ended, and what they hold is lost to this process");
        (self.stuck >= STUCK_MOST).then(text)
    }
}

/// One candidate's schedules.
pub struct OnStage<'a> {
    simulator: &'a mut Simulator,
    candidate: &'a Candidate,
}

impl Stage for OnStage<'_> {
    fn play(&mut self, choices: Choices) -> Played {
        self.simulator.play(self.candidate, choices)
    }

    fn is_spent(&self) -> bool {
        // As many again as the search may have lost.
        self.simulator.stuck >= 2 * STUCK_MOST
    }
}

/// A place where runs differ.
pub struct Elsewhere {
    campaign: Campaign,
    /// How often a candidate may pass before it is believed.
    times: u32,
    /// The place of the candidate before, with its limits and what they are for.
    open: Option<(String, Box<dyn Place>, Limits)>,
}

/// A place that is open, and the limits of its golden run.
type Ready<'a> = (&'a mut Box<dyn Place>, Limits);

impl Elsewhere {
    /// Of this campaign.
    #[must_use]
    pub const fn new(campaign: Campaign, times: u32) -> Self {
        Self { campaign, times, open: None }
    }

    /// The place with this candidate's workload, and the limits of its golden run. None: the place cannot run that workload.
    fn place(&mut self, candidate: &Candidate) -> Result<Option<Ready<'_>>, Infra> {
        let Candidate { scenario, seed, .. } = candidate;
        let workload = format!("{seed} {scenario:?}");
        let kept = self.open.take().filter(|(of, ..)| *of == workload);
        let (workload, place, limits) = match kept {
            Some(kept) => kept,
            None => {
                let whole = Campaign { scenario: Arc::new(scenario.clone()), ..self.campaign.clone() };
                // The simulator's process reads the campaign's text.
                let text = super::file_of(&whole, candidate);
                let campaign = Campaign { text, ..whole };
                let ours = matches!(campaign.place, PlaceName::Socket | PlaceName::Vm);
                if ours && Setup::of(scenario).is_err() {
                    return Ok(None);
                }
                let mut place = place::open(&campaign)?;
                let golden = place.golden(*seed)?;
                let limits = self.campaign.factors.limits(&self.campaign.place, &golden);
                (workload, place, limits)
            }
        };
        let (_, place, limits) = self.open.insert((workload, place, limits));
        Ok(Some((place, *limits)))
    }

    fn experiment(&self, candidate: &Candidate) -> Experiment {
        plan::experiment(&self.campaign, candidate.rules.clone(), candidate.seed)
    }
}

impl Judge for Elsewhere {
    fn judge(&mut self, candidate: &Candidate) -> Result<Option<Symptom>, Infra> {
        let (experiment, times) = (self.experiment(candidate), self.times);
        let Some((place, limits)) = self.place(candidate)? else { return Ok(None) };
        for _ in 0..times {
            let observation = place.run(&experiment, &limits)?;
            if observation.class() == Class::InfraError {
                return Err(Infra(anyhow::anyhow!("{}", observation.reason())));
            }
            let failure = failure(&observation);
            if failure.is_some() {
                return Ok(failure);
            }
        }
        Ok(None)
    }
}
