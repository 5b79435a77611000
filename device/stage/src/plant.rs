//! Planted bugs: errors that a checker must find, to show that it can. Without the feature `plants` there are none, and
//! asking compiles to `false`.

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// Driver, stage 8: a DPC's mark is cleared after its routine, not before it.
    MarkClearedLate,
    /// Device, stages 5 and 6: the interrupt is raised before the completion word is stored.
    InterruptBeforeWord,
    /// Driver, stage 7: who was refused a DPC leaves the batch, and does not re-arm although it was the last.
    RearmForgotten,
    /// Driver, stage 9: the look after the re-arming (MT-4) is left out.
    RecheckLeftOut,
    /// Device, stage 6: no bug, but a harder engine: an interrupt that comes while disabled is not held back for the
    /// re-arming, it is lost. MT-4 is there for such engines.
    HeldLost,
}

#[cfg(feature = "plants")]
mod planted {
    use std::cell::RefCell;

    use super::Plant;

    thread_local! {
        static PLANTED: RefCell<Vec<Plant>> = const { RefCell::new(Vec::new()) };
    }

    /// Plants these bugs, and no others, in what the calling thread does from now on.
    pub fn plant(plants: &[Plant]) {
        PLANTED.set(plants.to_vec());
    }

    /// The bug is planted in the calling thread.
    #[must_use]
    pub fn planted(plant: Plant) -> bool {
        PLANTED.with_borrow(|planted| planted.contains(&plant))
    }
}

#[cfg(feature = "plants")]
pub use planted::{plant, planted};

/// The bug is planted in the calling thread.
#[cfg(not(feature = "plants"))]
#[inline(always)]
#[must_use]
pub const fn planted(_: Plant) -> bool {
    false
}
