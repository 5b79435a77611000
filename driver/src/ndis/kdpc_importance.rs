//! When a queued kernel DPC makes its processor start working (KD-5, KD-8, KD-9).

use std::time::Duration;

/// The importance of a DPC object, with the numbers of the headers (KD-8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[doc(alias = "KDPC_IMPORTANCE")]
pub enum DpcImportance {
    /// Waits, even on the processor that inserts it.
    #[doc(alias = "LowImportance")]
    Low = 0,
    /// Starts its own processor at once; on another one it waits.
    #[default]
    #[doc(alias = "MediumImportance")]
    Medium = 1,
    /// Starts any processor at once, and goes to the head of the queue (KD-5).
    #[doc(alias = "HighImportance")]
    High = 2,
    /// Starts any processor at once, from the tail. NDIS DPCs are like this (KD-10, our choice).
    #[doc(alias = "MediumHighImportance")]
    MediumHigh = 3,
}

impl DpcImportance {
    /// A queue with this many entries starts its processor, whatever their importance: the contract's "deep queue",
    /// for which the documents give no number.
    pub const DEEP_QUEUE: usize = 4;

    /// What waits is run after this long even if nothing else starts its processor: the documents promise no bound;
    /// ours is in the order of a clock tick.
    pub const WAITS_AT_MOST: Duration = Duration::from_millis(10);

    /// An insert starts the processor at once (KD-9).
    #[must_use]
    pub const fn starts(self, on_own_processor: bool, depth: usize) -> bool {
        match self {
            Self::High | Self::MediumHigh => true,
            Self::Medium => on_own_processor || depth >= Self::DEEP_QUEUE,
            Self::Low => depth >= Self::DEEP_QUEUE,
        }
    }

    /// It is inserted before everything else (KD-5).
    #[must_use]
    pub const fn goes_to_head(self) -> bool {
        matches!(self, Self::High)
    }

    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Low,
            2 => Self::High,
            3 => Self::MediumHigh,
            _ => Self::Medium,
        }
    }
}
