//! The channel behind its clones and submissions: what the engine has, and what must outlive its work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ioat_stage::sync::Mutex;

use super::Error;
use super::driver::{ChannelOptions, CompletionMode, Open};
use super::reports::Reports;
use super::ring::Ring;
use super::submission::Ticket;
use crate::contract::{
    AllocateError, ChannelError, ChannelRequest, DescriptorAddr, NetDmaChannel, NetDmaDescriptor,
    NetDmaStatus, ProviderChannelContext,
};
use crate::hw::DmaBuffer;
use crate::irql::AtPassive;
use crate::ndis::lock::LevelLock;

/// What is to be submitted.
pub(super) struct Work {
    pub(super) descriptors: Vec<NetDmaDescriptor>,
    pub(super) keep: Vec<Arc<DmaBuffer>>,
    pub(super) bytes: u64,
}

/// The channel behind its clones and submissions.
pub(super) struct Shared {
    pub(super) open: Arc<Open>,
    pub(super) net: NetDmaChannel,
    pub(super) context: ProviderChannelContext,
    pub(super) reports: Arc<Reports>,
    pub(super) completion: CompletionMode,
    /// Held across every command; who finds it taken waits through `Pause`.
    pub(super) ops: LevelLock,
    pub(super) book: Mutex<Book>,
    pub(super) watch: Mutex<Watch>,
    /// The engine could not be stopped: its memory is kept until a reset succeeds.
    pub(super) wild: AtomicBool,
    pub(super) counts: Counts,
}

/// What the engine has. Locked for a few instructions; nothing is dropped under it.
pub(super) struct Book {
    pub(super) ring: Ring,
    pub(super) under_way: VecDeque<UnderWay>,
    /// Ring slots of all that is under way.
    pub(super) slots: usize,
    /// Of work that failed while the engine could not be stopped.
    pub(super) undead: Vec<Arc<DmaBuffer>>,
}

pub(super) struct UnderWay {
    pub(super) last: u64,
    pub(super) slots: usize,
    pub(super) bytes: u64,
    /// Alive until the engine is done with them.
    pub(super) keep: Vec<Arc<DmaBuffer>>,
    pub(super) ticket: Arc<Ticket>,
}

/// The look-out for lost interrupts.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) next_ns: u64,
    /// The completion word that the look before found without a DPC.
    pub(super) word: Option<u64>,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) bytes: AtomicU64,
    pub(super) descriptors: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) recoveries: AtomicU64,
    pub(super) lost_interrupts: AtomicU64,
}

impl Book {
    /// The number of the descriptor at `reached`, if it is one of those under way; else 0.
    pub(super) fn processed(&self, reached: Option<DescriptorAddr>) -> u64 {
        let (Some(reached), Some(newest)) = (reached, self.under_way.back()) else { return 0 };
        match self.ring.behind_tail(reached) {
            Some(behind) if behind < self.slots => newest.last - behind as u64,
            _ => 0,
        }
    }
}

impl Shared {
    pub(super) fn allocate(open: Arc<Open>, options: &ChannelOptions) -> Result<Arc<Self>, Error> {
        let level = passive()?;
        let (ring, completion) = Ring::new(&*open.device.memory, options.ring_slots)?;
        let reports = Reports::new(open.device.pause.clone());
        let request = ChannelRequest {
            completion: completion.clone(),
            processors: options.affinity,
            group: None,
            priority: 0,
            max_outstanding: ring.capacity(),
            anchor: Some(ring.anchor()),
        };
        let providers = open.interface.providers();
        let (id, ..) = providers.first().ok_or(AllocateError::NotStarted)?;
        let net = open.interface.allocate_channel(*id, request, reports.clone(), &level);
        // The contract has one word for every reason of a provider's; the device itself knows a better one.
        let net = net.map_err(|error| match crate::ioat::identify(&open.device) {
            Err(_) => Error::DeviceGone,
            Ok(_) => error.into(),
        })?;
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
            completion: options.completion,
        }))
    }

    /// Lets go of what finished work needed.
    pub(super) fn reap(&self) {
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

    pub(super) fn count(&self, work: &UnderWay) {
        self.counts.bytes.fetch_add(work.bytes, Ordering::Relaxed);
        self.counts.descriptors.fetch_add(work.slots as u64, Ordering::Relaxed);
    }

    pub(super) fn free_slots(&self) -> usize {
        let book = self.book.lock();
        book.ring.capacity() - book.slots
    }

    /// A refused command of a channel whose device is gone says so.
    pub(super) fn typed(&self, error: ChannelError) -> Error {
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

pub(super) fn passive() -> Result<AtPassive, Error> {
    AtPassive::claim().ok_or(Error::NotPassive)
}

pub(super) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
