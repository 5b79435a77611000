//! Power notifications (contract 1.13), and whether a provider's channels take work.

use ioat_stage::sync::atomic::{AtomicU8, Ordering};

use super::breach::IrqlBreach;
use super::version::NetDmaVersion;

/// NET_DMA_PNP_NOTIFICATION_CODE (contract 1.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "NET_DMA_PNP_NOTIFICATION_CODE")]
pub enum PnpNotificationCode {
    /// To clients only.
    #[doc(alias = "NetDmaNotificationProviderRegistered")]
    ProviderRegistered = 1,
    /// To clients only.
    #[doc(alias = "NetDmaNotificationProviderArrival")]
    ProviderArrival = 2,
    /// To clients only.
    #[doc(alias = "NetDmaNotificationProviderRemoval")]
    ProviderRemoval = 3,
    /// To clients only.
    #[doc(alias = "NetDmaNotificationChannelArrival")]
    ChannelArrival = 4,
    /// From a provider, before its device leaves the working state (ND-W1).
    #[doc(alias = "NetDmaNotificationProviderPowerDown")]
    ProviderPowerDown = 5,
    /// From a provider, after its device is back (ND-W2).
    #[doc(alias = "NetDmaNotificationProviderPowerUp")]
    ProviderPowerUp = 6,
}

impl PnpNotificationCode {
    /// `NetDmaNotificationMax`: the first number that is no code.
    pub const MAX: i32 = 7;

    /// The code of a number.
    #[must_use]
    pub const fn new(raw: i32) -> Option<Self> {
        Some(match raw {
            1 => Self::ProviderRegistered,
            2 => Self::ProviderArrival,
            3 => Self::ProviderRemoval,
            4 => Self::ChannelArrival,
            5 => Self::ProviderPowerDown,
            6 => Self::ProviderPowerUp,
            _ => return None,
        })
    }
}

/// What a provider may tell the interface (`NetDmaPnPEventNotify`): the two codes that go this way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "NET_DMA_PNP_NOTIFICATION")]
pub enum PnPEvent {
    /// The device is about to leave the working state.
    PowerDown,
    /// The device is back in the working state.
    PowerUp,
}

/// Why a power notification was refused; nothing has changed then, unless it says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PowerError {
    /// The call exists from 1.1 on (ND-W3).
    #[error("NetDmaPnPEventNotify by a provider of version {0}: it exists from 1.1 on (ND-W3)")]
    Version(NetDmaVersion),
    /// The provider is in that power state already (contract 1.9).
    #[error("{0:?}: the provider has told that already (contract 1.9)")]
    Repeated(PnPEvent),
    /// Stop has begun (contract 1.9).
    #[error("{0:?}: the provider is stopping (contract 1.9)")]
    Stopping(PnPEvent),
    /// At a wrong level.
    #[error(transparent)]
    Irql(#[from] IrqlBreach),
}

/// Whether work is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Registered and not started, or stopping.
    Closed = 0,
    /// Started.
    Open = 1,
    /// Told to power down; what is outstanding ends.
    Draining = 2,
    /// Out of the working state: the provider is asked for nothing but to free.
    Down = 3,
}

/// One provider's access, read by its channels.
#[derive(Debug)]
pub(super) struct Gate(AtomicU8);

impl Gate {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Access::Closed as u8))
    }

    pub(super) fn get(&self) -> Access {
        match self.0.load(Ordering::Acquire) {
            1 => Access::Open,
            2 => Access::Draining,
            3 => Access::Down,
            _ => Access::Closed,
        }
    }

    pub(super) fn set(&self, access: Access) {
        self.0.store(access as u8, Ordering::Release);
    }
}
