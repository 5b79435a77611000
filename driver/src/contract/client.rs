//! What a client of the interface is, what it submits, and what it is told.

use super::address::{DescriptorAddr, DmaLocation, PhysAddr};
use super::state::{Call, Refused};
use super::status::NetDmaStatus;
use crate::irql::AtDispatch;

/// Who asked for a channel. Called from the provider's DPC, with no lock held.
///
/// The channel keeps it alive, so let it be a small object of its own that does not hold the channel.
pub trait NetDmaClient: Send + Sync {
    /// Descriptors are finished.
    fn completed(&self, completed: Completed, level: &AtDispatch);

    /// The provider's DPC came for another reason than a completion, which is an error (ND-I8). Nothing is
    /// finished by it: look at the completion value.
    fn attention(&self, level: &AtDispatch);
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
    /// Where the first descriptor lies.
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
    #[error("the provider does not support {0:?}")]
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
    #[error("{0} descriptors are outstanding")]
    Busy(usize),
    /// The provider is being stopped and takes no new work (ND-F5).
    #[error("the provider is stopping")]
    Stopping,
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
    /// Descriptors submitted.
    pub submitted: u64,
    /// Descriptors finished.
    pub completed: u64,
}
