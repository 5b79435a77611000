//! DMA memory for any kind of device: a mapping here, an address there, and whoever joins the two.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ioat_stage::sync::Mutex;
use vm_memory::MmapRegion;

use super::arena::{Arenas, Extent};
use super::fd::map_error;
use super::iova::{IovaSpace, PAGE};
use super::{DmaAccess, DmaBuffer, DmaMemory, Grants, HwError, Placement};

/// Makes memory reachable for one device, and takes it away again.
pub trait Mapper: Send + Sync {
    /// The engine may do with `region`, at `iova`, what `access` says when this returns. Of memory of
    /// [`Backing::Memfd`], [`MmapRegion::file_offset`] names the file and the place in it.
    ///
    /// # Errors
    /// [`HwError::Map`] or [`HwError::Gone`]; nothing is mapped then.
    fn map(&self, iova: u64, region: &MmapRegion, access: DmaAccess) -> Result<(), HwError>;

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
    /// The parts of files behind the buffers, by where they are in this process.
    extents: BTreeMap<usize, Extent>,
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
        self.allocate_at(len, Placement::default())
    }

    fn allocate_at(&self, len: usize, placement: Placement) -> Result<DmaBuffer, HwError> {
        let taken = whole_pages(len).and_then(|pages| self.space.books.lock().memory(self.backing, pages));
        let failed = |source| HwError::Map { len, iova: placement.iova.unwrap_or(0), source };
        let region = taken.map_err(failed)?;
        match self.space.grant(&region, placement) {
            Ok(iova) => Ok(DmaBuffer::new(region, iova, self.space.clone())),
            Err(error) => {
                self.space.reclaim(&region);
                Err(error)
            }
        }
    }
}

impl Grants for Space {
    fn withdraw(&self, iova: u64, len: usize) -> Result<(), HwError> {
        self.mapper.unmap(iova, len)?;
        self.books.lock().iovas.give(iova);
        Ok(())
    }

    fn grant(&self, region: &MmapRegion, placement: Placement) -> Result<u64, HwError> {
        let len = region.size();
        let taken = self.books.lock().address(len, placement.iova);
        let iova = taken.map_err(|source| HwError::Map { len, iova: placement.iova.unwrap_or(0), source })?;
        // The lock is free meanwhile: the device may take its time.
        if let Err(error) = self.mapper.map(iova, region, placement.access) {
            self.books.lock().iovas.give(iova);
            return Err(error);
        }
        Ok(iova)
    }

    fn reclaim(&self, region: &MmapRegion) {
        let mut books = self.books.lock();
        if let Some(extent) = books.extents.remove(&region.as_ptr().addr()) {
            books.arenas.give(&extent);
        }
    }
}

impl Books {
    fn memory(&mut self, backing: Backing, len: u64) -> io::Result<MmapRegion> {
        match backing {
            Backing::Anonymous => anonymous(len),
            Backing::Memfd => {
                let (extent, region) = self.arenas.take(len)?;
                self.extents.insert(region.as_ptr().addr(), extent);
                Ok(region)
            }
        }
    }

    fn address(&mut self, len: usize, wanted: Option<u64>) -> io::Result<u64> {
        let len = whole_pages(len)?;
        match wanted {
            Some(iova) => {
                let placed = self.iovas.take_at(iova, len);
                placed.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                Ok(iova)
            }
            None => {
                let full = || io::Error::other("the device's address space is full");
                self.iovas.take(len).ok_or_else(full)
            }
        }
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
