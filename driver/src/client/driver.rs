//! An open engine: processors, interface, provider and interrupt, in the order in which Windows builds them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::sync::Mutex;
use ioat_stage::{FaultBook, NoTrace, Pause, Placement, Trace};

use super::channel::Channel;
use super::shared::Shared;
use super::{Error, OpenError};
use crate::contract::{CpuSet32, NetDmaInterface, ProviderHandle, Started};
use crate::hw::{Device, DmaBuffer};
use crate::ioat::{Identity, IoatProvider, ProviderOptions};
use crate::irql::AtPassive;
use crate::ndis::{
    Interrupt, InterruptType, MessageCounts, MessageInfoTable, NoSuchMessage, ProcessorCounts, Processors,
    ProcessorsOptions, Queued, ndis_m_register_interrupt_ex,
};

/// How to open an engine.
#[derive(Clone)]
pub struct Options {
    /// Processors: DPC workers, 1 to 32, each pinned to the CPU of its number where that exists.
    pub processors: u32,
    /// Where the driver's stages (isr, queue, dpc) leave their events.
    pub trace: Arc<dyn Trace>,
    /// How long a waiter trusts the interrupt before it looks for itself; two looks that find the same
    /// completion without a DPC make a lost interrupt.
    pub watchdog: Duration,
    /// How long the calls that take no time limit wait.
    pub timeout: Duration,
    /// What goes wrong in the driver's own stages, by the rules of `isr`, `queue` and `dpc`: for experiments. None costs nothing.
    pub faults: Option<Arc<FaultBook>>,
}

impl Default for Options {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self {
            processors: u32::try_from(cpus).unwrap_or(1).clamp(1, 32),
            trace: Arc::new(NoTrace),
            watchdog: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            faults: None,
        }
    }
}

/// How a channel's client learns that its work is finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CompletionMode {
    /// The engine interrupts, and a DPC reports. Waiting costs no processor.
    #[default]
    Interrupt,
    /// No descriptor asks for an interrupt: whoever waits, or calls [`Channel::poll`](super::Channel::poll), looks at the
    /// completion word. The shortest latency, for a processor that has nothing else to do.
    Polled,
}

/// How to take a channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelOptions {
    /// Processors on which its DPC may run; the interface prefers a channel whose interrupt goes to one of them.
    pub affinity: CpuSet32,
    /// Slots of the descriptor ring, a power of two from 2 to 65,536. One stays free.
    pub ring_slots: usize,
    /// The first DPC of each batch asks for one more DPC on each of these processors but its own, and the last
    /// of them re-enables the interrupt. Nothing is copied faster by that: it shows the mechanism.
    pub spread: CpuSet32,
    /// How completions come.
    pub completion: CompletionMode,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        let completion = CompletionMode::default();
        Self { affinity: CpuSet32(u32::MAX), ring_slots: 1024, spread: CpuSet32::EMPTY, completion }
    }
}

/// An open engine. Channels keep it open.
#[derive(Clone)]
pub struct Driver(Arc<Open>);

/// What an open engine is made of.
pub(super) struct Open {
    pub(super) device: Device,
    pub(super) options: Options,
    pub(super) interface: Arc<NetDmaInterface>,
    pub(super) provider: Arc<IoatProvider>,
    processors: Arc<Processors>,
    started: Mutex<Option<ProviderHandle<Started>>>,
    interrupt: Mutex<Option<Interrupt>>,
    /// Memory of channels that could not be stopped: the engine may still write it.
    undead: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Driver {
    /// Identifies the engine, brings it up, and starts it as a provider.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the driver is left then.
    pub fn open(device: Device, options: Options) -> Result<Self, OpenError> {
        let level = AtPassive::claim().ok_or(OpenError::NotPassive)?;
        let pause = device.pause.clone();
        let interface = NetDmaInterface::new(pause.clone(), options.processors);
        let of_provider = ProviderOptions::default();
        let provider = IoatProvider::traced(&device, interface.clone(), of_provider, options.trace.clone())?;
        let of_processors = ProcessorsOptions { faults: options.faults.clone(), ..Default::default() };
        let processors =
            Processors::start_with(options.processors, of_processors, pause, options.trace.clone())?;
        // AddDevice: the interface says where each channel's interrupt shall go (ND-F1 to ND-F3).
        let registered = interface.register_provider(provider.clone(), provider.characteristics(), &level)?;
        // Start-device: interrupts, then the services (ND-F4).
        let build = |handle| provider.interrupt_characteristics(handle);
        let source = device.interrupts.clone();
        let interrupt = match ndis_m_register_interrupt_ex(&processors, source, build, &level) {
            Ok(interrupt) => interrupt,
            Err(error) => {
                registered.deregister(&level);
                return Err(error.into());
            }
        };
        let started = registered.start(provider.attributes(), &level).map_err(|(registered, error)| {
            registered.deregister(&level);
            error
        })?;
        Ok(Self(Arc::new(Open {
            device,
            options,
            interface,
            provider,
            processors,
            started: Mutex::new(Some(started)),
            interrupt: Mutex::new(Some(interrupt)),
            undead: Mutex::new(Vec::new()),
        })))
    }

    /// Takes a channel.
    ///
    /// # Errors
    /// [`Error::Allocate`] when none is free, [`Error::RingSize`], [`Error::Memory`], [`Error::DeviceGone`].
    pub fn channel(&self, options: ChannelOptions) -> Result<Channel, Error> {
        Shared::allocate(self.0.clone(), &options).map(Channel::new)
    }

    /// Zeroed memory of at least `len` bytes (whole pages) that this engine reaches.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::DeviceGone`].
    pub fn allocate(&self, len: usize) -> Result<Arc<DmaBuffer>, Error> {
        Ok(Arc::new(self.0.device.memory.allocate(len)?))
    }

    /// Which engine it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.0.provider.identity()
    }

