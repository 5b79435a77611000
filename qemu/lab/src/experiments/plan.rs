//! The plan: every experiment of a campaign, with its id, from the golden runs. `netdma-lab experiment plan`.
//!
//! The golden run counts the operations of each point, channel and direction; an experiment strikes one of them. It may be
//! `not-activated` all the same: where an action needs data, operations without any (a NULL's copy) are not offered to its rule,
//! so the last of the count never comes; a second rule may come after what the first one ended; and outside the simulator no
//! run is like another.

mod choose;
mod command;

use std::collections::{BTreeMap, BTreeSet};

use ioat_stage::Rule;

pub use choose::{Only, Selection};
pub use command::{Arguments, run};

use super::Class;
use super::campaign::Campaign;
use super::exit::Trouble;
use super::experiment::{Experiment, Id};
use super::identity;
use super::place::{Golden, Place};

/// One experiment, and why it is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// What is to be run.
    pub experiment: Experiment,
    /// `sweep`, `random`, or the set's name.
    pub origin: String,
    /// The set's number, if it comes from one.
    pub set: Option<usize>,
}

/// Everything that is to be run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order of the file: sets, sweep, random; by seeds.
    pub experiments: Vec<Planned>,
    /// The golden run of each seed.
    pub golden: BTreeMap<u64, Golden>,
    /// What the sweep leaves out, one line each.
    pub left_out: Vec<String>,
}

impl Plan {
    /// Makes the golden runs, and the plan from them.
    ///
    /// # Errors
    /// [`Trouble::Usage`] if the workload fails without a fault, [`Trouble::Infra`] if it cannot be run.
    pub fn make(campaign: &Campaign, place: &mut dyn Place) -> Result<Self, Trouble> {
        let mut plan = Self::default();
        let mut left_out = choose::LeftOut::default();
        for &seed in &campaign.seeds {
            let golden = place.golden(seed)?;
            sound(campaign, seed, &golden)?;
            plan.golden.insert(seed, golden);
        }
        let mut seen = BTreeSet::new();
        for (number, set) in campaign.sets.iter().enumerate() {
            for &seed in &campaign.seeds {
                plan.add(campaign, &mut seen, set.rules.clone(), seed, (&set.name, Some(number)));
            }
        }
        for (&seed, golden) in &plan.golden.clone() {
            for rules in choose::sweep(campaign, golden, &mut left_out) {
                plan.add(campaign, &mut seen, rules, seed, ("sweep", None));
            }
            if let Some(rules) = choose::random(campaign, golden, seed) {
                plan.add(campaign, &mut seen, rules, seed, ("random", None));
            }
        }
        plan.left_out = left_out.lines(campaign);
        Ok(plan)
    }

    /// What is there twice is run once.
    fn add(
        &mut self,
        campaign: &Campaign,
        seen: &mut BTreeSet<Id>,
        rules: Vec<Rule>,
        seed: u64,
        (origin, set): (&str, Option<usize>),
    ) {
        let experiment = experiment(campaign, rules, seed);
        if seen.insert(experiment.id.clone()) {
            self.experiments.push(Planned { experiment, origin: origin.to_owned(), set });
        }
    }

    /// The longest golden run.
    #[must_use]
    pub fn golden_ns(&self) -> u64 {
        self.golden.values().map(|golden| golden.took_ns).max().unwrap_or(0)
    }
}

/// The experiment of these rules and this seed.
#[must_use]
pub fn experiment(campaign: &Campaign, rules: Vec<Rule>, seed: u64) -> Experiment {
    let id = identity::id(&campaign.place.to_string(), &campaign.workload_hash, &rules, seed);
    Experiment { id, rules, seed }
}

/// Without a fault nothing may be wrong: else every experiment would say it.
fn sound(campaign: &Campaign, seed: u64, golden: &Golden) -> Result<(), Trouble> {
    // The class of a run in which something had fired.
    let facts = [
        (Class::InfraError, &golden.observation.infra),
        (Class::Crash, &golden.observation.crashes),
        (Class::Hang, &golden.observation.hangs),
        (Class::SilentDataCorruption, &golden.observation.corruptions),
        (Class::DetectedFailed, &golden.observation.failures),
        (Class::DetectedRecovered, &golden.observation.recoveries),
    ];
    let Some((class, texts)) = facts.into_iter().find(|(_, texts)| !texts.is_empty()) else { return Ok(()) };
    let text = format!(
        "{}: the golden run of seed {seed} fails without any fault ({class}: {}): expected a workload that succeeds",
        campaign.file, texts[0]
    );
    Err(if class == Class::InfraError { Trouble::Infra(anyhow::anyhow!(text)) } else { Trouble::Usage(text) })
}
