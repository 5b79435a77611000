//! The disable and enable handlers, which only a person who looks for trouble has called (EN-1).

use super::error::{NoSuchMessage, WrongInterruptType};
use super::handlers::{InterruptType, LineHandlers, MessageHandlers, MessageId};
use super::interrupt::Interrupt;
use crate::irql::{self, AtDirql, AtPassive};

/// Why a handler was not called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DiagnoseError {
    /// The handlers of the other type serve.
    #[error(transparent)]
    Type(#[from] WrongInterruptType),
    /// The message is another interrupt's, which has more.
    #[error(transparent)]
    Message(#[from] NoSuchMessage),
}

/// Each call runs the miniport's handler at the device's level, holding the interrupt's lock, for the handler touches
/// what the service routine touches (EN-2). The engine itself never calls one: masking in the ordinary course is the
/// miniport's own business (EN-1).
impl Interrupt {
    /// Calls `MiniportDisableInterruptEx` of a line interrupt.
    ///
    /// # Errors
    /// [`DiagnoseError`]; the handler was not called.
    #[doc(alias = "MiniportDisableInterruptEx")]
    pub fn disable_interrupt(&self, _: &AtPassive) -> Result<(), DiagnoseError> {
        self.line_handler("MiniportDisableInterruptEx", |handlers, level| handlers.disable_interrupt(level))
    }

    /// Calls `MiniportEnableInterruptEx` of a line interrupt.
    ///
    /// # Errors
    /// [`DiagnoseError`]; the handler was not called.
    #[doc(alias = "MiniportEnableInterruptEx")]
    pub fn enable_interrupt(&self, _: &AtPassive) -> Result<(), DiagnoseError> {
        self.line_handler("MiniportEnableInterruptEx", |handlers, level| handlers.enable_interrupt(level))
    }

    /// Calls `MiniportDisableMessageInterrupt` of a message-based interrupt.
    ///
    /// # Errors
    /// [`DiagnoseError`]; the handler was not called.
    #[doc(alias = "MiniportDisableMessageInterrupt")]
    pub fn disable_message_interrupt(&self, message: MessageId, _: &AtPassive) -> Result<(), DiagnoseError> {
        self.message_handler("MiniportDisableMessageInterrupt", message, |handlers, message, level| {
            handlers.disable_message_interrupt(message, level);
        })
    }

    /// Calls `MiniportEnableMessageInterrupt` of a message-based interrupt.
    ///
    /// # Errors
    /// [`DiagnoseError`]; the handler was not called.
    #[doc(alias = "MiniportEnableMessageInterrupt")]
    pub fn enable_message_interrupt(&self, message: MessageId, _: &AtPassive) -> Result<(), DiagnoseError> {
        self.message_handler("MiniportEnableMessageInterrupt", message, |handlers, message, level| {
            handlers.enable_message_interrupt(message, level);
        })
    }

    fn line_handler(
        &self,
        call: &'static str,
        handler: impl FnOnce(&dyn LineHandlers, &AtDirql),
    ) -> Result<(), DiagnoseError> {
        self.of_type(call, InterruptType::LineBased)?;
        let interrupt = self.objects.owner();
        irql::at_dirql(|level| {
            let _lock = interrupt.locks.lock(MessageId::LINE);
            handler(&*interrupt.characteristics.line, level);
        });
        Ok(())
    }

    fn message_handler(
        &self,
        call: &'static str,
        message: MessageId,
        handler: impl FnOnce(&dyn MessageHandlers, MessageId, &AtDirql),
    ) -> Result<(), DiagnoseError> {
        self.of_type(call, InterruptType::MessageBased)?;
        let interrupt = self.objects.owner();
        let message =
            interrupt.message(message.get()).inspect_err(|error| log::warn!("{call} (2.8): {error}"))?;
        let handlers =
            interrupt.characteristics.message.as_ref().expect("messages are granted to their handlers alone");
        irql::at_dirql(|level| {
            let _lock = interrupt.locks.lock(message);
            handler(&**handlers, message, level);
        });
        Ok(())
    }

    fn of_type(&self, call: &'static str, needed: InterruptType) -> Result<(), DiagnoseError> {
        let found = self.interrupt_type();
        if found == needed {
            return Ok(());
        }
        let error = WrongInterruptType { call, needed, found, clause: "2.8" };
        log::warn!("{error}");
        Err(error.into())
    }
}
