//! The engine as a NetDMA provider: its channels, and its callbacks.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use ioat_stage::Pause;

use super::bring_up::bring_up;
use super::chain::Limits;
use super::channel::{Channel, CommandError, Owner, Phase};
use super::{ChannelStats, Fault, Identity, IoatError, identify};
use crate::contract::{
    AbortDma, ChannelCpuAffinity, ChannelParameters, CpuNumber, CpuSet32, DescriptorAddr, FirstDescriptor,
    NetDmaChannelHandle, NetDmaInterface, NetDmaProvider, NetDmaStatus, NetDmaVersion, PhysAddr,
    ProviderAttributes, ProviderChannelContext, ProviderCharacteristics, ResetChannel,
    SetDmaChannelCpuAffinity, SuspendResume,
};
use crate::hw::Device;
use crate::irql::{AtMostDispatch, AtPassive};
use crate::ndis::{InterruptCharacteristics, InterruptHandle};

/// An I/OAT engine that serves NetDMA.
pub struct IoatProvider {
    identity: Identity,
    pub(super) device: String,
    pub(super) interface: Arc<NetDmaInterface>,
    pub(super) channels: Vec<Channel>,
    /// The processor of each channel's interrupt.
    affinities: Vec<AtomicU32>,
    pub(super) interrupt: OnceLock<InterruptHandle>,
}

/// What a look at a channel found that no interrupt told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Glance {
    /// Nothing new.
    Nothing,
    /// The completion word moved and no DPC has seen it.
    Unseen(u64),
    /// The engine has stopped, or does not answer.
    Fault(Fault),
}

impl IoatProvider {
    /// Identifies the engine behind `device` and brings it up: every channel is reset, nothing runs.
    ///
    /// # Errors
    /// [`IoatError`]. What was written to the device by then is harmless.
    pub fn new(device: &Device, interface: Arc<NetDmaInterface>) -> Result<Arc<Self>, IoatError> {
        let identity = identify(device)?;
        let limits = Limits { capability: identity.capability, max_transfer: identity.max_transfer() };
        let pause: Arc<dyn Pause> = device.pause.clone();
        let channels: Vec<_> = (0..)
            .zip(bring_up(device, &identity)?)
            .map(|(index, registers)| Channel::new(index, registers, limits, pause.clone()))
            .collect();
        let affinities = channels.iter().map(|_| AtomicU32::new(0)).collect();
        let device = device.name.clone();
        Ok(Arc::new(Self { identity, device, interface, channels, affinities, interrupt: OnceLock::new() }))
    }

    /// Which engine it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For registering with the interface. The contract version is 2.0: chains are counted.
    #[must_use]
    pub fn characteristics(&self) -> ProviderCharacteristics {
        let Identity { family, version, .. } = self.identity;
        let name = format!("Intel I/OAT {family} {}.{} ({})", version.major(), version.minor(), self.device);
        ProviderCharacteristics {
            version: NetDmaVersion::V2_0,
            dca_supported: false,
            proc_groups_supported: false,
            device: self.device.clone(),
            max_dma_channel_count: u32::from(self.identity.channels),
            friendly_name: Some(name),
        }
    }

    /// For starting with the interface.
    #[must_use]
    pub fn attributes(&self) -> ProviderAttributes {
        ProviderAttributes {
            major_hw_version: self.identity.version.major(),
            minor_hw_version: self.identity.version.minor(),
            vendor_id: u32::from(self.identity.vendor),
            dma_channel_count: u32::from(self.identity.channels),
            maximum_transfer_size: self.identity.max_transfer(),
            maximum_address_space: PhysAddr(u64::MAX),
        }
    }

    /// What to register with `ndis_m_register_interrupt_ex`, whose handle this keeps. After the interface knows
    /// the provider, for the channels' processors come from there (ND-F3).
    #[must_use]
    pub fn interrupt_characteristics(self: &Arc<Self>, handle: InterruptHandle) -> InterruptCharacteristics {
        if self.interrupt.set(handle).is_err() {
            log::error!("{}: its interrupt is registered a second time; the first stays", self.device);
        }
        InterruptCharacteristics {
            line: self.clone(),
            message: Some(self.clone()),
            msi_sync_with_all_messages: false,
            affinity: self.affinities.iter().map(|cpu| cpu.load(Ordering::Relaxed)).collect(),
        }
    }

