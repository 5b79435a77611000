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
//!
//! Kernel DPCs are in the same queues (see `kdpc_queue`). Processors have an index here, without gaps; outside they
//! have a [`CpuNumber`].

use std::collections::VecDeque;
use std::sync::Arc;

use ioat_stage::sync::Mutex;
use ioat_stage::sync::atomic::{AtomicU64, Ordering};

use super::dpc_objects::Dpc;
pub use super::dpc_objects::{DpcObjects, RunningDpc};
pub use super::fifo::Due;
use super::fifo::Fifo;
use super::handlers::DpcContext;
pub use super::kdpc_flush::Flush;
use super::kdpc_importance::DpcImportance;
pub use super::kdpc_object::KdpcObject;
use super::kdpc_queue::QueuedKdpc;
pub use super::kdpc_queue::{KdpcArguments, RunningKdpc};
use super::layout::ProcessorLayout;
use super::lock::SpinLock;
use crate::contract::{CpuNumber, GroupAffinity};

/// The queues of all processors. `O` owns DPC objects: it is the interrupt, for the executor.
pub struct DpcQueues<O> {
    layout: ProcessorLayout,
    processors: Box<[ProcessorQueue<O>]>,
    /// Held while the queues grow, so that two registrations do not undo each other's growth.
    growing: Mutex<()>,
}

pub(super) struct ProcessorQueue<O> {
    pub(super) fifo: SpinLock<Fifo<Entry<O>>>,
    queued: AtomicU64,
    refused: AtomicU64,
}

/// What is in a queue.
pub(super) enum Entry<O> {
    Interrupt(Dpc<O>),
    Kernel(QueuedKdpc),
    Flush(Arc<Flush>),
}

/// What was taken off a queue.
pub enum Running<O> {
    /// The DPC of an interrupt.
    Interrupt(RunningDpc<O>),
    /// A kernel DPC.
    Kernel(RunningKdpc),
    /// The mark of a flush: what was before it has run.
    Flush(Arc<Flush>),
}

