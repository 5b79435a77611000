//! Stages 7 to 9 of 9 from the provider's side: the service routine, what it asks for, and the DPC.
//!
//! The join of NetDMA and NDIS is this library's own: Windows' NetDMA providers used plain KDPCs. Message `i` is
//! vector `i` is channel `i` (MT-1).

use std::sync::atomic::Ordering;

use ioat_stage::plant::{Plant, planted};

use super::IoatProvider;
use super::channel::Channel;
use crate::contract::{Completion, CpuNumber, CpuSet32};
use crate::irql::{AtDirql, AtDispatch};
use crate::ndis::{DpcCall, DpcContext, DpcRequest, IsrResult, LineHandlers, MessageHandlers, MessageId};

/// Set in the context of a DPC that another DPC asked for; the rest is the channel.
const SPREAD: u64 = 1 << 32;

/// Stage 7 of 9: isr. Stage 9 of 9: dpc.
impl MessageHandlers for IoatProvider {
    fn message_interrupt(&self, message: MessageId, level: &AtDirql) -> IsrResult {
        // A message is ours alone (IS-1), and the DPC is asked for by name below (MT-3).
        let mut result = IsrResult { claimed: true, dpc: DpcRequest::None, address: 0 };
        let Some(channel) = self.channels.get(message.get() as usize) else { return result };
        channel.counts.interrupts.fetch_add(1, Ordering::Relaxed);
        let Some((owner, word)) = channel.latest() else { return result };
        // Before any completion there is no address to pass (ND-I14); the DPC runs all the same, because the
        // engine has disabled the interrupt and only a DPC re-arms it.
        let mut cpu = owner.cpu;
        if let Completion::At { descriptor: Some(latest), .. } = word.decode() {
            cpu = self.interface.net_dma_isr(&owner.handle, latest, level);
            result.address = latest.get();
        }
        // The processor that the contract named (ND-I5).
        channel.batch.join(1);
        self.ask(channel, cpu, u64::from(channel.index));
        result
    }

    fn message_interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch) {
        let Some(channel) = self.channels.get(call.message.get() as usize) else { return };
        if call.context.is_some_and(|context| context.0 & SPREAD != 0) {
            channel.counts.spread_dpcs.fetch_add(1, Ordering::Relaxed);
        } else {
            channel.counts.dpcs.fetch_add(1, Ordering::Relaxed);
            call.address = channel.report(&self.interface, level);
            self.spread(channel, call.processor);
        }
        self.leave(channel, 1);
    }

    fn disable_message_interrupt(&self, message: MessageId, _: &AtDirql) {
        // CHANCTRL can only clear the disable bit; masking is the MSI-X table's, which belongs to the system.
        log::debug!("{}: message {} cannot be disabled here", self.device, message.get());
    }

    fn enable_message_interrupt(&self, message: MessageId, _: &AtDirql) {
        if let Some(channel) = self.channels.get(message.get() as usize) {
            channel.rearm();
        }
    }
}

/// Required beside the message handlers (IR-3). Bring-up refuses a device without messages (ND-I1), so these
/// never serve; they must not claim what is not theirs.
impl LineHandlers for IoatProvider {
    fn interrupt(&self, _: &AtDirql) -> IsrResult {
        IsrResult { claimed: false, dpc: DpcRequest::None, address: 0 }
    }

    fn interrupt_dpc(&self, _: &mut DpcCall, _: &AtDispatch) {}

    fn disable_interrupt(&self, _: &AtDirql) {}

    fn enable_interrupt(&self, _: &AtDirql) {}
}

impl IoatProvider {
    /// Queues the channel's DPC on its processor.
    pub(super) fn queue(&self, channel: &Channel) -> bool {
        let Some(owner) = channel.owner() else { return false };
        channel.batch.join(1);
        self.ask(channel, owner.cpu, u64::from(channel.index))
    }

    /// Asks for one DPC that the batch already counts. A refused one is counted out again: its work will be seen
    /// by the queued one (QD-15), which may have ended meanwhile and left the re-arming to this.
    fn ask(&self, channel: &Channel, cpu: CpuNumber, context: u64) -> bool {
        let targets = CpuSet32::of(cpu);
        let refused = self.queue_dpc(channel, targets, context);
        if planted(Plant::RearmForgotten) {
            let _ = channel.batch.leave(refused);
            return refused == 0;
        }
        self.leave(channel, refused);
        refused == 0
    }

    /// Stage 8 of 9: queue. Returns how many were refused.
    fn queue_dpc(&self, channel: &Channel, targets: CpuSet32, context: u64) -> u32 {
        let handle = self.interrupt.get();
        let message = handle.and_then(|handle| handle.message(u32::from(channel.index)).ok());
        let (Some(handle), Some(message)) = (handle, message) else { return targets.len() };
        let refused = handle.queue_dpc(message, targets, Some(DpcContext(context))).refused().len();
        channel.counts.refused_dpcs.fetch_add(u64::from(refused), Ordering::Relaxed);
        refused
    }

    /// `count` DPCs of the batch have ended or never were. The last re-arms, looks once more (MT-4), and asks
    /// for another DPC if a completion landed in between.
    fn leave(&self, channel: &Channel, mut count: u32) {
        // Refused means that a DPC is queued and counted. If it ends before it is counted here, it was not the
        // last, and the re-arming falls to this turn. After deregistration everything is refused: then stop.
        for _ in 0..3 {
            if !channel.batch.leave(count) || !channel.rearm() || planted(Plant::RecheckLeftOut) {
                return;
            }
            channel.counts.rechecks.fetch_add(1, Ordering::Relaxed);
            let Some(owner) = channel.owner() else { return };
            channel.batch.join(1);
            count = self.queue_dpc(channel, CpuSet32::of(owner.cpu), u64::from(channel.index));
        }
        let _ = channel.batch.leave(count);
    }

    /// (DP-4) The first DPC of a batch asks for one on each other processor of the channel's spread.
    fn spread(&self, channel: &Channel, processor: u32) {
        let others =
            CpuSet32(channel.spread.load(Ordering::Relaxed)).without(CpuSet32::of(CpuNumber(processor)));
        if others.is_empty() {
            return;
        }
        channel.batch.join(others.len());
        let refused = self.queue_dpc(channel, others, u64::from(channel.index) | SPREAD);
        self.leave(channel, refused);
    }
}
