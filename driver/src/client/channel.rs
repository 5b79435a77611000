//! A channel, as a program uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::{Shared, Work, passive};
use super::{Batch, Error, Events, Submission};
use crate::contract::{ChannelCounts, CpuNumber};
use crate::hw::DmaBuffer;
use crate::ioat::{ChannelStats, Identity};

/// A channel of an engine. Clones are the same channel; it is given back when the last of them, and of its
/// submissions, is dropped.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

/// What happened on a channel so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Stats {
    /// Bytes moved by finished submissions.
    pub bytes: u64,
    /// Descriptors of finished submissions.
    pub descriptors: u64,
    /// Submissions that failed.
    pub errors: u64,
    /// Times that the channel was reset to bring it back.
    pub recoveries: u64,
    /// Completions whose interrupt did not come, and that were found by looking.
    pub lost_interrupts_recovered: u64,
    /// The provider's own counts.
    pub provider: ChannelStats,
}

/// What a channel takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Capacity {
    /// Descriptors that may be under way at once.
    pub descriptors: usize,
    /// How many more of them now.
    pub free: usize,
    /// Submissions that are under way.
    pub submissions: usize,
    /// Bytes of the largest single descriptor; a larger operation takes several.
    pub largest_transfer: u32,
}

impl Channel {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Copies, and waits for the end: see [`Batch::copy`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::NotPassive`]; what [`Submission::wait`] gives.
    pub fn copy(
        &self,
        from: &Arc<DmaBuffer>,
        from_offset: usize,
        to: &Arc<DmaBuffer>,
        to_offset: usize,
        len: usize,
    ) -> Result<(), Error> {
        let mut batch = self.batch();
        batch.copy(from, from_offset, to, to_offset, len)?;
        self.finish(batch)
    }

    /// Fills, and waits for the end: see [`Batch::fill`].
    ///
    /// # Errors
    /// As [`Self::copy`], and [`Error::NotOffered`].
    pub fn fill(&self, to: &Arc<DmaBuffer>, to_offset: usize, len: usize, pattern: u64) -> Result<(), Error> {
        let mut batch = self.batch();
        batch.fill(to, to_offset, len, pattern)?;
        self.finish(batch)
    }

    /// Sends a NULL through, and waits for it: everything submitted before is finished then.
    ///
    /// # Errors
    /// As [`Self::copy`].
    pub fn null(&self) -> Result<(), Error> {
        let mut batch = self.batch();
        batch.null();
        self.finish(batch)
    }

    /// A list of operations to be submitted together.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// What the ring takes, and what is under way.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.0.reap();
        let book = self.0.book.lock();
        let descriptors = book.ring.capacity();
        Capacity {
            descriptors,
            free: descriptors - book.slots,
            submissions: book.under_way.len(),
            largest_transfer: self.identity().max_transfer(),
        }
    }

    /// Looks for finished work without waiting for the DPC, and reports what there is, as the DPC would. With
    /// [`CompletionMode::Polled`](super::CompletionMode::Polled) nothing else does; with interrupts it is a harmless
    /// second look. True if something was finished.
    ///
    /// # Errors
    /// [`Error::NotPassive`].
    pub fn poll(&self) -> Result<bool, Error> {
        let level = passive()?;
        let before = self.0.reports.done();
        self.0.open.provider.poll(self.0.context, &level);
        self.0.attend(&level);
        self.0.reap();
        Ok(self.0.reports.done() != before)
    }

    /// An event whose descriptor becomes readable when something on the channel is finished or has failed: for a
    /// program that waits for many things at once, with `poll` or `epoll`. See [`Events`].
    ///
    /// # Errors
    /// [`Error::Event`] when the system gives none.
    pub fn events(&self) -> Result<Events, Error> {
        self.0.reports.events()
    }

    /// Stops behind the current descriptor; what is pending stays so. Submissions are refused meanwhile.
    ///
    /// # Errors
    /// [`Error::Channel`].
    pub fn suspend(&self) -> Result<(), Error> {
        let level = passive()?;
        let _ops = self.0.ops.lock();
        self.0.net.suspend(&level).map(drop).map_err(|error| self.0.typed(error))
    }

    /// Goes on after [`Self::suspend`].
    ///
    /// # Errors
    /// [`Error::Channel`].
    pub fn resume(&self) -> Result<(), Error> {
        let level = passive()?;
        let _ops = self.0.ops.lock();
        self.0.net.resume(&level).map_err(|error| self.0.typed(error))
    }

    /// Stops at once; what is pending fails with [`Error::Aborted`].
    ///
    /// # Errors
    /// [`Error::Channel`], [`Error::DeviceGone`].
    pub fn abort(&self) -> Result<(), Error> {
        let level = passive()?;
        let _ops = self.0.ops.lock();
        let reached = self.0.reached(&level);
        let aborted = self.0.net.abort(&level).map_err(|error| self.0.typed(error));
        self.0.settle(aborted, reached, &|_| Error::Aborted)
    }

    /// As [`Self::abort`], and the channel is as new.
    ///
    /// # Errors
    /// [`Error::Channel`], [`Error::DeviceGone`].
    pub fn reset(&self) -> Result<(), Error> {
        let level = passive()?;
        let _ops = self.0.ops.lock();
        let reached = self.0.reached(&level);
        let reset = self.0.net.reset(&level).map_err(|error| self.0.typed(error));
        self.0.settle(reset, reached, &|_| Error::Aborted)
    }

    /// The channel's number on the engine.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.0.context.0
    }

    /// The processor of its DPC.
    pub fn processor(&self) -> CpuNumber {
        self.0.net.cpu_number()
    }

    /// Which engine it belongs to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.0.open.provider.identity()
    }

    /// What happened so far, seen from the client.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.reap();
        let counts = &self.0.counts;
        Stats {
            bytes: counts.bytes.load(Ordering::Relaxed),
            descriptors: counts.descriptors.load(Ordering::Relaxed),
            errors: counts.errors.load(Ordering::Relaxed),
            recoveries: counts.recoveries.load(Ordering::Relaxed),
            lost_interrupts_recovered: counts.lost_interrupts.load(Ordering::Relaxed),
            provider: self.0.open.provider.stats(self.0.context),
        }
    }

    /// What happened so far, seen from the interface.
    #[must_use]
    pub fn contract_counts(&self) -> ChannelCounts {
        self.0.net.counts()
    }

    pub(super) fn submit(&self, batch: Batch<'_>, wait: bool) -> Result<Submission, Error> {
        let Batch { descriptors, keep, bytes, ends, .. } = batch;
        let work = Work { descriptors, keep, bytes };
        let ticket = self.0.submit(work, wait)?;
        Ok(Submission { channel: self.0.clone(), ticket, ends })
    }

    fn finish(&self, batch: Batch<'_>) -> Result<(), Error> {
        batch.submit()?.wait(self.0.open.options.timeout)
    }
}
