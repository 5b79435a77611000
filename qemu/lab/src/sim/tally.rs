//! What became of a run's operations: counted by its clients, judged at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use netdma::client::Error;
use netdma::contract::{ChannelError, NetDmaStatus};

use super::scenario::{Ending, Scenario};
use super::world::{self, Wrong};

/// The counts of a run, shared by its tasks.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

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
}

impl Tally {
    /// Changes the counts. Nothing waits in `change`.
    pub(super) fn note<R>(&self, change: impl FnOnce(&mut Counts) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An operation failed: counted, and a finding if the scenario does not expect it.
    pub(super) fn failed(&self, scenario: &Scenario, who: &str, error: &Error) {
        let Some(ending) = ending(error) else {
            world::find(Wrong::Outcome, format!("{who}: {error}"));
            return;
        };
        self.note(|counts| *counts.failed.entry(ending).or_default() += 1);
        let stops = scenario.client.iter().any(|client| client.abort.get() + client.reset.get() > 0);
        let expected = scenario.expect.errors.contains(&ending) || (stops && ending == Ending::Aborted);
        if !expected {
            world::find(Wrong::Outcome, format!("{who}: {error}; the scenario does not expect that"));
        }
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
