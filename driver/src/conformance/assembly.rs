//! An engine put together through the raw contract, as `client::Driver` does it, and channels whose chains a check
//! lays by hand: for checks that must see each call and each word by itself.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ioat_spec::ChannelRegister;
use ioat_spec::descriptor::DESCRIPTOR_SIZE;
use ioat_spec::register::channel_base;
use ioat_stage::pause::deadline;
use ioat_stage::{Bell, NoTrace, Pause, Trace};
use zerocopy::{FromBytes, IntoBytes};

use super::bench::NotPassed;
use super::watched::Watched;
use crate::contract::{
    AllocateError, AnchorSlot, Chain, ChannelRequest, ChannelState, Completed, CompletionLocation,
    ControlFlags, CpuSet32, DescriptorAddr, DmaLocation, NetDmaChannel, NetDmaClient, NetDmaDescriptor,
    NetDmaInterface, NetDmaVersion, ProviderChannelContext, ProviderHandle, Started, Submitted,
};
use crate::hw::{Device, DmaBuffer, Space};
use crate::ioat::{IoatProvider, ProviderOptions};
use crate::irql::{AtDispatch, AtPassive};
use crate::ndis::lock::SpinLock;
use crate::ndis::{Interrupt, Processors, ndis_m_register_interrupt_ex};

/// Liveness only: an engine that takes this long has hung.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// Descriptor slots of a channel; what is laid there stays until the channel is given back.
const SLOTS: usize = 8192;

/// The flags of a descriptor that tells everything: completion value and interrupt.
pub(super) const TELLS: ControlFlags =
    ControlFlags::INTERRUPT_ON_COMPLETION.with(ControlFlags::STATUS_UPDATE_ON_COMPLETION);

/// The level of a check.
pub(super) fn passive() -> Result<AtPassive, NotPassed> {
    AtPassive::claim().ok_or_else(|| NotPassed::Failed("a check does not run at PASSIVE_LEVEL".into()))
}

/// A failed check.
pub(super) fn failed(what: impl Into<String>) -> NotPassed {
    NotPassed::Failed(what.into())
}

/// How to put an engine together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// Processors of the DPC engine.
    pub(super) processors: u32,
    /// The contract version to register; none for the provider's own.
    pub(super) version: Option<NetDmaVersion>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { processors: 4, version: None }
    }
}

/// Processors, interface, provider and interrupt of one engine. Taken apart in the opposite order.
pub(super) struct Assembly {
    pub(super) device: Device,
    pub(super) interface: Arc<NetDmaInterface>,
    pub(super) provider: Arc<IoatProvider>,
    /// What the interface asked of it.
    pub(super) watched: Arc<Watched>,
    pub(super) processors: Arc<Processors>,
    started: Option<ProviderHandle<Started>>,
    interrupt: Option<Interrupt>,
    /// A channel could not be stopped: Stop would wait for it forever.
    wild: Cell<bool>,
}

impl Assembly {
    /// Puts the engine together with four processors and the provider's own version.
    pub(super) fn new(device: Device) -> Result<Self, NotPassed> {
        Self::with(device, Setup::default())
    }

    /// Puts the engine together.
    pub(super) fn with(device: Device, setup: Setup) -> Result<Self, NotPassed> {
        Self::traced(device, setup, Arc::new(NoTrace))
    }

    /// Puts the engine together; what the driver's stages do goes to `trace`.
    pub(super) fn traced(device: Device, setup: Setup, trace: Arc<dyn Trace>) -> Result<Self, NotPassed> {
        let level = passive()?;
        let interface = NetDmaInterface::new(device.pause.clone(), setup.processors);
        let mut options = ProviderOptions::default();
        options.version = setup.version.unwrap_or(options.version);
        let provider = IoatProvider::with_options(&device, interface.clone(), options)?;
        let processors = Processors::start(setup.processors, device.pause.clone(), trace)?;
        let mut characteristics = provider.characteristics();
        if let Some(version) = setup.version {
            characteristics.version = version;
        }
        if characteristics.version < NetDmaVersion::V2_0 {
            // Neither is there before (contract 1.5.4).
            characteristics.friendly_name = None;
            characteristics.dca_supported = false;
        }
        let watched = Watched::new(provider.clone(), device.pause.clone());
        let registered = interface.register_provider(watched.clone(), characteristics, &level)?;
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
        let (started, interrupt) = (Some(started), Some(interrupt));
        let wild = Cell::new(false);
        Ok(Self { device, interface, provider, watched, processors, started, interrupt, wild })
    }

