//! DMA memory for any kind of device: a mapping here, an address there, and whoever joins the two.

use std::io;
use std::sync::Arc;

use ioat_stage::sync::Mutex;
use vm_memory::MmapRegion;

use super::fd::{map_error, shared_region};
use super::iova::{IovaSpace, PAGE};
use super::{DmaBuffer, DmaMemory, HwError, Unmap};

/// Makes memory reachable for one device, and takes it away again.
pub trait Mapper: Send + Sync {
    /// The engine may read and write `region` at `iova` when this returns.
    ///
    /// # Errors
    /// [`HwError::Map`] or [`HwError::Gone`]; nothing is mapped then.
    fn map(&self, iova: u64, region: &MmapRegion) -> Result<(), HwError>;

    /// The engine cannot reach `[iova, iova + len)` any more when this returns.
    ///
    /// # Errors
    /// [`HwError::Map`] or [`HwError::Gone`]; the range may then still be mapped, and is not used again.
    fn unmap(&self, iova: u64, len: usize) -> Result<(), HwError>;
}

/// What is behind the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// A sealed memfd for each buffer: for a device in another process, which maps the same file.
    Memfd,
    /// Anonymous memory: for a device that the kernel maps for, and no descriptor is spent.
    Anonymous,
}

/// [`DmaMemory`] over a [`Mapper`].
pub struct MappedMemory {
    space: Arc<Space>,
    backing: Backing,
}

struct Space {
    mapper: Arc<dyn Mapper>,
    iovas: Mutex<IovaSpace>,
}

impl MappedMemory {
    /// Memory of this backing at addresses out of `iovas`.
    pub fn new(mapper: Arc<dyn Mapper>, backing: Backing, iovas: IovaSpace) -> Self {
        Self { space: Arc::new(Space { mapper, iovas: Mutex::new(iovas) }), backing }
    }

    fn region(&self, len: usize) -> io::Result<MmapRegion> {
        match self.backing {
            Backing::Memfd => shared_region(len),
            Backing::Anonymous => MmapRegion::new(len).map_err(map_error),
        }
    }
}

impl DmaMemory for MappedMemory {
    fn allocate(&self, len: usize) -> Result<DmaBuffer, HwError> {
        let failed = |iova, source| HwError::Map { len, iova, source };
        let (size, pages) = whole_pages(len).map_err(|source| failed(0, source))?;
        let region = self.region(size).map_err(|source| failed(0, source))?;
        let full = || failed(0, io::Error::other("the device's address space is full"));
        let iova = self.space.iovas.lock().take(pages).ok_or_else(full)?;
        if let Err(error) = self.space.mapper.map(iova, &region) {
            self.space.iovas.lock().give(iova);
            return Err(error);
        }
        Ok(DmaBuffer::new(region, iova, self.space.clone()))
    }
}

impl Unmap for Space {
    fn unmap(&self, iova: u64, len: usize) {
        match self.mapper.unmap(iova, len) {
            Ok(()) => self.iovas.lock().give(iova),
            // The address stays taken: a buffer there could be written through the mapping that is left.
            Err(HwError::Gone(_)) => {}
            Err(error) => log::warn!("a DMA mapping could not be taken away: {error}"),
        }
    }
}

fn whole_pages(len: usize) -> io::Result<(usize, u64)> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let len = u64::try_from(len).map_err(|_| invalid())?;
    let pages = len.checked_next_multiple_of(PAGE).filter(|pages| *pages > 0).ok_or_else(invalid)?;
    Ok((usize::try_from(pages).map_err(|_| invalid())?, pages))
}
