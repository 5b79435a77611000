//! The fault points of stages 7 to 9: isr, queue, dpc. A stage asks here, and applies the verdict itself.
//!
//! Without faults a stage looks at one `None`. With rules armed an operation that a rule counts may allocate, and a firing
//! is logged: an experiment's price, which invariant 6 (queueing neither sleeps nor allocates) does not pay otherwise.

use std::sync::Arc;

use ioat_stage::{FaultBook, Faults, Op, Point, RuleFaults, Verdict, Wake};

use super::handlers::{InterruptType, MessageId};
use super::interrupt::Connected;
use super::lock::SpinLock;
use super::processor::Engine;
use crate::contract::{CpuNumber, GroupAffinity};

/// The one giver of verdicts for all interrupts of the processors: so a rule counts them in the order in which they come.
pub(super) struct StageFaults(SpinLock<RuleFaults>);

impl StageFaults {
    pub(super) fn new(book: &Arc<FaultBook>) -> Self {
        Self(SpinLock::new(book.faults()))
    }
}

impl Connected {
    /// The verdict on one operation of `message`. `address` and `len` are those of the stage's trace event, as far as they
    /// are known before it: a bitmap of processors for `queue`, the processor as `len` for the others.
    pub(super) fn verdict(&self, point: Point, message: MessageId, address: u64, len: u64) -> Verdict {
        let faults = self.engine.faults.as_ref()?;
        let channel = match (self.interrupt_type, &self.characteristics.message) {
            (InterruptType::MessageBased, Some(handlers)) => handlers.sole_channel(message),
            _ => self.characteristics.line.sole_channel(),
        };
        let vector = u16::try_from(message.get()).ok();
        faults.0.lock().at(point, &Op { channel, vector, address, len, ..Op::default() })
    }

    /// The service routine starts this much later, unless its interrupt ends before.
    pub(super) fn serve_late(&self, ns: u64) {
        let (table, pause) = (&self.msix, &self.engine.pause);
        let until = pause.now_ns().saturating_add(ns);
        loop {
            // Before looking, so that no ring is missed.
            let seen = table.unmasked().seen();
            if table.is_stopped() || pause.wait(table.unmasked(), seen, Some(until)) == Wake::TimedOut {
                return;
            }
        }
    }
}

impl Engine {
    /// The workers of `processors` come this much later to what is queued there. The queueing itself waits for nothing: what
    /// is queued stays queued, and is refused if it is asked for again.
    pub(super) fn hold(&self, processors: GroupAffinity, ns: u64) {
        let until = self.pause.now_ns().saturating_add(ns);
        for cpu in processors.iter() {
            if let Some(index) = self.queues.layout().index(cpu) {
                self.keep_held(index, until);
            }
        }
    }

    /// The worker of `cpu` does nothing for so long, unless it is stopped.
    pub(super) fn run_late(&self, cpu: CpuNumber, ns: u64) {
        let until = self.pause.now_ns().saturating_add(ns);
        self.wait_until(cpu, until);
    }
}

/// The processors that a `queue` rule leaves of those that were asked for: the bits of its mask are missing.
pub(super) fn without(targets: GroupAffinity, offset: u64, mask: u64) -> GroupAffinity {
    // The data is the bitmap, eight bytes, little-endian; the offset counts modulo its length.
    let bytes = u32::try_from(offset % 8).unwrap_or(0);
    GroupAffinity { mask: targets.mask & !mask.rotate_left(8 * bytes), ..targets }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_mask_takes_processors_out_by_byte_and_bit() {
        let targets = GroupAffinity { group: 1, mask: 0x1_03ff };
        assert_eq!(without(targets, 0, 0b101), GroupAffinity { group: 1, mask: 0x1_03fa });
        assert_eq!(without(targets, 1, 0b11).mask, 0x1_00ff);
        assert_eq!(without(targets, 10, 0x1).mask, 0x03ff);
        assert_eq!(without(targets, 0, u64::MAX).mask, 0);
    }
}