    /// Zeroed memory that the engine reaches.
    pub(super) fn memory(&self, len: usize) -> Result<Arc<DmaBuffer>, NotPassed> {
        Ok(Arc::new(self.device.memory.allocate(len)?))
    }

    /// A channel for whatever processor.
    pub(super) fn channel(&self) -> Result<Taken<'_>, NotPassed> {
        self.channel_on(CpuSet32(u32::MAX))
    }

    /// A channel for one of `processors`.
    pub(super) fn channel_on(&self, processors: CpuSet32) -> Result<Taken<'_>, NotPassed> {
        let Asked { net, word, told, slots } = self.ask(processors)?;
        let net = Arc::new(net?);
        let context = self.provider.channel_at(word.physical());
        let context = context.ok_or_else(|| failed("the provider does not know the channel"))?;
        Ok(Taken {
            assembly: self,
            net,
            context,
            told,
            slots,
            word,
            laid: Cell::new(0),
            keep: RefCell::default(),
        })
    }

    /// Asks for a channel, which may be refused.
    pub(super) fn ask(&self, processors: CpuSet32) -> Result<Asked, NotPassed> {
        let word = CompletionLocation::new(self.memory(DESCRIPTOR_SIZE)?, 0)?;
        let told = Arc::new(Told {
            done: AtomicU64::new(0),
            attentions: AtomicU64::new(0),
            reports: SpinLock::default(),
            bell: Bell::new(),
            pause: self.device.pause.clone(),
        });
        let slots = self.memory(SLOTS * DESCRIPTOR_SIZE + 4096)?;
        let request = ChannelRequest {
            completion: word.clone(),
            processors,
            group: None,
            priority: 0,
            max_outstanding: SLOTS,
            anchor: Some(AnchorSlot::new(slots.clone(), SLOTS * DESCRIPTOR_SIZE)?),
        };
        let started = self.started.as_ref().ok_or_else(|| failed("the provider is not started"))?;
        let net = self.interface.allocate_channel(started.id(), request, told.clone(), &passive()?);
        Ok(Asked { net, word, told, slots })
    }

    /// Waits until `holds`, looking once a millisecond.
    pub(super) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Result<(), NotPassed> {
        let until = deadline(&*self.device.pause, LONG);
        while !holds() {
            if self.device.pause.now_ns() >= until {
                return Err(failed(format!("{what}: not within {LONG:?}")));
            }
            self.device.pause.sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        let Some(level) = AtPassive::claim() else { return };
        if let (Some(started), false) = (self.started.take(), self.wild.get()) {
            started.stop(&level).deregister(&level);
        }
        if let Some(interrupt) = self.interrupt.take() {
            interrupt.deregister(&level);
        }
    }
}

/// What became of asking for a channel.
pub(super) struct Asked {
    pub(super) net: Result<NetDmaChannel, AllocateError>,
    pub(super) word: CompletionLocation,
    told: Arc<Told>,
    slots: Arc<DmaBuffer>,
}

/// What a channel's client was told. The DPC stores and rings.
pub(super) struct Told {
    done: AtomicU64,
    attentions: AtomicU64,
    reports: SpinLock<Vec<Completed>>,
    bell: Bell,
    pause: Arc<dyn Pause>,
}

impl Told {
    /// The number of the last finished descriptor.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Reports without a descriptor.
    pub(super) fn attentions(&self) -> u64 {
        self.attentions.load(Ordering::Acquire)
    }

    /// Every report so far.
    pub(super) fn reports(&self) -> Vec<Completed> {
        self.reports.lock().clone()
    }
}

impl NetDmaClient for Told {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        self.reports.lock().push(completed);
        self.done.fetch_max(completed.sequence, Ordering::AcqRel);
        self.pause.ring(&self.bell);
    }

    fn attention(&self, _: &AtDispatch) {
        self.attentions.fetch_add(1, Ordering::AcqRel);
        self.pause.ring(&self.bell);
    }
}

