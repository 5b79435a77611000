//! `KeFlushQueuedDpcs`: a mark at the end of each queue, and a wait until all marks were reached (KD-12).
//!
//! A processor runs one entry after the other, so when it reaches the mark, what was before it has run to its end.
//! What is inserted at the head afterwards only makes the mark wait.

use std::sync::Arc;

use ioat_stage::Bell;
use ioat_stage::sync::atomic::{AtomicU32, Ordering};

use super::kdpc_importance::DpcImportance;
use super::processor::Processors;
use super::queue::{DpcQueues, Entry};
use crate::irql::AtPassive;

/// The marks of one flush.
pub struct Flush {
    left: AtomicU32,
    reached: Bell,
}

impl Flush {
    /// A processor has reached its mark. Ring [`Self::reached`] afterwards.
    pub fn arrive(&self) {
        self.left.fetch_sub(1, Ordering::AcqRel);
    }

    /// Rung after each arrival.
    #[must_use]
    pub fn reached(&self) -> &Bell {
        &self.reached
    }

    /// Every mark was reached.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }
}

impl<O> DpcQueues<O> {
    /// Puts a mark at the end of each queue. All processors must look at their queues then. The slots of the marks are
    /// given back by [`Self::end_flush`].
    #[must_use]
    pub fn flush(&self) -> Arc<Flush> {
        self.reserve(1);
        let flush = Arc::new(Flush { left: AtomicU32::new(self.layout().count), reached: Bell::new() });
        for processor in self.processors() {
            // A mark is no low-importance matter: somebody waits for it.
            if !processor.fifo.lock().push(Entry::Flush(flush.clone()), DpcImportance::MediumHigh, false) {
                flush.arrive();
            }
        }
        flush
    }

    /// Gives the slots of `flush` back, and takes out marks that were not reached.
    pub fn end_flush(&self, flush: &Arc<Flush>) {
        self.release(1, |entry| matches!(entry, Entry::Flush(other) if Arc::ptr_eq(other, flush)));
    }
}

/// `KeFlushQueuedDpcs`: returns when every DPC that was queued before the call, on every processor, has run to its end
/// (KD-12). What is queued later is not waited for. A DPC that waits because of its importance is run now.
///
/// It waits for DPCs, so a DPC or a service routine cannot call it:
///
/// ```compile_fail
/// use netdma::{irql::AtDispatch, ndis::{Processors, ke_flush_queued_dpcs}};
/// fn in_a_dpc(processors: &Processors, level: &AtDispatch) {
///     ke_flush_queued_dpcs(processors, level); // KD-12
/// }
/// ```
#[doc(alias = "KeFlushQueuedDpcs")]
pub fn ke_flush_queued_dpcs(processors: &Processors, _: &AtPassive) {
    let engine = processors.engine();
    let flush = engine.queues.flush();
    engine.wake_all();
    loop {
        let seen = flush.reached().seen();
        if flush.is_over() {
            break;
        }
        engine.pause.wait(flush.reached(), seen, None);
    }
    engine.queues.end_flush(&flush);
}
