//! Memory that both the CPU and the engine see.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use vm_memory::bitmap::BitmapSlice;
use vm_memory::{Bytes, MmapRegion, VolatileMemory, VolatileMemoryError, VolatileSlice};

/// Takes a mapping away from the engine.
pub trait Unmap: Send + Sync {
    /// The engine must not reach `[iova, iova + len)` any more when this returns.
    fn unmap(&self, iova: u64, len: usize);
}

/// Memory mapped for the engine at [`DmaBuffer::iova`]. All access is volatile or atomic: the engine may write
/// at any time.
pub struct DmaBuffer {
    region: MmapRegion,
    iova: u64,
    unmap: Arc<dyn Unmap>,
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
    /// A buffer over `region`, which the engine sees at `iova` until `unmap` is called on drop.
    pub fn new(region: MmapRegion, iova: u64, unmap: Arc<dyn Unmap>) -> Self {
        Self { region, iova, unmap }
    }

    /// Where the engine sees it.
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
        self.unmap.unmap(self.iova, self.region.size());
    }
}
