//! A registered provider's life: start, stop, power, deregister (contract 1.7 and 1.9).

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::pause::deadline;
use ioat_stage::sync::Mutex;
use ioat_stage::{Pause, Wake};

use super::breach;
use super::client::ChannelError;
use super::interface::{NetDmaInterface, ProviderId};
use super::power::{Access, Gate, PnPEvent, PowerError};
use super::provider::{NetDmaProvider, ProviderAttributes, ProviderCharacteristics};
use super::register::StartError;
use super::shared::Shared;
use crate::irql::AtPassive;
use crate::ndis::lock::LevelLock;

/// A provider in the interface.
pub(super) struct Provider {
    pub(super) id: ProviderId,
    pub(super) provider: Arc<dyn NetDmaProvider>,
    pub(super) characteristics: ProviderCharacteristics,
    /// Held across allocation, the phases of Stop, and the parts of a power transition that do not wait.
    pub(super) life: LevelLock,
    pub(super) gate: Arc<Gate>,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) attributes: Option<ProviderAttributes>,
    pub(super) channels: Vec<Arc<Shared>>,
}

impl Provider {
    pub(super) fn new(
        id: ProviderId,
        provider: Arc<dyn NetDmaProvider>,
        characteristics: ProviderCharacteristics,
        pause: Arc<dyn Pause>,
    ) -> Self {
        Self {
            id,
            provider,
            characteristics,
            life: LevelLock::new(pause),
            gate: Arc::new(Gate::new()),
            inner: Mutex::new(Inner { attributes: None, channels: Vec::new() }),
        }
    }

    fn channels(&self) -> Vec<Arc<Shared>> {
        let inner = self.inner.lock();
        inner.channels.iter().filter(|channel| !channel.is_freed()).cloned().collect()
    }
}

/// The phase of a provider that may start and deregister.
#[derive(Debug)]
pub enum Registered {}

/// The phase of a provider that serves clients.
#[derive(Debug)]
pub enum Started {}

/// A registered provider; its phase is in its type (contract 1.9), so Deregister before Stop does not compile
/// (C-PR-08):
///
/// ```compile_fail,E0599
/// # use netdma::contract::{ProviderHandle, Started};
/// # use netdma::irql::AtPassive;
/// fn remove(started: ProviderHandle<Started>, level: &AtPassive) {
///     started.deregister(level);
/// }
/// ```
///
/// nor does a second Start (ND-F9):
///
/// ```compile_fail,E0599
/// # use netdma::contract::{ProviderAttributes, ProviderHandle, Started};
/// # use netdma::irql::AtPassive;
/// fn again(started: ProviderHandle<Started>, attributes: ProviderAttributes, level: &AtPassive) {
///     let _ = started.start(attributes, level);
/// }
/// ```
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
    pub(super) fn registered(interface: Arc<NetDmaInterface>, entry: Arc<Provider>) -> Self {
        Self { interface, entry, phase: PhantomData }
    }

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
        let checked = breach::passive("NetDmaProviderStart", "contract 1.7").map_err(StartError::from);
        let max = self.entry.characteristics.max_dma_channel_count;
        if let Err(error) = checked.and_then(|()| attributes.check(max)) {
            log::warn!("{}: not started: {error}", self.entry.characteristics.device);
            return Err((self, error));
        }
        self.entry.inner.lock().attributes = Some(attributes);
        self.entry.gate.set(Access::Open);
        Ok(self.become_phase())
    }

    /// `NetDmaDeregisterProvider`.
    #[doc(alias = "NetDmaDeregisterProvider")]
    pub fn deregister(self, _: &AtPassive) {
        let id = self.entry.id;
        self.interface.providers.lock().retain(|entry| entry.id != id);
    }
}

/// Channels whose engine could not be stopped in time.
#[derive(Debug, thiserror::Error)]
#[error("channels {channels:?} have work outstanding, and neither abort nor reset ended it (ND-F5)")]
pub struct StopStuck {
    /// Still started, and taking no work: it may be told to stop again.
    pub handle: ProviderHandle<Started>,
    /// The channels' numbers.
    pub channels: Vec<u64>,
}

impl ProviderHandle<Started> {
    /// `NetDmaProviderStop`: waits until nothing is outstanding, frees every channel, and returns (ND-F5). The
    /// interrupt path must work meanwhile.
    ///
    /// With an engine that neither finishes nor lets itself be reset it never returns, as the contract says; see
    /// [`Self::stop_within`].
    #[doc(alias = "NetDmaProviderStop")]
    pub fn stop(self, level: &AtPassive) -> ProviderHandle<Registered> {
        self.entry.gate.set(Access::Closed);
        // An allocation that began before has ended when this is ours.
        let life = self.entry.life.lock();
        for channel in self.entry.channels() {
            self.free_when_idle(&channel, None, level);
        }
        self.end();
        drop(life);
        self.become_phase()
    }

