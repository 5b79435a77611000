//! What a channel has done since the program began. No reset sets it back: it is the bench's, not the guest's.

/// Sums of one channel. They are kept under the channel's lock, once per step or register write, never per descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Descriptors that were done, and published.
    pub descriptors: u64,
    /// Their sizes.
    pub bytes: u64,
    /// Steps that did them.
    pub steps: u64,
    /// Writes to DMACOUNT.
    pub doorbells: u64,
    /// Interrupts that were sent, also those that a fault rule dropped.
    pub interrupts_raised: u64,
    /// Interrupt events that had to wait for the re-arm or for bus mastery.
    pub interrupts_held: u64,
    /// Halts.
    pub errors: u64,
    /// Channel and function resets.
    pub resets: u64,
}

/// Whether a bench holds a channel, and how many descriptors it lets through all the same.
///
/// A held channel is one whose worker begins no descriptor. One that is begun is finished, so that SUSPEND and whatever
/// else waits for a descriptor boundary comes to its end. No reset and no client changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Hold {
    pub(crate) paused: bool,
    /// Descriptors to let through, one per step.
    pub(crate) allowed: u32,
}

impl Hold {
    /// No new descriptor may begin.
    pub(crate) fn stops(self) -> bool {
        self.paused && self.allowed == 0
    }
}
