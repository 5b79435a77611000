//! One experiment: rules, a seed, and an id that says which it is.

use std::fmt;

use ioat_stage::Rule;
use serde::{Deserialize, Serialize};

/// An experiment's id: 12 hexadecimal digits, the same on every machine and in every shard.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub String);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Experiment {
    /// Which one it is: a hash of the campaign's workload and place, of the rules and of the seed.
    pub id: Id,
    /// The faults, all armed before the workload begins.
    pub rules: Vec<Rule>,
    /// Chooses data, sizes and (in the simulator) every interleaving.
    pub seed: u64,
}
