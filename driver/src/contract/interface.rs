//! The NetDMA interface: providers register with it, clients get channels from it.

use std::fmt;
use std::sync::Arc;

use ioat_stage::Pause;
use ioat_stage::sync::Mutex;
use ioat_stage::sync::atomic::{AtomicU64, Ordering};

use super::DescriptorAddr;
use super::allocate::{AllocateError, ChannelRequest};
use super::breach;
use super::channel::{NetDmaChannel, NetDmaChannelHandle};
use super::client::NetDmaClient;
use super::cpu::CpuNumber;
use super::handle::{Provider, ProviderHandle, Registered};
use super::provider::{ChannelCpuAffinity, NetDmaProvider, ProviderAttributes, ProviderCharacteristics};
use super::register::RegisterError;
use super::version::{InterfaceRevision, NetDmaVersion};
use crate::irql::{AtDirql, AtDispatch, AtMostDispatch, AtPassive};

/// The middle.
pub struct NetDmaInterface {
    pub(super) pause: Arc<dyn Pause>,
    pub(super) options: InterfaceOptions,
    pub(super) providers: Mutex<Vec<Arc<Provider>>>,
    pub(super) next_channel: AtomicU64,
    next_provider: AtomicU64,
}

/// What kind of interface it is.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceOptions {
    /// Which of those that shipped.
    pub revision: InterfaceRevision,
    /// Processors there are: it spreads channels over them. Numbers go on from group to group (MT-5).
    pub processors: u32,
    /// The system has MSI-X: a registering provider is told its channels' processors (ND-F2).
    pub message_interrupts: bool,
    /// The APIC id of a processor, for DCA (ND-A3).
    pub apic_id: fn(CpuNumber) -> u8,
}

impl Default for InterfaceOptions {
    fn default() -> Self {
        Self {
            revision: InterfaceRevision::default(),
            processors: 1,
            message_interrupts: true,
            // Eight bits is all that the descriptor has.
            apic_id: |cpu| cpu.0.to_le_bytes()[0],
        }
    }
}

/// Which provider, for clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProviderId(pub(super) u64);

impl NetDmaInterface {
    /// An interface of the last revision that spreads channels over `processors` processors.
    #[must_use]
    pub fn new(pause: Arc<dyn Pause>, processors: u32) -> Arc<Self> {
        Self::with(pause, InterfaceOptions { processors, ..InterfaceOptions::default() })
    }

    /// An interface as `options` say.
    #[must_use]
    pub fn with(pause: Arc<dyn Pause>, options: InterfaceOptions) -> Arc<Self> {
        Arc::new(Self {
            pause,
            options: InterfaceOptions { processors: options.processors.max(1), ..options },
            providers: Mutex::new(Vec::new()),
            next_channel: AtomicU64::new(0),
            next_provider: AtomicU64::new(0),
        })
    }

    /// The highest version that it serves.
    #[must_use]
    pub fn version(&self) -> NetDmaVersion {
        self.options.revision.version()
    }

    /// `NetDmaGetVersion`: major in the high half, minor in the low (ND-F8). An interface of 1.0 does not have it: not
    /// found means 1.0 (ND-V3).
    #[must_use]
    #[doc(alias = "NetDmaGetVersion")]
    pub fn net_dma_get_version(&self, _: &AtPassive) -> Option<u32> {
        (self.options.revision > InterfaceRevision::Vista).then(|| self.version().word())
    }

    /// `NetDmaRegisterProvider`. Before it returns, the provider is told the processors of all its channels
    /// (ND-F1, ND-F2). The interface keeps a copy of the characteristics.
    ///
    /// # Errors
    /// [`RegisterError`]; the provider is not registered then.
    #[doc(alias = "NetDmaRegisterProvider")]
    pub fn register_provider(
        self: &Arc<Self>,
        provider: Arc<dyn NetDmaProvider>,
        characteristics: ProviderCharacteristics,
        level: &AtPassive,
    ) -> Result<ProviderHandle<Registered>, RegisterError> {
        let checked = breach::passive("NetDmaRegisterProvider", "contract 1.7").map_err(RegisterError::from);
        let checked = checked.and_then(|()| characteristics.check(self.options.revision));
        checked.inspect_err(|error| log::warn!("{}: not registered: {error}", characteristics.device))?;
        let setter = provider.set_affinity().filter(|_| self.options.message_interrupts);
        if let Some(setter) = setter {
            let affinities: Vec<_> = (0..characteristics.max_dma_channel_count)
                .map(|channel| ChannelCpuAffinity {
                    dma_channel: channel,
                    cpu_number: CpuNumber(channel % self.options.processors),
                })
                .collect();
            setter.set_dma_channel_cpu_affinity(&affinities, level).map_err(RegisterError::Affinity)?;
        }
        let id = ProviderId(self.next_provider.fetch_add(1, Ordering::Relaxed));
        let entry = Arc::new(Provider::new(id, provider, characteristics, self.pause.clone()));
        self.providers.lock().push(entry.clone());
        Ok(ProviderHandle::registered(self.clone(), entry))
    }

    /// The started providers, for clients.
    #[must_use]
    pub fn providers(&self) -> Vec<(ProviderId, ProviderCharacteristics, ProviderAttributes)> {
        let providers = self.providers.lock();
        let started = providers.iter().filter_map(|entry| {
            let attributes = entry.inner.lock().attributes?;
            Some((entry.id, entry.characteristics.clone(), attributes))
        });
        started.collect()
    }

