//! Stages 7 to 9 of 9 from the provider's side: the service routines, what they ask for, and the DPC.
//!
//! The join of NetDMA and NDIS is this library's own: Windows' NetDMA providers used plain KDPCs. Which channels a
//! message is about, [`Delivery`](super::delivery::Delivery) knows; each DPC serves those of its processor (MT-2).

use std::sync::atomic::Ordering;

use super::IoatProvider;
use super::batch::{Batch, DueOn, Served, Targets};
use super::channel::Channel;
use super::registers::LineRegisters;
use super::report::Latest;
use crate::contract::{Completion, CpuNumber, CpuSet32};
use crate::irql::{AtDirql, AtDispatch};
use crate::ndis::{
    DpcCall, DpcContext, DpcRequest, IsrResult, LineHandlers, MessageHandlers, MessageId, NoSuchMessage,
    Queued,
};

/// Set in the context of a DPC that another DPC asked for; the rest is the channel.
const SPREAD: u64 = 1 << 32;

/// Stage 7 of 9: isr. Stage 9 of 9: dpc.
impl MessageHandlers for IoatProvider {
    fn message_interrupt(&self, message: MessageId, level: &AtDirql) -> IsrResult {
        let message = message.get();
        // A shared message does not say which of its channels it is from, and ATTNSTATUS, which is cleared by reading,
        // would take the bits of other messages along: all of them are looked at.
        let channels = self.delivery.channels_of(message).fold(0, |set, channel| set | 1 << channel);
        let certain = self.delivery.is_sole(message);
        // A message is ours alone (IS-1), and the DPC is asked for by name (MT-3).
        let address = self.attend(message, channels, certain, level).unwrap_or(0);
        IsrResult { claimed: true, dpc: DpcRequest::None, address }
    }

    fn message_interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch) {
        self.dpc(call.message.get(), call, level);
    }

    fn disable_message_interrupt(&self, message: MessageId, _: &AtDirql) {
        // CHANCTRL can only clear the disable bit; masking is the MSI-X table's, which belongs to the system.
        log::debug!("{}: message {} cannot be disabled here", self.device.name, message.get());
    }

    fn enable_message_interrupt(&self, message: MessageId, _: &AtDirql) {
        for channel in self.served_by(message.get()) {
            channel.rearm();
        }
    }

    fn sole_channel(&self, message: MessageId) -> Option<u8> {
        self.delivery.sole_channel(message.get())
    }
}

/// Required beside the message handlers (IR-3); they serve where the device has no messages (ND-I1).
impl LineHandlers for IoatProvider {
    /// The handshake of the device model (2.4): reading INTRCTRL takes the line back, ATTNSTATUS says whose interrupt
    /// it is, and the batch's last DPC gives the line free again.
    fn interrupt(&self, level: &AtDirql) -> IsrResult {
        let attention = self.delivery.line.as_ref().and_then(take_attention);
        let claimed = attention.is_some();
        let address = attention.and_then(|channels| {
            let asked = self.attend(MessageId::LINE.get(), channels, true, level);
            if asked.is_none() {
                // Nobody has these channels, so no DPC will come that frees the line.
                self.free_line();
            }
            asked
        });
        IsrResult { claimed, dpc: DpcRequest::None, address: address.unwrap_or(0) }
    }

    fn interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch) {
        self.dpc(MessageId::LINE.get(), call, level);
    }

    fn disable_interrupt(&self, _: &AtDirql) {
        self.line_disabled.store(true, Ordering::Release);
        self.set_master(false);
    }

    fn enable_interrupt(&self, _: &AtDirql) {
        self.line_disabled.store(false, Ordering::Release);
        self.set_master(true);
    }

    fn sole_channel(&self) -> Option<u8> {
        self.delivery.sole_channel(MessageId::LINE.get())
    }
}

