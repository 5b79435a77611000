//! NET_DMA_PROVIDER_ATTRIBUTES (contract 1.5.5).

use std::mem::{offset_of, size_of};

use super::error::{Checks, RawError};
use crate::contract::{PhysAddr, ProviderAttributes};

/// Declared by the headers; nothing says where it goes.
pub const NET_DMA_PROVIDER_REVISION_1: u16 = 1;
/// Declared by the headers; nothing says where it goes.
pub const NET_DMA_PROVIDER_REVISION_2: u16 = 2;

/// 32 bytes on every architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[doc(alias = "NET_DMA_PROVIDER_ATTRIBUTES")]
pub struct NetDmaProviderAttributes {
    /// Hardware version, major.
    #[doc(alias = "MajorHwVersion")]
    pub major_hw_version: u8,
    /// Hardware version, minor.
    #[doc(alias = "MinorHwVersion")]
    pub minor_hw_version: u8,
    /// 32.
    #[doc(alias = "Size")]
    pub size: u16,
    /// Zero.
    #[doc(alias = "Flags")]
    pub flags: u32,
    /// PCI vendor.
    #[doc(alias = "VendorId")]
    pub vendor_id: u32,
    /// Channels there are.
    #[doc(alias = "DmaChannelCount")]
    pub dma_channel_count: u32,
    /// Bytes of the largest descriptor, 4096 or more.
    #[doc(alias = "MaximumTransferSize")]
    pub maximum_transfer_size: u32,
    /// Zero: it stands for the four bytes that C leaves here.
    pub padding: u32,
    /// The highest address that the engine reaches.
    #[doc(alias = "MaximumAddressSpace")]
    pub maximum_address_space: u64,
}

const _: () = {
    assert!(size_of::<NetDmaProviderAttributes>() == 32);
    assert!(offset_of!(NetDmaProviderAttributes, major_hw_version) == 0);
    assert!(offset_of!(NetDmaProviderAttributes, minor_hw_version) == 1);
    assert!(offset_of!(NetDmaProviderAttributes, size) == 2);
    assert!(offset_of!(NetDmaProviderAttributes, flags) == 4);
    assert!(offset_of!(NetDmaProviderAttributes, vendor_id) == 8);
    assert!(offset_of!(NetDmaProviderAttributes, dma_channel_count) == 12);
    assert!(offset_of!(NetDmaProviderAttributes, maximum_transfer_size) == 16);
    assert!(offset_of!(NetDmaProviderAttributes, maximum_address_space) == 24);
};

impl NetDmaProviderAttributes {
    /// `sizeof`.
    pub const BYTES: u16 = 32;

    /// The typed ones. What start asks of them beyond their shape (transfer size, channels), start checks.
    ///
    /// # Errors
    /// [`RawError`] for a wrong size, or flags. The padding is not looked at: C never writes it.
    pub fn check(&self) -> Result<ProviderAttributes, RawError> {
        let checks = Checks { structure: "NET_DMA_PROVIDER_ATTRIBUTES", clause: "contract 1.5.5" };
        checks.that(self.size >= Self::BYTES, "Size", self.size.into(), "32 or more")?;
        checks.that(self.flags == 0, "Flags", self.flags.into(), "0: none is defined")?;
        Ok(ProviderAttributes {
            major_hw_version: self.major_hw_version,
            minor_hw_version: self.minor_hw_version,
            vendor_id: self.vendor_id,
            dma_channel_count: self.dma_channel_count,
            maximum_transfer_size: self.maximum_transfer_size,
            maximum_address_space: PhysAddr(self.maximum_address_space),
        })
    }
}

impl From<ProviderAttributes> for NetDmaProviderAttributes {
    fn from(typed: ProviderAttributes) -> Self {
        Self {
            major_hw_version: typed.major_hw_version,
            minor_hw_version: typed.minor_hw_version,
            size: Self::BYTES,
            flags: 0,
            vendor_id: typed.vendor_id,
            dma_channel_count: typed.dma_channel_count,
            maximum_transfer_size: typed.maximum_transfer_size,
            padding: 0,
            maximum_address_space: typed.maximum_address_space.0,
        }
    }
}
