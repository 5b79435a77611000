//! The file mappings: which one a new map uses, how many maps use each, and when one may go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as StdAtomicU64;

use super::MapError;
use super::epoch::Epoch;
use super::file::{Backing, FileId, FileMapping};

/// File mappings that a table keeps at most; each has one descriptor open.
const MAX_FILES: usize = 256;

/// The file mappings and who uses them.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The mapping that new maps of a file use.
    current: BTreeMap<FileId, u32>,
    /// Mappings that maps name, with how many do.
    used: BTreeMap<u32, (FileMapping, u64)>,
    /// Mappings that no map names, each with the first generation that cannot reach it.
    limbo: Vec<(u64, FileMapping)>,
    /// Bytes that the maps cover: up to 2^64.
    pub(super) bytes: u128,
}

impl Files {
    /// The mapping for one more map, made if no present one serves: its number, and the map's host address.
    pub(super) fn acquire(
        &mut self,
        backing: Backing,
        poison_events: &Arc<StdAtomicU64>,
    ) -> Result<(u32, u64), MapError> {
        let (id, offset) = (backing.id, backing.offset);
        if let Some((mapping, maps)) = self.current.get(&id).and_then(|index| self.used.get_mut(index)) {
            if mapping.serves(&backing) {
                *maps += 1;
                return Ok((mapping.index(), mapping.host(offset)));
            }
        }
        if self.used.len() + self.limbo.len() >= MAX_FILES {
            return Err(MapError::TooManyFiles { limit: MAX_FILES });
        }
        let mapping = FileMapping::new(backing, poison_events)?;
        let (index, host) = (mapping.index(), mapping.host(offset));
        self.current.insert(id, index);
        self.used.insert(index, (mapping, 1));
        Ok((index, host))
    }

    /// Takes back `maps` uses of a mapping; without any left, it can be dropped once no pin from before
    /// `generation` is alive.
    pub(super) fn release(&mut self, index: u32, maps: u64, generation: u64) {
        let Some((_, left)) = self.used.get_mut(&index) else {
            return;
        };
        *left = left.saturating_sub(maps);
        if *left > 0 {
            return;
        }
        if let Some((mapping, _)) = self.used.remove(&index) {
            if self.current.get(&mapping.id()) == Some(&index) {
                self.current.remove(&mapping.id());
            }
            self.limbo.push((generation, mapping));
        }
    }

    /// Drops what no pin can reach. It must ask for the oldest pin itself, after the mappings went to limbo: an
    /// answer from before would miss a pin that came in between.
    pub(super) fn collect_limbo(&mut self, epoch: &Epoch) {
        if self.limbo.is_empty() {
            return;
        }
        let oldest = epoch.oldest();
        self.limbo.retain(|(generation, _)| *generation > oldest);
    }

    /// Mappings that maps name.
    pub(super) fn used(&self) -> usize {
        self.used.len()
    }

    /// Mappings that wait for older pins.
    pub(super) fn limbo(&self) -> usize {
        self.limbo.len()
    }
}
