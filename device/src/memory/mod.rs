//! What stages 2 to 5 reach through: the device's view of its client's memory.
//!
//! Two sides meet here. The server's socket thread grants and revokes ranges ([`DmaTable::map`],
//! [`DmaTable::unmap`]); the channel workers turn IOVAs into host memory at memcpy speed ([`Pin`]'s
//! [`resolve`](GuestMemory::resolve)). Neither waits for the other:
//!
//! - a worker takes a [`Pin`] for one chunk of work. A pin is a promise that every mapping that it can
//!   reach stays in place until it is dropped; taking one costs a store, a fence and two loads;
//! - `unmap` removes the entries, starts a new generation and returns at once. The mappings that nothing names any
//!   more are kept in limbo until no pin of an older generation is alive. The caller asks
//!   [`DmaTable::is_drained`] before it replies, and holds no lock meanwhile.
//!
//! Each file is mapped whole and once, however many DMA_MAPs name it: a guest behind a virtual IOMMU maps every
//! page by itself, and one mapping per message would run into `vm.max_map_count`.
//!
//! Lock order: `DmaTable::files`, then `DmaTable::maps`, then the epoch's list of readers.

mod error;
mod maps;
mod table;

mod file;
mod files;
mod heap;
mod sigbus;

mod epoch;
mod reader;
mod tlb;

pub mod access;
mod sync;

pub use error::{Denied, MapError, UnmapError};
pub use reader::{Pin, Reader};
pub use table::{DmaTable, Stats, Unmapped};
pub use vm_memory::VolatileSlice;

/// What a DMA_MAP lets the device do with a range. The software check is the only one: a read-only
/// map's file is often opened, and mapped, read-write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    /// Neither: the range is known, and every DMA to it is denied.
    pub const NONE: Self = Self(0);
    /// The device may read.
    pub const READ: Self = Self(Want::Read as u8);
    /// The device may write.
    pub const WRITE: Self = Self(Want::Write as u8);
    /// Both.
    pub const READ_WRITE: Self = Self(Want::Read as u8 | Want::Write as u8);

    /// Whether `want` is allowed.
    #[inline]
    pub const fn grants(self, want: Want) -> bool {
        self.0 & want as u8 != 0
    }

    const fn bits(self) -> u8 {
        self.0
    }
}

/// What the device is about to do with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Want {
    /// Read from it.
    Read = 1,
    /// Write to it.
    Write = 2,
}

/// The four address streams of a channel. Each remembers its own last range, so that a copy does not push the
/// descriptor ring out of the memory of where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Descriptor fetch.
    Descriptor,
    /// What a copy reads.
    Source,
    /// What a copy or a fill writes.
    Destination,
    /// The completion word.
    Completion,
}

impl Lane {
    const COUNT: usize = 4;
}

/// The client's memory, as the sans-IO device core sees it.
pub trait GuestMemory {
    /// The longest known prefix of `[iova, iova + len)` that is contiguous in host memory and may be used as `want`
    /// says, or why there is none. At least one byte for `len >= 1`; a transfer over several maps loops.
    ///
    /// The slice lives as long as the borrow of the pin: an unmap meanwhile does not take it away.
    ///
    /// # Errors
    ///
    /// [`Denied`] when the first byte is not mapped, not with this permission, or not backed by a usable file.
    fn resolve(&self, lane: Lane, iova: u64, len: u64, want: Want) -> Result<VolatileSlice<'_>, Denied>;

    /// True once an unmap waits for this pin: stop at the next 64 KiB boundary, unpin, start over.
    fn yield_requested(&self) -> bool;

    /// True if a backing file was found truncated since this pin was taken, by this worker or another: what was
    /// read or written through it is not the client's memory. Ask after the copy, before the completion word.
    fn poisoned(&self) -> bool;
}
