//! Stage 8 of 9: queue.
//!
//! The core of the DPC engine, without threads: which DPC object waits where, and what comes back to who asks.
//! A DPC object belongs to one interrupt, message and processor (QD-5) and is in its processor's queue at most
//! once. Its life:
//!
//! ```text
//! queue:  queued.swap(true)  == true  -> refused
//!                            == false -> under the queue's lock: push with its context
//! next:   under the queue's lock: pop, queued.swap(false); then its routine runs
//! ```
//!
//! Why both are read-modify-writes, and why the mark goes before the routine (QD-10, QD-15, invariant 6): a
//! refused request must be able to rely on the queued run to see its work. The refusing swap releases that
//! work into the mark, and the swap of `next`, which comes later in the mark's order, acquires it. A plain
//! store acquires nothing; clearing after the routine refuses requests whose work the routine already missed.
//! `tests/loom_dpc.rs` shows both losing a completion.

use std::collections::VecDeque;
use std::sync::Arc;

use ioat_stage::Bell;
use ioat_stage::plant::{Plant, planted};
use ioat_stage::sync::Mutex;
use ioat_stage::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::handlers::{DpcContext, Queued};
use super::lock::SpinLock;
use crate::contract::{CpuNumber, CpuSet32};

/// The queues of all processors. `O` owns DPC objects: it is the interrupt, for the executor.
pub struct DpcQueues<O> {
    processors: Box<[ProcessorQueue<O>]>,
    /// Held while the queues grow, so that two registrations do not undo each other's growth.
    growing: Mutex<()>,
}

struct ProcessorQueue<O> {
    fifo: SpinLock<Fifo<O>>,
    queued: AtomicU64,
    refused: AtomicU64,
}

struct Fifo<O> {
    entries: VecDeque<Dpc<O>>,
    /// DPC objects that exist for this processor, so the most that can be queued.
    objects: usize,
}

/// The DPC objects of one interrupt: one for each message and processor.
pub struct DpcObjects<O> {
    owner: O,
    messages: u32,
    processors: u32,
    queued: Box<[AtomicBool]>,
    closed: AtomicBool,
    running: AtomicU32,
    settled: Bell,
}

/// A DPC object in a queue.
struct Dpc<O> {
    objects: Arc<DpcObjects<O>>,
    message: u32,
    context: Option<DpcContext>,
}

/// A DPC that was taken off its queue and runs until this is dropped.
pub struct RunningDpc<O> {
    dpc: Dpc<O>,
    processor: u32,
}

impl<O> DpcQueues<O> {
    /// Queues of `count` processors, at most 32.
    #[must_use]
    pub fn new(count: u32) -> Self {
        let queue = |_| ProcessorQueue {
            fifo: SpinLock::new(Fifo { entries: VecDeque::new(), objects: 0 }),
            queued: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { processors: (0..count.min(32)).map(queue).collect(), growing: Mutex::new(()) }
    }

    /// The processors there are.
    #[must_use]
    pub fn active(&self) -> CpuSet32 {
        CpuSet32::first(self.count())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.processors.len()).unwrap_or(32)
    }

    /// Makes room for `messages` more objects on every processor. All memory that queueing will use is taken
    /// here, outside the locks.
    pub fn reserve(&self, messages: u32) {
        let _growing = self.growing.lock();
        for processor in &self.processors {
            let objects = processor.fifo.lock().objects + messages as usize;
            let mut larger = VecDeque::with_capacity(objects);
            let mut fifo = processor.fifo.lock();
            larger.append(&mut fifo.entries);
            let smaller = std::mem::replace(&mut fifo.entries, larger);
            fifo.objects = objects;
            drop(fifo);
            drop(smaller);
        }
    }

