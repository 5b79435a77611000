//! Shared memory for a device in another process: few files, each cut into many buffers.
//!
//! A device maps every file that it is given once, and has room for some hundreds; so has a process for open
//! descriptors. A buffer must not cost one of either.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use vm_memory::{FileOffset, MmapRegion};
use vmm_sys_util::fallocate::{FallocateMode, fallocate};

use super::fd::{map_error, memfd};
use super::first_fit::FirstFit;

/// Bytes of a file, unless one buffer needs more. Pages that nobody touched take no memory.
const FILE_SIZE: u64 = 64 << 20;

/// The files.
#[derive(Debug, Default)]
pub(crate) struct Arenas {
    next: u64,
    files: BTreeMap<u64, Arena>,
}

#[derive(Debug)]
struct Arena {
    file: Arc<File>,
    free: FirstFit,
}

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Extent {
    arena: u64,
    start: u64,
    len: u64,
}

impl Arenas {
    /// Zeroed memory of `len` bytes, which is a multiple of the page size.
    pub(crate) fn take(&mut self, len: u64) -> io::Result<(Extent, MmapRegion)> {
        let extent = self.cut(len)?;
        let arena = &self.files[&extent.arena];
        let offset = FileOffset::from_arc(arena.file.clone(), extent.start);
        let size = usize::try_from(len).map_err(io::Error::other)?;
        match MmapRegion::from_file(offset, size) {
            Ok(region) => Ok((extent, region)),
            Err(error) => {
                self.give(&extent);
                Err(map_error(error))
            }
        }
    }

    /// Takes memory back. Its content is gone, for the device too.
    pub(crate) fn give(&mut self, extent: &Extent) {
        let Some(arena) = self.files.get_mut(&extent.arena) else { return };
        if let Err(error) = fallocate(&*arena.file, FallocateMode::PunchHole, true, extent.start, extent.len)
        {
            // Its pages cannot be zeroed for a next owner, so it has none.
            log::warn!("shared memory could not be freed: {error}");
            return;
        }
        arena.free.give(extent.start);
        if arena.free.is_unused() && self.files.len() > 1 {
            self.files.remove(&extent.arena);
        }
    }

    fn cut(&mut self, len: u64) -> io::Result<Extent> {
        let cut =
            self.files.iter_mut().find_map(|(arena, Arena { free, .. })| Some((*arena, free.take(len)?)));
        if let Some((arena, start)) = cut {
            return Ok(Extent { arena, start, len });
        }
        let size = len.max(FILE_SIZE);
        let file = Arc::new(memfd(size)?);
        let mut free = FirstFit::new(vec![0..=size - 1]);
        let start = free.take(len).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let arena = self.next;
        self.next += 1;
        self.files.insert(arena, Arena { file, free });
        Ok(Extent { arena, start, len })
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, VolatileMemory};

    use super::*;

    const LEN: u64 = 8192;

    #[test]
    fn many_buffers_share_a_file_and_none_its_bytes() {
        let mut arenas = Arenas::default();
        let taken: Vec<_> = (0..1000).map(|_| arenas.take(LEN).unwrap()).collect();
        assert_eq!(arenas.files.len(), 1);
        for (value, (_, region)) in (0_u64..).zip(&taken) {
            region.as_volatile_slice().write_obj(value, 4096).unwrap();
        }
        for (value, (_, region)) in (0_u64..).zip(&taken) {
            assert_eq!(region.as_volatile_slice().read_obj::<u64>(4096).unwrap(), value);
        }
    }

    #[test]
    fn memory_that_is_used_again_is_zeroed() {
        let mut arenas = Arenas::default();
        let (extent, region) = arenas.take(LEN).unwrap();
        region.as_volatile_slice().write_obj(u64::MAX, 0).unwrap();
        drop(region);
        arenas.give(&extent);
        let (again, region) = arenas.take(LEN).unwrap();
        assert_eq!((again.arena, again.start), (extent.arena, extent.start));
        assert_eq!(region.as_volatile_slice().read_obj::<u64>(0).unwrap(), 0);
    }

    #[test]
    fn a_buffer_larger_than_a_file_gets_its_own_which_goes_with_it() {
        let mut arenas = Arenas::default();
        let (_small, _) = arenas.take(LEN).unwrap();
        let (large, region) = arenas.take(FILE_SIZE + LEN).unwrap();
        assert_eq!((arenas.files.len(), region.file_offset().unwrap().start()), (2, 0));
        arenas.give(&large);
        assert_eq!(arenas.files.len(), 1);
    }
}
