//! A provider without an engine: it records every callback, answers as it is told, and its descriptors lie in plain
//! memory. The check itself is the engine, and its DPC.

use std::sync::Arc;

use ioat_stage::{Pause, ThreadPause};
use vm_memory::MmapRegion;
use zerocopy::FromBytes;

use super::assembly::{failed, passive};
use super::bench::NotPassed;
use crate::contract::{
    AbortDma, Chain, ChannelCpuAffinity, ChannelParameters, ChannelRequest, Completed, CompletionLocation,
    CpuNumber, CpuSet32, DescriptorAddr, DmaLocation, FirstDescriptor, GroupAffinity, InterfaceOptions,
    NetDmaChannel, NetDmaChannelHandle, NetDmaClient, NetDmaDescriptor, NetDmaInterface, NetDmaProvider,
    NetDmaStatus, NetDmaVersion, PhysAddr, ProviderAttributes, ProviderChannelContext,
    ProviderCharacteristics, ProviderHandle, ResetChannel, SetDmaChannelCpuAffinity, Started, Submitted,
    SuspendResume,
};
use crate::contract::{AllocateError, AnchorSlot};
use crate::hw::{DmaBuffer, Grants, HwError};
use crate::irql::{self, AtDispatch, AtMostDispatch, AtPassive};
use crate::ndis::lock::SpinLock;

/// A callback that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Called {
    Affinity(Vec<ChannelCpuAffinity>),
    Allocate { mask: CpuSet32, wide: Option<GroupAffinity> },
    Free(u64),
    Start { channel: u64, first: DescriptorAddr, count: u32, descriptor: NetDmaDescriptor },
    Append { channel: u64, first: DescriptorAddr, count: u32 },
    Suspend(u64),
    Resume(u64),
    Abort(u64),
    Reset(u64),
}

/// The provider.
#[derive(Default)]
pub(super) struct Scripted {
    calls: SpinLock<Vec<Called>>,
    handles: SpinLock<Vec<NetDmaChannelHandle>>,
    /// Its answer to every callback but Allocate; none is success.
    refusal: SpinLock<Option<NetDmaStatus>>,
    /// It lacks every capability.
    bare: bool,
    /// The processor that it names; none for the last acceptable one.
    names: Option<CpuNumber>,
}

impl Scripted {
    /// With the four mandatory callbacks alone.
    pub(super) fn bare() -> Arc<Self> {
        Arc::new(Self { bare: true, ..Self::default() })
    }

    /// That names `cpu` for every channel.
    pub(super) fn naming(cpu: CpuNumber) -> Arc<Self> {
        Arc::new(Self { names: Some(cpu), ..Self::default() })
    }

    /// The callbacks so far, in order.
    pub(super) fn calls(&self) -> Vec<Called> {
        self.calls.lock().clone()
    }

    /// The callbacks since this was asked last.
    pub(super) fn news(&self) -> Vec<Called> {
        std::mem::take(&mut *self.calls.lock())
    }

    /// The handle of the channel that was allocated as the `index`-th.
    pub(super) fn handle(&self, index: usize) -> Result<NetDmaChannelHandle, NotPassed> {
        let handle = self.handles.lock().get(index).cloned();
        handle.ok_or_else(|| failed(format!("no channel {index} was allocated")))
    }

    pub(super) fn refuse(&self, status: Option<NetDmaStatus>) {
        *self.refusal.lock() = status;
    }

    fn call(&self, called: Called) -> Result<(), NetDmaStatus> {
        self.calls.lock().push(called);
        self.refusal.lock().map_or(Ok(()), Err)
    }
}

impl SetDmaChannelCpuAffinity for Scripted {
    fn set_dma_channel_cpu_affinity(
        &self,
        affinities: &[ChannelCpuAffinity],
        _: &AtPassive,
    ) -> Result<(), NetDmaStatus> {
        self.call(Called::Affinity(affinities.to_vec()))
    }
}

impl NetDmaProvider for Scripted {
    fn set_affinity(&self) -> Option<&dyn SetDmaChannelCpuAffinity> {
        (!self.bare).then_some(self as _)
    }

    fn allocate_dma_channel(
        &self,
        parameters: &mut ChannelParameters,
        channel: NetDmaChannelHandle,
        _: &dyn AtMostDispatch,
    ) -> Result<ProviderChannelContext, NetDmaStatus> {
        let (mask, wide) = (parameters.processor_affinity_mask, parameters.processor_affinity_mask_ex);
        self.calls.lock().push(Called::Allocate { mask, wide });
        let last = wide.and_then(|wide| wide.iter().last()).or(mask.iter().last());
        parameters.cpu_number = self.names.or(last);
        let mut handles = self.handles.lock();
        handles.push(channel);
        Ok(ProviderChannelContext(handles.len() as u64 - 1))
    }

