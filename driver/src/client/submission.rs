//! What was submitted, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Error;
use super::channel::Shared;
use crate::ndis::lock::SpinLock;

/// Work that the engine has. Dropping it without waiting is safe: the channel keeps what the engine needs.
#[must_use = "without waiting or polling nobody knows whether it failed"]
pub struct Submission {
    pub(super) channel: Arc<Shared>,
    pub(super) ticket: Arc<Ticket>,
}

impl Submission {
    /// Whether it is finished, without waiting.
    ///
    /// # Errors
    /// Inside the option: why it failed, as [`Self::wait`].
    #[must_use]
    pub fn try_poll(&self) -> Option<Result<(), Error>> {
        self.channel.poll(&self.ticket)
    }

    /// Waits until it is finished.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `timeout`; then, as for every failure of the engine, the channel has been reset
    /// and everything pending on it has failed. [`Error::Halted`], [`Error::BadCompletion`],
    /// [`Error::DeviceGone`], [`Error::Aborted`].
    pub fn wait(&self, timeout: Duration) -> Result<(), Error> {
        self.channel.wait(&self.ticket, timeout)
    }
}

/// How a submission and the channel's book know each other.
pub(super) struct Ticket {
    /// The number of its last descriptor; not known while parts of it are still to be submitted.
    last: AtomicU64,
    failed: SpinLock<Option<Error>>,
}

impl Ticket {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { last: AtomicU64::new(u64::MAX), failed: SpinLock::new(None) })
    }

    pub(super) fn submitted(&self, last: u64) {
        self.last.store(last, Ordering::Release);
    }

    /// The first failure stays.
    pub(super) fn fail(&self, error: Error) {
        self.failed.lock().get_or_insert(error);
    }

    /// What became of it, when descriptors up to `done` are finished.
    pub(super) fn outcome(&self, done: u64) -> Option<Result<(), Error>> {
        // A failure is set before any later descriptor can finish, so it must be looked at first.
        if let Some(error) = self.failed.lock().clone() {
            return Some(Err(error));
        }
        (done >= self.last.load(Ordering::Acquire)).then_some(Ok(()))
    }
}
