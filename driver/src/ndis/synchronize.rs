//! `NdisMSynchronizeWithInterruptEx`: run with the service routine kept out.

use std::sync::Arc;

use ioat_stage::Pause;

use super::handlers::MessageId;
use super::interrupt::InterruptHandle;
use super::lock::{LevelGuard, LevelLock};
use crate::irql::{self, AtDirql, AtMostDispatch, Irql};

/// The interrupt was deregistered (SY-7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the interrupt is deregistered")]
pub struct Deregistered;

/// The interrupt's locks: one for each message, or one for all (SY-5).
pub(super) struct InterruptLocks(Box<[LevelLock]>);

impl InterruptLocks {
    pub(super) fn new(messages: u32, one_for_all: bool, pause: &Arc<dyn Pause>) -> Self {
        let count = if one_for_all { 1 } else { messages };
        Self((0..count).map(|_| LevelLock::new(pause.clone())).collect())
    }

    pub(super) fn lock(&self, message: MessageId) -> LevelGuard<'_> {
        self.0[message.get() as usize % self.0.len()].lock()
    }
}

impl InterruptHandle {
    /// Runs `routine` at the device's level with the service routine of `message` kept out (SY-1), and gives
    /// its answer (SY-3). It keeps out no DPC (SY-6).
    ///
    /// The contract allows any level up to the device's; this asks for a proof of DISPATCH_LEVEL or below, so
    /// that a service routine, which would wait for itself, cannot call it.
    ///
    /// # Errors
    /// When the interrupt is deregistered (SY-7); `routine` did not run.
    ///
    /// # Panics
    /// When called from inside another `routine` with a token carried in from outside.
    #[doc(alias = "NdisMSynchronizeWithInterruptEx")]
    pub fn synchronize(
        &self,
        message: MessageId,
        _: &dyn AtMostDispatch,
        routine: impl FnOnce(&AtDirql) -> bool,
    ) -> Result<bool, Deregistered> {
        assert!(
            irql::current() < Irql::Device,
            "synchronize inside a routine that holds the interrupt's lock"
        );
        let objects = self.objects().filter(|objects| !objects.is_closed()).ok_or(Deregistered)?;
        Ok(irql::at_dirql(|level| {
            let _lock = objects.owner().locks.lock(message);
            routine(level)
        }))
    }
}