    fn free_dma_channel(&self, channel: ProviderChannelContext, _: &dyn AtMostDispatch) {
        self.calls.lock().push(Called::Free(channel.0));
    }

    fn start_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        let descriptor = read(first.location()).ok_or(NetDmaStatus::UNSUCCESSFUL)?;
        let (first, count) = (first.physical(), first.count());
        self.call(Called::Start { channel: channel.0, first, count, descriptor })
    }

    fn append_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        let (first, count) = (first.physical(), first.count());
        self.call(Called::Append { channel: channel.0, first, count })
    }

    fn suspend_resume(&self) -> Option<&dyn SuspendResume> {
        (!self.bare).then_some(self as _)
    }

    fn abort(&self) -> Option<&dyn AbortDma> {
        (!self.bare).then_some(self as _)
    }

    fn reset(&self) -> Option<&dyn ResetChannel> {
        (!self.bare).then_some(self as _)
    }
}

impl SuspendResume for Scripted {
    fn suspend_dma(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<Option<DescriptorAddr>, NetDmaStatus> {
        self.call(Called::Suspend(channel.0)).map(|()| None)
    }

    fn resume_dma(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.call(Called::Resume(channel.0))
    }
}

impl AbortDma for Scripted {
    fn abort_dma(&self, channel: ProviderChannelContext, _: &dyn AtMostDispatch) -> Result<(), NetDmaStatus> {
        self.call(Called::Abort(channel.0))
    }
}

impl ResetChannel for Scripted {
    fn reset_channel(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.call(Called::Reset(channel.0))
    }
}

fn read(place: &DmaLocation) -> Option<NetDmaDescriptor> {
    let mut bytes = [0; 64];
    place.buffer().read(place.offset(), &mut bytes).ok()?;
    NetDmaDescriptor::read_from_bytes(&bytes).ok()
}

/// What a client was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Completed(Completed),
    Attention,
    PowerDown,
    PowerUp,
}

/// A client that remembers.
#[derive(Default)]
pub(super) struct Client(SpinLock<Vec<Told>>);

impl Client {
    /// What it was told since this was asked last.
    pub(super) fn news(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl NetDmaClient for Client {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        self.0.lock().push(Told::Completed(completed));
    }

    fn attention(&self, _: &AtDispatch) {
        self.0.lock().push(Told::Attention);
    }

    fn power_down(&self, _: &AtPassive) {
        self.0.lock().push(Told::PowerDown);
    }

    fn power_up(&self, _: &AtPassive) {
        self.0.lock().push(Told::PowerUp);
    }
}

/// An interface with a started scripted provider, and memory for descriptors.
pub(super) struct Bed {
    pub(super) pause: Arc<dyn Pause>,
    pub(super) interface: Arc<NetDmaInterface>,
    pub(super) provider: Arc<Scripted>,
    pub(super) started: ProviderHandle<Started>,
    memory: Arc<DmaBuffer>,
}

/// A channel of a bed.
pub(super) struct Line {
    pub(super) channel: NetDmaChannel,
    pub(super) handle: NetDmaChannelHandle,
    pub(super) client: Arc<Client>,
}

/// A provider of 2.0 with four channels.
pub(super) fn characteristics() -> ProviderCharacteristics {
    ProviderCharacteristics {
        version: NetDmaVersion::V2_0,
        dca_supported: false,
        proc_groups_supported: false,
        device: "scripted".into(),
        max_dma_channel_count: 4,
        friendly_name: Some("a scripted provider".into()),
    }
}

/// The same of another version.
pub(super) fn of_version(version: NetDmaVersion) -> ProviderCharacteristics {
    let friendly_name = version.has_friendly_name().then(|| "a scripted provider".into());
    ProviderCharacteristics { version, friendly_name, ..characteristics() }
}

/// Four channels, any page.
pub(super) fn attributes() -> ProviderAttributes {
    ProviderAttributes {
        major_hw_version: 3,
        minor_hw_version: 3,
        vendor_id: 0x8086,
        dma_channel_count: 4,
        maximum_transfer_size: 1 << 20,
        maximum_address_space: PhysAddr(u64::MAX),
    }
}

/// An interface alone.
pub(super) fn interface(options: InterfaceOptions) -> Arc<NetDmaInterface> {
    NetDmaInterface::with(Arc::new(ThreadPause::new()), options)
}

/// Where the bed's memory is for an engine.
const IOVA: u64 = 0x10_0000;
/// Its descriptors, in the second page.
const SLOTS: u64 = 64;

struct StaysMapped;

impl Grants for StaysMapped {
    fn withdraw(&self, _: u64, _: usize) -> Result<(), HwError> {
        Ok(())
    }
}

/// Slot `index` of the bed's descriptors.
pub(super) fn slot(index: u64) -> DescriptorAddr {
    DescriptorAddr::new(IOVA + 0x1000 + 64 * (index % SLOTS)).expect("slots are aligned, and not at 0")
}

impl Bed {
    /// Of 2.0, with four processors.
    pub(super) fn new() -> Result<Self, NotPassed> {
        Self::with(characteristics(), InterfaceOptions { processors: 4, ..InterfaceOptions::default() })
    }

