//! `netdma-lab experiment minimise`: the smallest experiment that still fails, and for the simulator the shortest schedule.
//!
//! Rules first, by delta debugging; then the workload; then the depth; again and again until one whole round takes nothing
//! away: that round is the proof that no further step of the kinds that are known fails in the same way. The smallest is
//! then run once more, afresh. Everything is tried in a fixed order, so the same input gives the same answer.

mod command;

pub mod search;

pub mod candidate;

pub mod knob;

pub mod ddmin;

pub mod judge;

pub mod symptom;

pub mod schedule;

mod side_by_side;

pub mod written;

pub use command::{Arguments, run};

use ioat_stage::Rule;

use self::candidate::Candidate;
use self::judge::{Elsewhere, Simulator};
use self::schedule::{Shortest, shortest};
use self::search::{Minimum, Search, SearchError};
use super::campaign::{Campaign, PlaceName};
use super::experiment::{Experiment, Id};
use super::place::{self, Infra};
use super::replay::came_back;
use super::replay::which::Meant;
use super::run::replay_command;
use crate::sim::Scenario;

/// What came of it.
#[derive(Debug)]
pub struct Minimised {
    /// The smallest.
    pub minimum: Minimum,
    /// Its file: a campaign's, or, where no rule is left or it was a scenario, a scenario's.
    pub file: String,
    /// It is a campaign's file.
    of_campaign: bool,
    /// For the simulator: the shortest failing schedule beside the nearest passing one.
    pub schedule: Option<Shortest>,
}

impl Minimised {
    /// The one command that runs its file, which is at this path.
    #[must_use]
    pub fn command(&self, path: &str) -> String {
        let Candidate { rules, seed, .. } = &self.minimum.candidate;
        if self.of_campaign {
            let experiment = Experiment { id: Id(String::new()), rules: rules.clone(), seed: *seed };
            return replay_command(path, &experiment);
        }
        format!("netdma-lab sim --seeds {seed}..{} {path}", seed + 1)
    }

    /// The schedules, as people read them.
    #[must_use]
    pub fn schedules(&self) -> String {
        self.schedule.as_ref().map(side_by_side::text).unwrap_or_default()
    }
}

/// Makes an experiment of a campaign smaller.
///
/// # Errors
/// [`SearchError`].
pub fn minimise(meant: &Meant, search: &Search<'_>, times: u32) -> Result<Minimised, SearchError> {
    let Meant { campaign, experiment, .. } = meant;
    let scenario = Scenario::clone(&campaign.scenario);
    let first = Candidate { rules: experiment.rules.clone(), scenario, seed: experiment.seed };
    let simulated = campaign.place == PlaceName::Sim;
    if !simulated || !comes_back(meant)? {
        let mut judge = Elsewhere::new(campaign.clone(), if simulated { 1 } else { times });
        // One seed: elsewhere it chooses no order, and what never comes back takes its time.
        let minimum = Search { seeds: 0, ..*search }.minimum(&first, &mut judge)?;
        return Ok(of_campaign(campaign, minimum, None));
    }
    let mut simulator = Simulator::of_campaign(campaign.clone());
    let minimum = search.minimum(&first, &mut simulator)?;
    let schedule = schedule_of(&mut simulator, &minimum, search);
    Ok(of_campaign(campaign, minimum, schedule))
}

/// Whether the simulator gives an answer at all: what spins or dies is run in a process of its own.
fn comes_back(meant: &Meant) -> Result<bool, Infra> {
    let Meant { campaign, experiment, .. } = meant;
    let mut place = place::open(campaign)?;
    let golden = place.golden(experiment.seed)?;
    let limits = campaign.factors.limits(&campaign.place, &golden);
    Ok(came_back(&place.run(experiment, &limits)?))
}

/// Makes one seed of a scenario smaller, as `netdma-lab sim` judges it.
///
/// # Errors
/// [`SearchError`].
pub fn minimise_seed(scenario: &Scenario, seed: u64, search: &Search<'_>) -> Result<Minimised, SearchError> {
    let rules: Vec<Rule> = scenario.rules();
    let mut simulator = Simulator::of_scenario();
    let first = Candidate { rules, scenario: scenario.clone(), seed };
    let minimum = search.minimum(&first, &mut simulator)?;
    let schedule = schedule_of(&mut simulator, &minimum, search);
    Ok(of_seed(minimum, schedule))
}

fn schedule_of(simulator: &mut Simulator, minimum: &Minimum, search: &Search<'_>) -> Option<Shortest> {
    let mut stage = simulator.stage(&minimum.candidate);
    shortest(&mut stage, &minimum.symptom, search.runs, search.progress)
}

fn of_campaign(campaign: &Campaign, minimum: Minimum, schedule: Option<Shortest>) -> Minimised {
    if minimum.candidate.rules.is_empty() && campaign.place == PlaceName::Sim {
        return of_seed(minimum, schedule);
    }
    let file = file_of(campaign, &minimum.candidate);
    Minimised { file, of_campaign: true, minimum, schedule }
}

/// A campaign's file of one candidate alone.
fn file_of(campaign: &Campaign, candidate: &Candidate) -> String {
    let Candidate { rules, scenario, seed } = candidate;
    let mut head =
        vec![("place", written::quoted(&campaign.place.to_string())), ("seeds", format!("[{seed}]"))];
    let optional =
        [("kernel", &campaign.kernel), ("workload", &campaign.workload), ("command", &campaign.command)];
    head.extend(
        optional.into_iter().filter_map(|(key, value)| Some((key, written::quoted(value.as_ref()?)))),
    );
    let factors = campaign.factors;
    let more = format!("hang_factor = {:?}\ndegraded_factor = {:?}\n", factors.hang, factors.degraded);
    // Its journal is named after it, and must not be the whole campaign's.
    let scenario = Scenario { name: format!("{}-minimal", campaign.scenario.name), ..scenario.clone() };
    written::campaign(&scenario, &head, rules, &more)
}

fn of_seed(minimum: Minimum, schedule: Option<Shortest>) -> Minimised {
    let Candidate { rules, scenario, .. } = &minimum.candidate;
    let file = written::scenario(scenario, rules);
    Minimised { file, of_campaign: false, minimum, schedule }
}
