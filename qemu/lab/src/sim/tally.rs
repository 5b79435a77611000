//! What became of a run's operations: counted by its clients, judged at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ioat_stage::{Access, Point};
use netdma::client::Error;
use netdma::contract::{ChannelError, NetDmaStatus};

use super::scenario::{Ending, Scenario};
use super::world::{self, Wrong};

/// The counts of a run, shared by its tasks.
#[derive(Clone, Default)]
pub(super) struct Tally {
    counts: Arc<Mutex<Counts>>,
    /// It is an experiment: failures are facts to be written down, whatever the scenario expects.
    pub(super) trial: bool,
}

/// Operations by point, channel (none: of no channel) and direction.
pub type Accesses = BTreeMap<(Point, Option<u8>, Option<Access>), u64>;

/// The counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Descriptors submitted, by channel.
    pub(super) submitted: BTreeMap<usize, u64>,
    /// Descriptors of submissions that ended well, by channel.
    pub(super) completed: BTreeMap<usize, u64>,
    /// Submissions that failed, by how.
    pub(super) failed: BTreeMap<Ending, u64>,
    /// Fault rules that fired.
    pub(super) fired: u64,
    /// Completions found by looking.
    pub(super) recovered: u64,
    /// Work of storms.
    pub(super) requests: u64,
    /// In an experiment: what the driver said of its failures; the first ones.
    pub(super) failures: Vec<String>,
    /// In an experiment: virtual time when the last client had ended.
    pub(super) worked_ns: Option<u64>,
    /// In a golden run: operations by point, channel and direction, until the clean work began.
    pub(super) accesses: Accesses,
    /// In an experiment: the device no longer answers, whatever its driver does.
    pub(super) gone: bool,
}

impl Tally {
    /// The counts of an experiment.
    pub(super) fn of_trial() -> Self {
        Self { trial: true, ..Self::default() }
    }

    /// Changes the counts. Nothing waits in `change`.
    pub(super) fn note<R>(&self, change: impl FnOnce(&mut Counts) -> R) -> R {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An operation failed: counted, and a finding if the scenario does not expect it.
    pub(super) fn failed(&self, scenario: &Scenario, who: &str, error: &Error) {
        if self.trial {
            self.say(format!("{who}: {error}"));
        }
        let Some(ending) = ending(error) else {
            if self.trial {
                return self.note(|counts| *counts.failed.entry(Ending::Aborted).or_default() += 1);
            }
            world::find(Wrong::Outcome, format!("{who}: {error}"));
            return;
        };
        self.note(|counts| *counts.failed.entry(ending).or_default() += 1);
        let stops = scenario.client.iter().any(|client| client.abort.get() + client.reset.get() > 0);
        let expected =
            self.trial || scenario.expect.errors.contains(&ending) || (stops && ending == Ending::Aborted);
        if !expected {
            world::find(Wrong::Outcome, format!("{who}: {error}; the scenario does not expect that"));
        }
    }

    /// The clean work after the fault failed: then the counts need not add up either.
    pub(super) fn failed_clean(&self, number: usize, error: &Error) {
        self.say(format!("channel {number}: the clean batch after the fault: {error}"));
        self.note(|counts| *counts.failed.entry(Ending::Aborted).or_default() += 1);
    }

    /// Writes a failure down.
    pub(super) fn say(&self, text: String) {
        /// More say nothing more.
        const MOST: usize = 8;
        let text = format!("at {} ns: {text}", world::now_ns());
        self.note(|counts| {
            if counts.failures.len() < MOST {
                counts.failures.push(text);
            }
        });
    }
}

/// How an operation ended; none for what is a mistake of its caller's.
fn ending(error: &Error) -> Option<Ending> {
    Some(match error {
        Error::Timeout { .. } => Ending::Timeout,
        Error::Halted { .. } => Ending::Halted,
        Error::BadCompletion { .. } => Ending::BadCompletion,
        Error::DeviceGone => Ending::Gone,
        Error::Aborted => Ending::Aborted,
        // The provider refused a command because of what had happened to the channel.
        Error::Channel(ChannelError::Provider { status: NetDmaStatus::UNSUCCESSFUL, .. }) => Ending::Aborted,
        _ => return None,
    })
}
