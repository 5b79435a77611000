//! Why a map, an unmap or a DMA access was refused.

use std::io;

/// Why a DMA_MAP was refused. The table is then as it was before.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// A map of no bytes.
    #[error("DMA map at {iova:#x} has size 0")]
    Empty {
        /// Where it would start.
        iova: u64,
    },
    /// The last byte would lie beyond 2^64.
    #[error("DMA map at {iova:#x} of {size:#x} bytes wraps around the address space")]
    Wraps {
        /// Where it would start.
        iova: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// It overlaps a map that exists; an identical one counts.
    #[error("DMA map overlaps the one at {iova:#x} of {size:#x} bytes")]
    Exists {
        /// Where the existing map starts.
        iova: u64,
        /// The existing map's size in bytes.
        size: u64,
    },
    /// `offset + size` does not fit in 64 bits.
    #[error("file offset {offset:#x} plus {size:#x} bytes overflows")]
    OffsetOverflow {
        /// The offset into the file.
        offset: u64,
        /// The size in bytes.
        size: u64,
    },
    /// The range ends beyond the file.
    #[error("file offset {offset:#x} plus {size:#x} bytes is beyond the file's {file_len:#x}")]
    BeyondFile {
        /// The offset into the file.
        offset: u64,
        /// The size in bytes.
        size: u64,
        /// What the file had when it was asked.
        file_len: u64,
    },
    /// Not a regular file: it cannot be mapped as memory.
    #[error("the DMA map's file descriptor is a {kind}, not a regular file")]
    NotAFile {
        /// What it is.
        kind: &'static str,
    },
    /// The descriptor was not opened for reading, which a mapping needs whatever its use.
    #[error("the DMA map's file descriptor is not open for reading")]
    NotReadable,
    /// A writable map of a descriptor or file that cannot be written.
    #[error("a writable DMA map of a file descriptor that cannot be written")]
    NotWritable,
    /// The table is full (R37).
    #[error("there are already {limit} DMA maps")]
    TooManyMaps {
        /// How many it holds.
        limit: usize,
    },
    /// Too many different files are mapped.
    #[error("there are already {limit} file mappings")]
    TooManyFiles {
        /// How many there may be.
        limit: usize,
    },
    /// The file could not be asked about itself.
    #[error("cannot inspect the DMA map's file")]
    Inspect(#[source] io::Error),
    /// The file could not be mapped.
    #[error("cannot map the DMA map's file")]
    Mmap(#[source] io::Error),
}

impl MapError {
    /// The errno of the error reply; never 0.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Exists { .. } => libc::EEXIST,
            Self::NotReadable | Self::NotWritable => libc::EACCES,
            Self::TooManyMaps { .. } | Self::TooManyFiles { .. } => libc::ENOSPC,
            Self::Inspect(e) | Self::Mmap(e) => e.raw_os_error().filter(|&n| n > 0).unwrap_or(libc::EINVAL),
            Self::Empty { .. }
            | Self::Wraps { .. }
            | Self::OffsetOverflow { .. }
            | Self::BeyondFile { .. }
            | Self::NotAFile { .. } => libc::EINVAL,
        }
    }
}

/// Why a DMA_UNMAP was refused. Nothing was removed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnmapError {
    /// A range of no bytes.
    #[error("DMA unmap at {iova:#x} has size 0")]
    Empty {
        /// Where it would start.
        iova: u64,
    },
    /// The last byte would lie beyond 2^64. An end of exactly 2^64 is legal.
    #[error("DMA unmap at {iova:#x} of {size:#x} bytes wraps around the address space")]
    Wraps {
        /// Where it would start.
        iova: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// The range's edge lies inside a map.
    #[error("DMA unmap would cut the map at {iova:#x} of {size:#x} bytes")]
    Cuts {
        /// Where that map starts.
        iova: u64,
        /// That map's size in bytes.
        size: u64,
    },
}

impl UnmapError {
    /// The errno of the error reply; never 0.
    pub fn errno(&self) -> i32 {
        libc::EINVAL
    }
}

/// Why the device may not touch an address. Each names the first byte that it may not touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No DMA_MAP covers it.
    #[error("{iova:#x} is not mapped")]
    Unmapped {
        /// The address.
        iova: u64,
    },
    /// A write where the map grants none.
    #[error("{iova:#x} may not be written")]
    ReadOnly {
        /// The address.
        iova: u64,
    },
    /// A read where the map grants none.
    #[error("{iova:#x} may not be read")]
    WriteOnly {
        /// The address.
        iova: u64,
    },
    /// The map came without a file.
    #[error("{iova:#x} is mapped without a file")]
    NoFile {
        /// The address.
        iova: u64,
    },
    /// The map's file was truncated under the device (R40), or its huge pages ran out; until it is mapped anew, it is
    /// not used.
    #[error("{iova:#x} is in a file that lost pages after it was mapped")]
    Truncated {
        /// The address.
        iova: u64,
    },
}
