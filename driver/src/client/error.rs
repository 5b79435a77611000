//! What a program gets instead of a result.

use std::sync::Arc;
use std::time::Duration;

use ioat_spec::ChanErr;

use crate::contract::{AllocateError, ChannelError, RegisterError, StartError};
use crate::hw::HwError;
use crate::ioat::{Fault, IoatError};
use crate::ndis::{InterruptError, ProcessorsError};

/// Why an engine was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine cannot be identified or brought up.
    #[error(transparent)]
    Ioat(#[from] IoatError),
    /// The DPC workers cannot be started.
    #[error(transparent)]
    Processors(#[from] ProcessorsError),
    /// The interface refused the provider.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The interrupts cannot be had.
    #[error(transparent)]
    Interrupt(#[from] InterruptError),
    /// The interface refused to start the provider.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Called from an interrupt service routine or a DPC.
    #[error("an engine can be opened at PASSIVE_LEVEL only")]
    NotPassive,
}

/// Why an operation failed. After [`Self::Timeout`], [`Self::Halted`], [`Self::BadCompletion`] and
/// [`Self::DeviceGone`] the channel has been reset, everything pending on it has failed, and new work is
/// welcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It did not finish in time.
    #[error("not finished after {} ms", .waited.as_millis())]
    Timeout {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The engine stopped with these error bits.
    #[error("the engine halted, CHANERR is {chanerr}")]
    Halted {
        /// CHANERR.
        chanerr: ChanErr,
    },
    /// The engine reported a descriptor that is not under way.
    #[error("the engine reported {address:#x}, where no descriptor is under way")]
    BadCompletion {
        /// The completion word without its status bits.
        address: u64,
    },
    /// The device does not answer.
    #[error("the device is gone")]
    DeviceGone,
    /// The engine neither stopped nor came out of reset.
    #[error("the engine did not stop when it was told to")]
    Stuck,
    /// The channel was aborted or reset, or failed because of another operation.
    #[error("aborted: the channel was reset")]
    Aborted,
    /// A range is not inside its buffer.
    #[error("{len} bytes at offset {offset} are not inside a buffer of {size} bytes")]
    OutOfRange {
        /// Where it begins.
        offset: usize,
        /// Its bytes.
        len: usize,
        /// The buffer's bytes.
        size: usize,
    },
    /// The two sides of a scatter-gather copy differ.
    #[error("segments of {from} bytes cannot fill segments of {to} bytes")]
    SegmentLengths {
        /// Bytes of the source's segments.
        from: u64,
        /// Bytes of the destination's.
        to: u64,
    },
    /// There is no room for it now.
    #[error("{wanted} descriptors do not fit, {free} ring slots are free")]
    RingFull {
        /// Descriptors in the batch.
        wanted: usize,
        /// Free slots.
        free: usize,
    },
    /// The engine has no such operation.
    #[error("the engine offers no {0}")]
    NotOffered(&'static str),
    /// The ring's size is no power of two between 2 and 65,536.
    #[error("a ring of {0} slots: it must be a power of two, 2 to 65536")]
    RingSize(usize),
    /// Called from an interrupt service routine or a DPC.
    #[error("this waits, and can be called at PASSIVE_LEVEL only")]
    NotPassive,
    /// No channel could be had.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
    /// The contract forbids it now, or the provider refused.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The event that tells of completions could not be had.
    #[error("no event for completions: {0}")]
    Event(Arc<std::io::Error>),
    /// Memory could not be had.
    #[error(transparent)]
    Memory(Arc<HwError>),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Halted { chanerr } => Self::Halted { chanerr },
            Fault::BadCompletion { word } => {
                Self::BadCompletion { address: word & ioat_spec::ChanSts::ADDRESS_MASK }
            }
            Fault::Stuck => Self::Stuck,
            Fault::Gone => Self::DeviceGone,
        }
    }
}

impl From<HwError> for Error {
    fn from(error: HwError) -> Self {
        match error {
            HwError::Gone(_) => Self::DeviceGone,
            other => Self::Memory(Arc::new(other)),
        }
    }
}