    /// `NdisMQueueDpc`: tries to queue the objects of `message` on each of `targets` (QD-1). A processor that
    /// does not exist stays out of the result (QD-8), as does one where the object is already queued: that one
    /// keeps its context, and `context` is dropped (QD-3, QD-9). Neither sleeps nor allocates.
    pub fn queue(
        &self,
        objects: &Arc<DpcObjects<O>>,
        message: u32,
        targets: CpuSet32,
        context: Option<DpcContext>,
    ) -> Queued {
        let mut scheduled = CpuSet32::EMPTY;
        for cpu in targets.and(self.active()).iter() {
            if self.queue_on(objects, message, cpu, context) {
                scheduled = scheduled.with(CpuSet32::of(cpu));
            }
        }
        Queued { requested: targets, scheduled }
    }

    fn queue_on(
        &self,
        objects: &Arc<DpcObjects<O>>,
        message: u32,
        cpu: CpuNumber,
        context: Option<DpcContext>,
    ) -> bool {
        let processor = &self.processors[cpu.0 as usize];
        let Some(queued) = objects.mark(message, cpu.0) else { return false };
        // Pairs with the swap in `next`: releases the caller's work to the run that this request relies on.
        if queued.swap(true, Ordering::AcqRel) {
            processor.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let dpc = Dpc { objects: objects.clone(), message, context };
        let mut fifo = processor.fifo.lock();
        // Closing takes this lock after setting the mark: either it is seen here, or closing sees the entry.
        if objects.closed.load(Ordering::Acquire) {
            return false;
        }
        assert!(fifo.entries.len() < fifo.objects, "each DPC object is in its queue at most once");
        fifo.entries.push_back(dpc);
        drop(fifo);
        processor.queued.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Takes the next DPC of `processor` off its queue. From here on it can be queued again (QD-10).
    #[must_use]
    pub fn next(&self, processor: u32) -> Option<RunningDpc<O>> {
        let mut fifo = self.processors.get(processor as usize)?.fifo.lock();
        let dpc = fifo.entries.pop_front()?;
        // Under the lock, so that closing finds the DPC either in the queue or among the running.
        dpc.objects.running.fetch_add(1, Ordering::SeqCst);
        let queued = dpc.objects.mark(dpc.message, processor).expect("it was queued by its mark");
        // Pairs with the swap in `queue_on`: acquires the work of every request refused up to here.
        if !planted(Plant::MarkClearedLate) {
            queued.swap(false, Ordering::AcqRel);
        }
        Some(RunningDpc { dpc, processor })
    }

    /// Refuses every later request for `objects` and cancels what is queued; gives how many were cancelled.
    /// What runs goes on: see [`DpcObjects::running`].
    pub fn close(&self, objects: &Arc<DpcObjects<O>>) -> usize {
        if objects.closed.swap(true, Ordering::SeqCst) {
            return 0;
        }
        let _growing = self.growing.lock();
        let mut cancelled = 0;
        for processor in &self.processors {
            let mut fifo = processor.fifo.lock();
            let before = fifo.entries.len();
            fifo.entries.retain(|dpc| !Arc::ptr_eq(&dpc.objects, objects));
            cancelled += before - fifo.entries.len();
            fifo.objects -= objects.messages as usize;
        }
        cancelled
    }

    /// DPCs queued on, and refused for, `processor` so far.
    #[must_use]
    pub fn counts(&self, processor: u32) -> (u64, u64) {
        self.processors.get(processor as usize).map_or((0, 0), |queue| {
            (queue.queued.load(Ordering::Relaxed), queue.refused.load(Ordering::Relaxed))
        })
    }
}

impl<O> DpcObjects<O> {
    /// The objects of an interrupt with `messages` messages on `queues`, which must have room for them.
    pub fn new(owner: O, messages: u32, queues: &DpcQueues<O>) -> Self {
        let processors = queues.count();
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

    fn mark(&self, message: u32, processor: u32) -> Option<&AtomicBool> {
        let inside = message < self.messages && processor < self.processors;
        inside.then(|| &self.queued[message as usize * self.processors as usize + processor as usize])
    }
}

impl<O> RunningDpc<O> {
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
        if planted(Plant::MarkClearedLate) {
            if let Some(queued) = self.dpc.objects.mark(self.dpc.message, self.processor) {
                queued.swap(false, Ordering::AcqRel);
            }
        }
        self.dpc.objects.running.fetch_sub(1, Ordering::SeqCst);
    }
}
