//! A kernel DPC object, as the queues know it: its mark, its target, its importance and its routine.

use ioat_stage::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use super::kdpc::KdpcRoutine;
use super::kdpc_importance::DpcImportance;

/// The DPC object. Its words change at any level, so they are atomics and no lock.
pub struct KdpcObject {
    pub(super) routine: KdpcRoutine,
    pub(super) deferred_context: u64,
    /// In a queue, or about to be.
    queued: AtomicBool,
    /// The queue it went to last, by index. While it is in a queue, that queue.
    queue: AtomicU32,
    /// Index of the target processor; [`UNTARGETED`] for the one that inserts.
    target: AtomicU32,
    importance: AtomicU8,
    /// Its owner is gone: inserts are refused.
    closed: AtomicBool,
}

const UNTARGETED: u32 = u32::MAX;

impl KdpcObject {
    /// An object that is in no queue, with no target and medium importance.
    #[must_use]
    pub fn new(routine: KdpcRoutine, deferred_context: u64) -> Self {
        Self {
            routine,
            deferred_context,
            queued: AtomicBool::new(false),
            queue: AtomicU32::new(0),
            target: AtomicU32::new(UNTARGETED),
            importance: AtomicU8::new(DpcImportance::default() as u8),
            closed: AtomicBool::new(false),
        }
    }

    /// For later inserts; what is queued stays where it is (KD-6).
    pub(super) fn set_target(&self, index: u32) {
        self.target.store(index, Ordering::Release);
    }

    /// Index of the target; none when it has none.
    pub(super) fn target(&self) -> Option<u32> {
        let target = self.target.load(Ordering::Acquire);
        (target != UNTARGETED).then_some(target)
    }

    /// For later inserts (KD-8).
    pub fn set_importance(&self, importance: DpcImportance) {
        self.importance.store(importance as u8, Ordering::Release);
    }

    /// What the next insert goes by.
    #[must_use]
    pub fn importance(&self) -> DpcImportance {
        DpcImportance::from_number(self.importance.load(Ordering::Acquire))
    }

    /// Marks it as queued on `queue`; false if it is already in a queue (KD-2). Read-modify-writes on both sides, as
    /// for NDIS DPCs: a refused insert releases its work to the run that it relies on.
    pub(super) fn mark(&self, queue: u32) -> bool {
        if self.queued.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.queue.store(queue, Ordering::Release);
        true
    }

    /// It is off its queue. Called under that queue's lock.
    pub(super) fn unmark(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// Index of the queue that it is in, if it is in one.
    pub(super) fn queue(&self) -> u32 {
        self.queue.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
