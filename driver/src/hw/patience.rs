//! Whether to look again and again before blocking.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Learns from the waits for a reply whether looking beats blocking, and does what was faster.
///
/// A wake-up through the kernel costs tens of microseconds, a look about a tenth of one. But looking takes the
/// processor from whoever would answer when there is no other one free: measured on two busy cores, a register
/// read took 150 us with looking and 20 us without. So both ways are timed, and the slower one is tried now and then.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    turns: AtomicU32,
    /// How long a wait takes that looks first, and one that does not: moving averages; 0 is not known yet.
    looking_ns: AtomicU64,
    blocking_ns: AtomicU64,
}

impl Patience {
    /// Looks before a wait blocks all the same: about as long as one wake-up takes.
    const LOOKS: u32 = 150;

    /// One wait of so many tries the way that was slower.
    const TRIAL: u32 = 128;

    /// A wait that took longer counts as this long: a single preemption must not decide for many waits.
    const MOST_NS: u64 = 500_000;

    /// How often to look before blocking, this time.
    pub(crate) fn looks(&self) -> u32 {
        let trial = self.turns.fetch_add(1, Ordering::Relaxed) % Self::TRIAL == Self::TRIAL - 1;
        let faster = self.looking_ns.load(Ordering::Relaxed) < self.blocking_ns.load(Ordering::Relaxed);
        if faster == trial { 0 } else { Self::LOOKS }
    }

    /// Tells how long a wait took that was to look `looks` times.
    pub(crate) fn took(&self, looks: u32, ns: u64) {
        let average = if looks > 0 { &self.looking_ns } else { &self.blocking_ns };
        let before = average.load(Ordering::Relaxed);
        let ns = ns.clamp(1, Self::MOST_NS);
        // Waits of two threads may overwrite each other's: the average is a guess anyway.
        let after = if before == 0 { ns } else { (before * 7 + ns).div_ceil(8) };
        average.store(after, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 1000 waits look, when looking and blocking take this long.
    fn lookers(patience: &Patience, looking_ns: u64, blocking_ns: u64) -> usize {
        let wait = |_: &usize| {
            let looks = patience.looks();
            patience.took(looks, if looks > 0 { looking_ns } else { blocking_ns });
            looks > 0
        };
        (0..1000).filter(wait).count()
    }

    #[test]
    fn the_faster_way_is_taken_and_a_change_is_noticed() {
        let patience = Patience::default();
        assert!(lookers(&patience, 5_000, 45_000) > 980);
        assert!(lookers(&patience, 150_000, 20_000) < 20);
        let changed_back = lookers(&patience, 5_000, 45_000) + lookers(&patience, 5_000, 45_000);
        assert!(changed_back > 500, "{changed_back}");
    }
}