    /// As [`Self::stop`], but work that is still outstanding after `limit` is aborted, and if the engine refuses that,
    /// the channel is reset. What even that does not end is left alone: its memory may still be written.
    ///
    /// # Errors
    /// [`StopStuck`], with the handle: the provider is not stopped. It takes no work any more, its other channels are
    /// freed, and the stuck ones' clients may still reset and free them.
    pub fn stop_within(
        self,
        limit: Duration,
        level: &AtPassive,
    ) -> Result<ProviderHandle<Registered>, StopStuck> {
        self.entry.gate.set(Access::Closed);
        let until = deadline(&*self.interface.pause, limit);
        let life = self.entry.life.lock();
        let mut stuck = Vec::new();
        for channel in self.entry.channels() {
            let freed = self.free_when_idle(&channel, Some(until), level)
                || (channel.end_by_force(level) && self.free_when_idle(&channel, Some(until), level));
            if !freed {
                stuck.push(channel.number);
            }
        }
        if !stuck.is_empty() {
            drop(life);
            return Err(StopStuck { handle: self, channels: stuck });
        }
        self.end();
        drop(life);
        Ok(self.become_phase())
    }

    /// True if the channel is freed; false if it had work until then.
    fn free_when_idle(&self, channel: &Shared, until_ns: Option<u64>, level: &AtPassive) -> bool {
        loop {
            let seen = channel.settled.seen();
            // Freed by its client meanwhile counts as freed.
            match channel.free(level) {
                Err(ChannelError::Busy(_)) => {}
                _ => return true,
            }
            if self.interface.pause.wait(&channel.settled, seen, until_ns) == Wake::TimedOut {
                return false;
            }
        }
    }

    fn end(&self) {
        let mut inner = self.entry.inner.lock();
        inner.attributes = None;
        inner.channels.clear();
    }

    /// `NetDmaPnPEventNotify`, from 1.1 on.
    ///
    /// `PowerDown` comes before the device leaves the working state: clients are told, submissions are refused, and it
    /// returns when nothing is outstanding any more (ND-W1). `PowerUp` comes when the device is back: the interface
    /// makes every channel ready with a Start of its own, then tells the clients to go on (ND-W2). A channel without
    /// [`super::ChannelRequest::anchor`], or whose Start was refused, needs a Start of its client's.
    ///
    /// # Errors
    /// [`PowerError`]; the power state is then what it was.
    #[doc(alias = "NetDmaPnPEventNotify")]
    pub fn pnp_event_notify(&self, event: PnPEvent, level: &AtPassive) -> Result<(), PowerError> {
        let version = self.entry.characteristics.version;
        let done = match breach::passive("NetDmaPnPEventNotify", "contract 1.7") {
            Err(breach) => Err(breach.into()),
            Ok(()) if !version.notifies_power() => Err(PowerError::Version(version)),
            Ok(()) if event == PnPEvent::PowerDown => self.power_down(level),
            Ok(()) => self.power_up(level),
        };
        done.inspect_err(|error| log::warn!("{}: {error}", self.entry.characteristics.device))
    }

    fn power_down(&self, level: &AtPassive) -> Result<(), PowerError> {
        let event = PnPEvent::PowerDown;
        let life = self.entry.life.lock();
        match self.entry.gate.get() {
            Access::Open => self.entry.gate.set(Access::Draining),
            Access::Closed => return Err(PowerError::Stopping(event)),
            Access::Draining | Access::Down => return Err(PowerError::Repeated(event)),
        }
        let channels = self.entry.channels();
        drop(life);
        for channel in &channels {
            channel.client.power_down(level);
        }
        for channel in &channels {
            channel.drain();
        }
        self.entry.gate.set(Access::Down);
        Ok(())
    }

    fn power_up(&self, level: &AtPassive) -> Result<(), PowerError> {
        let event = PnPEvent::PowerUp;
        let life = self.entry.life.lock();
        match self.entry.gate.get() {
            Access::Down => {}
            Access::Closed => return Err(PowerError::Stopping(event)),
            Access::Open | Access::Draining => return Err(PowerError::Repeated(event)),
        }
        let channels = self.entry.channels();
        for channel in &channels {
            channel.power_up(level);
        }
        self.entry.gate.set(Access::Open);
        drop(life);
        for channel in &channels {
            channel.client.power_up(level);
        }
        Ok(())
    }
}

impl<Phase> fmt::Debug for ProviderHandle<Phase> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderHandle({:?}, {})", self.entry.id, self.entry.characteristics.device)
    }
}
