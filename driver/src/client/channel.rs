//! A channel: submission, back-pressure, and what is done when the engine does not do its part.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ioat_stage::Wake;
use ioat_stage::pause::deadline;
use ioat_stage::sync::Mutex;

use super::driver::{ChannelOptions, Open};
use super::reports::Reports;
use super::ring::Ring;
use super::submission::Ticket;
use super::{Batch, Error, Submission};
use crate::contract::{AllocateError, ControlFlags};
use crate::contract::{
    ChannelCounts, ChannelError, ChannelRequest, ChannelState, CpuNumber, NetDmaChannel, NetDmaDescriptor,
    NetDmaStatus, ProviderChannelContext,
};
use crate::hw::DmaBuffer;
use crate::ioat::{ChannelStats, Glance, Identity};
use crate::irql::AtPassive;
use crate::ndis::lock::LevelLock;

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
        let aborted = self.0.net.abort(&level).map_err(|error| self.0.typed(error));
        self.0.settle(aborted, &|_| Error::Aborted)
    }

    /// As [`Self::abort`], and the channel is as new.
    ///
    /// # Errors
    /// [`Error::Channel`], [`Error::DeviceGone`].
    pub fn reset(&self) -> Result<(), Error> {
        let level = passive()?;
        let _ops = self.0.ops.lock();
        let reset = self.0.net.reset(&level).map_err(|error| self.0.typed(error));
        self.0.settle(reset, &|_| Error::Aborted)
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
        let Batch { descriptors, keep, bytes, .. } = batch;
        let work = Work { descriptors, keep, bytes };
        let ticket = self.0.submit(work, wait)?;
        Ok(Submission { channel: self.0.clone(), ticket })
    }

    fn finish(&self, batch: Batch<'_>) -> Result<(), Error> {
        batch.submit()?.wait(self.0.open.options.timeout)
    }
}

/// What is to be submitted.
struct Work {
    descriptors: Vec<NetDmaDescriptor>,
    keep: Vec<Arc<DmaBuffer>>,
    bytes: u64,
}

/// The channel behind its clones and submissions.
pub(super) struct Shared {
    open: Arc<Open>,
    net: NetDmaChannel,
    context: ProviderChannelContext,
    reports: Arc<Reports>,
    /// Held across every command; who finds it taken waits through `Pause`.
    ops: LevelLock,
    book: Mutex<Book>,
    watch: Mutex<Watch>,
    /// The engine could not be stopped: its memory is kept until a reset succeeds.
    wild: AtomicBool,
    counts: Counts,
}

/// What the engine has. Locked for a few instructions; nothing is dropped under it.
struct Book {
    ring: Ring,
    under_way: VecDeque<UnderWay>,
    /// Ring slots of all that is under way.
    slots: usize,
    /// Of work that failed while the engine could not be stopped.
    undead: Vec<Arc<DmaBuffer>>,
}

struct UnderWay {
    last: u64,
    slots: usize,
    bytes: u64,
    /// Alive until the engine is done with them.
    keep: Vec<Arc<DmaBuffer>>,
    ticket: Arc<Ticket>,
}

/// The look-out for lost interrupts.
#[derive(Default)]
struct Watch {
    next_ns: u64,
    /// The completion word that the look before found without a DPC.
    word: Option<u64>,
}

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    descriptors: AtomicU64,
    errors: AtomicU64,
    recoveries: AtomicU64,
    lost_interrupts: AtomicU64,
}

impl Shared {
    pub(super) fn allocate(open: Arc<Open>, options: &ChannelOptions) -> Result<Arc<Self>, Error> {
        let level = passive()?;
        let (ring, completion) = Ring::new(&*open.device.memory, options.ring_slots)?;
        let reports = Reports::new(open.device.pause.clone());
        let request = ChannelRequest {
            completion: completion.clone(),
            processors: options.affinity,
            priority: 0,
            max_outstanding: ring.capacity(),
        };
        let providers = open.interface.providers();
        let (id, ..) = providers.first().ok_or(AllocateError::NotStarted)?;
        let net = open.interface.allocate_channel(*id, request, reports.clone(), &level)?;
        let context = open.provider.channel_at(completion.physical());
        let context = context.ok_or(AllocateError::Provider(NetDmaStatus::UNSUCCESSFUL))?;
        open.provider.set_spread(context, options.spread);
        Ok(Arc::new(Self {
            ops: LevelLock::new(open.device.pause.clone()),
            book: Mutex::new(Book { ring, under_way: VecDeque::new(), slots: 0, undead: Vec::new() }),
            watch: Mutex::default(),
            wild: AtomicBool::new(false),
            counts: Counts::default(),
            open,
            net,
            context,
            reports,
        }))
    }

