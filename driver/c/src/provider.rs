//! A provider written in C, as the interface sees it: each of its callbacks.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use netdma::contract::raw::{NetDmaChannelCpuAffinity, NetDmaChannelParameters};
use netdma::contract::{
    AbortDma, ChannelCpuAffinity, ChannelParameters, DescriptorAddr, FirstDescriptor, NetDmaChannelHandle,
    NetDmaProvider, NetDmaStatus, NtStatus, ProviderChannelContext, ProviderHandle, Registered, ResetChannel,
    SetDmaChannelCpuAffinity, Started, SuspendResume,
};
use netdma::irql::{AtMostDispatch, AtPassive};

use crate::handle::{Handle, Kind, Table};
use crate::host::Host;
use crate::netdma_types::{DMA_RESUME_HANDLER, DMA_START_HANDLER, NET_DMA_PROVIDER_CHARACTERISTICS};
use crate::report::violation;
use crate::wdm_types::{NTSTATUS, PHYSICAL_ADDRESS, PVOID, STATUS_SUCCESS};

/// The registered ones.
pub(crate) static PROVIDERS: Table<ProviderRow> = Table::new(Kind::Provider);

/// Channels that a provider has been given.
pub(crate) static CHANNELS: Table<Channel> = Table::new(Kind::Channel);

/// A registered provider.
pub(crate) struct ProviderRow {
    pub(crate) host: Arc<Host>,
    pub(crate) phase: Mutex<Phase>,
}

/// Where it stands (contract 1.9).
pub(crate) enum Phase {
    Registered(ProviderHandle<Registered>),
    Started(ProviderHandle<Started>),
    /// A call that may block is under way.
    Changing,
}

/// A channel that a provider has been given.
pub(crate) struct Channel {
    pub(crate) host: Arc<Host>,
    pub(crate) handle: NetDmaChannelHandle,
    /// ProviderChannelContext, as a bare address: it is C's, and nobody here follows it.
    context: AtomicUsize,
}

/// The callbacks. The entries that must be there were checked at registration.
pub(crate) struct CProvider {
    host: Arc<Host>,
    context: usize,
    table: NET_DMA_PROVIDER_CHARACTERISTICS,
}

// SAFETY: the structure holds C's own addresses (its device object, its name), which nothing here follows after
// registration, and functions that the contract calls from any thread.
unsafe impl Send for CProvider {}
// SAFETY: as above; all fields are read-only.
unsafe impl Sync for CProvider {}

impl CProvider {
    /// A provider with what was checked.
    pub(crate) fn new(host: Arc<Host>, context: PVOID, table: NET_DMA_PROVIDER_CHARACTERISTICS) -> Self {
        Self { host, context: context.expose_provenance(), table }
    }

    fn context(&self) -> PVOID {
        std::ptr::with_exposed_provenance_mut(self.context)
    }
}

impl NetDmaProvider for CProvider {
    fn set_affinity(&self) -> Option<&dyn SetDmaChannelCpuAffinity> {
        self.table.SetDmaChannelCpuAffinity.map(|_| self as _)
    }

    fn allocate_dma_channel(
        &self,
        parameters: &mut ChannelParameters,
        channel: NetDmaChannelHandle,
        _: &dyn AtMostDispatch,
    ) -> Result<ProviderChannelContext, NetDmaStatus> {
        let row =
            Arc::new(Channel { host: self.host.clone(), handle: channel, context: AtomicUsize::new(0) });
        let handle = CHANNELS.insert(row.clone());
        let mut raw = NetDmaChannelParameters::new(parameters);
        let mut context: PVOID = std::ptr::null_mut();
        // SAFETY: the function is C's promise (contract 1.8). Both pointers are to locals that outlive the call, and the
        // structure is laid out as the header's, which the compiler checked.
        let status = self.table.AllocateDmaChannel.map(|allocate| unsafe {
            allocate(self.context(), (&raw mut raw).cast(), handle.to_c(), &raw mut context)
        });
        match answer(status) {
            Ok(()) => {
                row.context.store(context.expose_provenance(), Ordering::Release);
                parameters.cpu_number = raw.chosen();
                Ok(ProviderChannelContext(handle.word()))
            }
            Err(status) => {
                CHANNELS.remove(handle);
                Err(status)
            }
        }
    }

    fn free_dma_channel(&self, channel: ProviderChannelContext, _: &dyn AtMostDispatch) {
        if let (Some(context), Some(free)) = (context_of(channel), self.table.FreeDmaChannel) {
            // SAFETY: the function is C's promise (contract 1.8), and the context is what it gave for this channel.
            unsafe { free(context) };
        }
        CHANNELS.remove(Handle::of_word(channel.0));
    }

