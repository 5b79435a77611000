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
pub struct IovaSpace(FirstFit);

impl Default for IovaSpace {
    fn default() -> Self {
        Self(FirstFit::new(vec![FIRST..=LAST]))
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
        Self(FirstFit::new(high.chain(low).filter(|range| !range.is_empty()).collect()))
    }

    /// Takes the first free `len` bytes, rounded up to pages. `None` when there is no such gap.
    pub fn take(&mut self, len: u64) -> Option<u64> {
        self.0.take(len)
    }

    /// Gives back what [`take`](Self::take) returned. Anything else is ignored.
    pub fn give(&mut self, start: u64) {
        self.0.give(start);
    }
}
