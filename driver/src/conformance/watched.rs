//! A provider with a witness: every callback that the interface makes is written down before the real one is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use ioat_stage::Pause;

use crate::contract::{
    AbortDma, Call, ChannelParameters, DescriptorAddr, FirstDescriptor, NetDmaChannelHandle, NetDmaProvider,
    NetDmaStatus, ProviderChannelContext, ResetChannel, SetDmaChannelCpuAffinity, SuspendResume,
};
use crate::irql::AtMostDispatch;
use crate::ndis::lock::SpinLock;

/// One callback on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Callback {
    pub(super) call: Call,
    pub(super) channel: ProviderChannelContext,
    /// Of Start and Append: DescriptorPhysicalAddress and DescriptorCount.
    pub(super) first: Option<(DescriptorAddr, u32)>,
}

/// The witness.
pub(super) struct Watched {
    inner: Arc<dyn NetDmaProvider>,
    pause: Arc<dyn Pause>,
    callbacks: SpinLock<Vec<Callback>>,
    /// Callbacks under way, by channel.
    inside: [AtomicU32; 32],
    overlaps: AtomicU64,
    lingers: AtomicBool,
}

impl Watched {
    pub(super) fn new(inner: Arc<dyn NetDmaProvider>, pause: Arc<dyn Pause>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            pause,
            callbacks: SpinLock::default(),
            inside: Default::default(),
            overlaps: AtomicU64::new(0),
            lingers: AtomicBool::new(false),
        })
    }

    /// Every callback on `channel` so far.
    pub(super) fn callbacks(&self, channel: ProviderChannelContext) -> Vec<Callback> {
        self.callbacks.lock().iter().filter(|callback| callback.channel == channel).copied().collect()
    }

    /// Callbacks that began while another one on the same channel was under way.
    pub(super) fn overlaps(&self) -> u64 {
        self.overlaps.load(Ordering::Acquire)
    }

    /// From now on each callback takes long enough for another one to come in between.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Release);
    }

    fn witness<R>(&self, callback: Callback, run: impl FnOnce() -> R) -> R {
        self.callbacks.lock().push(callback);
        let index = usize::try_from(callback.channel.0).unwrap_or_default() % self.inside.len();
        if self.inside[index].fetch_add(1, Ordering::AcqRel) > 0 {
            self.overlaps.fetch_add(1, Ordering::AcqRel);
        }
        if self.lingers.load(Ordering::Acquire) {
            self.pause.sleep(Duration::from_micros(200));
        }
        let result = run();
        self.inside[index].fetch_sub(1, Ordering::AcqRel);
        result
    }
}

fn on(call: Call, channel: ProviderChannelContext) -> Callback {
    Callback { call, channel, first: None }
}

fn with(call: Call, channel: ProviderChannelContext, first: &FirstDescriptor) -> Callback {
    Callback { call, channel, first: Some((first.physical(), first.count())) }
}

impl NetDmaProvider for Watched {
    fn set_affinity(&self) -> Option<&dyn SetDmaChannelCpuAffinity> {
        self.inner.set_affinity()
    }

    fn allocate_dma_channel(
        &self,
        parameters: &mut ChannelParameters,
        channel: NetDmaChannelHandle,
        level: &dyn AtMostDispatch,
    ) -> Result<ProviderChannelContext, NetDmaStatus> {
        self.inner.allocate_dma_channel(parameters, channel, level)
    }

    fn free_dma_channel(&self, channel: ProviderChannelContext, level: &dyn AtMostDispatch) {
        self.witness(on(Call::Free, channel), || self.inner.free_dma_channel(channel, level));
    }

    fn start_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.witness(with(Call::Start, channel, first), || self.inner.start_dma(channel, first, level))
    }

    fn append_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.witness(with(Call::Append, channel, first), || self.inner.append_dma(channel, first, level))
    }

    fn suspend_resume(&self) -> Option<&dyn SuspendResume> {
        self.inner.suspend_resume().map(|_| self as &dyn SuspendResume)
    }

    fn abort(&self) -> Option<&dyn AbortDma> {
        self.inner.abort().map(|_| self as &dyn AbortDma)
    }

    fn reset(&self) -> Option<&dyn ResetChannel> {
        self.inner.reset().map(|_| self as &dyn ResetChannel)
    }
}

/// The inner provider lost a capability that it had.
const LOST: NetDmaStatus = NetDmaStatus::UNSUCCESSFUL;

impl SuspendResume for Watched {
    fn suspend_dma(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<Option<DescriptorAddr>, NetDmaStatus> {
        let inner = self.inner.suspend_resume().ok_or(LOST)?;
        self.witness(on(Call::Suspend, channel), || inner.suspend_dma(channel, level))
    }

    fn resume_dma(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        let inner = self.inner.suspend_resume().ok_or(LOST)?;
        self.witness(on(Call::Resume, channel), || inner.resume_dma(channel, level))
    }
}

impl AbortDma for Watched {
    fn abort_dma(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        let inner = self.inner.abort().ok_or(LOST)?;
        self.witness(on(Call::Abort, channel), || inner.abort_dma(channel, level))
    }
}

impl ResetChannel for Watched {
    fn reset_channel(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        let inner = self.inner.reset().ok_or(LOST)?;
        self.witness(on(Call::Reset, channel), || inner.reset_channel(channel, level))
    }
}
