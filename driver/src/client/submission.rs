//! What was submitted, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Error;
use super::shared::Shared;
use crate::ndis::lock::SpinLock;

/// Work that the engine has. Dropping it without waiting is safe: the channel keeps what the engine needs.
#[must_use = "without waiting or polling nobody knows whether it failed"]
pub struct Submission {
    pub(super) channel: Arc<Shared>,
    pub(super) ticket: Arc<Ticket>,
    /// For each operation, how many descriptors there are up to its end.
    pub(super) ends: Vec<usize>,
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

    /// What became of each operation, in the batch's order; none while the submission is not finished. When one has
    /// failed, those before it are done, and those behind it were [`Error::Aborted`]: the engine works in order. How far
    /// it came is what it said last, so an operation that is called failed may have moved all or part of its data.
    #[must_use]
    pub fn results(&self) -> Option<Vec<Result<(), Error>>> {
        let error = match self.try_poll()? {
            Ok(()) => return Some(self.ends.iter().map(|_| Ok(())).collect()),
            Err(error) => error,
        };
        let done = self.ticket.done.load(Ordering::Acquire);
        let mut failed = Some(error);
        let result = |end: &usize| match (*end <= done, failed.take()) {
            (true, error) => {
                failed = error;
                Ok(())
            }
            (false, error) => Err(error.unwrap_or(Error::Aborted)),
        };
        Some(self.ends.iter().map(result).collect())
    }
}

/// How a submission and the channel's book know each other.
pub(super) struct Ticket {
    /// The number of its last descriptor; not known while parts of it are still to be submitted.
    last: AtomicU64,
    /// Descriptors of it that were finished when it failed.
    done: AtomicUsize,
    failed: SpinLock<Option<Error>>,
}

impl Ticket {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            last: AtomicU64::new(u64::MAX),
            done: AtomicUsize::new(0),
            failed: SpinLock::new(None),
        })
    }

    pub(super) fn submitted(&self, last: u64) {
        self.last.store(last, Ordering::Release);
    }

    /// So many more of its descriptors are finished. Before [`Self::fail`].
    pub(super) fn progressed(&self, descriptors: usize) {
        self.done.fetch_add(descriptors, Ordering::AcqRel);
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