    /// The channel whose completion word is at `completion`: how its client finds it for the calls below.
    #[must_use]
    pub fn channel_at(&self, completion: PhysAddr) -> Option<ProviderChannelContext> {
        let has = |channel: &&Channel| {
            channel.owner().is_some_and(|owner| owner.completion.physical() == completion)
        };
        self.channels.iter().find(has).map(|channel| ProviderChannelContext(u64::from(channel.index)))
    }

    /// From now on the first DPC of each batch asks for one more DPC on each of `processors` but its own
    /// (DP-4); the last of them re-enables the interrupt (DP-5).
    pub fn set_spread(&self, channel: ProviderChannelContext, processors: CpuSet32) {
        if let Some(channel) = self.channel(channel) {
            channel.spread.store(processors.0, Ordering::Relaxed);
        }
    }

    /// Why the channel stands still, if something went wrong on it.
    #[must_use]
    pub fn fault(&self, channel: ProviderChannelContext) -> Option<Fault> {
        match self.channel(channel)?.phase() {
            Phase::Faulted(fault) => Some(fault),
            _ => None,
        }
    }

    /// As [`Self::fault`], but asks the device too: for the reason of a refused command.
    #[must_use]
    pub fn diagnose(&self, channel: ProviderChannelContext) -> Option<Fault> {
        let channel = self.channel(channel)?;
        channel.examine().or_else(|| channel.registers.chansts().is_err().then_some(Fault::Gone))
    }

    /// Looks at the completion word and, if that did not move, at the engine itself: for one who waits longer
    /// than a completion should take. Costs a register access.
    #[must_use]
    pub fn glance(&self, channel: ProviderChannelContext, _: &AtPassive) -> Glance {
        let Some(channel) = self.channel(channel) else { return Glance::Nothing };
        match (channel.moved(), channel.examine()) {
            (Some(word), _) => Glance::Unseen(word),
            (None, Some(fault)) => Glance::Fault(fault),
            (None, None) => channel.moved().map_or(Glance::Nothing, Glance::Unseen),
        }
    }

    /// Lets the channel's DPC run as its interrupt would have; true if this call queued it.
    pub fn queue_lost_dpc(&self, channel: ProviderChannelContext, _: &AtPassive) -> bool {
        self.channel(channel).is_some_and(|channel| self.queue(channel))
    }

    /// What happened on a channel so far.
    #[must_use]
    pub fn stats(&self, channel: ProviderChannelContext) -> ChannelStats {
        let Some(channel) = self.channel(channel) else { return ChannelStats::default() };
        let counts = &channel.counts;
        ChannelStats {
            interrupts: counts.interrupts.load(Ordering::Relaxed),
            dpcs: counts.dpcs.load(Ordering::Relaxed),
            spread_dpcs: counts.spread_dpcs.load(Ordering::Relaxed),
            refused_dpcs: counts.refused_dpcs.load(Ordering::Relaxed),
            rearms: counts.rearms.load(Ordering::Acquire),
            rechecks: counts.rechecks.load(Ordering::Relaxed),
            faults: counts.faults.load(Ordering::Relaxed),
        }
    }

    fn channel(&self, context: ProviderChannelContext) -> Option<&Channel> {
        self.channels.get(usize::try_from(context.0).ok()?)
    }

    fn command(
        &self,
        context: ProviderChannelContext,
        name: &'static str,
        run: impl FnOnce(&Channel) -> Result<(), CommandError>,
    ) -> Result<(), NetDmaStatus> {
        let channel = self.channel(context).ok_or(NetDmaStatus::UNSUCCESSFUL)?;
        run(channel).map_err(|error| self.refuse(channel, name, &error))
    }

    /// The contract's two status words say little: the log says the rest, and the channel remembers what its
    /// client must know.
    fn refuse(&self, channel: &Channel, name: &'static str, error: &CommandError) -> NetDmaStatus {
        log::debug!("{} channel {}: {name}: {error}", self.device, channel.index);
        if let CommandError::Ioat(IoatError::Gone { .. } | IoatError::Hardware(_)) = error {
            channel.lost();
        }
        error.into()
    }
}

