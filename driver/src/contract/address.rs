//! Addresses: the engine's view of memory, and the pair of both views.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::hw::DmaBuffer;

/// An address as the engine uses it (PHYSICAL_ADDRESS). Never a pointer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
#[doc(alias = "PHYSICAL_ADDRESS")]
pub struct PhysAddr(pub u64);

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The address of a descriptor: not zero, on a 64-byte boundary (ND-D1). `Option<DescriptorAddr>` is exactly
/// the contract's "zero is allowed" (ND-I8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct DescriptorAddr(NonZeroU64);

impl DescriptorAddr {
    /// The bits below the alignment.
    pub const LOW_BITS: u64 = 0x3f;

    /// The address, unless it is zero or misaligned.
    #[must_use]
    pub const fn new(raw: u64) -> Option<Self> {
        if raw & Self::LOW_BITS != 0 {
            return None;
        }
        match NonZeroU64::new(raw) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl From<DescriptorAddr> for PhysAddr {
    fn from(address: DescriptorAddr) -> Self {
        Self(address.get())
    }
}

impl fmt::Debug for DescriptorAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.get())
    }
}

impl fmt::Display for DescriptorAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A place that cannot hold what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LocationError {
    /// Beyond the end.
    #[error("{len} bytes at offset {offset} do not fit in a DMA buffer of {size} bytes")]
    Outside {
        /// The offset.
        offset: usize,
        /// Bytes wanted.
        len: usize,
        /// Bytes there are.
        size: usize,
    },
    /// Not aligned for the engine.
    #[error("address {address:#x} is not on a {align}-byte boundary")]
    Misaligned {
        /// The engine's address.
        address: u64,
        /// The boundary.
        align: usize,
    },
}

/// A place in memory that CPU and engine share: what the contract passes as a (virtual, physical) pair.
#[derive(Clone)]
pub struct DmaLocation {
    buffer: Arc<DmaBuffer>,
    offset: usize,
}

impl DmaLocation {
    /// The place of `len` bytes at `offset` of `buffer`, aligned to `align` bytes for the engine.
    ///
    /// # Errors
    /// When it is not inside, or not aligned.
    pub fn new(
        buffer: Arc<DmaBuffer>,
        offset: usize,
        len: usize,
        align: usize,
    ) -> Result<Self, LocationError> {
        let size = buffer.len();
        if offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(LocationError::Outside { offset, len, size });
        }
        let address = buffer.iova().wrapping_add(offset as u64);
        if address % align as u64 != 0 {
            return Err(LocationError::Misaligned { address, align });
        }
        Ok(Self { buffer, offset })
    }

    /// Where the engine sees it.
    #[must_use]
    pub fn physical(&self) -> PhysAddr {
        PhysAddr(self.buffer.iova().wrapping_add(self.offset as u64))
    }

    /// Where the CPU sees it: for C, which wants a pointer. It is good as long as the buffer lives.
    #[must_use]
    pub fn virtual_address(&self) -> *mut std::ffi::c_void {
        self.buffer.slice().ptr_guard_mut().as_ptr().wrapping_add(self.offset).cast()
    }

    /// The memory it is in.
    #[must_use]
    pub fn buffer(&self) -> &Arc<DmaBuffer> {
        &self.buffer
    }

    /// Where in that memory.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Debug for DmaLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaLocation({})", self.physical())
    }
}
