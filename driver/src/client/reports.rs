//! The client's end of stage 9: what the DPC tells, and whom it wakes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ioat_stage::{Bell, Pause};

use super::Error;
use super::events::{self, Events};
use crate::contract::{Completed, NetDmaClient};
use crate::irql::AtDispatch;

/// What the interface reported so far. Both methods run in the DPC: they store, ring, and return.
pub(super) struct Reports {
    /// The number of the last finished descriptor.
    done: AtomicU64,
    attention: AtomicBool,
    /// Rung after each report.
    pub(super) bell: Bell,
    /// Made for the first who asks.
    events: OnceLock<Events>,
    pause: Arc<dyn Pause>,
}

impl Reports {
    pub(super) fn new(pause: Arc<dyn Pause>) -> Arc<Self> {
        let bell = Bell::new();
        let (done, attention, events) = (AtomicU64::new(0), AtomicBool::new(false), OnceLock::new());
        Arc::new(Self { done, attention, bell, events, pause })
    }

    pub(super) fn events(&self) -> Result<Events, Error> {
        if let Some(events) = self.events.get() {
            return Ok(events.clone());
        }
        let made = events::new()?;
        // Whoever was first has made the one that is told.
        Ok(self.events.get_or_init(|| made).clone())
    }

    /// Wakes whoever waits. Neither sleeps nor allocates.
    pub(super) fn ring(&self) {
        self.pause.ring(&self.bell);
        if let Some(events) = self.events.get() {
            events.tell();
        }
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
        self.ring();
    }

    /// Somebody looks now.
    pub(super) fn take_attention(&self) -> bool {
        self.attention.swap(false, Ordering::AcqRel)
    }
}

impl NetDmaClient for Reports {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        self.done.fetch_max(completed.sequence, Ordering::AcqRel);
        self.ring();
    }

    fn attention(&self, _: &AtDispatch) {
        self.raise_attention();
    }
}