    /// The device's name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.device.name
    }

    /// `NdisMQueueDpc` by hand, for diagnosis: asks for the DPC of `message` on each of `targets`, and gives the set of those
    /// where it was really queued: not where it was queued already (QD-3), nor on a processor that is not there (QD-8).
    /// The first of them reports what the message's channels have finished, as after an interrupt.
    ///
    /// # Errors
    /// When there is no such message; nothing is queued then.
    #[doc(alias = "NdisMQueueDpc")]
    pub fn queue_dpc(&self, message: u32, targets: CpuSet32) -> Result<Queued, NoSuchMessage> {
        let look = targets.iter().find(|cpu| cpu.0 < self.0.options.processors);
        self.0.provider.request_dpc(message, targets, look)
    }

    /// What happened on each processor so far: DPCs run, queued, refused.
    #[must_use]
    pub fn processors(&self) -> Vec<ProcessorCounts> {
        self.0.processors.counts()
    }

    /// Where each processor's worker runs.
    #[must_use]
    pub fn placements(&self) -> Vec<Placement> {
        self.0.processors.placements().to_vec()
    }

    /// What happened on each message so far.
    #[must_use]
    pub fn messages(&self) -> Vec<MessageCounts> {
        self.0.interrupt.lock().as_ref().map(Interrupt::counts).unwrap_or_default()
    }

    /// Which kind of interrupt was granted: messages, or the line; none while the engine is being closed.
    #[must_use]
    pub fn interrupt_type(&self) -> Option<InterruptType> {
        self.0.interrupt.lock().as_ref().map(Interrupt::interrupt_type)
    }

    /// Where each message's service routine runs, and where the kernel delivers it.
    #[must_use]
    pub fn message_info(&self) -> Option<MessageInfoTable> {
        self.0.interrupt.lock().as_ref().and_then(|interrupt| interrupt.message_info().cloned())
    }
}

impl Open {
    pub(super) fn pause(&self) -> &dyn Pause {
        &*self.device.pause
    }

    /// Keeps memory that the engine may still write, until the whole function is reset.
    pub(super) fn bury(&self, memory: Box<dyn Any + Send>) {
        self.undead.lock().push(memory);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let undead = std::mem::take(&mut *self.undead.lock());
        let (started, interrupt) = (self.started.lock().take(), self.interrupt.lock().take());
        let Some(level) = AtPassive::claim() else {
            log::error!("{}: closed above PASSIVE_LEVEL: its engine stays as it is", self.device.name);
            std::mem::forget(undead);
            return;
        };
        // Every channel has been freed by its owner, or could not be stopped; then Stop would wait for it forever.
        if let (Some(started), true) = (started, undead.is_empty()) {
            started.stop(&level).deregister(&level);
        }
        if let Some(interrupt) = interrupt {
            interrupt.deregister(&level);
        }
        if undead.is_empty() {
            return;
        }
        match self.device.registers.reset() {
            Ok(()) => drop(undead),
            Err(error) => {
                log::warn!("{}: {error}; the memory that its engine may write is kept", self.device.name);
                std::mem::forget(undead);
            }
        }
    }
}
