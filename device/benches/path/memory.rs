//! The guest's memory: a memfd that the device maps, and that this program sees through a mapping of its own.
#![expect(unsafe_code, reason = "memfd_create has no safe interface")]

use std::fs::File;
use std::io::Error;
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vfio_user_ioat::memory::{Access, DmaTable};
use vm_memory::mmap::MmapRegion;
use vm_memory::{FileOffset, VolatileMemory};

pub(crate) const PAGE: u64 = 4096;
/// The first IOVA.
pub(crate) const BASE: u64 = 1 << 32;

pub(crate) struct Memory {
    region: MmapRegion,
    file: File,
    len: u64,
    /// For each page from [`BASE`] on, its page in the file; empty: the same.
    pages: Vec<u64>,
}

impl Memory {
    /// In one piece: one DMA map.
    pub(crate) fn whole(len: u64) -> Self {
        Self::new(len, Vec::new())
    }

    /// One DMA map per page, neighbours in IOVA nowhere near each other in the file.
    pub(crate) fn scattered(pages: u64, random: &mut impl FnMut(u64) -> u64) -> Self {
        let mut places: Vec<u64> = (0..pages).collect();
        for last in (1..pages).rev() {
            let other = random(last + 1);
            places.swap(usize(last), usize(other));
        }
        Self::new(pages * PAGE, places)
    }

    fn new(len: u64, pages: Vec<u64>) -> Self {
        // SAFETY: the name is a valid C string, and the descriptor that comes back has no other owner.
        let file = unsafe {
            let fd = libc::memfd_create(c"bench".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0, "memfd_create: {}", Error::last_os_error());
            File::from_raw_fd(fd)
        };
        file.set_len(len).expect("room for the memory");
        let clone = file.try_clone().expect("a descriptor");
        let region =
            MmapRegion::from_file(FileOffset::new(clone, 0), usize(len)).expect("a mapping of the memory");
        let memory = Self { region, file, len, pages };
        // Faulted in before anything is timed.
        for page in 0..len / PAGE {
            memory.put(BASE + page * PAGE, &vec![1; usize(PAGE)]);
        }
        memory
    }

    pub(crate) fn table(&self) -> Arc<DmaTable> {
        let table = DmaTable::new();
        for (iova, size, offset) in self.maps() {
            let source = Some((self.file.try_clone().expect("a descriptor"), offset));
            table.map(iova, size, Access::READ_WRITE, source).expect("a map");
        }
        table
    }

    /// (IOVA, size, offset) of each map.
    fn maps(&self) -> Vec<(u64, u64, u64)> {
        if self.pages.is_empty() {
            return vec![(BASE, self.len, 0)];
        }
        (0..).zip(&self.pages).map(|(page, place)| (BASE + page * PAGE, PAGE, place * PAGE)).collect()
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Where this program sees an IOVA.
    pub(crate) fn host(&self, iova: u64) -> *mut u8 {
        self.region.as_ptr().wrapping_add(usize(self.offset(iova)))
    }

    pub(crate) fn put(&self, iova: u64, bytes: &[u8]) {
        let slice = self.region.get_slice(usize(self.offset(iova)), bytes.len());
        slice.expect("inside the memory").copy_from(bytes);
    }

    /// The completion word at an IOVA.
    pub(crate) fn word(&self, iova: u64) -> u64 {
        let word = self.region.get_atomic_ref::<AtomicU64>(usize(self.offset(iova)));
        word.expect("inside the memory").load(Ordering::Acquire)
    }

    fn offset(&self, iova: u64) -> u64 {
        let offset = iova - BASE;
        match self.pages.get(usize(offset / PAGE)) {
            Some(place) => place * PAGE + offset % PAGE,
            None => offset,
        }
    }
}

pub(crate) fn usize(value: u64) -> usize {
    value.try_into().expect("64-bit addresses")
}

/// A generator of numbers below its argument; the same ones in every run.
pub(crate) fn random() -> impl FnMut(u64) -> u64 {
    let mut state = 1_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}
