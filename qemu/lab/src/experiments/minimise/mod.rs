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
use super::replay::which::Meant;
use crate::sim::Scenario;

/// What came of it.
#[derive(Debug)]
pub struct Minimised {
    /// The smallest.
    pub minimum: Minimum,
    /// Its file: a campaign's, or, where no rule is left or it was a scenario, a scenario's.
    pub file: String,
    /// The command that runs the file, which is at `{file}` in it.
    pub command: String,
    /// For the simulator: the shortest failing schedule beside the nearest passing one.
    pub schedule: Option<Shortest>,
}

impl Minimised {
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
    if campaign.place != PlaceName::Sim {
        let mut judge = Elsewhere::new(campaign.clone(), times);
        // One seed: elsewhere it chooses no order.
        let minimum = Search { seeds: 0, ..*search }.minimum(&first, &mut judge)?;
        return Ok(of_campaign(campaign, minimum, None));
    }
    let mut simulator = Simulator::of_campaign(campaign.clone());
    let minimum = search.minimum(&first, &mut simulator)?;
    let schedule = schedule_of(&mut simulator, &minimum, search);
    Ok(of_campaign(campaign, minimum, schedule))
}

/// Makes one seed of a scenario smaller, as `netdma-lab sim` judges it.
///
/// # Errors
/// [`SearchError`].
pub fn minimise_seed(
    scenario: &Scenario,
    seed: u64,
    search: &Search<'_>,
) -> Result<Minimised, SearchError> {
    let rules: Vec<Rule> = scenario.fault.iter().map(|rule| rule.0.clone()).collect();
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
    let Candidate { rules, scenario, seed } = &minimum.candidate;
    if rules.is_empty() {
        return of_seed(minimum, schedule);
    }
    let mut head = vec![
        ("place", written::quoted(&campaign.place.to_string())),
        ("seeds", format!("[{seed}]")),
    ];
    let optional =
        [("kernel", &campaign.kernel), ("workload", &campaign.workload), ("command", &campaign.command)];
    head.extend(optional.into_iter().filter_map(|(key, value)| Some((key, written::quoted(value.as_ref()?)))));
    let factors = campaign.factors;
    let more = format!("hang_factor = {:?}\ndegraded_factor = {:?}\n", factors.hang, factors.degraded);
    let file = written::campaign(scenario, &head, rules, &more);
    Minimised { file, command: "netdma-lab experiment run {file}".into(), minimum, schedule }
}

fn of_seed(minimum: Minimum, schedule: Option<Shortest>) -> Minimised {
    let Candidate { rules, scenario, seed } = &minimum.candidate;
    let file = written::scenario(scenario, rules);
    let command = format!("netdma-lab sim --seeds {seed}..{} {{file}}", seed + 1);
    Minimised { file, command, minimum, schedule }
}
