//! What can go wrong with an engine, and what the device said that cannot be.

use ioat_spec::{CbVer, ChanErr};

use crate::contract::{LocationError, NetDmaStatus, NetDmaVersion};
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
    /// Neither messages nor a line.
    #[error("the device offers no interrupt: neither MSI-X vectors nor INTx")]
    NoInterrupt,
    /// The contract version of the provider is none that there is.
    #[error("a provider of NetDMA {version}: expected 1.0, 1.1 or 2.0")]
    ContractVersion {
        /// What was asked for.
        version: NetDmaVersion,
    },
    /// After power up another engine answers.
    #[error("another engine answers after power up: {found}, it was {expected}")]
    AnotherEngine {
        /// What answers.
        found: String,
        /// What was there before.
        expected: String,
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
    /// The engine did not stop, or did not come out of reset: what it does is not known.
    #[error("the engine did not stop when it was told to")]
    Stuck,
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
    #[error(
        "the descriptor at {address:#x}: ControlFlags {control:#x} asks for {what}, which this engine \
         (DMACAPABILITY {capability:#x}) does not offer"
    )]
    NotOffered {
        /// The descriptor.
        address: u64,
        /// Its ControlFlags.
        control: u32,
        /// What it asks for.
        what: &'static str,
        /// DMACAPABILITY.
        capability: u32,
    },
    /// The provider is registered for a contract that has no such descriptor.
    #[error(
        "the descriptor at {address:#x}: ControlFlags {control:#x} asks for {what}, which NetDMA has since \
         {since}; the provider is registered for {version}"
    )]
    NotInVersion {
        /// The descriptor.
        address: u64,
        /// Its ControlFlags.
        control: u32,
        /// What it asks for.
        what: &'static str,
        /// The provider's version.
        version: NetDmaVersion,
        /// The first version that has it.
        since: NetDmaVersion,
    },
    /// What follows a page break begins inside a page (C-CH-17).
    #[error("the descriptor at {address:#x}: {field} {value:#x} does not begin with a page of 4096 bytes")]
    NotAPage {
        /// The descriptor.
        address: u64,
        /// Its field.
        field: &'static str,
        /// What is there.
        value: u64,
    },
    /// What follows a page break has no room in one page (ND-D3).
    #[error(
        "the descriptor at {address:#x}: TransferSize {size} goes beyond the page at {field}, expected at most {most}"
    )]
    BeyondSecondPage {
        /// The descriptor.
        address: u64,
        /// The field that names the second page.
        field: &'static str,
        /// Its size.
        size: u32,
        /// Bytes of both pages.
        most: u64,
    },
    /// An Append that begins elsewhere than where the chain so far links to (ND-P7, ND-P8).
    #[error("the chain's last descriptor, at {tail:#x}, links to {next:#x}, but {first:#x} was appended")]
    NotLinked {
        /// The last descriptor so far.
        tail: u64,
        /// Its NextDescriptor.
        next: u64,
        /// What was appended.
        first: u64,
    },
    /// An Append of the very descriptor that the chain ends with. The address is all that a report says (ND-C7), so old
    /// and new work could not be told apart.
    #[error("the descriptor at {address:#x} was appended to itself: its reports would look the same")]
    SelfLinked {
        /// The descriptor.
        address: u64,
    },
    /// A 1.x chain without the zero that ends it (C-CH-05).
    #[error("the chain that begins at {first:#x} has not ended after {walked} descriptors")]
    Endless {
        /// Its first descriptor.
        first: u64,
        /// How many were walked.
        walked: usize,
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
