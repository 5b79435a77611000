//! Ranges of whole pages, given first fit and taken back: of addresses, or of a file.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// What is free in some ranges.
#[derive(Debug)]
pub(crate) struct FirstFit {
    /// In the order in which they are tried.
    ranges: Vec<RangeInclusive<u64>>,
    /// Taken: start and length.
    taken: BTreeMap<u64, u64>,
}

impl FirstFit {
    pub(crate) fn new(ranges: Vec<RangeInclusive<u64>>) -> Self {
        Self { ranges, taken: BTreeMap::new() }
    }

    /// Takes the first free `len` bytes, rounded up to pages. `None` when there is no such gap.
    pub(crate) fn take(&mut self, len: u64) -> Option<u64> {
        let len = len.max(1).checked_next_multiple_of(PAGE)?;
        let start = self.ranges.iter().find_map(|range| self.gap(range, len))?;
        self.taken.insert(start, len);
        Some(start)
    }

    /// Takes exactly these whole pages, inside the ranges or not. The error is what overlaps them: start and length.
    /// They must end below 2^64.
    pub(crate) fn take_at(&mut self, start: u64, len: u64) -> Result<(), (u64, u64)> {
        let before = self.taken.range(..start + len).next_back();
        match before.filter(|(taken, taken_len)| *taken + *taken_len > start) {
            Some((taken, taken_len)) => Err((*taken, *taken_len)),
            None => {
                self.taken.insert(start, len);
                Ok(())
            }
        }
    }

    /// Gives back what [`take`](Self::take) returned. Anything else is ignored.
    pub(crate) fn give(&mut self, start: u64) {
        self.taken.remove(&start);
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.taken.is_empty()
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