impl SetDmaChannelCpuAffinity for IoatProvider {
    fn set_dma_channel_cpu_affinity(
        &self,
        affinities: &[ChannelCpuAffinity],
        _: &AtPassive,
    ) -> Result<(), NetDmaStatus> {
        for affinity in affinities {
            let channel = usize::try_from(affinity.dma_channel).ok();
            let Some(cpu) = channel.and_then(|channel| self.affinities.get(channel)) else {
                return Err(NetDmaStatus::UNSUCCESSFUL);
            };
            cpu.store(affinity.cpu_number.0, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl NetDmaProvider for IoatProvider {
    fn set_affinity(&self) -> Option<&dyn SetDmaChannelCpuAffinity> {
        Some(self)
    }

    fn allocate_dma_channel(
        &self,
        parameters: &mut ChannelParameters,
        handle: NetDmaChannelHandle,
        _: &dyn AtMostDispatch,
    ) -> Result<ProviderChannelContext, NetDmaStatus> {
        let mask = parameters.processor_affinity_mask;
        let own = |channel: &Channel| {
            CpuNumber(self.affinities[usize::from(channel.index)].load(Ordering::Relaxed))
        };
        // Else any channel, its DPC on a processor of the mask (ND-P2).
        let fallback = mask.iter().next().ok_or(NetDmaStatus::UNSUCCESSFUL)?;
        let fitting = self.channels.iter().map(|channel| (channel, own(channel)));
        let fitting = fitting.filter(|(_, cpu)| mask.contains(*cpu));
        let any = self.channels.iter().map(|channel| (channel, fallback));
        for (channel, cpu) in fitting.chain(any) {
            let completion = parameters.completion.clone();
            if !channel.claim(Owner { handle: handle.clone(), completion, cpu }) {
                continue;
            }
            if let Err(error) = channel.prepare() {
                log::debug!("{} channel {}: allocate: {error}", self.device, channel.index);
                // What could not be prepared cannot be halted either; it is free, and was reset before.
                let _ = channel.release();
                return Err((&error).into());
            }
            parameters.cpu_number = Some(cpu);
            return Ok(ProviderChannelContext(u64::from(channel.index)));
        }
        Err(NetDmaStatus::RESOURCES)
    }

    fn free_dma_channel(&self, channel: ProviderChannelContext, _: &dyn AtMostDispatch) {
        let Some(channel) = self.channel(channel) else { return };
        if let Err(error) = channel.release() {
            log::warn!("{} channel {}: it was freed but not halted: {error}", self.device, channel.index);
        }
    }

    fn start_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.command(channel, "start", |channel| channel.start(first))
    }

    fn append_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.command(channel, "append", |channel| channel.append(first))
    }

    fn suspend_resume(&self) -> Option<&dyn SuspendResume> {
        Some(self)
    }

    fn abort(&self) -> Option<&dyn AbortDma> {
        Some(self)
    }

    fn reset(&self) -> Option<&dyn ResetChannel> {
        Some(self)
    }
}

impl SuspendResume for IoatProvider {
    fn suspend_dma(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<Option<DescriptorAddr>, NetDmaStatus> {
        let channel = self.channel(channel).ok_or(NetDmaStatus::UNSUCCESSFUL)?;
        let last = channel.suspend().map_err(|error| self.refuse(channel, "suspend", &error))?;
        // The engine raises no interrupt for it; what was finished until then is reported by the DPC as ever.
        self.queue(channel);
        Ok(last)
    }

    fn resume_dma(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.command(channel, "resume", Channel::resume)
    }
}

impl AbortDma for IoatProvider {
    fn abort_dma(&self, channel: ProviderChannelContext, _: &dyn AtMostDispatch) -> Result<(), NetDmaStatus> {
        self.command(channel, "abort", Channel::abort)
    }
}

impl ResetChannel for IoatProvider {
    fn reset_channel(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.command(channel, "reset", Channel::reset)
    }
}