/// The channels that want attention; none if the line is not ours (C-MT-04).
fn take_attention(line: &LineRegisters) -> Option<u32> {
    let answered = line.take_intrctrl().and_then(|control| {
        // Without MASTER_INT_EN our line is not asserted: a batch is under way, which will set it again.
        if !control.master_int_en() {
            return Ok(None);
        }
        let attention = if control.int_status() { line.take_attention()? } else { 0 };
        if attention == 0 {
            line.set_master(true)?;
        }
        Ok((attention != 0).then_some(attention))
    });
    answered.unwrap_or_else(|error| {
        log::debug!("the line's service routine: {error}");
        None
    })
}

impl IoatProvider {
    /// Queues the channel's DPC on its processor.
    pub(super) fn queue(&self, channel: &Channel) -> bool {
        let Some(owner) = channel.owner() else { return false };
        let message = self.delivery.message_of(channel.index);
        let Some(batch) = self.delivery.batch(message) else { return false };
        batch.disarmed(1 << channel.index);
        channel.due.set(owner.cpu);
        let context = DpcContext(u64::from(channel.index));
        batch.ask(&self.served(message), Targets::of(owner.cpu), Some(context)) > 0
    }

    /// `NdisMQueueDpc` by hand: asks for the DPC of `message` on `targets`, and says where it was queued. Like every other
    /// it joins the message's batch, whose last re-arms. The one on `look` reports what the message's channels have
    /// finished, as after an interrupt; the others find nothing to do.
    ///
    /// # Errors
    /// When there is no such message (QD-6). Before the interrupt is registered, and after, nothing is queued.
    pub fn request_dpc(
        &self,
        message: u32,
        targets: CpuSet32,
        look: Option<CpuNumber>,
    ) -> Result<Queued, NoSuchMessage> {
        let mut queued = Queued { requested: targets, scheduled: CpuSet32::EMPTY };
        let Some(handle) = self.interrupt.get() else { return Ok(queued) };
        let id = handle.message(message)?;
        // A line has one DPC for each processor, whatever message is named (QD-6).
        let message = if self.delivery.line.is_some() { MessageId::LINE.get() } else { message };
        let mut queue = || {
            queued = handle.queue_dpc(id, targets, Some(DpcContext(u64::from(message))));
            queued.scheduled.len()
        };
        let Some(batch) = self.delivery.batch(message).filter(|_| !targets.is_empty()) else {
            queue();
            return Ok(queued);
        };
        // Before the DPC is asked for, so that one that is queued already looks too (QD-15).
        if let Some(cpu) = look {
            self.served_by(message).for_each(|channel| channel.due.set(cpu));
        }
        batch.ask_by(&self.served(message), targets.len(), queue);
        Ok(queued)
    }

    /// The service routine of a message or of the line, which is about `channels`, or, where that is not `certain`,
    /// about some of them. Asks for the DPCs, and gives the latest descriptor; none if nobody has a channel.
    fn attend(&self, message: u32, channels: u32, certain: bool, level: &AtDirql) -> Option<u64> {
        let batch = self.delivery.batch(message)?;
        let (mut targets, mut spare, mut address) = (Targets::default(), None, 0);
        for channel in self.served_by(message).filter(|channel| channels & 1 << channel.index != 0) {
            let Some(Latest { owner, word, news }) = channel.latest() else { continue };
            batch.disarmed(1 << channel.index);
            spare = spare.or(Some(owner.cpu));
            if !certain && !news {
                // It may be this one's interrupt all the same, so it is re-armed with the rest.
                continue;
            }
            channel.counts.interrupts.fetch_add(1, Ordering::Relaxed);
            // Before any completion there is no address to pass (ND-I14); the DPC runs all the same, because the
            // engine has disabled the interrupt and only a DPC re-arms it.
            let mut cpu = owner.cpu;
            if let Completion::At { descriptor: Some(latest), .. } = word.decode() {
                cpu = self.interface.net_dma_isr(&owner.handle, latest, level);
                address = latest.get();
            }
            // The processor that the contract named (ND-I5).
            channel.due.set(cpu);
            targets.add(cpu);
        }
        if targets.is_empty() {
            targets = Targets::of(spare?);
        }
        batch.ask(&self.served(message), targets, None);
        Some(address)
    }

