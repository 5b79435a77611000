//! What is made smaller: rules, a workload and a seed.

use ioat_stage::Rule;

use super::knob::{self, Knob, Phase};
use crate::sim::scenario::{Client, Scenario, Storm};

/// An experiment with its workload, both of which can be made smaller.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The faults.
    pub rules: Vec<Rule>,
    /// The workload; its own `fault` is left as it is.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
}

/// Something less in a candidate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Less {
    /// What, in words: `client[0].batches 12 -> 1`.
    pub says: String,
    /// When it is tried.
    pub phase: Phase,
    what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    Rule(usize),
    Client(usize),
    Storm(usize),
    Set(Knob, u64),
}

impl Candidate {
    /// Everything that can be one step less, in the order in which it is tried: rules, workload, depth; and of each the
    /// largest step first.
    #[must_use]
    pub fn less(&self) -> Vec<Less> {
        let less = |phase, what, says| Less { says, phase, what };
        let rules = self.rules.iter().enumerate();
        let mut all: Vec<_> =
            rules.map(|(at, rule)| less(Phase::Rules, What::Rule(at), format!("without '{rule}'"))).collect();
        if self.scenario.client.len() + self.scenario.storm.len() > 1 {
            let clients = (0..self.scenario.client.len())
                .map(|at| less(Phase::Workload, What::Client(at), format!("without client[{at}]")));
            all.extend(clients);
            let storms = (0..self.scenario.storm.len())
                .map(|at| less(Phase::Workload, What::Storm(at), format!("without storm[{at}]")));
            all.extend(storms);
        }
        for phase in [Phase::Workload, Phase::Depth] {
            for knob in knob::of(&self.scenario).into_iter().filter(|knob| knob.phase() == phase) {
                let now = knob.get(&self.scenario);
                let steps = knob.steps(now).into_iter();
                all.extend(
                    steps.map(|to| less(phase, What::Set(knob, to), format!("{knob} {now} -> {to}"))),
                );
            }
        }
        all
    }

    /// The candidate with that less; none if it makes no sense then.
    #[must_use]
    pub fn with(&self, less: &Less) -> Option<Self> {
        let mut smaller = self.clone();
        match less.what {
            What::Rule(at) => drop(smaller.rules.remove(at)),
            What::Client(at) => drop::<Client>(smaller.scenario.client.remove(at)),
            What::Storm(at) => drop::<Storm>(smaller.scenario.storm.remove(at)),
            What::Set(knob, to) => knob.set(&mut smaller.scenario, to),
        }
        smaller.scenario.check().is_ok().then_some(smaller)
    }

    /// The candidate with only these of its rules.
    #[must_use]
    pub fn with_rules(&self, rules: &[Rule]) -> Self {
        Self { rules: rules.to_vec(), ..self.clone() }
    }
}
