//! The engine as a NetDMA provider: its channels, and its callbacks.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ioat_spec::DcaCtrl;
use ioat_stage::{NoTrace, Trace};

use super::bring_up::{bring_up, delivery};
use super::chain::Limits;
use super::channel::{Channel, CommandError, Owner, Phase};
use super::delivery::Delivery;
use super::registers::ChannelRegisters;
use super::{ChannelStats, Fault, Identity, IoatError, identify};
use crate::contract::{
    AbortDma, ChannelCpuAffinity, ChannelParameters, CpuNumber, CpuSet32, DescriptorAddr, FirstDescriptor,
    NetDmaChannelHandle, NetDmaInterface, NetDmaProvider, NetDmaStatus, NetDmaVersion, PhysAddr,
    ProviderAttributes, ProviderChannelContext, ProviderCharacteristics, ResetChannel,
    SetDmaChannelCpuAffinity, SuspendResume,
};
use crate::hw::Device;
use crate::irql::{self, AtMostDispatch, AtPassive};
use crate::ndis::{InterruptCharacteristics, InterruptHandle, NdisVersion};

/// How to serve NetDMA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderOptions {
    /// The contract version to register for: 1.0, 1.1 or 2.0. Chains of 1.x carry no count and end with a zero.
    pub version: NetDmaVersion,
    /// Take channel parameters of revision 2 (Windows 7), whose processors may be of any group. From 2.0 on.
    pub proc_groups: bool,
    /// APIC id of processor `n`, where completion words are aimed with DCA (ND-A2). A processor without an entry has its
    /// number for an id.
    pub apic_ids: Vec<u16>,
}

impl Default for ProviderOptions {
    /// 2.0.
    fn default() -> Self {
        Self { version: NetDmaVersion::V2_0, proc_groups: false, apic_ids: Vec::new() }
    }
}

/// An I/OAT engine that serves NetDMA.
pub struct IoatProvider {
    identity: Identity,
    options: ProviderOptions,
    limits: Limits,
    pub(super) device: Device,
    pub(super) delivery: Delivery,
    /// By the handler that is for diagnostics (EN-1).
    pub(super) line_disabled: AtomicBool,
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
    /// As [`Self::with_options`], for 2.0.
    ///
    /// # Errors
    /// [`IoatError`].
    pub fn new(device: &Device, interface: Arc<NetDmaInterface>) -> Result<Arc<Self>, IoatError> {
        Self::with_options(device, interface, ProviderOptions::default())
    }

    /// Identifies the engine behind `device` and brings it up: every channel is reset, nothing runs.
    ///
    /// # Errors
    /// [`IoatError`]. What was written to the device by then is harmless.
    pub fn with_options(
        device: &Device,
        interface: Arc<NetDmaInterface>,
        options: ProviderOptions,
    ) -> Result<Arc<Self>, IoatError> {
        Self::traced(device, interface, options, Arc::new(NoTrace))
    }

    /// As [`Self::with_options`]; each doorbell leaves an event in `trace`. The stages of its interrupts and DPCs leave
    /// theirs in the trace of its [`Processors`](crate::ndis::Processors).
    ///
    /// # Errors
    /// As [`Self::with_options`].
    pub fn traced(
        device: &Device,
        interface: Arc<NetDmaInterface>,
        options: ProviderOptions,
        trace: Arc<dyn Trace>,
    ) -> Result<Arc<Self>, IoatError> {
        let version = options.version;
        if !version.is_defined() || options.proc_groups && !version.counts_chains() {
            return Err(IoatError::ContractVersion { version, proc_groups: options.proc_groups });
        }
        let identity = identify(device)?;
        let (capability, max_transfer) = (identity.capability, identity.max_transfer());
        let limits = Limits { capability, max_transfer, version };
        let delivery = delivery(device, &identity)?;
        let registers: Vec<_> =
            (0..identity.channels).map(|index| ChannelRegisters::new(device.clone(), index)).collect();
        bring_up(device, &registers, &delivery)?;
        let channel = |(index, registers)| {
            Channel::new(index, registers, limits, device.pause.clone(), trace.clone())
        };
        let channels: Vec<_> = (0..).zip(registers).map(channel).collect();
        Ok(Arc::new(Self {
            identity,
            options,
            limits,
            device: device.clone(),
            delivery,
            line_disabled: AtomicBool::new(false),
            interface,
            affinities: channels.iter().map(|_| AtomicU32::new(0)).collect(),
            channels,
            interrupt: OnceLock::new(),
        }))
    }

    /// Which engine it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For registering with the interface.
    #[must_use]
    pub fn characteristics(&self) -> ProviderCharacteristics {
        let Identity { family, version, .. } = self.identity;
        let (major, minor) = (version.major(), version.minor());
        let device = self.device.name.clone();
        // Before 2.0 there is neither a name (1.5.4) nor DCA.
        let name = self.limits.counted().then(|| format!("Intel I/OAT {family} {major}.{minor} ({device})"));
        ProviderCharacteristics {
            version: self.options.version,
            dca_supported: self.limits.dca(),
            proc_groups_supported: self.options.proc_groups,
            device,
            max_dma_channel_count: u32::from(self.identity.channels),
            friendly_name: name,
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
            log::error!("{}: its interrupt is registered a second time; the first stays", self.device.name);
        }
        InterruptCharacteristics {
            version: NdisVersion::V6_20,
            line: self.clone(),
            message: Some(self.clone()),
            msi_sync_with_all_messages: false,
            affinity: self.affinities.iter().map(|cpu| cpu.load(Ordering::Relaxed)).collect(),
        }
    }

