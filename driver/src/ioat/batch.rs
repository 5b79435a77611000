//! The DPCs between an interrupt and its re-enabling (DP-6): who is in, who re-arms, and the look after it.
//!
//! Only the algorithm: channels, registers and the DPC queue are behind [`Served`], so that the provider and
//! `tests/loom_completion/`, which tries every interleaving of it, run the same code.

use ioat_stage::plant::{Plant, planted};
use ioat_stage::sync::atomic::{AtomicU32, Ordering};

pub use super::targets::Targets;
use crate::contract::CpuNumber;
use crate::ndis::DpcContext;

/// The channels of one message, and its way to the DPC queue.
pub trait Served {
    /// Re-enables the interrupts of these channels, one bit each, and frees the line. It has reached the engine when
    /// this returns: the look that follows relies on that.
    fn rearm(&self, channels: u32);

    /// Looks at a channel's completion word after the re-arming. If it moved since a DPC looked: where the channel is
    /// noted for a DPC, and the processor of that DPC.
    fn recheck(&self, channel: u32) -> Option<(&DueOn, CpuNumber)>;

    /// Asks for the message's DPC on these processors; without a context, with the message's own. Gives how many were
    /// queued.
    fn queue(&self, targets: Targets, context: Option<DpcContext>) -> u32;
}

/// The batch of a message or of the line. Whoever takes the number to 0 re-arms (DP-5).
#[derive(Debug, Default)]
pub struct Batch {
    members: AtomicU32,
    /// The channels to re-arm then, one bit each.
    disarmed: AtomicU32,
}

impl Batch {
    /// Notes channels whose interrupt the engine has disabled. Before the DPC is counted in: if a batch ends in between
    /// it re-arms them too early, which costs one interrupt more, and loses none.
    pub fn disarmed(&self, channels: u32) {
        self.disarmed.fetch_or(channels, Ordering::AcqRel);
    }

    /// Counts DPCs in and asks for them; gives how many were queued. A refused one is counted out again: its work will
    /// be seen by the queued one (QD-15), which may have ended meanwhile and left the re-arming to this.
    pub fn ask(&self, served: &impl Served, targets: Targets, context: Option<DpcContext>) -> u32 {
        self.ask_by(served, targets.len().max(1), || served.queue(targets, context))
    }

    /// As [`Self::ask`], for `wanted` DPCs that `queue` asks for; it gives how many were queued.
    pub fn ask_by(&self, served: &impl Served, wanted: u32, queue: impl FnOnce() -> u32) -> u32 {
        self.join(wanted);
        let queued = queue();
        if planted(Plant::RearmForgotten) {
            let _ = self.leave(wanted - queued);
            return queued;
        }
        self.end(served, wanted - queued);
        queued
    }

    /// `count` DPCs of the batch have ended or never were. The last re-arms, looks once more (MT-4), and asks
    /// for other DPCs if a completion landed in between.
    pub fn end(&self, served: &impl Served, mut count: u32) {
        // Refused means that a DPC is queued and counted. If it ends before it is counted here, it was not the
        // last, and the re-arming falls to this turn. After deregistration everything is refused: then stop.
        for _ in 0..3 {
            let Some(disarmed) = self.leave(count) else { return };
            served.rearm(disarmed);
            let targets = self.look_again(served, disarmed);
            if targets.is_empty() || planted(Plant::RecheckLeftOut) {
                return;
            }
            self.join(targets.len());
            count = targets.len() - served.queue(targets, None);
        }
        // Should a live batch get here, its channels are armed all the same: an engine that holds an interrupt back
        // sends it then.
        if let Some(disarmed) = self.leave(count) {
            served.rearm(disarmed);
        }
    }

    /// The processors of the channels that moved; they are due there.
    fn look_again(&self, served: &impl Served, channels: u32) -> Targets {
        let mut targets = Targets::default();
        for channel in (0..u32::BITS).filter(|channel| channels & 1 << channel != 0) {
            if let Some((due, cpu)) = served.recheck(channel) {
                self.disarmed(1 << channel);
                due.set(cpu);
                targets.add(cpu);
            }
        }
        targets
    }

    /// Counts DPCs in before they are queued: afterwards, the first might end before the next is counted.
    fn join(&self, count: u32) {
        self.members.fetch_add(count, Ordering::AcqRel);
    }

    /// Counts DPCs out that have ended or were refused. If none is left: the channels to re-arm.
    ///
    /// A DPC that nobody asked for, as a faulty system may run one, counts out a member that is still to end: the batch is
    /// over early, which costs one interrupt more, and that member then finds nobody to count out. Below 0 the number would
    /// never come back to it, and the channels would stay deaf.
    fn leave(&self, count: u32) -> Option<u32> {
        let out = |members: u32| (count > 0 && members > 0).then(|| members.saturating_sub(count));
        let before = self.members.fetch_update(Ordering::AcqRel, Ordering::Acquire, out).ok()?;
        (before <= count).then(|| self.disarmed.swap(0, Ordering::AcqRel))
    }
}

/// The processor whose DPC is to look at a channel, plus 1; 0 for none. Set before that DPC is asked for, so that one
/// that is queued already serves the channel too (QD-15).
#[derive(Debug, Default)]
pub struct DueOn(AtomicU32);

impl DueOn {
    /// From now on the next DPC of the channel's message on `cpu` looks at the channel.
    pub fn set(&self, cpu: CpuNumber) {
        self.0.store(cpu.0 + 1, Ordering::Release);
    }

    /// Whether the DPC that runs on `processor` shall look at the channel. Before it reads the completion word: what
    /// is set due afterwards has a DPC of its own.
    pub fn take(&self, processor: u32) -> bool {
        self.0.compare_exchange(processor + 1, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_batch_gets_the_channels_to_rearm() {
        let batch = Batch::default();
        batch.disarmed(0b01);
        batch.join(2);
        batch.disarmed(0b10);
        assert_eq!(batch.leave(1), None);
        assert_eq!(batch.leave(0), None);
        assert_eq!(batch.leave(1), Some(0b11));
    }

    #[test]
    fn one_that_never_joined_ends_a_batch_early_and_deafens_no_later_one() {
        let batch = Batch::default();
        assert_eq!(batch.leave(1), None);
        batch.disarmed(0b01);
        batch.join(1);
        assert_eq!(batch.leave(1), Some(0b01));
        assert_eq!(batch.leave(1), None);
        batch.disarmed(0b10);
        batch.join(1);
        assert_eq!(batch.leave(1), Some(0b10));
    }
}