impl<O> DpcQueues<O> {
    /// Queues of the processors of `layout`.
    #[must_use]
    pub fn new(layout: impl Into<ProcessorLayout>) -> Self {
        let layout = layout.into();
        let queue = |_| ProcessorQueue {
            fifo: SpinLock::new(Fifo::default()),
            queued: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { layout, processors: (0..layout.count).map(queue).collect(), growing: Mutex::new(()) }
    }

    /// The processors there are.
    #[must_use]
    pub fn layout(&self) -> ProcessorLayout {
        self.layout
    }

    /// Makes room for `objects` more objects on every processor. All memory that queueing will use is taken
    /// here, outside the locks.
    pub fn reserve(&self, objects: u32) {
        let _growing = self.growing.lock();
        for processor in &self.processors {
            let missing = processor.fifo.lock().room_missing(objects as usize);
            let larger = missing.map(VecDeque::with_capacity);
            let smaller = processor.fifo.lock().grow(objects as usize, larger);
            drop(smaller);
        }
    }

    /// `NdisMQueueDpcEx`: tries to queue the objects of `message` on each of `targets` (QD-1), and gives those of that
    /// group where it did (QD-2). A processor that does not exist stays out of the result (QD-8), as does one where the
    /// object is already queued: that one keeps its context, and `context` is dropped (QD-3, QD-9). Neither sleeps nor
    /// allocates.
    pub fn queue(
        &self,
        objects: &Arc<DpcObjects<O>>,
        message: u32,
        targets: GroupAffinity,
        context: Option<DpcContext>,
    ) -> u64 {
        let mut scheduled = 0;
        for cpu in targets.iter() {
            let index = self.layout.index(cpu);
            if index.is_some_and(|index| self.queue_on(objects, message, index, context)) {
                scheduled |= cpu.bit();
            }
        }
        scheduled
    }

    fn queue_on(
        &self,
        objects: &Arc<DpcObjects<O>>,
        message: u32,
        index: u32,
        context: Option<DpcContext>,
    ) -> bool {
        let Some(processor) = self.processor(index) else { return false };
        let Some(queued) = objects.mark(message, index) else { return false };
        // Pairs with the swap in `next`: releases the caller's work to the run that this request relies on.
        if queued.swap(true, Ordering::AcqRel) {
            processor.count_refused();
            return false;
        }
        let entry = Entry::Interrupt(Dpc { objects: objects.clone(), message, context });
        let mut fifo = processor.fifo.lock();
        // Closing takes this lock after setting the mark: either it is seen here, or closing sees the entry. Whose
        // processor it is makes no difference to this importance (KD-10).
        if objects.is_closed() || !fifo.push(entry, DpcImportance::MediumHigh, false) {
            return false;
        }
        drop(fifo);
        processor.count_queued();
        true
    }

    /// What the worker of `cpu` should do.
    #[must_use]
    pub fn due(&self, cpu: CpuNumber) -> Due {
        self.of(cpu).map_or(Due::Nothing, |(_, processor)| processor.fifo.lock().due())
    }

    /// Takes the next DPC of `cpu` off its queue. From here on it can be queued again (QD-10, KD-3). What it
    /// gave before must have ended: the DPCs of one processor never overlap (KD-14).
    #[must_use]
    pub fn next(&self, cpu: CpuNumber) -> Option<Running<O>> {
        let (index, processor) = self.of(cpu)?;
        let mut fifo = processor.fifo.lock();
        let running = match fifo.pop()? {
            Entry::Interrupt(dpc) => Running::Interrupt(RunningDpc::start(dpc, index)),
            Entry::Kernel(kernel) => Running::Kernel(kernel.into()),
            Entry::Flush(flush) => Running::Flush(flush),
        };
        drop(fifo);
        Some(running)
    }

    /// Refuses every later request for `objects` and cancels what is queued; gives how many were cancelled.
    /// What runs goes on: see [`DpcObjects::running`].
    pub fn close(&self, objects: &Arc<DpcObjects<O>>) -> usize {
        if objects.closed.swap(true, Ordering::SeqCst) {
            return 0;
        }
        self.release(
            objects.messages(),
            |entry| matches!(entry, Entry::Interrupt(dpc) if Arc::ptr_eq(&dpc.objects, objects)),
        )
    }

    /// Refuses every later request on every processor and cancels what is queued; gives how many were cancelled.
    pub fn close_all(&self) -> usize {
        self.processors
            .iter()
            .map(|processor| {
                let left = processor.fifo.lock().close();
                // Without the lock: an entry may be the last to hold its object.
                left.len()
            })
            .sum()
    }

    /// DPCs queued on, and refused for, `cpu` so far.
    #[must_use]
    pub fn counts(&self, cpu: CpuNumber) -> (u64, u64) {
        self.of(cpu).map_or((0, 0), |(_, queue)| {
            (queue.queued.load(Ordering::Relaxed), queue.refused.load(Ordering::Relaxed))
        })
    }

    /// Takes the entries that are `unwanted` off every queue, with the room of `objects`; gives how many there were.
    pub(super) fn release(&self, objects: u32, unwanted: impl Fn(&Entry<O>) -> bool) -> usize {
        let _growing = self.growing.lock();
        let mut taken = 0;
        for processor in &self.processors {
            loop {
                // Its own statement: the entry is dropped without the lock.
                let entry = processor.fifo.lock().take(&unwanted);
                if entry.is_none() {
                    break;
                }
                taken += 1;
            }
            processor.fifo.lock().shrink(objects as usize);
        }
        taken
    }

    pub(super) fn processors(&self) -> &[ProcessorQueue<O>] {
        &self.processors
    }

    pub(super) fn processor(&self, index: u32) -> Option<&ProcessorQueue<O>> {
        self.processors.get(index as usize)
    }

    fn of(&self, cpu: CpuNumber) -> Option<(u32, &ProcessorQueue<O>)> {
        let index = self.layout.index(cpu)?;
        Some((index, self.processor(index)?))
    }
}

impl<O> ProcessorQueue<O> {
    pub(super) fn count_queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl<O> Entry<O> {
    pub(super) fn is_kernel(&self, object: &Arc<KdpcObject>) -> bool {
        matches!(self, Self::Kernel(kernel) if Arc::ptr_eq(&kernel.object, object))
    }
}