/// A channel, its descriptor slots and its completion word. Reset and given back in the end.
pub(super) struct Taken<'a> {
    pub(super) assembly: &'a Assembly,
    pub(super) net: Arc<NetDmaChannel>,
    pub(super) context: ProviderChannelContext,
    pub(super) told: Arc<Told>,
    slots: Arc<DmaBuffer>,
    pub(super) word: CompletionLocation,
    /// Slots that are laid; the next chain begins behind them.
    laid: Cell<usize>,
    /// What the engine may still use when a check fails in the middle.
    keep: RefCell<Vec<Arc<DmaBuffer>>>,
}

/// A chain in memory.
#[derive(Clone, Debug)]
pub(super) struct Laid {
    /// Its descriptors in order.
    pub(super) addresses: Vec<DescriptorAddr>,
    first: DmaLocation,
}

impl Laid {
    /// As the interface takes it.
    pub(super) fn chain(&self) -> Chain<'_> {
        Chain { first: self.first.clone(), descriptors: &self.addresses }
    }

    /// Its last descriptor.
    pub(super) fn last(&self) -> DescriptorAddr {
        *self.addresses.last().expect("no chain is laid without descriptors")
    }
}

impl Taken<'_> {
    /// Data memory that lives as long as the channel.
    pub(super) fn memory(&self, len: usize) -> Result<Arc<DmaBuffer>, NotPassed> {
        let buffer = self.assembly.memory(len)?;
        self.keep.borrow_mut().push(buffer.clone());
        Ok(buffer)
    }

    /// Lays a 2.0 chain behind what is there: each descriptor links to the next slot, the last one to the slot
    /// where the next chain will be (ND-P8).
    pub(super) fn lay(&self, descriptors: &[NetDmaDescriptor]) -> Result<Laid, NotPassed> {
        self.lay_at(self.laid.get(), descriptors)
    }

    /// As [`Self::lay`], but the chain ends with a link of zero, as in 1.x (C-CH-05).
    pub(super) fn lay_ended(&self, descriptors: &[NetDmaDescriptor]) -> Result<Laid, NotPassed> {
        let laid = self.lay(descriptors)?;
        self.link(laid.last(), 0)?;
        Ok(laid)
    }

    /// As [`Self::lay`], from `slot` on.
    pub(super) fn lay_at(&self, slot: usize, descriptors: &[NetDmaDescriptor]) -> Result<Laid, NotPassed> {
        self.laid.set(self.laid.get().max(slot + descriptors.len()));
        lay_in(&self.slots, slot, descriptors)
    }

    /// The descriptor at `address` as it is now.
    pub(super) fn read(&self, address: DescriptorAddr) -> Result<NetDmaDescriptor, NotPassed> {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        self.slots.read(self.offset(address)?, &mut bytes)?;
        NetDmaDescriptor::read_from_bytes(&bytes).map_err(|_| failed("a descriptor of another size"))
    }

    /// Overwrites the descriptor at `address`, link included.
    pub(super) fn write(&self, address: DescriptorAddr, to: &NetDmaDescriptor) -> Result<(), NotPassed> {
        Ok(self.slots.write(self.offset(address)?, to.as_bytes())?)
    }

    /// Changes NextDescriptor of the descriptor at `address`, in one store.
    pub(super) fn link(&self, address: DescriptorAddr, next: u64) -> Result<(), NotPassed> {
        Ok(self.slots.store_u64(self.offset(address)? + 0x18, next)?)
    }

    /// Start.
    pub(super) fn start(&self, laid: &Laid) -> Result<Submitted, NotPassed> {
        Ok(self.net.start(&laid.chain(), &passive()?)?)
    }

    /// Append.
    pub(super) fn append(&self, laid: &Laid) -> Result<Submitted, NotPassed> {
        Ok(self.net.append(&laid.chain(), &passive()?)?)
    }

    /// Lays a chain, starts it, and waits for the report of its last descriptor, which must ask for one.
    pub(super) fn run(&self, descriptors: &[NetDmaDescriptor]) -> Result<Laid, NotPassed> {
        let laid = self.lay(descriptors)?;
        let submitted = self.start(&laid)?;
        self.finished(submitted)?;
        Ok(laid)
    }

    /// Waits until the last descriptor of a submission is reported.
    pub(super) fn finished(&self, submitted: Submitted) -> Result<(), NotPassed> {
        let until = deadline(&*self.assembly.device.pause, LONG);
        loop {
            let seen = self.told.bell.seen();
            if self.told.done() >= submitted.last_sequence {
                return Ok(());
            }
            if self.told.attentions() > 0 {
                let fault = self.assembly.provider.fault(self.context);
                return Err(failed(format!("the channel failed: {fault:?}")));
            }
            if self.assembly.device.pause.now_ns() >= until {
                return Err(failed(format!(
                    "descriptor {} not reported within {LONG:?}: {} are, the completion value is {:#x}",
                    submitted.last_sequence,
                    self.told.done(),
                    self.word.load().0
                )));
            }
            self.assembly.device.pause.wait(&self.told.bell, seen, Some(until));
        }
    }

    /// A register of the channel, read in one access of its width.
    pub(super) fn register(&self, register: ChannelRegister) -> Result<u64, NotPassed> {
        let channel = usize::try_from(self.context.0).map_err(|_| failed("a channel number"))?;
        let offset = channel_base(channel) + register.offset();
        let mut value = [0; 8];
        let part =
            value.get_mut(..register.width()).ok_or_else(|| failed("a register of 8 bytes at most"))?;
        self.assembly.device.registers.read(Space::BAR0, offset, part)?;
        Ok(u64::from_le_bytes(value))
    }

    fn offset(&self, address: DescriptorAddr) -> Result<usize, NotPassed> {
        let offset = address.get().wrapping_sub(self.slots.iova());
        usize::try_from(offset).map_err(|_| failed(format!("{address} is no slot")))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let Some(level) = AtPassive::claim() else { return };
        let give_back = || self.net.reset(&level).and_then(|()| self.net.free(&level)).is_ok();
        if self.net.state() == ChannelState::Freed || give_back() {
            return;
        }
        // It does not stop by itself, so the whole function is made to; then the book can be closed.
        let stopped = self.assembly.device.registers.reset().is_ok();
        if !stopped || !give_back() {
            self.assembly.wild.set(true);
        }
        if !stopped {
            // The engine may still write all of it.
            std::mem::forget((self.slots.clone(), self.word.clone(), self.keep.take()));
        }
    }
}

