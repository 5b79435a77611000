//! What can go wrong with an engine, and what the device said that cannot be.

use ioat_spec::{CbVer, ChanErr};

use crate::contract::{LocationError, NetDmaStatus};
use crate::hw::HwError;

/// Why an engine cannot be identified, brought up or driven.
#[derive(Debug, thiserror::Error)]
pub enum IoatError {
    /// The hardware could not be reached.
    #[error(transparent)]
    Hardware(#[from] HwError),
    /// A register reads all ones, which none of its values is: the device no longer answers.
    #[error("the device is gone: {register} reads all ones")]
    Gone {
        /// The register's name.
        register: &'static str,
    },
    /// The function is no I/OAT engine of version 3.
    #[error("PCI function {vendor:04x}:{device:04x} is no I/OAT v3 engine")]
    NotIoat {
        /// PCI vendor.
        vendor: u16,
        /// PCI device.
        device: u16,
    },
    /// The engine is of another version.
    #[error("the engine's version is {}.{}, this driver needs 3.x", .version.major(), .version.minor())]
    Version {
        /// CBVER.
        version: CbVer,
    },
    /// CHANCNT is 0, or more than the register map has room for.
    #[error("the engine claims {count} channels")]
    ChannelCount {
        /// CHANCNT.
        count: u8,
    },
    /// XFERCAP is not 12 to 20.
    #[error("the engine claims transfers of up to 2^{xfercap} bytes, expected 2^12 to 2^20")]
    TransferCapacity {
        /// XFERCAP.
        xfercap: u8,
    },
    /// Too few message vectors.
    #[error("the device offers {offered} MSI-X vectors, its {channels} channels need one each")]
    Vectors {
        /// What it offers.
        offered: u32,
        /// What is needed.
        channels: u32,
    },
    /// The reset bit of CHANCMD stays set.
    #[error("channel {channel} does not come out of reset in {waited_ms} ms")]
    ResetStuck {
        /// The channel.
        channel: u8,
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// CHANSTS does not show the state that a command leads to.
    #[error("channel {channel} does not stop in {waited_ms} ms after SUSPEND, CHANSTS is {chansts:#x}")]
    StopStuck {
        /// The channel.
        channel: u8,
        /// How long it was waited for.
        waited_ms: u64,
        /// What CHANSTS reads.
        chansts: u64,
    },
}

/// What stopped a channel's work, as the driver found it. The channel works again after a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// The engine stopped with these error bits.
    #[error("the engine halted, CHANERR is {chanerr}")]
    Halted {
        /// CHANERR.
        chanerr: ChanErr,
    },
    /// The completion word names no descriptor that is under way.
    #[error("the completion word {word:#x} names no descriptor that is under way")]
    BadCompletion {
        /// The word.
        word: u64,
    },
    /// Registers read all ones, or cannot be read.
    #[error("the device is gone")]
    Gone,
}

/// Why a chain was not given to the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChainError {
    /// A link leads out of the memory that the chain began in, or is misaligned.
    #[error("descriptor {index} of the chain links to {next:#x}: {source}")]
    Link {
        /// Which descriptor, from 0.
        index: u32,
        /// Where it links to.
        next: u64,
        /// What is wrong there.
        source: LocationError,
    },
    /// The engine has no such operation.
    #[error("the descriptor at {address:#x} asks for {what}, which this engine does not offer")]
    NotOffered {
        /// The descriptor.
        address: u64,
        /// What it asks for.
        what: &'static str,
    },
    /// Above XFERCAP.
    #[error("the descriptor at {address:#x} moves {size} bytes, the engine at most {limit}")]
    TooLong {
        /// The descriptor.
        address: u64,
        /// Its size.
        size: u32,
        /// XFERCAP in bytes.
        limit: u32,
    },
    /// DMACOUNT counts modulo 65536.
    #[error("{outstanding} descriptors are outstanding and {more} more were given, DMACOUNT holds 65535")]
    TooMany {
        /// Under way.
        outstanding: usize,
        /// To come.
        more: u32,
    },
    /// No descriptor at all.
    #[error("the chain is empty")]
    Empty,
}

impl From<ChainError> for NetDmaStatus {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::TooMany { .. } => Self::RESOURCES,
            _ => Self::UNSUCCESSFUL,
        }
    }
}
