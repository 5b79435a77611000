//! `NdisMSynchronizeWithInterruptEx`: run with the service routine kept out.

use std::sync::Arc;

use ioat_stage::Pause;

use super::error::NoSuchMessage;
use super::handle::InterruptHandle;
use super::handlers::MessageId;
use super::lock::{LevelGuard, LevelLock};
use crate::irql::{self, AtDirql, AtMostDispatch, Irql};

/// Why a routine did not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SynchronizeError {
    /// The interrupt was deregistered, or is not registered yet.
    #[error("there is no registered interrupt behind this handle (contract SY-7)")]
    NotRegistered,
    /// The caller runs at the device's level, so it may hold the very lock: its token is from outside.
    #[error(
        "called at the device's level with a token from outside, where it could wait for itself (contract 2.7)"
    )]
    AboveDispatch,
    /// The message is another interrupt's, which has more.
    #[error(transparent)]
    Message(#[from] NoSuchMessage),
}

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
    /// The contract allows any level up to the device's, that of other devices' service routines among them; this
    /// asks for a proof of DISPATCH_LEVEL or below, so that a service routine, which would wait for itself, cannot
    /// call it:
    ///
    /// ```compile_fail
    /// use netdma::{irql::AtDirql, ndis::{InterruptHandle, MessageId}};
    /// fn in_an_isr(interrupt: &InterruptHandle, level: &AtDirql) {
    ///     let _ = interrupt.synchronize(MessageId::LINE, level, |_| true); // 2.7
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SynchronizeError`]; `routine` did not run.
    #[doc(alias = "NdisMSynchronizeWithInterruptEx")]
    pub fn synchronize(
        &self,
        message: MessageId,
        _: &dyn AtMostDispatch,
        routine: impl FnOnce(&AtDirql) -> bool,
    ) -> Result<bool, SynchronizeError> {
        let synchronized = self.synchronize_unlogged(message, routine);
        if let Err(error) = &synchronized {
            log::warn!("NdisMSynchronizeWithInterruptEx ran nothing: {error}");
        }
        synchronized
    }

    fn synchronize_unlogged(
        &self,
        message: MessageId,
        routine: impl FnOnce(&AtDirql) -> bool,
    ) -> Result<bool, SynchronizeError> {
        if irql::current() >= Irql::Device {
            return Err(SynchronizeError::AboveDispatch);
        }
        let registered = self.objects().filter(|objects| !objects.is_closed());
        let objects = registered.ok_or(SynchronizeError::NotRegistered)?;
        let interrupt = objects.owner();
        let message = interrupt.own(interrupt.message(message.get())?);
        Ok(irql::at_dirql(|level| {
            let _lock = interrupt.locks.lock(message);
            routine(level)
        }))
    }
}