    fn start_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        submit(self.table.StartDma, channel, first)
    }

    fn append_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        submit(self.table.AppendDma, channel, first)
    }

    fn suspend_resume(&self) -> Option<&dyn SuspendResume> {
        self.table.SuspendDma.map(|_| self as _)
    }

    fn abort(&self) -> Option<&dyn AbortDma> {
        self.table.AbortDma.map(|_| self as _)
    }

    fn reset(&self) -> Option<&dyn ResetChannel> {
        self.table.ResetChannel.map(|_| self as _)
    }
}

impl SetDmaChannelCpuAffinity for CProvider {
    fn set_dma_channel_cpu_affinity(
        &self,
        affinities: &[ChannelCpuAffinity],
        _: &AtPassive,
    ) -> Result<(), NetDmaStatus> {
        let mut raw: Vec<_> = affinities.iter().copied().map(NetDmaChannelCpuAffinity::from).collect();
        let bytes = u32::try_from(size_of_val(&*raw)).map_err(|_| NetDmaStatus::RESOURCES)?;
        // SAFETY: the function is C's promise (contract 1.8); the array outlives the call and has so many bytes (ND-P1).
        let status = self
            .table
            .SetDmaChannelCpuAffinity
            .map(|set| unsafe { set(self.context(), raw.as_mut_ptr().cast(), bytes) });
        answer(status)
    }
}

impl SuspendResume for CProvider {
    fn suspend_dma(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<Option<DescriptorAddr>, NetDmaStatus> {
        let context = context_of(channel).ok_or(NetDmaStatus::UNSUCCESSFUL)?;
        let mut last = PHYSICAL_ADDRESS::default();
        // SAFETY: the function is C's promise (contract 1.8); the out parameter is a local.
        answer(self.table.SuspendDma.map(|suspend| unsafe { suspend(context, &raw mut last) }))?;
        Ok(DescriptorAddr::new(last.bits()))
    }

    fn resume_dma(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        plain(self.table.ResumeDma, channel)
    }
}

impl AbortDma for CProvider {
    fn abort_dma(&self, channel: ProviderChannelContext, _: &dyn AtMostDispatch) -> Result<(), NetDmaStatus> {
        plain(self.table.AbortDma, channel)
    }
}

impl ResetChannel for CProvider {
    fn reset_channel(
        &self,
        channel: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        plain(self.table.ResetChannel, channel)
    }
}

fn submit(
    call: DMA_START_HANDLER,
    channel: ProviderChannelContext,
    first: &FirstDescriptor,
) -> Result<(), NetDmaStatus> {
    let context = context_of(channel).ok_or(NetDmaStatus::UNSUCCESSFUL)?;
    let descriptor = first.location().virtual_address().cast();
    let address = PHYSICAL_ADDRESS::of(first.physical().get());
    // SAFETY: the function is C's promise (contract 1.8). The descriptor lies in DMA memory that the client keeps until
    // the channel is freed (1.10); the engine may write it, and so may C.
    answer(call.map(|call| unsafe { call(context, descriptor, address, first.count()) }))
}

/// Resume, Abort and Reset: they look alike.
fn plain(call: DMA_RESUME_HANDLER, channel: ProviderChannelContext) -> Result<(), NetDmaStatus> {
    let context = context_of(channel).ok_or(NetDmaStatus::UNSUCCESSFUL)?;
    // SAFETY: the function is C's promise (contract 1.8), and the context is what it gave for this channel.
    answer(call.map(|call| unsafe { call(context) }))
}

fn context_of(channel: ProviderChannelContext) -> Option<*mut c_void> {
    let row = CHANNELS.get(Handle::of_word(channel.0))?;
    Some(std::ptr::with_exposed_provenance_mut(row.context.load(Ordering::Acquire)))
}

/// A callback's answer: the pages permit success and two errors (1.8).
fn answer(status: Option<NTSTATUS>) -> Result<(), NetDmaStatus> {
    let unsuccessful = NetDmaStatus::UNSUCCESSFUL;
    match status.map(|status| NtStatus(u32::from_ne_bytes(status.to_ne_bytes()))) {
        Some(NtStatus::SUCCESS) => Ok(()),
        Some(NtStatus::INSUFFICIENT_RESOURCES) => Err(NetDmaStatus::RESOURCES),
        Some(status) if status == unsuccessful.status() => Err(unsuccessful),
        Some(status) => {
            violation("a provider callback", "contract 1.8", format_args!("answered {status}"));
            Err(unsuccessful)
        }
        None => Err(unsuccessful),
    }
}

const _: () = assert!(STATUS_SUCCESS == 0);
