//! The client's end of stage 9: what the DPC tells, and whom it wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ioat_stage::{Bell, Pause};

use crate::contract::{Completed, NetDmaClient};
use crate::irql::AtDispatch;

/// What the interface reported so far. Both methods run in the DPC: they store, ring, and return.
pub(super) struct Reports {
    /// The number of the last finished descriptor.
    done: AtomicU64,
    attention: AtomicBool,
    /// Rung after each report.
    pub(super) bell: Bell,
    pause: Arc<dyn Pause>,
}

impl Reports {
    pub(super) fn new(pause: Arc<dyn Pause>) -> Arc<Self> {
        let bell = Bell::new();
        Arc::new(Self { done: AtomicU64::new(0), attention: AtomicBool::new(false), bell, pause })
    }

    /// Descriptors up to this number are finished, and their data is there.
    pub(super) fn done(&self) -> u64 {
        // Pairs with the store in `completed`.
        self.done.load(Ordering::Acquire)
    }

    /// Something went wrong on the channel, and nobody has looked yet.
    pub(super) fn wants_attention(&self) -> bool {
        self.attention.load(Ordering::Acquire)
    }

    pub(super) fn raise_attention(&self) {
        self.attention.store(true, Ordering::Release);
        self.pause.ring(&self.bell);
    }

    /// Somebody looks now.
    pub(super) fn take_attention(&self) -> bool {
        self.attention.swap(false, Ordering::AcqRel)
    }
}

impl NetDmaClient for Reports {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        self.done.fetch_max(completed.sequence, Ordering::AcqRel);
        self.pause.ring(&self.bell);
    }

    fn attention(&self, _: &AtDispatch) {
        self.raise_attention();
    }
}
