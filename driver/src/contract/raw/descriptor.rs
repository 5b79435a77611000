//! NET_DMA_DESCRIPTOR with the contract's own field names (contract 1.5.1).

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::descriptor::{ControlFlags, DcaContext, NetDmaDescriptor};

/// 64 bytes on every architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
#[doc(alias = "NET_DMA_DESCRIPTOR")]
pub struct RawDescriptor {
    /// Bytes to move; in a context change the union of [`DcaContext`].
    #[doc(alias = "TransferSize")]
    pub transfer_size: u32,
    /// [`ControlFlags`].
    #[doc(alias = "ControlFlags")]
    pub control_flags: u32,
    /// Source.
    #[doc(alias = "SourceAddress")]
    pub source_address: u64,
    /// Destination.
    #[doc(alias = "DestinationAddress")]
    pub destination_address: u64,
    /// The next descriptor. 1.x: zero ends the chain. 2.0: never zero.
    #[doc(alias = "NextDescriptor")]
    pub next_descriptor: u64,
    /// 1.x: the engine's scratch word. 2.0: the second source page.
    #[doc(alias = "Reserved1")]
    #[doc(alias = "NextSourceAddress")]
    pub next_source_address: u64,
    /// 1.x: the engine's scratch word. 2.0: the second destination page.
    #[doc(alias = "Reserved2")]
    #[doc(alias = "NextDestinationAddress")]
    pub next_destination_address: u64,
    /// The client's.
    #[doc(alias = "UserContext1")]
    pub user_context1: u64,
    /// The client's.
    #[doc(alias = "UserContext2")]
    pub user_context2: u64,
}

const _: () = {
    assert!(size_of::<RawDescriptor>() == 64);
    assert!(offset_of!(RawDescriptor, transfer_size) == 0);
    assert!(offset_of!(RawDescriptor, control_flags) == 4);
    assert!(offset_of!(RawDescriptor, source_address) == 8);
    assert!(offset_of!(RawDescriptor, destination_address) == 16);
    assert!(offset_of!(RawDescriptor, next_descriptor) == 24);
    assert!(offset_of!(RawDescriptor, next_source_address) == 32);
    assert!(offset_of!(RawDescriptor, next_destination_address) == 40);
    assert!(offset_of!(RawDescriptor, user_context1) == 48);
    assert!(offset_of!(RawDescriptor, user_context2) == 56);
};

impl RawDescriptor {
    /// The flags.
    #[must_use]
    pub const fn flags(&self) -> ControlFlags {
        ControlFlags(self.control_flags)
    }
}

impl DcaContext for RawDescriptor {
    fn dca_context32(&self) -> u32 {
        self.transfer_size
    }

    fn set_dca_context32(&mut self, context: u32) {
        self.transfer_size = context;
    }
}

impl From<RawDescriptor> for NetDmaDescriptor {
    fn from(raw: RawDescriptor) -> Self {
        Self {
            size: raw.transfer_size,
            control: raw.control_flags,
            source: raw.source_address,
            destination: raw.destination_address,
            next: raw.next_descriptor,
            next_source: raw.next_source_address,
            next_destination: raw.next_destination_address,
            user: [raw.user_context1, raw.user_context2],
        }
    }
}

impl From<NetDmaDescriptor> for RawDescriptor {
    fn from(typed: NetDmaDescriptor) -> Self {
        let [user_context1, user_context2] = typed.user;
        Self {
            transfer_size: typed.size,
            control_flags: typed.control,
            source_address: typed.source,
            destination_address: typed.destination,
            next_descriptor: typed.next,
            next_source_address: typed.next_source,
            next_destination_address: typed.next_destination,
            user_context1,
            user_context2,
        }
    }
}