    /// A channel of `provider` for `client`.
    ///
    /// # Errors
    /// [`AllocateError`].
    pub fn allocate_channel(
        &self,
        provider: ProviderId,
        request: ChannelRequest,
        client: Arc<dyn NetDmaClient>,
        level: &dyn AtMostDispatch,
    ) -> Result<NetDmaChannel, AllocateError> {
        breach::at_most_dispatch("AllocateDmaChannel")?;
        let entry = self.providers.lock().iter().find(|entry| entry.id == provider).cloned();
        let entry = entry.ok_or(AllocateError::NotStarted)?;
        entry.allocate(self, request, client, level)
    }

    /// `NetDmaIsr`: the ISR names the latest completed descriptor and learns the processor of its DPC
    /// (ND-I3 to ND-I5). Not before any completion (ND-I14): there is no address to pass then.
    ///
    /// The address is a number, not a reference to a descriptor (C-ND-01):
    ///
    /// ```compile_fail,E0308
    /// # use netdma::contract::{NetDmaChannelHandle, NetDmaDescriptor, NetDmaInterface};
    /// # use netdma::irql::AtDirql;
    /// fn isr(i: &NetDmaInterface, c: &NetDmaChannelHandle, d: &NetDmaDescriptor, at: &AtDirql) {
    ///     let _cpu = i.net_dma_isr(c, d, at);
    /// }
    /// ```
    ///
    /// and it must be there (C-ND-02):
    ///
    /// ```compile_fail,E0308
    /// # use netdma::contract::{NetDmaChannelHandle, NetDmaInterface};
    /// # use netdma::irql::AtDirql;
    /// fn isr(i: &NetDmaInterface, c: &NetDmaChannelHandle, at: &AtDirql) {
    ///     let _cpu = i.net_dma_isr(c, None, at);
    /// }
    /// ```
    ///
    /// The processor must be used, for the DPC runs there (C-ND-05):
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// # use netdma::contract::{DescriptorAddr, NetDmaChannelHandle, NetDmaInterface};
    /// # use netdma::irql::AtDirql;
    /// fn isr(i: &NetDmaInterface, c: &NetDmaChannelHandle, d: DescriptorAddr, at: &AtDirql) {
    ///     i.net_dma_isr(c, d, at);
    /// }
    /// ```
    ///
    /// A DPC cannot call it (C-ND-08):
    ///
    /// ```compile_fail,E0308
    /// # use netdma::contract::{DescriptorAddr, NetDmaChannelHandle, NetDmaInterface};
    /// # use netdma::irql::AtDispatch;
    /// fn dpc(i: &NetDmaInterface, c: &NetDmaChannelHandle, d: DescriptorAddr, at: &AtDispatch) {
    ///     let _cpu = i.net_dma_isr(c, d, at);
    /// }
    /// ```
    #[doc(alias = "NetDmaIsr")]
    pub fn net_dma_isr(
        &self,
        channel: &NetDmaChannelHandle,
        latest: DescriptorAddr,
        _: &AtDirql,
    ) -> CpuNumber {
        channel.0.isr(latest)
    }

    /// `NetDmaInterruptDpc`: the DPC names the latest completed descriptor, read in the DPC (ND-I9). Every
    /// pending descriptor up to it in chain order is finished (ND-C7); one that was reported before finishes
    /// nothing (ND-I10). `None` is the contract's zero: the DPC came for another reason, an error, and nothing
    /// is finished (ND-I8). It cannot fail (ND-I11).
    ///
    /// Read the completion value and report it under one lock per channel: a report that another processor
    /// overtakes could name a descriptor that the client has meanwhile used again.
    ///
    /// An ISR cannot call it (C-ND-07):
    ///
    /// ```compile_fail,E0308
    /// # use netdma::contract::{DescriptorAddr, NetDmaChannelHandle, NetDmaInterface};
    /// # use netdma::irql::AtDirql;
    /// fn isr(i: &NetDmaInterface, c: &NetDmaChannelHandle, d: DescriptorAddr, at: &AtDirql) {
    ///     i.net_dma_interrupt_dpc(c, Some(d), at);
    /// }
    /// ```
    ///
    /// and there is nothing to ask about its success (C-ND-13):
    ///
    /// ```compile_fail,E0277
    /// # use netdma::contract::{NetDmaChannelHandle, NetDmaInterface};
    /// # use netdma::irql::AtDispatch;
    /// fn dpc(i: &NetDmaInterface, c: &NetDmaChannelHandle, at: &AtDispatch) -> Option<()> {
    ///     i.net_dma_interrupt_dpc(c, None, at)?;
    ///     None
    /// }
    /// ```
    #[doc(alias = "NetDmaInterruptDpc")]
    pub fn net_dma_interrupt_dpc(
        &self,
        channel: &NetDmaChannelHandle,
        latest: Option<DescriptorAddr>,
        level: &AtDispatch,
    ) {
        channel.0.interrupt_dpc(latest, level);
    }
}

impl fmt::Debug for NetDmaInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetDmaInterface({:?}, {})", self.options.revision, self.version())
    }
}
