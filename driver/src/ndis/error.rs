//! Why an interrupt is not registered, or a call on one is refused.

use super::handlers::InterruptType;
use super::raw::{NDIS_STATUS_FAILURE, NDIS_STATUS_INVALID_PARAMETER};
use super::raw::{NDIS_STATUS_RESOURCE_CONFLICT, NDIS_STATUS_RESOURCES};
use crate::contract::NtStatus;
use crate::hw::HwError;

/// Why an interrupt was not registered.
#[derive(Debug, thiserror::Error)]
pub enum InterruptError {
    /// The hardware refused.
    #[error(transparent)]
    Hardware(#[from] HwError),
    /// The system gave no thread for a message.
    #[error("cannot start the service thread of message {message}: {source}")]
    Spawn {
        /// Which.
        message: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// An affinity names a processor that is not there.
    #[error("message {message} wants processor {processor}, but there are {processors}")]
    NoSuchProcessor {
        /// The message.
        message: usize,
        /// The processor.
        processor: u32,
        /// How many there are.
        processors: u32,
    },
    /// The device offers nothing that the handlers could serve (IR-3).
    #[error(
        "nothing to connect to: the device has {vectors} vectors and no line, message handlers are {}",
        if *.message_handlers { "given" } else { "not given" }
    )]
    NothingToConnect {
        /// Message vectors of the device.
        vectors: u32,
        /// There are handlers for them.
        message_handlers: bool,
    },
}

impl InterruptError {
    /// The status word that NDIS would give.
    #[must_use]
    pub fn status(&self) -> NtStatus {
        match self {
            Self::Hardware(_) => NDIS_STATUS_FAILURE,
            Self::Spawn { .. } => NDIS_STATUS_RESOURCES,
            Self::NoSuchProcessor { .. } => NDIS_STATUS_INVALID_PARAMETER,
            Self::NothingToConnect { .. } => NDIS_STATUS_RESOURCE_CONFLICT,
        }
    }

    /// The clause behind it.
    #[must_use]
    pub fn clause(&self) -> &'static str {
        match self {
            Self::Hardware(_) | Self::Spawn { .. } => "2.3",
            Self::NoSuchProcessor { .. } => "2.2",
            Self::NothingToConnect { .. } => "IR-3",
        }
    }
}

/// The number is beyond the message table (QD-6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("message {message} of an interrupt that has {messages}")]
pub struct NoSuchMessage {
    /// The number.
    pub message: u32,
    /// How many there are.
    pub messages: u32,
}

/// The call is for the other type of interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{call} is for a {needed} interrupt, and this one is {found} (contract {clause})")]
pub struct WrongInterruptType {
    /// The call.
    pub call: &'static str,
    /// The type it is for.
    pub needed: InterruptType,
    /// What was granted.
    pub found: InterruptType,
    /// Where the contract says so.
    pub clause: &'static str,
}
