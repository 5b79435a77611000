//! The NetDMA interface: providers register with it, clients get channels from it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use ioat_stage::Pause;
use ioat_stage::sync::Mutex;
use ioat_stage::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::DescriptorAddr;
use super::channel::{NetDmaChannel, NetDmaChannelHandle, Shared};
use super::client::NetDmaClient;
use super::completion::CompletionLocation;
use super::cpu::{CpuNumber, CpuSet32};
use super::provider::{
    ChannelCpuAffinity, ChannelParameters, NetDmaProvider, NetDmaVersion, ProviderAttributes,
    ProviderCharacteristics,
};
use super::status::NetDmaStatus;
use crate::irql::{AtDirql, AtDispatch, AtMostDispatch, AtPassive};
use crate::ndis::lock::LevelLock;

/// The middle.
pub struct NetDmaInterface {
    pause: Arc<dyn Pause>,
    processors: u32,
    providers: Mutex<Vec<Arc<Provider>>>,
    next_channel: AtomicU64,
    next_provider: AtomicU64,
}

/// Which provider, for clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProviderId(u64);

/// Why a provider was not registered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegisterError {
    /// Its version is above the interface's (ND-V1).
    #[error("provider version {provider} is above the interface's {interface}")]
    Version {
        /// Of the provider.
        provider: NetDmaVersion,
        /// Of the interface.
        interface: NetDmaVersion,
    },
    /// From 2.0 on a friendly name must be there.
    #[error("a provider of version {0} needs a friendly name")]
    NoFriendlyName(NetDmaVersion),
    /// It refused its channels' affinities.
    #[error("the channels' affinities were refused: {0}")]
    Affinity(#[source] NetDmaStatus),
}

/// Why a provider was not started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// A descriptor must be able to move a page.
    #[error("a maximum transfer of {0} bytes is below the contract's 4096")]
    TransferSize(u32),
    /// More channels than it registered for.
    #[error("{channels} channels are more than the {max} registered")]
    Channels {
        /// Channels now.
        channels: u32,
        /// The registered bound.
        max: u32,
    },
}

/// Why no channel was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AllocateError {
    /// No such provider, or it is not started (ND-F4).
    #[error("the provider is not started")]
    NotStarted,
    /// No processor of the mask exists.
    #[error("no processor of {mask:?} is among the {processors} there are")]
    NoProcessor {
        /// What was asked for.
        mask: CpuSet32,
        /// How many there are.
        processors: u32,
    },
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] NetDmaStatus),
    /// The provider said success but named no processor of the mask (C-CH-01, C-CH-02).
    #[error("the provider allocated a channel without a processor of {mask:?}: {chosen:?}")]
    WrongProcessor {
        /// What was asked for.
        mask: CpuSet32,
        /// What it named.
        chosen: Option<CpuNumber>,
    },
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct ChannelRequest {
    /// Where completion values go.
    pub completion: CompletionLocation,
    /// Acceptable processors.
    pub processors: CpuSet32,
    /// Higher is more urgent.
    pub priority: u32,
    /// The most descriptors that will ever be outstanding; memory for them is set aside.
    pub max_outstanding: usize,
}

impl NetDmaInterface {
    /// The interface's own version.
    pub const VERSION: NetDmaVersion = NetDmaVersion::V2_0;

    /// An interface that spreads channels over `processors` processors.
    #[must_use]
    pub fn new(pause: Arc<dyn Pause>, processors: u32) -> Arc<Self> {
        Arc::new(Self {
            pause,
            processors: processors.max(1),
            providers: Mutex::new(Vec::new()),
            next_channel: AtomicU64::new(0),
            next_provider: AtomicU64::new(0),
        })
    }

    /// `NetDmaGetVersion`: major in the high half, minor in the low (ND-F8).
    #[must_use]
    #[doc(alias = "NetDmaGetVersion")]
    pub fn net_dma_get_version(&self, _: &AtPassive) -> u32 {
        u32::from(Self::VERSION.major) << 16 | u32::from(Self::VERSION.minor)
    }

