//! What a client of the interface is, what it submits, and what it is told.

use super::address::{DescriptorAddr, DmaLocation, PhysAddr};
use super::breach::IrqlBreach;
use super::state::{Call, Refused};
use super::status::NetDmaStatus;
use crate::irql::{AtDispatch, AtPassive};

/// Who asked for a channel. Called from the provider's DPC, with no lock held.
///
/// The channel keeps it alive, so let it be a small object of its own that does not hold the channel.
pub trait NetDmaClient: Send + Sync {
    /// Descriptors are finished.
    fn completed(&self, completed: Completed, level: &AtDispatch);

    /// The provider's DPC came for another reason than a completion, which is an error (ND-I8). Nothing is
    /// finished by it: look at the completion value.
    fn attention(&self, level: &AtDispatch);

    /// The provider's device is about to leave the working state: submissions are refused from now on, and what is
    /// outstanding still ends and is reported (ND-W1). Called without a lock held.
    fn power_down(&self, _: &AtPassive) {}

    /// The device is back, and so is the channel: go on (ND-W2). [`super::NetDmaChannel::state`] says how: running, the
    /// next chain may be appended where the last one ended; else the next call is Start.
    fn power_up(&self, _: &AtPassive) {}
}

/// Descriptors that one report finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completed {
    /// The last of them in chain order.
    pub last: DescriptorAddr,
    /// Its number among all that were ever submitted on the channel, the first being 1.
    pub sequence: u64,
    /// How many: `sequence - count + 1 ..= sequence`.
    pub count: u64,
}

/// A chain to submit.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// Where the first descriptor lies. All of them lie in the same buffer.
    pub first: DmaLocation,
    /// All its descriptors in chain order, as the engine will report them.
    pub descriptors: &'a [DescriptorAddr],
}

/// A chain that was submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Submitted {
    /// The number of its last descriptor, as [`Completed::sequence`] will say.
    pub last_sequence: u64,
    /// How many pending descriptors a Start made the interface forget (ND-P5); they are never reported.
    pub forgotten: u64,
}

/// Why a call on a channel failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChannelError {
    /// The state table forbids it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The provider refused.
    #[error("{call:?}: {status}")]
    Provider {
        /// The call.
        call: Call,
        /// Its answer.
        status: NetDmaStatus,
    },
    /// The provider lacks the capability.
    #[error("the provider does not support {0:?} (contract 1.5.4: optional)")]
    NotSupported(Call),
    /// The chain is empty, or its first address is not where its first descriptor lies.
    #[error("a chain of {count} descriptors that begins at {first}, not at {location}")]
    BadChain {
        /// Descriptors named.
        count: usize,
        /// The first address named; zero if none.
        first: PhysAddr,
        /// Where the first descriptor lies.
        location: PhysAddr,
    },
    /// A descriptor is not in the memory that the first one lies in.
    #[error("descriptor {address} is not in the {size} bytes at {begins:#x} that its chain begins in")]
    OutsideMemory {
        /// The descriptor.
        address: DescriptorAddr,
        /// Where the memory begins.
        begins: u64,
        /// Its bytes.
        size: usize,
    },
    /// A counted chain's last NextDescriptor must say where the next chain begins.
    #[error("descriptor {last} ends a chain with NextDescriptor 0, which version 2.0 never has (ND-P8)")]
    EndsInZero {
        /// The last descriptor.
        last: DescriptorAddr,
    },
    /// Before 2.0 a zero ends a chain.
    #[error(
        "descriptor {last} is the last of its chain and links to {next:#x}, expected 0 (version 1.x, C-CH-05)"
    )]
    NoEnd {
        /// The last descriptor.
        last: DescriptorAddr,
        /// Its NextDescriptor.
        next: u64,
    },
    /// A counted chain goes on where the one before said.
    #[error("an Append at {found}, but the chain before it goes on at {expected:#x} (ND-P9)")]
    NotNext {
        /// Where the chain begins.
        found: DescriptorAddr,
        /// NextDescriptor of the chain before.
        expected: u64,
    },
    /// A Start over a running or suspended list names one of its descriptors. A report of the old one could not be told
    /// from one of the new (contract 1.10): abort or reset first.
    #[error("descriptor {address} is still under way (contract 1.10)")]
    UnderWay {
        /// The descriptor.
        address: DescriptorAddr,
    },
    /// More descriptors than the channel was allocated for.
    #[error("{wanted} more descriptors do not fit: {outstanding} of {capacity} are outstanding")]
    Full {
        /// Descriptors in the chain.
        wanted: usize,
        /// Descriptors outstanding.
        outstanding: usize,
        /// The channel's bound.
        capacity: usize,
    },
    /// Free with work outstanding (ND-P14).
    #[error("{0} descriptors are outstanding (ND-P14)")]
    Busy(usize),
    /// The provider is being stopped and takes no new work (ND-F5).
    #[error("the provider is stopping (ND-F5)")]
    Stopping,
    /// The provider's device leaves the working state, or has left it (ND-W1).
    #[error("the provider is powered down (ND-W1)")]
    PoweredDown,
    /// At a wrong level.
    #[error(transparent)]
    Irql(#[from] IrqlBreach),
}

impl ChannelError {
    pub(super) fn bad_chain(chain: &Chain<'_>) -> Self {
        Self::BadChain {
            count: chain.descriptors.len(),
            first: chain.descriptors.first().map_or(PhysAddr(0), |first| PhysAddr::from(*first)),
            location: chain.first.physical(),
        }
    }
}

/// What happened on a channel so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChannelCounts {
    /// Calls of NetDmaIsr.
    pub isr_reports: u64,
    /// Calls of NetDmaInterruptDpc that finished something.
    pub dpc_reports: u64,
    /// Calls that named a descriptor which was not pending (any more).
    pub repeated_reports: u64,
    /// Calls with no descriptor.
    pub attentions: u64,
    /// Calls of either kind with the handle of a channel that was given back (ND-P14).
    pub stale_reports: u64,
    /// Context changes that the interface sent (ND-A3).
    pub context_changes: u64,
    /// Descriptors submitted.
    pub submitted: u64,
    /// Descriptors finished.
    pub completed: u64,
}
