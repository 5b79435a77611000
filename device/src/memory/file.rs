//! One mapping per backing file: checked when its descriptor arrives, then shared by every DMA_MAP that names it.
#![expect(unsafe_code, reason = "asks a received descriptor about itself by fcntl and fstatfs")]

use std::fs::File;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::{fs, io};

use vm_memory::{FileOffset, MmapRegion, mmap};

use super::sigbus::{self, Watched};
use super::{Access, MapError, Want};

/// What tells files apart. A mapping keeps its file alive, so the number is not used again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// A descriptor that passed every check, for one map of `[offset, offset + size)`.
#[derive(Debug)]
pub(super) struct Backing {
    file: File,
    pub(super) id: FileId,
    file_len: u64,
    block: u64,
    writable: bool,
    access: Access,
    /// Where the map starts in the file.
    pub(super) offset: u64,
    /// Where it ends; at most the file's length.
    end: u64,
}

/// A whole file in host memory. Dropped only when no map names it and no pin that could use it is alive.
#[derive(Debug)]
pub(super) struct FileMapping {
    // First, so that it is dropped before the region.
    watched: Watched,
    region: MmapRegion,
    id: FileId,
    writable: bool,
}

impl Backing {
    /// Checks a received descriptor (R27, R33).
    pub(super) fn inspect(file: File, offset: u64, size: u64, access: Access) -> Result<Self, MapError> {
        let end = offset.checked_add(size).ok_or(MapError::OffsetOverflow { offset, size })?;
        let meta = file.metadata().map_err(MapError::Inspect)?;
        if !meta.is_file() {
            return Err(MapError::NotAFile { kind: kind(&meta.file_type()) });
        }
        let mode = open_mode(&file).map_err(MapError::Inspect)?;
        if mode == libc::O_WRONLY {
            return Err(MapError::NotReadable);
        }
        let writable = mode == libc::O_RDWR;
        if access.grants(Want::Write) && !writable {
            return Err(MapError::NotWritable);
        }
        let file_len = meta.len();
        if end > file_len {
            return Err(MapError::BeyondFile { offset, size, file_len });
        }
        let id = FileId { device: meta.dev(), inode: meta.ino() };
        Ok(Self { file, id, file_len, block: meta.blksize(), writable, access, offset, end })
    }
}

impl FileMapping {
    /// Maps the whole file; `events` counts truncations found in it.
    pub(super) fn new(backing: Backing, events: &Arc<AtomicU64>) -> Result<Self, MapError> {
        let huge = is_hugetlb(&backing.file).map_err(MapError::Inspect)?;
        let page = if huge { backing.block } else { page_size() };
        let (id, writable) = (backing.id, backing.writable);
        let (region, writable) = map_whole(backing, huge, writable)?;
        let base = region.as_ptr().expose_provenance();
        let page = usize::try_from(page).unwrap_or(usize::MAX);
        let watched = sigbus::watch(base, region.size(), page, events)
            .map_err(MapError::Mmap)?
            .ok_or(MapError::TooManyFiles { limit: sigbus::MAX_WATCHED })?;
        Ok(Self { watched, region, id, writable })
    }

    /// Whether a further map of the same file can use this mapping.
    pub(super) fn serves(&self, backing: &Backing) -> bool {
        (self.region.size() as u64) >= backing.end
            && (self.writable || !backing.access.grants(Want::Write))
            && !self.is_poisoned()
    }

    /// The host address of an offset below the mapping's size.
    pub(super) fn host(&self, offset: u64) -> u64 {
        self.region.as_ptr().expose_provenance() as u64 + offset
    }

    /// A number that is this mapping's alone while it exists.
    pub(super) fn index(&self) -> u32 {
        self.watched.index()
    }

    /// Whose mapping it is.
    pub(super) fn id(&self) -> FileId {
        self.id
    }

    fn is_poisoned(&self) -> bool {
        sigbus::is_poisoned(self.index())
    }
}

/// Maps with room to grow: up to the next power of two, so that a file that grows page by page (R41) costs one new
/// mapping per doubling. Beyond the end of the file nothing is touched, because each map was checked against it.
/// Not so on hugetlbfs, where a longer writable mapping lengthens the file.
fn map_whole(backing: Backing, huge: bool, writable: bool) -> Result<(MmapRegion, bool), MapError> {
    let room = if huge { None } else { backing.file_len.checked_next_power_of_two() };
    let room = room.map(|len| len.max(page_size()));
    let wants_write = backing.access.grants(Want::Write);
    let source = FileOffset::new(backing.file, 0);
    let map = |len: u64, write: bool| {
        let len = usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let prot = libc::PROT_READ | if write { libc::PROT_WRITE } else { 0 };
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        MmapRegion::build(Some(source.clone()), len, prot, flags).map_err(|e| match e {
            mmap::MmapRegionError::Mmap(e) => e,
            other => io::Error::other(other),
        })
    };
    let map_either = |write: bool| match room {
        Some(len) => map(len, write).or_else(|_| map(backing.file_len, write)),
        None => map(backing.file_len, write),
    };
    match map_either(writable) {
        Ok(region) => Ok((region, writable)),
        // A file sealed against writing refuses a writable mapping whatever the descriptor's mode.
        Err(e) if writable && e.raw_os_error() == Some(libc::EPERM) => {
            if wants_write {
                return Err(MapError::NotWritable);
            }
            Ok((map_either(false).map_err(MapError::Mmap)?, false))
        }
        Err(e) => Err(MapError::Mmap(e)),
    }
}

fn kind(file_type: &fs::FileType) -> &'static str {
    match file_type {
        t if t.is_dir() => "directory",
        t if t.is_socket() => "socket",
        t if t.is_fifo() => "pipe",
        t if t.is_char_device() => "character device",
        t if t.is_block_device() => "block device",
        _ => "descriptor of another kind",
    }
}

/// `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
fn open_mode(file: &File) -> io::Result<i32> {
    // The standard library does not tell how a descriptor was opened.
    // SAFETY: F_GETFL on a descriptor that is open, as `file` owns it; no memory is passed.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 { Err(io::Error::last_os_error()) } else { Ok(flags & libc::O_ACCMODE) }
}

fn is_hugetlb(file: &File) -> io::Result<bool> {
    // Huge pages are a property of the file system; `st_blksize` alone may be as large on tmpfs.
    // SAFETY: an all-zero `statfs` is a valid value, and the call gets a pointer to it and an open descriptor.
    let stat = unsafe {
        let mut stat: libc::statfs = mem::zeroed();
        if libc::fstatfs(file.as_raw_fd(), &mut stat) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat
    };
    Ok(stat.f_type == libc::HUGETLBFS_MAGIC)
}

fn page_size() -> u64 {
    // SAFETY: sysconf passes no memory.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}
