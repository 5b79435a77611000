//! DMA memory for any kind of device: a mapping here, an address there, and whoever joins the two.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ioat_stage::sync::Mutex;
use vm_memory::MmapRegion;

use super::arena::{Arenas, Extent};
use super::fd::map_error;
use super::iova::{IovaSpace, PAGE};
use super::{DmaBuffer, DmaMemory, HwError, Unmap};

/// Makes memory reachable for one device, and takes it away again.
pub trait Mapper: Send + Sync {
    /// The engine may read and write `region` at `iova` when this returns. Of memory of [`Backing::Memfd`],
    /// [`MmapRegion::file_offset`] names the file and the place in it.
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
    /// Parts of sealed memfds: for a device in another process, which maps the same file.
    Memfd,
    /// Anonymous memory: for a device that the kernel maps for.
    Anonymous,
}

/// [`DmaMemory`] over a [`Mapper`].
pub struct MappedMemory {
    space: Arc<Space>,
    backing: Backing,
}

struct Space {
    mapper: Arc<dyn Mapper>,
    books: Mutex<Books>,
}

/// What is given to whom.
struct Books {
    iovas: IovaSpace,
    arenas: Arenas,
    /// The parts of files behind the buffers, by address.
    extents: BTreeMap<u64, Extent>,
}

impl MappedMemory {
    /// Memory of this backing at addresses out of `iovas`.
    pub fn new(mapper: Arc<dyn Mapper>, backing: Backing, iovas: IovaSpace) -> Self {
        let books = Books { iovas, arenas: Arenas::default(), extents: BTreeMap::new() };
        Self { space: Arc::new(Space { mapper, books: Mutex::new(books) }), backing }
    }
}

impl DmaMemory for MappedMemory {
    fn allocate(&self, len: usize) -> Result<DmaBuffer, HwError> {
        let taken = whole_pages(len).and_then(|pages| self.space.books.lock().take(self.backing, pages));
        let (iova, region) = taken.map_err(|source| HwError::Map { len, iova: 0, source })?;
        // The lock is free meanwhile: the device may take its time.
        if let Err(error) = self.space.mapper.map(iova, &region) {
            self.space.books.lock().give(iova);
            return Err(error);
        }
        Ok(DmaBuffer::new(region, iova, self.space.clone()))
    }
}

impl Unmap for Space {
    fn unmap(&self, iova: u64, len: usize) {
        match self.mapper.unmap(iova, len) {
            Ok(()) => self.books.lock().give(iova),
            // Address and memory stay taken: a next buffer there could be written through the mapping that is left.
            Err(HwError::Gone(_)) => {}
            Err(error) => log::warn!("a DMA mapping could not be taken away: {error}"),
        }
    }
}

impl Books {
    fn take(&mut self, backing: Backing, len: u64) -> io::Result<(u64, MmapRegion)> {
        let full = || io::Error::other("the device's address space is full");
        let iova = self.iovas.take(len).ok_or_else(full)?;
        let region = match backing {
            Backing::Anonymous => anonymous(len),
            Backing::Memfd => self.arenas.take(len).map(|(extent, region)| {
                self.extents.insert(iova, extent);
                region
            }),
        };
        if region.is_err() {
            self.give(iova);
        }
        Ok((iova, region?))
    }

    fn give(&mut self, iova: u64) {
        if let Some(extent) = self.extents.remove(&iova) {
            self.arenas.give(&extent);
        }
        self.iovas.give(iova);
    }
}

fn anonymous(len: u64) -> io::Result<MmapRegion> {
    MmapRegion::new(usize::try_from(len).map_err(io::Error::other)?).map_err(map_error)
}

fn whole_pages(len: usize) -> io::Result<u64> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let len = u64::try_from(len).map_err(|_| invalid())?;
    len.checked_next_multiple_of(PAGE).filter(|pages| *pages > 0).ok_or_else(invalid)
}
