//! What a channel's registers tell a run that is under way: how far to go, and whether to stop.
//!
//! One word, so that both are seen together: DMACOUNT may grow under a run, and a run must never see the count of
//! the next chain without the order to abandon its own. It is written under the channel's lock only, and read by the
//! run once per descriptor and once per 64 KiB.

use std::sync::atomic::{AtomicU32, Ordering};

/// The word. On a cache line of its own: a run looks at it all the time.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Signals(AtomicU32);

/// One look at the word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signal(u32);

impl Signal {
    const COUNT: u32 = 0xffff;
    /// The chain is gone (RESET, FLR, DEVICE_RESET): stop at once, nothing will be published.
    pub(crate) const ABANDON: u32 = 1 << 16;
    /// No more DMA (BME off): stop at once, and keep what is done.
    pub(crate) const PARK: u32 = 1 << 17;
    /// Stop at the next descriptor boundary (SUSPEND).
    pub(crate) const BOUNDARY: u32 = 1 << 18;

    /// Stop at the next descriptor boundary (a bench's pause).
    pub(crate) const HOLD: u32 = 1 << 19;

    /// DMACOUNT.
    #[inline(always)]
    pub(crate) fn count(self) -> u16 {
        let [a, b, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// One of these orders is given.
    #[inline(always)]
    pub(crate) fn says(self, orders: u32) -> bool {
        self.0 & orders != 0
    }

    /// Some order is given.
    #[inline(always)]
    pub(crate) fn stops(self) -> bool {
        self.0 & !Self::COUNT != 0
    }
}

impl Signals {
    /// Reads the word. Acquire pairs with the store of a doorbell: descriptors that were written before it are seen.
    #[inline(always)]
    pub(crate) fn look(&self) -> Signal {
        Signal(self.0.load(Ordering::Acquire))
    }

    /// Sets DMACOUNT.
    pub(crate) fn set_count(&self, count: u16) {
        self.change(Signal::COUNT, count.into());
    }

    /// Gives orders.
    pub(crate) fn order(&self, orders: u32) {
        self.change(0, orders);
    }

    /// Takes orders back.
    pub(crate) fn revoke(&self, orders: u32) {
        self.change(orders, 0);
    }

    /// Not one atomic step: every writer holds the channel's lock.
    fn change(&self, clear: u32, set: u32) {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store((word & !clear) | set, Ordering::Release);
    }
}