    /// The function is about to lose its state (ND-W1): nothing of it is used until [`Self::power_up`]. The clients have
    /// drained their work by then (`NetDmaPnPEventNotify` with PowerDown comes first); what is left ends without a report.
    ///
    /// # Errors
    /// [`IoatError`] when a channel could not be stopped; it counts as powered down all the same.
    pub fn power_down(&self, _: &AtPassive) -> Result<(), IoatError> {
        self.set_master(false);
        self.each(Channel::power_down)
    }

    /// The function is back, with its registers reset: it is brought up again, and every channel is as it was allocated,
    /// and needs a Start (ND-W2; `NetDmaPnPEventNotify` with PowerUp comes after). Also for a function that lost its
    /// state without a warning, by a reset.
    ///
    /// # Errors
    /// [`IoatError`]; the channels stay powered down.
    pub fn power_up(&self, _: &AtPassive) -> Result<(), IoatError> {
        let found = identify(&self.device)?;
        if found != self.identity {
            let [found, expected] = [found, self.identity].map(|engine| format!("{engine:?}"));
            return Err(IoatError::AnotherEngine { found, expected });
        }
        let registers: Vec<_> = self.channels.iter().map(|channel| channel.registers.clone()).collect();
        bring_up(&self.device, &registers, &self.delivery)?;
        self.each(Channel::power_up)
    }

    /// All channels, though one fails; the first error is given.
    fn each(&self, run: impl Fn(&Channel) -> Result<(), CommandError>) -> Result<(), IoatError> {
        let mut first = Ok(());
        for channel in &self.channels {
            match run(channel) {
                Ok(()) => {}
                Err(CommandError::Ioat(error)) if first.is_ok() => first = Err(error),
                Err(error) => log::warn!("{} channel {}: {error}", self.device.name, channel.index),
            }
        }
        first
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

    /// Looks at the completion word and reports what is new, as the channel's DPC would: for a client that polls. It runs
    /// at DISPATCH_LEVEL, as the contract wants of a report, on the calling thread.
    pub fn poll(&self, channel: ProviderChannelContext, _: &AtPassive) {
        let Some(channel) = self.channel(channel) else { return };
        if channel.moved().is_some() {
            irql::at_dispatch(|level| channel.report(&self.interface, level));
        }
    }

    /// The descriptor that the engine says it processed last, whether or not it was reported; none before the first, and
    /// none of a device that does not answer. Costs a register access.
    #[must_use]
    pub fn reached(&self, channel: ProviderChannelContext, _: &AtPassive) -> Option<DescriptorAddr> {
        let status = self.channel(channel)?.registers.chansts().ok()?;
        DescriptorAddr::new(status.completed())
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

    /// DCACTRL that aims at a processor (ND-A2).
    fn context_of(&self, cpu: CpuNumber) -> DcaCtrl {
        let known = usize::try_from(cpu.0).ok().and_then(|cpu| self.options.apic_ids.get(cpu)).copied();
        let apic_id = known.unwrap_or_else(|| u16::try_from(cpu.0).unwrap_or(u16::MAX));
        DcaCtrl::new().with_apic_id(apic_id).with_enable(true)
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
        log::debug!("{} channel {}: {name}: {error}", self.device.name, channel.index);
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
        // With messages, the processor of the channel's interrupt; a line is nobody's, so there it is the one that the
        // DPC was to be on.
        let own = |channel: &Channel| {
            let index = match self.delivery.line {
                None => self.delivery.message_of(channel.index) as usize,
                Some(_) => usize::from(channel.index),
            };
            CpuNumber(self.affinities[index].load(Ordering::Relaxed))
        };
        // Else any channel, its DPC on a processor of the mask (ND-P2).
        let (narrow, wide) = (parameters.processor_affinity_mask, parameters.processor_affinity_mask_ex);
        let fallback = wide.map_or_else(|| narrow.iter().next(), |wide| wide.iter().next());
        let fallback = fallback.ok_or(NetDmaStatus::UNSUCCESSFUL)?;
        let fitting = self.channels.iter().map(|channel| (channel, own(channel)));
        let fitting: Vec<_> = fitting.filter(|(_, cpu)| parameters.accepts(*cpu)).collect();
        let any = self.channels.iter().map(|channel| (channel, fallback));
        for (channel, cpu) in fitting.into_iter().chain(any) {
            let completion = parameters.completion.clone();
            let context = self.limits.dca().then(|| self.context_of(cpu));
            if !channel.claim(Owner { handle: handle.clone(), completion, cpu, context }) {
                continue;
            }
            if let Err(error) = channel.prepare() {
                log::debug!("{} channel {}: allocate: {error}", self.device.name, channel.index);
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
            log::warn!(
                "{} channel {}: it was freed but not halted: {error}",
                self.device.name,
                channel.index
            );
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