    pub(super) fn with(
        characteristics: ProviderCharacteristics,
        options: InterfaceOptions,
    ) -> Result<Self, NotPassed> {
        let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
        let interface = NetDmaInterface::with(pause.clone(), options);
        let provider = Arc::new(Scripted::default());
        let level = passive()?;
        let ring = characteristics.version.counts_chains();
        let registered = interface.register_provider(provider.clone(), characteristics, &level)?;
        let started = registered.start(attributes(), &level).map_err(|(_, error)| error)?;
        let region = MmapRegion::new(0x2000)?;
        let memory = Arc::new(DmaBuffer::new(region, IOVA, Arc::new(StaysMapped)));
        let bed = Self { pause, interface, provider, started, memory };
        for index in 0..SLOTS {
            // A ring, or no links at all.
            bed.link(index, if ring { slot(index + 1).get() } else { 0 })?;
        }
        Ok(bed)
    }

    /// Writes NextDescriptor of a slot.
    pub(super) fn link(&self, index: u64, next: u64) -> Result<(), NotPassed> {
        Ok(self.memory.store_u64(offset(index) + 24, next)?)
    }

    /// NextDescriptor of a slot.
    pub(super) fn next_of(&self, index: u64) -> Result<u64, NotPassed> {
        Ok(self.memory.load_u64(offset(index) + 24)?)
    }

    /// A request for a channel; its words lie at `number`, and slot 63 is the interface's if it is `anchored`.
    pub(super) fn request(&self, number: usize, anchored: bool) -> Result<ChannelRequest, NotPassed> {
        let anchor = AnchorSlot::new(self.memory.clone(), offset(63))?;
        Ok(ChannelRequest {
            completion: CompletionLocation::new(self.memory.clone(), 8 * number)?,
            processors: CpuSet32(u32::MAX),
            group: None,
            priority: 0,
            max_outstanding: 8,
            anchor: anchored.then_some(anchor),
        })
    }

    pub(super) fn allocate(&self, request: ChannelRequest) -> Result<Result<Line, AllocateError>, NotPassed> {
        let client = Arc::new(Client::default());
        let before = self.provider.handles.lock().len();
        let id = self.started.id();
        match self.interface.allocate_channel(id, request, client.clone(), &passive()?) {
            Err(error) => Ok(Err(error)),
            Ok(channel) => Ok(Ok(Line { channel, handle: self.provider.handle(before)?, client })),
        }
    }

    /// A channel without an anchor.
    pub(super) fn line(&self) -> Result<Line, NotPassed> {
        self.line_with(false)
    }

    pub(super) fn line_with(&self, anchored: bool) -> Result<Line, NotPassed> {
        let number = self.provider.handles.lock().len();
        Ok(self.allocate(self.request(number, anchored)?)??)
    }

    /// Starts the slots.
    pub(super) fn start(&self, line: &Line, slots: std::ops::Range<u64>) -> Result<Submitted, NotPassed> {
        let (first, descriptors) = self.chain(slots)?;
        Ok(line.channel.start(&Chain { first, descriptors: &descriptors }, &passive()?)?)
    }

    /// Appends the slots.
    pub(super) fn append(&self, line: &Line, slots: std::ops::Range<u64>) -> Result<Submitted, NotPassed> {
        let (first, descriptors) = self.chain(slots)?;
        Ok(line.channel.append(&Chain { first, descriptors: &descriptors }, &passive()?)?)
    }

    /// The place of the first of the slots, and their addresses.
    pub(super) fn chain(
        &self,
        slots: std::ops::Range<u64>,
    ) -> Result<(DmaLocation, Vec<DescriptorAddr>), NotPassed> {
        let first = DmaLocation::new(self.memory.clone(), offset(slots.start), 64, 64)?;
        Ok((first, slots.map(slot).collect()))
    }

    /// The provider's DPC reports `last`, or with none that something is wrong.
    pub(super) fn report(&self, line: &Line, last: Option<DescriptorAddr>) {
        irql::at_dispatch(|level| self.interface.net_dma_interrupt_dpc(&line.handle, last, level));
    }

    /// The provider's ISR reports `latest`.
    pub(super) fn isr(&self, line: &Line, latest: DescriptorAddr) -> CpuNumber {
        irql::at_dirql(|level| self.interface.net_dma_isr(&line.handle, latest, level))
    }
}

fn offset(index: u64) -> usize {
    usize::try_from(slot(index).get() - IOVA).expect("slots are near")
}