    fn submit(&self, mut work: Work, wait: bool) -> Result<Arc<Ticket>, Error> {
        let level = passive()?;
        if work.descriptors.is_empty() {
            let control = ControlFlags::NULL_TRANSFER.0;
            work.descriptors.push(NetDmaDescriptor { size: 1, control, ..NetDmaDescriptor::default() });
        }
        let ticket = Ticket::new();
        let capacity = self.book.lock().ring.capacity();
        let parts = work.descriptors.len().div_ceil(capacity);
        if parts > 1 && !wait {
            return Err(Error::RingFull { wanted: work.descriptors.len(), free: capacity });
        }
        let started = self.open.pause().now_ns();
        for (number, part) in work.descriptors.chunks_mut(capacity).enumerate() {
            let last = number + 1 == parts;
            // The bytes are counted with the last part, and the buffers are kept by every one.
            let bytes = if last { work.bytes } else { 0 };
            let sequence = self.push(part, &work.keep, bytes, &ticket, wait, started, &level)?;
            if last {
                ticket.submitted(sequence);
            }
        }
        Ok(ticket)
    }

    /// Gives one part to the engine as soon as there is room.
    #[expect(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
    fn push(
        &self,
        part: &mut [NetDmaDescriptor],
        keep: &[Arc<DmaBuffer>],
        bytes: u64,
        ticket: &Arc<Ticket>,
        wait: bool,
        started: u64,
        level: &AtPassive,
    ) -> Result<u64, Error> {
        mark_last(part);
        loop {
            let seen = self.reports.bell.seen();
            self.attend(level);
            {
                let _ops = self.ops.lock();
                self.tame(level)?;
                self.reap();
                let free = self.free_slots();
                if free >= part.len() {
                    return self.hand_over(part, keep, bytes, ticket, level);
                }
                if !wait {
                    return Err(Error::RingFull { wanted: part.len(), free });
                }
            }
            let waited = Duration::from_nanos(self.open.pause().now_ns().saturating_sub(started));
            if waited >= self.open.options.timeout {
                self.give_up(None, waited, level);
                return Err(Error::Timeout { waited });
            }
            self.doze(seen, started.saturating_add(ns(self.open.options.timeout)), level);
        }
    }

    /// Fills slots and rings the doorbell; once more after a recovery, if the channel had failed unnoticed.
    fn hand_over(
        &self,
        part: &[NetDmaDescriptor],
        keep: &[Arc<DmaBuffer>],
        bytes: u64,
        ticket: &Arc<Ticket>,
        level: &AtPassive,
    ) -> Result<u64, Error> {
        self.postpone_watch();
        let submitted = match self.give(part, level) {
            Err(ChannelError::Provider { .. }) if self.rescue(level)? => self.give(part, level),
            other => other,
        };
        let submitted = submitted.map_err(|error| self.typed(error))?;
        let under_way = UnderWay {
            last: submitted,
            slots: part.len(),
            bytes,
            keep: keep.to_vec(),
            ticket: ticket.clone(),
        };
        let mut book = self.book.lock();
        book.ring.advance(part.len());
        book.slots += part.len();
        book.under_way.push_back(under_way);
        Ok(submitted)
    }

    fn give(&self, part: &[NetDmaDescriptor], level: &AtPassive) -> Result<u64, ChannelError> {
        let book = self.book.lock();
        book.ring.fill(part);
        let chain = book.ring.chain(part.len());
        let (first, descriptors) = (chain.first.clone(), chain.descriptors.to_vec());
        drop(book);
        let chain = crate::contract::Chain { first, descriptors: &descriptors };
        let submitted = match self.net.state() {
            ChannelState::Fresh | ChannelState::NeedsStart => self.net.start(&chain, level),
            _ => self.net.append(&chain, level),
        }?;
        Ok(submitted.last_sequence)
    }

