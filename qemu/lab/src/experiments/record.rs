//! The lines of a journal: what was planned once, then one line for each experiment. Append-only, one JSON object a line.

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::experiment::Id;
use super::observation::Observation;

/// One line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// The first line of a file, and of each part that was merged into one.
    Header(Header),
    /// An experiment that was run.
    Result(Box<Outcome>),
    /// What `minimise` made of one.
    Minimal(Minimal),
}

/// What the results of a file have in common.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The format's version: 1.
    pub version: u32,
    /// Program and version.
    pub tool: String,
    /// The campaign's name.
    pub campaign: String,
    /// The hash of everything that decides what the experiments are; results of another one are not merged.
    pub spec: String,
    /// The place's word.
    pub place: String,
    /// `I/N`, 1-based; `1/1` is the whole campaign.
    pub shard: String,
    /// Experiments of the whole campaign.
    pub planned: u64,
    /// The golden run's time.
    pub golden_ns: u64,
    /// The machine's name.
    pub host: String,
    /// Seconds since 1970.
    pub started: u64,
}

/// One experiment, run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Which one.
    pub id: Id,
    /// Its rules, as they were armed.
    pub rules: Vec<String>,
    /// Its seed.
    pub seed: u64,
    /// Its class.
    pub class: Class,
    /// The first fact of the class; empty where nothing came of it.
    pub reason: String,
    /// The same for findings of the same cause: class, point, action, and the reason without its numbers.
    pub signature: String,
    /// Wall time.
    pub wall_ns: u64,
    /// The facts.
    pub observation: Observation,
    /// The command line that runs it again.
    pub replay: String,
}

/// The least that still fails as an experiment did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Minimal {
    /// Which experiment.
    pub id: Id,
    /// The rules that are left, resolved.
    pub rules: Vec<String>,
    /// What is left of the workload, in one line.
    pub workload: String,
    /// The command line that runs it.
    pub replay: String,
}
