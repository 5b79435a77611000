//! The interface's own descriptor: one slot in memory that the channel request supplies. Through it a channel is
//! re-initialised after a power-up (ND-W2, ND-W3) and told its DCA target (ND-A3).

use zerocopy::IntoBytes;

use super::address::{DmaLocation, LocationError, PhysAddr};
use super::descriptor::{ControlFlags, NetDmaDescriptor};
use super::provider::FirstDescriptor;
use super::{DcaContext, DescriptorAddr};
use crate::hw::DmaBuffer;

/// 64 bytes on a 64-byte boundary for the interface's own descriptor. Let it lie in the same buffer as the channel's
/// descriptors: a provider that follows links looks for them there.
#[derive(Clone, Debug)]
pub struct AnchorSlot {
    location: DmaLocation,
    address: DescriptorAddr,
}

impl AnchorSlot {
    /// The slot at `offset` of `buffer`.
    ///
    /// # Errors
    /// When it is not inside, not on a 64-byte boundary, or at address zero.
    pub fn new(buffer: std::sync::Arc<DmaBuffer>, offset: usize) -> Result<Self, LocationError> {
        let location = DmaLocation::new(buffer, offset, 64, 64)?;
        let raw = location.physical().0;
        let address =
            DescriptorAddr::new(raw).ok_or(LocationError::Misaligned { address: raw, align: 64 })?;
        Ok(Self { location, address })
    }

    /// Where the engine sees it.
    #[must_use]
    pub fn physical(&self) -> PhysAddr {
        self.location.physical()
    }

    pub(super) fn location(&self) -> &DmaLocation {
        &self.location
    }

    /// Its own address: where a counted chain of this one descriptor may point, for it must not be zero.
    pub(super) fn address(&self) -> DescriptorAddr {
        self.address
    }

    /// Writes a NULL transfer, or with an APIC id a context change, that is followed by `next`; gives it as a chain.
    /// It asks for no status and no interrupt, so nobody is told of it.
    pub(super) fn write(&self, dca_target: Option<u8>, next: u64) -> FirstDescriptor {
        // Even a NULL needs valid transfer fields (1.4.1); real channels reject a size of zero.
        let own = self.address.get();
        let mut descriptor =
            NetDmaDescriptor { size: 1, source: own, destination: own, next, ..NetDmaDescriptor::default() };
        descriptor.control = match dca_target {
            None => ControlFlags::NULL_TRANSFER.0,
            Some(apic_id) => {
                descriptor.set_dca_context8(apic_id);
                ControlFlags::CONTEXT_CHANGE.0
            }
        };
        let written = self.location.buffer().write(self.location.offset(), descriptor.as_bytes());
        written.expect("the place was checked when it was made");
        FirstDescriptor::new(self.location.clone(), self.address, 1)
    }
}
