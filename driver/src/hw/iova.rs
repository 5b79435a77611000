//! Where the engine sees each buffer: I/O virtual addresses.

use std::ops::RangeInclusive;

use super::first_fit::FirstFit;
pub use super::first_fit::PAGE;

/// The first address that is tried: above 4 GiB, where no platform keeps its message-signalled interrupt
/// window or other reserved ranges, and where a truncated 32-bit address shows itself at once.
pub const FIRST: u64 = 1 << 32;

/// The last address when the system names no aperture: 39 bits, the least that a VT-d unit translates.
const LAST: u64 = (1 << 39) - 1;

/// The address space of one device.
#[derive(Debug)]
pub struct IovaSpace {
    free: FirstFit,
    /// Where a buffer may be placed by its address; also where none is put by itself.
    placeable: Vec<RangeInclusive<u64>>,
}

/// Why a buffer cannot be at an address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlacementError {
    /// A mapping begins at a page.
    #[error("the address is not a multiple of {PAGE:#x}")]
    Unaligned,
    /// No IOMMU translates it.
    #[error("this is not inside what the IOMMU translates: {}", ranges(.0))]
    Unreachable(Vec<RangeInclusive<u64>>),
    /// Something is there.
    #[error("{len:#x} bytes at {start:#x} are taken")]
    Taken {
        /// Where it begins.
        start: u64,
        /// Its bytes.
        len: u64,
    },
}

impl Default for IovaSpace {
    fn default() -> Self {
        // Of a device that is not behind an IOMMU, only the device itself knows what it reaches. The last page is left
        // out so that no end overflows.
        Self { free: FirstFit::new(vec![FIRST..=LAST]), placeable: vec![0..=u64::MAX - PAGE] }
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
        let free = FirstFit::new(high.chain(low).filter(|range| !range.is_empty()).collect());
        let placeable = part(0, u64::MAX - PAGE).filter(|range| !range.is_empty()).collect();
        Self { free, placeable }
    }

    /// Takes the first free `len` bytes, rounded up to pages. `None` when there is no such gap.
    pub fn take(&mut self, len: u64) -> Option<u64> {
        self.free.take(len)
    }

    /// Takes `len` bytes, rounded up to pages, at `start`.
    ///
    /// # Errors
    /// [`PlacementError`]; nothing is taken then.
    pub fn take_at(&mut self, start: u64, len: u64) -> Result<(), PlacementError> {
        if start % PAGE != 0 {
            return Err(PlacementError::Unaligned);
        }
        let pages = len.max(1).checked_next_multiple_of(PAGE);
        let inside = |pages: &u64| {
            let last = start.checked_add(pages - 1);
            self.placeable
                .iter()
                .any(|range| range.contains(&start) && last.is_some_and(|last| range.contains(&last)))
        };
        let pages =
            pages.filter(inside).ok_or_else(|| PlacementError::Unreachable(self.placeable.clone()))?;
        self.free.take_at(start, pages).map_err(|(start, len)| PlacementError::Taken { start, len })
    }

    /// Gives back what [`take`](Self::take) returned, or [`take_at`](Self::take_at) took. Anything else is ignored.
    pub fn give(&mut self, start: u64) {
        self.free.give(start);
    }
}

fn ranges(ranges: &[RangeInclusive<u64>]) -> String {
    let texts = ranges.iter().map(|range| format!("{:#x} to {:#x}", range.start(), range.end()));
    texts.collect::<Vec<_>>().join(", ")
}
