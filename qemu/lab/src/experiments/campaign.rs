//! A campaign: what to break, where, and how often. Its file is documented in [`mod@file`].

pub mod file;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::fault::catalog::Reach;
use ioat_stage::{Point, Rule};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::class::Class;
use super::expected::Known;
use super::place::{Golden, Limits};
use crate::sim::Scenario;

/// Where experiments run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlaceName {
    /// Device and driver in one thread.
    Sim,
    /// Our driver on a device program of its own.
    Socket,
    /// Our driver in a guest.
    Vm,
    /// The stock driver in a guest.
    VmIoatdma,
    /// A command of the user's in a guest.
    VmCommand(String),
    /// A QEMU that the user started; the device's control socket.
    Attach(PathBuf),
}

impl PlaceName {
    /// What stands in front of the driver, which decides what reaches it.
    #[must_use]
    pub const fn reached_by(&self, reach: Reach) -> bool {
        match self {
            Self::Sim => matches!(reach, Reach::Everywhere | Reach::NotThroughVmm(_)),
            Self::Socket => true,
            Self::Vm | Self::VmIoatdma | Self::VmCommand(_) | Self::Attach(_) => {
                matches!(reach, Reach::Everywhere | Reach::Connected)
            }
        }
    }

    /// Whether the driver is ours, and so asks about its own points.
    #[must_use]
    pub const fn has_our_driver(&self) -> bool {
        matches!(self, Self::Sim | Self::Socket | Self::Vm)
    }
}

impl fmt::Display for PlaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sim => f.write_str("sim"),
            Self::Socket => f.write_str("socket"),
            Self::Vm => f.write_str("vm"),
            Self::VmIoatdma => f.write_str("vm:ioatdma"),
            Self::VmCommand(command) => write!(f, "vm:{command}"),
            Self::Attach(socket) => write!(f, "attach:{}", socket.display()),
        }
    }
}

impl FromStr for PlaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "sim" => Self::Sim,
            "socket" => Self::Socket,
            "vm" => Self::Vm,
            "vm:ioatdma" => Self::VmIoatdma,
            _ => match text.split_once(':') {
                Some(("vm", command)) if !command.trim().is_empty() => Self::VmCommand(command.to_owned()),
                Some(("attach", socket)) if !socket.is_empty() => Self::Attach(socket.into()),
                _ => {
                    return Err(format!(
                        "'{text}' is no place, expected sim, socket, vm, vm:ioatdma, vm:COMMAND or attach:SOCKET"
                    ));
                }
            },
        })
    }
}

impl<'de> Deserialize<'de> for PlaceName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A campaign that makes sense.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// For reports.
    pub name: String,
    /// Its file, as a command line names it.
    pub file: String,
    /// Where.
    pub place: PlaceName,
    /// What runs there; without faults and expectations.
    pub scenario: Arc<Scenario>,
    /// A guest's kernel.
    pub kernel: Option<String>,
    /// What a place outside the simulator runs.
    pub workload: Option<String>,
    /// The user's command line.
    pub command: Option<String>,
    /// Each of them with everything.
    pub seeds: Vec<u64>,
    /// Rules that are armed together.
    pub sets: Vec<Set>,
    /// Everything there is.
    pub sweep: Option<Sweep>,
    /// What seeds choose.
    pub random: Option<RandomRules>,
    /// What is no news.
    pub known: Vec<Known>,
    /// Time limits.
    pub factors: Factors,
    /// The hash of what an experiment runs: scenario, limits, kernel, workload and command.
    pub workload_hash: String,
    /// The hash of everything that decides what the experiments are.
    pub spec: String,
    /// The file's text.
    pub text: String,
}

/// Rules that are armed together.
#[derive(Clone, PartialEq, Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Classes that are no finding; none: the usual ones.
    pub expect: Option<Vec<Class>>,
}

/// Which of the catalog's rows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// None: all.
    pub points: Option<Vec<Point>>,
    /// None: all.
    pub actions: Option<Vec<String>>,
}

impl Filter {
    /// Whether it lets a row through.
    #[must_use]
    pub fn lets(&self, point: Point, action: &str) -> bool {
        self.points.as_ref().is_none_or(|points| points.contains(&point))
            && self.actions.as_ref().is_none_or(|actions| actions.iter().any(|word| word == action))
    }
}

/// Everything there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sweep {
    /// Of these rows.
    pub filter: Filter,
    /// Of each point and channel.
    pub occurrences: u64,
}

/// What seeds choose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RandomRules {
    /// Of these rows.
    pub filter: Filter,
    /// How many.
    pub rules: std::ops::RangeInclusive<u64>,
    /// Percent of the rows that are active for a seed.
    pub active: u64,
}

/// Time limits, as factors of the golden run's time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Factors {
    /// A hang.
    pub hang: f64,
    /// Degraded.
    pub degraded: f64,
}

impl Factors {
    /// The limits after a golden run, with floors: below them a scheduler's whim would decide.
    #[must_use]
    pub fn limits(&self, place: &PlaceName, golden: &Golden) -> Limits {
        let (hang_floor, degraded_floor) = match place {
            // Virtual time: no whims, but a driver that waits for its own time-outs, one after the other, does not hang.
            PlaceName::Sim => (Duration::from_secs(60), Duration::ZERO),
            PlaceName::Socket => (Duration::from_secs(10), Duration::from_millis(500)),
            _ => (Duration::from_secs(30), Duration::from_secs(1)),
        };
        let took = Duration::from_nanos(golden.took_ns);
        let times =
            |factor: f64| Duration::try_from_secs_f64(took.as_secs_f64() * factor).unwrap_or(Duration::MAX);
        Limits { hang: times(self.hang).max(hang_floor), degraded: times(self.degraded).max(degraded_floor) }
    }
}

/// Why a campaign is not one.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The file cannot be read.
    #[error("{place}: {source}")]
    Read {
        /// Its path.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or a key or a value is wrong.
    #[error("{place}:{line}: {what}")]
    Parse {
        /// Its path.
        place: String,
        /// The line, from 1.
        line: usize,
        /// The key, and what was expected.
        what: String,
    },
    /// Keys contradict each other.
    #[error("{place}: {key}: {what}")]
    Contradiction {
        /// Its path.
        place: String,
        /// The key.
        key: String,
        /// What was found and what was expected.
        what: String,
    },
}
