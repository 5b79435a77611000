//! A channel's two faces: the provider's handle, and what its client calls.

use std::fmt;
use std::sync::Arc;

use super::address::DescriptorAddr;
use super::client::{Chain, ChannelCounts, ChannelError, Submitted};
use super::cpu::CpuNumber;
use super::shared::Shared;
use super::state::{Call, ChannelState};
use crate::irql::AtMostDispatch;

/// The channel, as the provider names it to the interface (`NetDmaChannelHandle`).
#[derive(Clone)]
pub struct NetDmaChannelHandle(pub(super) Arc<Shared>);

impl fmt::Debug for NetDmaChannelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetDmaChannelHandle({})", self.0.number)
    }
}

impl NetDmaChannelHandle {
    /// The channel's number in the interface: one for each allocation, never used again.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }
}

/// The channel, as its client uses it.
pub struct NetDmaChannel(pub(super) Arc<Shared>);

impl NetDmaChannel {
    /// The processor of the channel's DPC.
    pub fn cpu_number(&self) -> CpuNumber {
        self.0.cpu_number()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        self.0.book.lock().state
    }

    /// Descriptors submitted and not reported.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.0.book.lock().outstanding()
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> ChannelCounts {
        self.0.counts()
    }

    /// Starts `chain`; on a running channel it replaces what remains of the old one, of which nothing is
    /// reported any more (ND-P5), and whose descriptors it must not use again.
    ///
    /// # Errors
    /// [`ChannelError`]; nothing is outstanding then.
    pub fn start(&self, chain: &Chain<'_>, level: &dyn AtMostDispatch) -> Result<Submitted, ChannelError> {
        self.0.submit(Call::Start, chain, level)
    }

    /// Goes on with `chain` after what is there. For a 1.x provider the interface links it to the last descriptor
    /// (ND-P7); from 2.0 on that one already names where it begins (ND-P9).
    ///
    /// # Errors
    /// [`ChannelError`]; what was outstanding stays so.
    pub fn append(&self, chain: &Chain<'_>, level: &dyn AtMostDispatch) -> Result<Submitted, ChannelError> {
        self.0.submit(Call::Append, chain, level)
    }

    /// Stops after the current descriptor, and names the one processed last.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn suspend(&self, level: &dyn AtMostDispatch) -> Result<Option<DescriptorAddr>, ChannelError> {
        self.0.suspend(level)
    }

    /// Goes on after a suspension.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn resume(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.resume(level)
    }

    /// Stops at once; what was outstanding is not reported any more.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn abort(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.abort(level)
    }

    /// As just allocated; what was outstanding is not reported any more.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn reset(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.reset(level)
    }

    /// Gives the channel back; every later call is refused.
    ///
    /// # Errors
    /// [`ChannelError::Busy`] with work outstanding.
    pub fn free(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.free(level)
    }
}

impl fmt::Debug for NetDmaChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetDmaChannel({})", self.0.number)
    }
}
