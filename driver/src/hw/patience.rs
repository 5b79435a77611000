//! How long to look again and again before blocking.

use std::sync::atomic::{AtomicU32, Ordering};

/// Learns from each wait whether looking a little longer would have spared the block.
///
/// A wake-up through the kernel costs tens of microseconds, a look about a tenth of one; but on a machine with
/// few processors, looking takes the time from the one who would make it end. So a wait looks only when the
/// wait before it was short.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    looks: AtomicU32,
}

impl Patience {
    /// Looks that cost about as much as one wake-up.
    const LOOKS: u32 = 200;

    /// A block shorter than this would have been spared by looking.
    const SHORT_NS: u64 = 60_000;

    /// How often to look before blocking, this time.
    pub(crate) fn looks(&self) -> u32 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Tells how long the wait then blocked.
    pub(crate) fn blocked(&self, ns: u64) {
        let looks = if ns < Self::SHORT_NS { Self::LOOKS } else { 0 };
        self.looks.store(looks, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_wait_ends_the_looking_and_a_short_one_starts_it() {
        let patience = Patience::default();
        assert_eq!(patience.looks(), 0);
        patience.blocked(5_000);
        assert_eq!(patience.looks(), Patience::LOOKS);
        patience.blocked(50_000_000);
        assert_eq!(patience.looks(), 0);
    }
}
