//! The DPC objects of an interrupt: their marks, and how many of them run.

use std::sync::Arc;

use ioat_stage::Bell;
use ioat_stage::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::handlers::DpcContext;
use super::queue::DpcQueues;

/// The DPC objects of one interrupt: one for each message and processor.
pub struct DpcObjects<O> {
    owner: O,
    messages: u32,
    processors: u32,
    queued: Box<[AtomicBool]>,
    pub(super) closed: AtomicBool,
    running: AtomicU32,
    settled: Bell,
}

/// A DPC object in a queue.
pub(super) struct Dpc<O> {
    pub(super) objects: Arc<DpcObjects<O>>,
    pub(super) message: u32,
    pub(super) context: Option<DpcContext>,
}

/// A DPC that was taken off its queue and runs until this is dropped.
pub struct RunningDpc<O> {
    dpc: Dpc<O>,
}

impl<O> DpcObjects<O> {
    /// The objects of an interrupt with `messages` messages on `queues`, which must have room for them.
    pub fn new(owner: O, messages: u32, queues: &DpcQueues<O>) -> Self {
        let processors = queues.layout().count;
        let marks = messages as usize * processors as usize;
        Self {
            owner,
            messages,
            processors,
            queued: (0..marks).map(|_| AtomicBool::new(false)).collect(),
            closed: AtomicBool::new(false),
            running: AtomicU32::new(0),
            settled: Bell::new(),
        }
    }

    /// The interrupt.
    pub fn owner(&self) -> &O {
        &self.owner
    }

    /// How many messages it has; one for a line.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Requests are refused for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// How many of its DPCs run now.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    /// Rung after a run of closed objects.
    #[must_use]
    pub fn settled(&self) -> &Bell {
        &self.settled
    }

    /// The mark of the object of `message` on the processor with this index.
    pub(super) fn mark(&self, message: u32, index: u32) -> Option<&AtomicBool> {
        let inside = message < self.messages && index < self.processors;
        inside.then(|| &self.queued[message as usize * self.processors as usize + index as usize])
    }
}

impl<O> RunningDpc<O> {
    /// `dpc` is off the queue of the processor with this index. Called under that queue's lock, so that closing finds
    /// the DPC either in the queue or among the running.
    pub(super) fn start(dpc: Dpc<O>, index: u32) -> Self {
        dpc.objects.running.fetch_add(1, Ordering::SeqCst);
        let queued = dpc.objects.mark(dpc.message, index).expect("it was queued by its mark");
        // Pairs with the swap that refuses: acquires the work of every request refused up to here.
        queued.swap(false, Ordering::AcqRel);
        Self { dpc }
    }

    /// Whose it is.
    #[must_use]
    pub fn objects(&self) -> &Arc<DpcObjects<O>> {
        &self.dpc.objects
    }

    /// The message it was queued for.
    #[must_use]
    pub fn message(&self) -> u32 {
        self.dpc.message
    }

    /// The context of the request that queued it.
    #[must_use]
    pub fn context(&self) -> Option<DpcContext> {
        self.dpc.context
    }
}

impl<O> Drop for RunningDpc<O> {
    fn drop(&mut self) {
        self.dpc.objects.running.fetch_sub(1, Ordering::SeqCst);
    }
}
