//! An event count: ringing it costs two atomic operations when nobody waits.

use crate::sync::atomic::{AtomicU32, Ordering};

/// Something to wait on. It remembers how often it rang, so a ring between looking and waiting is not lost.
#[derive(Debug, Default)]
pub struct Bell {
    pub(super) rings: AtomicU32,
    pub(super) sleepers: AtomicU32,
}

impl Bell {
    /// A bell that has not rung.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often it has rung so far, modulo 2^32. Read it before looking for work.
    #[must_use]
    pub fn seen(&self) -> u32 {
        // Pairs with the increment in `count_ring`: whoever sees the ring sees the work published before it.
        self.rings.load(Ordering::SeqCst)
    }

    /// Counts a ring, and says whether somebody sleeps.
    ///
    /// Store-load pairing: the ringer increments `rings` and then reads `sleepers`; the sleeper increments
    /// `sleepers` and then checks `rings` (in the kernel, for a futex). With sequential consistency one of
    /// the two sees the other, so no ring is slept through.
    #[must_use]
    pub fn count_ring(&self) -> bool {
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.sleepers.load(Ordering::SeqCst) > 0
    }
}
