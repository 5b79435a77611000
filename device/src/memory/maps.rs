//! The maps by IOVA, and the rules about their edges. One thread at a time: `DmaTable` does the locking.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound::{Excluded, Unbounded};

use super::tlb::Range;
use super::{Access, Denied, MapError, UnmapError, Want, sigbus};

/// Maps that an unmap removes before it lets readers look something up.
const REMOVE_BATCH: usize = 1024;
/// Neighbours that a look-up joins to the range that it found.
const JOIN_AT_MOST: usize = 16;
/// [`Map::file`] of a map without a file.
pub(super) const NO_FILE: u32 = u32::MAX;

/// The maps, none of which overlap.
#[derive(Debug, Default)]
pub(super) struct Maps(BTreeMap<u64, Map>);

/// One DMA_MAP; its key is its first IOVA. A million of them are a supported load, so it is kept small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    /// Its last IOVA (the end may be 2^64).
    pub(super) last: u64,
    /// Host address of its first byte.
    pub(super) host: u64,
    /// [`index`](super::file::FileMapping::index) of its file's mapping, or [`NO_FILE`].
    pub(super) file: u32,
    pub(super) access: Access,
}

const _: () = assert!(mem::size_of::<Map>() == 24);

/// What a removal found, summed up.
#[derive(Default)]
pub(super) struct Removal {
    pub(super) maps: u64,
    pub(super) bytes: u128,
    /// How many of them used each file mapping.
    pub(super) per_file: BTreeMap<u32, u64>,
}

impl Maps {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The contiguous range of host memory around `iova`, joined from neighbours that follow it in both address
    /// spaces, or why it may not be used.
    pub(super) fn find(&self, iova: u64, want: Want) -> Result<Range, Denied> {
        let (&first, map) = self
            .0
            .range(..=iova)
            .next_back()
            .filter(|(_, map)| map.last >= iova)
            .ok_or(Denied::Unmapped { iova })?;
        if map.file == NO_FILE {
            return Err(Denied::NoFile { iova });
        }
        if !map.access.grants(want) {
            return Err(match want {
                Want::Read => Denied::WriteOnly { iova },
                Want::Write => Denied::ReadOnly { iova },
            });
        }
        if sigbus::is_poisoned(map.file) {
            return Err(Denied::Truncated { iova });
        }
        let mut last = map.last;
        for (&next, other) in self.0.range((Excluded(first), Unbounded)).take(JOIN_AT_MOST) {
            let follows = next - 1 == last
                && other.file == map.file
                && other.access == map.access
                && other.host.checked_sub(map.host) == Some(next - first);
            if !follows {
                break;
            }
            last = other.last;
        }
        Ok(Range::new(first, last, map.host, map.access))
    }

    /// Whether `[first, last]` overlaps no map and there are fewer than `max_maps`.
    pub(super) fn check_free(&self, first: u64, last: u64, max_maps: usize) -> Result<(), MapError> {
        if let Some((&iova, map)) = self.0.range(..=last).next_back().filter(|(_, map)| map.last >= first) {
            return Err(MapError::Exists { iova, size: map.size(iova) });
        }
        if self.0.len() >= max_maps {
            return Err(MapError::TooManyMaps { limit: max_maps });
        }
        Ok(())
    }

    /// Adds a map that [`check_free`](Self::check_free) allowed.
    pub(super) fn insert(&mut self, iova: u64, map: Map) {
        self.0.insert(iova, map);
    }

    /// Refuses a range with an edge inside a map. `Ok(true)`: the range holds the whole table.
    pub(super) fn check_uncut(&self, first: u64, last: u64) -> Result<bool, UnmapError> {
        let cut = |iova: u64, map: &Map| UnmapError::Cuts { iova, size: map.size(iova) };
        let before = self.0.range(..first).next_back();
        if let Some((&iova, map)) = before.filter(|(_, map)| map.last >= first) {
            return Err(cut(iova, map));
        }
        if let Some((&iova, map)) = self.0.range(first..=last).next_back().filter(|(_, map)| map.last > last)
        {
            return Err(cut(iova, map));
        }
        let after = self.0.range((Excluded(last), Unbounded)).next();
        Ok(before.is_none() && after.is_none())
    }

    /// Removes some of the maps in `[first, last]`; true if there may be more. `batch` is memory to work in.
    pub(super) fn remove_some(
        &mut self,
        first: u64,
        last: u64,
        batch: &mut Vec<u64>,
        removal: &mut Removal,
    ) -> bool {
        batch.clear();
        batch.extend(self.0.range(first..=last).take(REMOVE_BATCH).map(|(&iova, _)| iova));
        for &iova in batch.iter() {
            if let Some(map) = self.0.remove(&iova) {
                removal.add(iova, &map);
            }
        }
        batch.len() == REMOVE_BATCH
    }

    /// Removes all.
    pub(super) fn into_removal(self) -> Removal {
        let mut removal = Removal::default();
        for (iova, map) in self.0 {
            removal.add(iova, &map);
        }
        removal
    }
}

impl Map {
    /// Its size in bytes, given its key. It was asked for as 64 bits, so it fits.
    fn size(&self, iova: u64) -> u64 {
        self.last - iova + 1
    }
}

impl Removal {
    fn add(&mut self, iova: u64, map: &Map) {
        self.maps += 1;
        self.bytes += u128::from(map.size(iova));
        if map.file != NO_FILE {
            *self.per_file.entry(map.file).or_default() += 1;
        }
    }
}
