//! The completion value and where it lies (contract 1.6).

use std::sync::Arc;

use super::address::{DescriptorAddr, DmaLocation, LocationError, PhysAddr};
use crate::hw::DmaBuffer;

/// The 64-bit word that the engine writes: address of the most recent processed descriptor, or'ed with the
/// status (ND-C2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct CompletionValue(pub u64);

/// How the transfer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferStatus {
    /// The descriptor finished; more remain.
    #[doc(alias = "NetDmaTransferStatusActive")]
    Active = 0,
    /// The descriptor finished and was the last pending one.
    #[doc(alias = "NetDmaTransferStatusIdle")]
    Idle = 1,
    /// The descriptor finished, then Suspend stopped the channel.
    #[doc(alias = "NetDmaTransferStatusSuspend")]
    Suspend = 2,
    /// The operation was aborted, by request or by an error.
    #[doc(alias = "NetDmaTransferStatusHalted")]
    Halted = 3,
}

/// A decoded completion value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// No descriptor has completed yet; there is no address (ND-C6).
    #[doc(alias = "NetDmaTransferStatusArmed")]
    Armed,
    /// The word names a descriptor.
    At {
        /// The most recent processed one; none before the first.
        descriptor: Option<DescriptorAddr>,
        /// How the transfer stands.
        status: TransferStatus,
        /// Bits 5:3: 1 unaffiliated error, 2 soft error on I/OAT. Reported, never part of the address (ND-C3).
        extra: u8,
    },
    /// Status 5 to 7: not defined.
    Unknown(u64),
}

impl CompletionValue {
    /// Three status bits, not more.
    #[doc(alias = "NET_DMA_TRANSFER_STATUS_MASK")]
    pub const STATUS_MASK: u64 = 0x7;

    /// The word for `descriptor` and `status`.
    #[must_use]
    pub const fn new(descriptor: DescriptorAddr, status: TransferStatus) -> Self {
        Self(descriptor.get() | status as u64)
    }

    /// What it says (ND-C3).
    #[must_use]
    pub const fn decode(self) -> Completion {
        let status = match self.0 & Self::STATUS_MASK {
            0 => TransferStatus::Active,
            1 => TransferStatus::Idle,
            2 => TransferStatus::Suspend,
            3 => TransferStatus::Halted,
            4 => return Completion::Armed,
            _ => return Completion::Unknown(self.0),
        };
        let extra = self.0.to_le_bytes()[0] >> 3 & 0x7;
        Completion::At { descriptor: DescriptorAddr::new(self.0 & !DescriptorAddr::LOW_BITS), status, extra }
    }
}

/// The channel's completion location: one aligned 8-byte word that the engine writes and NetDMA reads (ND-C1).
#[derive(Clone, Debug)]
#[doc(alias = "CompletionVirtualAddress")]
#[doc(alias = "CompletionPhysicalAddress")]
pub struct CompletionLocation(DmaLocation);

impl CompletionLocation {
    /// The word at `offset` of `buffer`.
    ///
    /// # Errors
    /// When it is not inside, or not on an 8-byte boundary.
    pub fn new(buffer: Arc<DmaBuffer>, offset: usize) -> Result<Self, LocationError> {
        DmaLocation::new(buffer, offset, 8, 8).map(Self)
    }

    /// Where the engine writes it.
    #[must_use]
    pub fn physical(&self) -> PhysAddr {
        self.0.physical()
    }

    /// Where the CPU reads it, for C.
    #[must_use]
    pub fn virtual_address(&self) -> *mut std::ffi::c_void {
        self.0.virtual_address()
    }

    /// Reads it once; data that the engine wrote before is visible afterwards.
    #[must_use]
    pub fn load(&self) -> CompletionValue {
        let word = self.0.buffer().load_u64(self.0.offset());
        CompletionValue(word.expect("the place was checked when it was made"))
    }

    /// Writes it once, for the cases where a v3 engine does not (Suspend, Abort, Reset: ND-C5).
    pub fn store(&self, value: CompletionValue) {
        let stored = self.0.buffer().store_u64(self.0.offset(), value.0);
        stored.expect("the place was checked when it was made");
    }
}