    pub(super) fn poll(&self, ticket: &Ticket) -> Option<Result<(), Error>> {
        if let Some(level) = AtPassive::claim() {
            self.attend(&level);
            let open = ticket.outcome(self.reports.done()).is_none();
            if open && self.open.pause().now_ns() >= self.watch.lock().next_ns {
                self.watch(&level);
                self.attend(&level);
            }
        }
        ticket.outcome(self.reports.done())
    }

    pub(super) fn wait(&self, ticket: &Arc<Ticket>, timeout: Duration) -> Result<(), Error> {
        let level = passive()?;
        let started = self.open.pause().now_ns();
        let until = deadline(self.open.pause(), timeout);
        loop {
            let seen = self.reports.bell.seen();
            self.attend(&level);
            if let Some(outcome) = ticket.outcome(self.reports.done()) {
                self.reap();
                return outcome;
            }
            let now = self.open.pause().now_ns();
            if now >= until {
                let waited = Duration::from_nanos(now.saturating_sub(started));
                self.give_up(Some(ticket), waited, &level);
                return ticket.outcome(self.reports.done()).unwrap_or(Err(Error::Timeout { waited }));
            }
            self.doze(seen, until, &level);
        }
    }

    /// Sleeps until something is reported, but not past `until`, and not without looking from time to time.
    fn doze(&self, seen: u32, until: u64, level: &AtPassive) {
        let look = deadline(self.open.pause(), self.open.options.watchdog);
        if self.open.pause().wait(&self.reports.bell, seen, Some(until.min(look))) == Wake::TimedOut {
            self.watch(level);
        }
    }

    /// Looks whether something happened that no interrupt told of.
    fn watch(&self, level: &AtPassive) {
        self.postpone_watch();
        match self.open.provider.glance(self.context, level) {
            Glance::Nothing => self.watch.lock().word = None,
            Glance::Fault(_) => self.reports.raise_attention(),
            Glance::Unseen(word) => {
                // An interrupt may be on its way; it is lost when a whole interval brought none.
                let before = std::mem::replace(&mut self.watch.lock().word, Some(word));
                if before == Some(word) {
                    self.watch.lock().word = None;
                    if self.open.provider.queue_lost_dpc(self.context, level) {
                        self.counts.lost_interrupts.fetch_add(1, Ordering::Relaxed);
                        log::debug!("channel {}: an interrupt was lost", self.context.0);
                    }
                }
            }
        }
    }

    fn postpone_watch(&self) {
        self.watch.lock().next_ns = deadline(self.open.pause(), self.open.options.watchdog);
    }

    /// Deals with what the DPC or the look-out found wrong.
    fn attend(&self, level: &AtPassive) {
        if !self.reports.wants_attention() {
            return;
        }
        let _ops = self.ops.lock();
        if self.reports.take_attention() {
            // An error of the reset shows itself again to the next submission.
            let _ = self.rescue(level);
        }
    }

    /// If the channel has failed: resets it and fails all that is pending. True if it had, and works again.
    /// Under the lock of the commands.
    fn rescue(&self, level: &AtPassive) -> Result<bool, Error> {
        let Some(fault) = self.open.provider.diagnose(self.context) else { return Ok(false) };
        self.recover(&|_| fault.into(), level)?;
        Ok(true)
    }

    /// Nothing came in time: the channel is reset. `late` gets the time-out, everything else was just behind it.
    fn give_up(&self, late: Option<&Arc<Ticket>>, waited: Duration, level: &AtPassive) {
        let _ops = self.ops.lock();
        if late.is_some_and(|ticket| ticket.outcome(self.reports.done()).is_some()) {
            return;
        }
        let error = |ticket: &Arc<Ticket>| match late {
            Some(late) if Arc::ptr_eq(late, ticket) => Error::Timeout { waited },
            _ => Error::Aborted,
        };
        if let Err(error) = self.recover(&error, level) {
            log::warn!("channel {}: it timed out and could not be reset: {error}", self.context.0);
        }
    }

