//! Submissions in the order in which they finish, each with a word of the program's own.

use std::collections::VecDeque;

use super::{Batch, Error, Submission};

/// Submissions of one channel. The engine works in order, so they finish in order; iterating waits for the oldest.
///
/// ```
/// # use std::sync::Arc;
/// # use netdma::client::{Completions, Driver, Options};
/// # use netdma::hw::sim::{Sim, SimOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sim = Sim::open(SimOptions::default(), Arc::new(ioat_stage::ThreadPause::new()))?;
/// # let driver = Driver::open(sim.device, Options::default())?;
/// # let channel = driver.channel(Default::default())?;
/// let buffer = driver.allocate(4096)?;
/// let mut completions = Completions::new();
/// for (name, pattern) in [("ones", u64::MAX), ("zeros", 0)] {
///     let mut batch = channel.batch();
///     batch.fill(&buffer, 0, 4096, pattern)?;
///     completions.submit(batch, name)?;
/// }
/// let order: Vec<_> = completions.by_ref().map(|done| (done.tag, done.result.is_ok())).collect();
/// assert_eq!(order, [("ones", true), ("zeros", true)]);
/// # Ok(())
/// # }
/// ```
pub struct Completions<T> {
    pending: VecDeque<(T, Submission)>,
}

/// A submission that is over.
#[derive(Debug)]
pub struct Done<T> {
    /// What it was submitted with.
    pub tag: T,
    /// What became of it as a whole: the first error of its operations.
    pub result: Result<(), Error>,
    /// What became of each operation.
    pub operations: Vec<Result<(), Error>>,
}

impl<T> Completions<T> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { pending: VecDeque::new() }
    }

    /// Gives `batch` to its channel, with `tag` to know it by.
    ///
    /// # Errors
    /// As [`Batch::submit`]; `tag` is gone then, and nothing was added.
    pub fn submit(&mut self, batch: Batch<'_>, tag: T) -> Result<(), Error> {
        self.pending.push_back((tag, batch.submit()?));
        Ok(())
    }

    /// The oldest, if it is over; does not wait.
    pub fn try_next(&mut self) -> Option<Done<T>> {
        let (_, oldest) = self.pending.front()?;
        let _ = oldest.try_poll()?;
        self.take()
    }

    /// How many are not over, or not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Nothing is left to wait for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn take(&mut self) -> Option<Done<T>> {
        let (tag, submission) = self.pending.pop_front()?;
        let result = submission.try_poll().unwrap_or(Err(Error::Aborted));
        let operations = submission.results().unwrap_or_default();
        Some(Done { tag, result, operations })
    }
}

impl<T> Default for Completions<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for the oldest, up to the driver's time limit; ends when nothing is left.
impl<T> Iterator for Completions<T> {
    type Item = Done<T>;

    fn next(&mut self) -> Option<Done<T>> {
        let (_, oldest) = self.pending.front()?;
        // A time-out is an outcome too: afterwards the submission has failed with it.
        let _ = oldest.wait(oldest.channel.open.options.timeout);
        self.take()
    }
}
