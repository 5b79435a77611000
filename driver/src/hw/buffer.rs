//! Memory that both the CPU and the engine see.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use vm_memory::bitmap::BitmapSlice;
use vm_memory::{Bytes, MmapRegion, VolatileMemory, VolatileMemoryError, VolatileSlice};

use super::{HwError, Placement};

/// What joins a buffer to its device, parts the two, and gets the memory back at the end.
pub trait Grants: Send + Sync {
    /// The engine must not reach `[iova, iova + len)` any more when this returns.
    ///
    /// # Errors
    /// [`HwError::Map`] or [`HwError::Gone`]; the engine may then still reach it.
    fn withdraw(&self, iova: u64, len: usize) -> Result<(), HwError>;

    /// The engine may reach `region` when this returns, at the address that it returns.
    ///
    /// # Errors
    /// [`HwError::Map`] or [`HwError::Gone`]; the engine does not reach it then. By default, nothing is granted again.
    fn grant(&self, region: &MmapRegion, placement: Placement) -> Result<u64, HwError> {
        let source = std::io::Error::from(std::io::ErrorKind::Unsupported);
        Err(HwError::Map { len: region.size(), iova: placement.iova.unwrap_or(0), source })
    }

    /// `region` is dropped, and the engine does not reach it: a next buffer may have its memory.
    fn reclaim(&self, _region: &MmapRegion) {}
}

/// Memory mapped for the engine at [`DmaBuffer::iova`]. All access is volatile or atomic: the engine may write
/// at any time.
pub struct DmaBuffer {
    region: MmapRegion,
    /// Where it is for the engine, or was.
    iova: u64,
    granted: bool,
    grants: Arc<dyn Grants>,
}

/// An access outside a buffer, or a misaligned atomic one.
#[derive(Debug, thiserror::Error)]
#[error("access of {len} bytes at offset {offset} of a DMA buffer of {size} bytes: {source}")]
pub struct BufferError {
    offset: usize,
    len: usize,
    size: usize,
    source: VolatileMemoryError,
}

impl DmaBuffer {
    /// A buffer over `region`, which the engine sees at `iova` until it is withdrawn, at the latest on drop.
    pub fn new(region: MmapRegion, iova: u64, grants: Arc<dyn Grants>) -> Self {
        Self { region, iova, granted: true, grants }
    }

    /// Where the engine sees it; after a withdrawal, where it did.
    #[must_use]
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.region.size()
    }

    /// There are no empty buffers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the engine can reach it.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.granted
    }

    /// Takes it away from the engine: what that still does with it is a fault. The memory stays as it is for the
    /// processor. Of a buffer that is withdrawn already there is nothing to do.
    ///
    /// # Errors
    /// [`HwError::Map`] or [`HwError::Gone`]; it then counts as granted still.
    pub fn withdraw(&mut self) -> Result<(), HwError> {
        if self.granted {
            self.grants.withdraw(self.iova, self.region.size())?;
            self.granted = false;
        }
        Ok(())
    }

    /// Gives a withdrawn buffer to the engine again, content and all, where and how `placement` says.
    ///
    /// # Errors
    /// [`HwError::Map`] for a buffer that is granted, and for an address that is taken, not page aligned, or beyond
    /// what the IOMMU translates; [`HwError::Gone`]. The buffer stays as it was.
    pub fn grant(&mut self, placement: Placement) -> Result<(), HwError> {
        if self.granted {
            let source = std::io::Error::other("the buffer is mapped already: withdraw it first");
            return Err(HwError::Map { len: self.len(), iova: self.iova, source });
        }
        self.iova = self.grants.grant(&self.region, placement)?;
        self.granted = true;
        Ok(())
    }

    /// The whole buffer.
    #[must_use]
    pub fn slice(&self) -> VolatileSlice<'_, impl BitmapSlice + use<'_>> {
        self.region.as_volatile_slice()
    }

    /// Copies out `data.len()` bytes from `offset`.
    ///
    /// # Errors
    /// When the range is not inside the buffer.
    pub fn read(&self, offset: usize, data: &mut [u8]) -> Result<(), BufferError> {
        let len = data.len();
        self.slice().read_slice(data, offset).map_err(|source| self.error(offset, len, source))
    }

    /// Copies `data` in at `offset`.
    ///
    /// # Errors
    /// When the range is not inside the buffer.
    pub fn write(&self, offset: usize, data: &[u8]) -> Result<(), BufferError> {
        self.slice().write_slice(data, offset).map_err(|source| self.error(offset, data.len(), source))
    }

    /// Loads the 8-byte word at `offset`, once, with acquire ordering: data that the engine wrote before it is
    /// visible afterwards.
    ///
    /// # Errors
    /// When the word is not inside the buffer or not aligned.
    pub fn load_u64(&self, offset: usize) -> Result<u64, BufferError> {
        self.slice().load(offset, Ordering::Acquire).map_err(|source| self.error(offset, 8, source))
    }

    /// Stores the 8-byte word at `offset`, once, with release ordering.
    ///
    /// # Errors
    /// When the word is not inside the buffer or not aligned.
    pub fn store_u64(&self, offset: usize, value: u64) -> Result<(), BufferError> {
        self.slice().store(value, offset, Ordering::Release).map_err(|source| self.error(offset, 8, source))
    }

    fn error(&self, offset: usize, len: usize, source: VolatileMemoryError) -> BufferError {
        BufferError { offset, len, size: self.len(), source }
    }
}

impl Drop for DmaBuffer {
    fn drop(&mut self) {
        match self.withdraw() {
            Ok(()) => self.grants.reclaim(&self.region),
            // Address and memory stay taken: a next buffer there could be written through the mapping that is left.
            Err(HwError::Gone(_)) => {}
            Err(error) => log::warn!("a DMA mapping could not be taken away: {error}"),
        }
    }
}
