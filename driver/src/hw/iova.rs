//! Where the engine sees each buffer: I/O virtual addresses, given first fit and taken back.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Addresses are given in whole pages of this size.
pub const PAGE: u64 = 4096;

/// The first address that is tried: above 4 GiB, where no platform keeps its message-signalled interrupt
/// window or other reserved ranges, and where a truncated 32-bit address shows itself at once.
pub const FIRST: u64 = 1 << 32;

/// The last address when the system names no aperture: 39 bits, the least that a VT-d unit translates.
const LAST: u64 = (1 << 39) - 1;

/// The address space of one device.
#[derive(Debug)]
pub struct IovaSpace {
    /// Usable ranges, in the order in which they are tried.
    aperture: Vec<RangeInclusive<u64>>,
    /// Taken ranges: start and length.
    taken: BTreeMap<u64, u64>,
}

impl Default for IovaSpace {
    fn default() -> Self {
        Self { aperture: vec![FIRST..=LAST], taken: BTreeMap::new() }
    }
}

impl IovaSpace {
    /// A space inside `ranges`; none means that nothing is known. What lies above [`FIRST`] is used first, the
    /// rest (but never page 0) when that is full or not there.
    #[must_use]
    pub fn inside(ranges: &[RangeInclusive<u64>]) -> Self {
        if ranges.is_empty() {
            return Self::default();
        }
        let part = |low: u64, high: u64| {
            ranges.iter().map(move |range| low.max(*range.start())..=high.min(*range.end()))
        };
        let high = part(FIRST, u64::MAX - 1);
        let low = part(PAGE, FIRST - 1);
        let aperture = high.chain(low).filter(|range| !range.is_empty()).collect();
        Self { aperture, taken: BTreeMap::new() }
    }

    /// Takes the first free `len` bytes, rounded up to pages. `None` when there is no such gap.
    pub fn take(&mut self, len: u64) -> Option<u64> {
        let len = len.max(1).checked_next_multiple_of(PAGE)?;
        let start = self.aperture.iter().find_map(|range| self.gap(range, len))?;
        self.taken.insert(start, len);
        Some(start)
    }

    /// Gives back what [`take`](Self::take) returned. Anything else is ignored.
    pub fn give(&mut self, start: u64) {
        self.taken.remove(&start);
    }

    fn gap(&self, range: &RangeInclusive<u64>, len: u64) -> Option<u64> {
        let mut start = range.start().checked_next_multiple_of(PAGE)?;
        if let Some((before, before_len)) = self.taken.range(..start).next_back() {
            start = start.max(before + before_len);
        }
        if start > *range.end() {
            return None;
        }
        for (taken, taken_len) in self.taken.range(start..=*range.end()) {
            if taken - start >= len {
                break;
            }
            start = taken + taken_len;
        }
        let last = start.checked_add(len - 1)?;
        (last <= *range.end()).then_some(start)
    }
}