    fn recover(&self, error: &dyn Fn(&Arc<Ticket>) -> Error, level: &AtPassive) -> Result<(), Error> {
        self.counts.recoveries.fetch_add(1, Ordering::Relaxed);
        let reset = self.net.reset(level).map_err(|error| self.typed(error));
        self.settle(reset, error)
    }

    /// After the engine was stopped, or could not be: what is not finished has failed.
    fn settle(&self, stopped: Result<(), Error>, error: &dyn Fn(&Arc<Ticket>) -> Error) -> Result<(), Error> {
        // No report comes any more: the reset has waited for the last one.
        let done = self.reports.done();
        let mut book = self.book.lock();
        let under_way = std::mem::take(&mut book.under_way);
        book.slots = 0;
        let mut released = Vec::new();
        for work in under_way {
            if work.last > done {
                work.ticket.fail(error(&work.ticket));
                self.counts.errors.fetch_add(1, Ordering::Relaxed);
            } else {
                self.count(&work);
            }
            released.extend(work.keep);
        }
        match &stopped {
            Ok(()) => released.append(&mut book.undead),
            // It may still write: what it may write stays.
            Err(_) => book.undead.append(&mut released),
        }
        drop(book);
        self.wild.store(stopped.is_err(), Ordering::Release);
        self.open.pause().ring(&self.reports.bell);
        stopped
    }

    /// Before anything is given to an engine that could not be stopped: stop it.
    fn tame(&self, level: &AtPassive) -> Result<(), Error> {
        if self.wild.load(Ordering::Acquire) { self.recover(&|_| Error::Aborted, level) } else { Ok(()) }
    }

    /// Lets go of what finished work needed.
    fn reap(&self) {
        let done = self.reports.done();
        let mut finished = Vec::new();
        let mut book = self.book.lock();
        while book.under_way.front().is_some_and(|work| work.last <= done) {
            let Some(work) = book.under_way.pop_front() else { break };
            book.slots -= work.slots;
            finished.push(work);
        }
        drop(book);
        for work in &finished {
            self.count(work);
        }
    }

    fn count(&self, work: &UnderWay) {
        self.counts.bytes.fetch_add(work.bytes, Ordering::Relaxed);
        self.counts.descriptors.fetch_add(work.slots as u64, Ordering::Relaxed);
    }

    fn free_slots(&self) -> usize {
        let book = self.book.lock();
        book.ring.capacity() - book.slots
    }

    /// A refused command of a channel whose device is gone says so.
    fn typed(&self, error: ChannelError) -> Error {
        match error {
            ChannelError::Provider { .. } => {
                self.open.provider.diagnose(self.context).map_or(Error::Channel(error), Error::from)
            }
            other => Error::Channel(other),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let stopped = match AtPassive::claim() {
            None => Err(Error::NotPassive),
            Some(level) => {
                let busy = self.net.outstanding() > 0 || self.wild.load(Ordering::Acquire);
                let reset = if busy { self.net.reset(&level) } else { Ok(()) };
                reset.and_then(|()| self.net.free(&level)).map_err(Error::from)
            }
        };
        let Err(error) = stopped else { return };
        log::warn!("channel {}: it could not be stopped: {error}; its memory is kept", self.context.0);
        let mut book = self.book.lock();
        let mut memory = std::mem::take(&mut book.undead);
        memory.push(book.ring.buffer().clone());
        memory.extend(book.under_way.drain(..).flat_map(|work| work.keep));
        self.open.bury(Box::new(memory));
    }
}

/// Each part asks for one completion word and one interrupt, with its last descriptor.
fn mark_last(part: &mut [NetDmaDescriptor]) {
    let both = ControlFlags::INTERRUPT_ON_COMPLETION.with(ControlFlags::STATUS_UPDATE_ON_COMPLETION);
    if let Some(last) = part.last_mut() {
        last.control |= both.0;
    }
}

fn passive() -> Result<AtPassive, Error> {
    AtPassive::claim().ok_or(Error::NotPassive)
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