    /// `NetDmaRegisterProvider`. Before it returns, the provider is told the processors of all its channels
    /// (ND-F1, ND-F2).
    ///
    /// # Errors
    /// [`RegisterError`].
    #[doc(alias = "NetDmaRegisterProvider")]
    pub fn register_provider(
        self: &Arc<Self>,
        provider: Arc<dyn NetDmaProvider>,
        characteristics: ProviderCharacteristics,
        level: &AtPassive,
    ) -> Result<ProviderHandle<Registered>, RegisterError> {
        let version = characteristics.version;
        if version > Self::VERSION {
            return Err(RegisterError::Version { provider: version, interface: Self::VERSION });
        }
        if version >= NetDmaVersion::V2_0 && characteristics.friendly_name.is_none() {
            return Err(RegisterError::NoFriendlyName(version));
        }
        let affinities: Vec<_> = (0..characteristics.max_dma_channel_count)
            .map(|channel| ChannelCpuAffinity {
                dma_channel: channel,
                cpu_number: CpuNumber(channel % self.processors),
            })
            .collect();
        provider.set_dma_channel_cpu_affinity(&affinities, level).map_err(RegisterError::Affinity)?;
        let entry = Arc::new(Provider {
            id: ProviderId(self.next_provider.fetch_add(1, Ordering::Relaxed)),
            provider,
            characteristics,
            life: LevelLock::new(self.pause.clone()),
            accepting: Arc::new(AtomicBool::new(false)),
            inner: Mutex::new(Inner { attributes: None, channels: Vec::new() }),
        });
        self.providers.lock().push(entry.clone());
        Ok(ProviderHandle { interface: self.clone(), entry, phase: PhantomData })
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
        let entry = self.providers.lock().iter().find(|entry| entry.id == provider).cloned();
        let entry = entry.ok_or(AllocateError::NotStarted)?;
        let _life = entry.life.lock();
        if !entry.accepting.load(Ordering::Acquire) {
            return Err(AllocateError::NotStarted);
        }
        let mask = request.processors.and(CpuSet32::first(self.processors));
        if mask.is_empty() {
            let (mask, processors) = (request.processors, self.processors);
            return Err(AllocateError::NoProcessor { mask, processors });
        }
        let shared = Shared::new(
            self.next_channel.fetch_add(1, Ordering::Relaxed),
            entry.provider.clone(),
            client,
            entry.accepting.clone(),
            request.max_outstanding,
            self.pause.clone(),
        );
        let mut parameters = ChannelParameters {
            completion: request.completion,
            processor_affinity_mask: mask,
            channel_priority: request.priority,
            cpu_number: None,
        };
        let handle = NetDmaChannelHandle(shared.clone());
        let context = entry.provider.allocate_dma_channel(&mut parameters, handle, level)?;
        let chosen = parameters.cpu_number.filter(|cpu| mask.contains(*cpu));
        let Some(cpu) = chosen else {
            entry.provider.free_dma_channel(context, level);
            return Err(AllocateError::WrongProcessor { mask, chosen: parameters.cpu_number });
        };
        shared.allocated(context, cpu);
        let mut inner = entry.inner.lock();
        inner.channels.retain(|channel| !channel.is_freed());
        inner.channels.push(shared.clone());
        Ok(NetDmaChannel(shared))
    }

    /// `NetDmaIsr`: the ISR names the latest completed descriptor and learns the processor of its DPC
    /// (ND-I3 to ND-I5). Not before any completion (ND-I14): there is no address to pass then.
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
        write!(f, "NetDmaInterface({})", Self::VERSION)
    }
}

struct Provider {
    id: ProviderId,
    provider: Arc<dyn NetDmaProvider>,
    characteristics: ProviderCharacteristics,
    /// Held across allocation and the phases of Stop.
    life: LevelLock,
    /// Started, and not stopping.
    accepting: Arc<AtomicBool>,
    inner: Mutex<Inner>,
}

struct Inner {
    attributes: Option<ProviderAttributes>,
    channels: Vec<Arc<Shared>>,
}

/// The phase of a provider that may start and deregister.
#[derive(Debug)]
pub enum Registered {}

/// The phase of a provider that serves clients.
#[derive(Debug)]
pub enum Started {}

/// A registered provider; its phase is in its type (contract 1.9), so Deregister before Stop does not compile.
#[must_use = "a provider that is dropped stays registered"]
pub struct ProviderHandle<Phase> {
    interface: Arc<NetDmaInterface>,
    entry: Arc<Provider>,
    phase: PhantomData<Phase>,
}

impl<Phase> ProviderHandle<Phase> {
    /// What clients call it.
    #[must_use]
    pub fn id(&self) -> ProviderId {
        self.entry.id
    }

    fn become_phase<Next>(self) -> ProviderHandle<Next> {
        ProviderHandle { interface: self.interface, entry: self.entry, phase: PhantomData }
    }
}

impl ProviderHandle<Registered> {
    /// `NetDmaProviderStart`: every channel is initialised and every callback serviceable (ND-F4).
    ///
    /// # Errors
    /// The handle comes back, with [`StartError`].
    #[doc(alias = "NetDmaProviderStart")]
    pub fn start(
        self,
        attributes: ProviderAttributes,
        _: &AtPassive,
    ) -> Result<ProviderHandle<Started>, (Self, StartError)> {
        let max = self.entry.characteristics.max_dma_channel_count;
        let (channels, size) = (attributes.dma_channel_count, attributes.maximum_transfer_size);
        if size < 4096 {
            return Err((self, StartError::TransferSize(size)));
        }
        if channels > max {
            return Err((self, StartError::Channels { channels, max }));
        }
        self.entry.inner.lock().attributes = Some(attributes);
        self.entry.accepting.store(true, Ordering::Release);
        Ok(self.become_phase())
    }

    /// `NetDmaDeregisterProvider`.
    #[doc(alias = "NetDmaDeregisterProvider")]
    pub fn deregister(self, _: &AtPassive) {
        let id = self.entry.id;
        self.interface.providers.lock().retain(|entry| entry.id != id);
    }
}

impl ProviderHandle<Started> {
    /// `NetDmaProviderStop`: waits until nothing is outstanding, frees every channel, and returns (ND-F5). The
    /// interrupt path must work meanwhile. A channel whose engine is dead settles by abort or reset.
    #[doc(alias = "NetDmaProviderStop")]
    pub fn stop(self, level: &AtPassive) -> ProviderHandle<Registered> {
        self.entry.accepting.store(false, Ordering::Release);
        // An allocation that began before has ended when this is ours.
        let life = self.entry.life.lock();
        let channels = std::mem::take(&mut self.entry.inner.lock().channels);
        for channel in channels {
            loop {
                let seen = channel.settled.seen();
                // Freed by its client meanwhile counts as freed.
                match channel.free(level) {
                    Err(super::ChannelError::Busy(_)) => {}
                    _ => break,
                }
                self.interface.pause.wait(&channel.settled, seen, None);
            }
        }
        self.entry.inner.lock().attributes = None;
        drop(life);
        self.become_phase()
    }
}

impl<Phase> fmt::Debug for ProviderHandle<Phase> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderHandle({:?}, {})", self.entry.id, self.entry.characteristics.device)
    }
}
