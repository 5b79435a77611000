//! The DMA map table: what the client granted, by IOVA. Changed by the socket thread, read by the workers.

use std::fs::File;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU64 as StdAtomicU64;
use std::sync::{Arc, PoisonError};

use super::epoch::Epoch;
use super::file::Backing;
use super::files::Files;
use super::maps::{self, Map, Maps, Removal};
use super::reader::Reader;
use super::sync::{Mutex, Ordering, RwLock, lock};
use super::tlb::Range;
use super::{Access, Denied, MapError, UnmapError, Want, heap};

/// Maps that a table holds at most (R37): 16 GiB in 4 KiB pages.
const MAX_MAPS: usize = 1 << 22;
/// Maps after whose removal the allocator is asked to give memory back: about 1 MiB of them.
const TRIM_AFTER: u64 = 16 * 1024;
/// What the client granted to the device. Shared by the server, which changes it, and the channels' [`Reader`]s.
#[derive(Debug)]
pub struct DmaTable {
    /// Held by whoever changes the table, for the whole change: changes take turns, readers do not see this lock.
    files: Mutex<Files>,
    maps: RwLock<Maps>,
    pub(super) epoch: Epoch,
    /// Truncations found in this table's files.
    poison_events: Arc<StdAtomicU64>,
    max_maps: usize,
}

/// What an unmap did; the ticket for [`DmaTable::is_drained`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the range may be in use until DmaTable::is_drained"]
pub struct Unmapped {
    generation: u64,
    maps: u64,
    bytes: u64,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// DMA maps.
    pub maps: usize,
    /// Bytes that they cover; saturates.
    pub bytes: u64,
    /// File mappings that they use.
    pub files: usize,
    /// File mappings that nothing names and that wait for older pins.
    pub limbo: usize,
    /// Truncations found.
    pub truncations: u64,
}

impl DmaTable {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        Self::with_max_maps(MAX_MAPS)
    }

    /// An empty table that refuses to hold more than `max_maps` maps.
    pub fn with_max_maps(max_maps: usize) -> Arc<Self> {
        Arc::new(Self {
            files: Mutex::default(),
            maps: RwLock::default(),
            epoch: Epoch::new(),
            poison_events: Arc::default(),
            max_maps,
        })
    }

    /// Grants `[iova, iova + size)` to the device: bytes `[offset, offset + size)` of the file, or, without a
    /// source, a range that is known but that no DMA can reach. Never waits for a pin.
    ///
    /// The descriptor is closed at once if its file is mapped already.
    ///
    /// # Errors
    ///
    /// [`MapError`], and the table is unchanged.
    pub fn map(
        &self,
        iova: u64,
        size: u64,
        access: Access,
        source: Option<(File, u64)>,
    ) -> Result<(), MapError> {
        let last_offset = size.checked_sub(1).ok_or(MapError::Empty { iova })?;
        let last = iova.checked_add(last_offset).ok_or(MapError::Wraps { iova, size })?;
        let backing =
            source.map(|(file, offset)| Backing::inspect(file, offset, size, access)).transpose()?;

        let mut files = lock(&self.files);
        files.collect_limbo(&self.epoch);
        self.read().check_free(iova, last, self.max_maps)?;
        let (file, host) = match backing {
            Some(backing) => files.acquire(backing, &self.poison_events)?,
            None => (maps::NO_FILE, 0),
        };
        files.bytes += u128::from(size);
        self.write().insert(iova, Map { last, host, file, access });
        Ok(())
    }

    /// Revokes every map inside `[iova, iova + size)`, or none if the range cuts one. A range without maps is
    /// legal, and so is an end of exactly 2^64.
    ///
    /// Returns at once; the range may be in use until [`is_drained`](Self::is_drained) says otherwise.
    ///
    /// # Errors
    ///
    /// [`UnmapError`], and the table is unchanged.
    pub fn unmap(&self, iova: u64, size: u64) -> Result<Unmapped, UnmapError> {
        let last_offset = size.checked_sub(1).ok_or(UnmapError::Empty { iova })?;
        let last = iova.checked_add(last_offset).ok_or(UnmapError::Wraps { iova, size })?;
        let mut files = lock(&self.files);
        let all = self.read().check_uncut(iova, last)?;
        Ok(if all { self.remove_all(&mut files) } else { self.remove(&mut files, iova, last) })
    }

    /// Revokes every map.
    pub fn unmap_all(&self) -> Unmapped {
        self.remove_all(&mut lock(&self.files))
    }

    /// True once no pin from before the unmap is alive: nothing can use what it revoked any more.
    pub fn is_drained(&self, ticket: &Unmapped) -> bool {
        let drained = self.epoch.oldest() >= ticket.generation;
        if drained {
            lock(&self.files).collect_limbo(&self.epoch);
        }
        drained
    }

    /// A reader for one channel. One at a time: it is the channel's own look-aside buffer.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader::new(Arc::clone(self))
    }

    /// What the table holds now.
    pub fn stats(&self) -> Stats {
        let files = lock(&self.files);
        Stats {
            maps: self.read().len(),
            bytes: u64::try_from(files.bytes).unwrap_or(u64::MAX),
            files: files.used(),
            limbo: files.limbo(),
            truncations: self.poison_events.load(Ordering::Acquire),
        }
    }

    /// As [`Maps::find`], under a short read lock.
    pub(super) fn look_up(&self, iova: u64, want: Want) -> Result<Range, Denied> {
        self.read().find(iova, want)
    }

    /// The count of truncations that were found.
    pub(super) fn truncations(&self) -> Arc<StdAtomicU64> {
        Arc::clone(&self.poison_events)
    }

    /// Removes the maps in `[first, last]`, letting readers in between batches: each of them finds some of the maps
    /// gone and some not, as during any unmap.
    fn remove(&self, files: &mut Files, first: u64, last: u64) -> Unmapped {
        let mut removal = Removal::default();
        let mut batch = Vec::new();
        while self.write().remove_some(first, last, &mut batch, &mut removal) {}
        self.finish(files, removal)
    }

    fn remove_all(&self, files: &mut Files) -> Unmapped {
        // Freed after the lock is released.
        let maps = mem::take(&mut *self.write());
        self.finish(files, maps.into_removal())
    }

    /// Starts the generation that cannot reach the removed maps, and puts the mappings that were theirs alone in
    /// limbo.
    fn finish(&self, files: &mut Files, removal: Removal) -> Unmapped {
        if removal.maps == 0 {
            return Unmapped { generation: 0, maps: 0, bytes: 0 };
        }
        let generation = self.epoch.advance();
        for (file, maps) in removal.per_file {
            files.release(file, maps, generation);
        }
        files.bytes = files.bytes.saturating_sub(removal.bytes);
        let bytes = u64::try_from(removal.bytes).unwrap_or(u64::MAX);
        files.collect_limbo(&self.epoch);
        if removal.maps >= TRIM_AFTER {
            heap::trim();
        }
        Unmapped { generation, maps: removal.maps, bytes }
    }

    fn read(&self) -> impl Deref<Target = Maps> + '_ {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> impl DerefMut<Target = Maps> + '_ {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unmapped {
    /// How many maps it removed.
    pub fn maps(&self) -> u64 {
        self.maps
    }

    /// How many bytes they covered; saturates.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