/// Lays a chain in memory of the check's own, each descriptor linked to the slot behind it.
pub(super) fn lay_in(
    slots: &Arc<DmaBuffer>,
    slot: usize,
    descriptors: &[NetDmaDescriptor],
) -> Result<Laid, NotPassed> {
    let first = DmaLocation::new(slots.clone(), slot * DESCRIPTOR_SIZE, DESCRIPTOR_SIZE, DESCRIPTOR_SIZE)?;
    let mut addresses = Vec::with_capacity(descriptors.len());
    for (slot, descriptor) in (slot..).zip(descriptors) {
        let own = slots.iova() + (slot * DESCRIPTOR_SIZE) as u64;
        let linked = NetDmaDescriptor { next: own + DESCRIPTOR_SIZE as u64, ..*descriptor };
        slots.write(slot * DESCRIPTOR_SIZE, linked.as_bytes())?;
        addresses.push(DescriptorAddr::new(own).ok_or_else(|| failed("slots are not aligned"))?);
    }
    if addresses.is_empty() {
        return Err(failed("a check lays an empty chain"));
    }
    Ok(Laid { addresses, first })
}

/// A copy of `len` bytes between places of two buffers.
pub(super) fn copy(from: (&DmaBuffer, usize), to: (&DmaBuffer, usize), len: u32) -> NetDmaDescriptor {
    NetDmaDescriptor {
        size: len,
        source: from.0.iova() + from.1 as u64,
        destination: to.0.iova() + to.1 as u64,
        ..NetDmaDescriptor::default()
    }
}

/// A NULL descriptor: with the valid fields of `like`, as the contract asks (1.4.1).
pub(super) fn null(like: NetDmaDescriptor) -> NetDmaDescriptor {
    with(like, ControlFlags::NULL_TRANSFER)
}

/// The same descriptor with more flags.
pub(super) fn with(descriptor: NetDmaDescriptor, flags: ControlFlags) -> NetDmaDescriptor {
    NetDmaDescriptor { control: descriptor.control | flags.0, ..descriptor }
}