    /// Stage 9 of 9: dpc. Serves the channels that are due here.
    fn dpc(&self, message: u32, call: &mut DpcCall, level: &AtDispatch) {
        let Some(batch) = self.delivery.batch(message) else { return };
        if let Some(DpcContext(context)) = call.context.filter(|context| context.0 & SPREAD != 0) {
            let channel = usize::try_from(context & !SPREAD).ok().and_then(|index| self.channels.get(index));
            channel.inspect(|channel| _ = channel.counts.spread_dpcs.fetch_add(1, Ordering::Relaxed));
        }
        for channel in self.served_by(message) {
            if channel.due.take(call.processor) {
                channel.counts.dpcs.fetch_add(1, Ordering::Relaxed);
                if let Some((last, reported)) = channel.report(&self.interface, level) {
                    (call.address, call.reported) = (last.get(), Some(reported));
                }
                self.spread(message, batch, channel, call.processor);
            }
        }
        batch.end(&self.served(message), 1);
    }

    /// Stage 8 of 9: queue. Returns how many were queued.
    fn queue_dpc(&self, message: u32, targets: Targets, context: DpcContext) -> u32 {
        let handle = self.interrupt.get();
        let id = handle.and_then(|handle| handle.message(message).ok());
        let (Some(handle), Some(id)) = (handle, id) else { return 0 };
        let queued = targets.groups().map(|group| handle.queue_dpc_ex(id, group, Some(context)));
        let queued: u32 = queued.map(|queued| queued.map_or(0, |queued| queued.scheduled.count_ones())).sum();
        let refused = u64::from(targets.len() - queued);
        // The DPC that was queued already serves them all; it is not known whose it was.
        if let (Some(channel), 1..) = (self.served_by(message).next(), refused) {
            channel.counts.refused_dpcs.fetch_add(refused, Ordering::Relaxed);
        }
        queued
    }

    /// (DP-4) The first DPC of a batch asks for one on each other processor of the channel's spread.
    fn spread(&self, message: u32, batch: &Batch, channel: &Channel, processor: u32) {
        let others =
            CpuSet32(channel.spread.load(Ordering::Relaxed)).without(CpuSet32::of(CpuNumber(processor)));
        if others.is_empty() {
            return;
        }
        let mut targets = Targets::default();
        others.iter().for_each(|cpu| targets.add(cpu));
        let context = DpcContext(u64::from(channel.index) | SPREAD);
        batch.ask(&self.served(message), targets, Some(context));
    }

    fn served(&self, message: u32) -> ServedBy<'_> {
        ServedBy { provider: self, message }
    }

    /// The channels of a message.
    fn served_by(&self, message: u32) -> impl Iterator<Item = &Channel> {
        self.delivery.channels_of(message).filter_map(|index| self.channels.get(index))
    }

    /// The line may be asserted again, unless it was disabled.
    fn free_line(&self) {
        if !self.line_disabled.load(Ordering::Acquire) {
            self.set_master(true);
        }
    }

    pub(super) fn set_master(&self, on: bool) {
        let Some(line) = &self.delivery.line else { return };
        if let Err(error) = line.set_master(on) {
            log::debug!("{}: INTRCTRL: {error}", self.device.name);
        }
    }
}

/// A message as its batch sees it.
struct ServedBy<'a> {
    provider: &'a IoatProvider,
    message: u32,
}

impl Served for ServedBy<'_> {
    fn rearm(&self, channels: u32) {
        let served = self.provider.served_by(self.message);
        served.filter(|channel| channels & 1 << channel.index != 0).for_each(Channel::rearm);
        self.provider.free_line();
    }

    fn recheck(&self, channel: u32) -> Option<(&DueOn, CpuNumber)> {
        let channel = self.provider.channels.get(channel as usize)?;
        if !channel.recheck() {
            return None;
        }
        let owner = channel.owner()?;
        channel.counts.rechecks.fetch_add(1, Ordering::Relaxed);
        Some((&channel.due, owner.cpu))
    }

    fn queue(&self, targets: Targets, context: Option<DpcContext>) -> u32 {
        let context = context.unwrap_or(DpcContext(u64::from(self.message)));
        self.provider.queue_dpc(self.message, targets, context)
    }
}
