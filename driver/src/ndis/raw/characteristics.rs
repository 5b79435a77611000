//! What a miniport written in C gives to `NdisMRegisterInterruptEx`.

use std::ffi::c_void;

use super::error::RawError;
use super::header::{Expected, NdisObjectHeader};
use super::message_info::IoInterruptMessageInfo;
use super::values::{FALSE, NDIS_MINIPORT_INTERRUPT_REVISION_1, NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT};

/// `BOOLEAN MiniportInterrupt(MiniportInterruptContext, &QueueDefaultInterruptDpc, &TargetProcessors)`.
pub type MiniportInterrupt = unsafe extern "C" fn(*mut c_void, *mut u8, *mut u32) -> u8;
/// `MiniportInterruptDPC(MiniportInterruptContext, MiniportDpcContext, ReceiveThrottleParameters, NdisReserved2)`.
pub type MiniportInterruptDpc = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void);
/// `MiniportDisableInterruptEx(MiniportInterruptContext)`, and its enabling twin.
pub type MiniportDisableInterrupt = unsafe extern "C" fn(*mut c_void);
/// `BOOLEAN MiniportMessageInterrupt(MiniportInterruptContext, MessageId, &QueueDefaultInterruptDpc, &TargetProcessors)`.
pub type MiniportMessageInterrupt = unsafe extern "C" fn(*mut c_void, u32, *mut u8, *mut u32) -> u8;
/// `MiniportMessageInterruptDPC(MiniportInterruptContext, MessageId, MiniportDpcContext, ReceiveThrottleParameters,
/// NdisReserved2)`.
pub type MiniportMessageInterruptDpc =
    unsafe extern "C" fn(*mut c_void, u32, *mut c_void, *mut c_void, *mut c_void);
/// `MiniportDisableMessageInterrupt(MiniportInterruptContext, MessageId)`, and its enabling twin.
pub type MiniportDisableMessageInterrupt = unsafe extern "C" fn(*mut c_void, u32);

/// NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS. Any handler may be NULL until [`Self::validate`] has seen it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS")]
pub struct NdisMiniportInterruptCharacteristics {
    /// Type 0x84, revision 1.
    pub header: NdisObjectHeader,
    /// Required.
    pub interrupt_handler: Option<MiniportInterrupt>,
    /// Required.
    pub interrupt_dpc_handler: Option<MiniportInterruptDpc>,
    /// Required.
    pub disable_interrupt_handler: Option<MiniportDisableInterrupt>,
    /// Required.
    pub enable_interrupt_handler: Option<MiniportDisableInterrupt>,
    /// Not FALSE: all four message handlers are there. FALSE: none is.
    pub msi_supported: u8,
    /// Not FALSE: service routines of different messages exclude each other (SY-5).
    pub msi_sync_with_all_messages: u8,
    /// With MsiSupported.
    pub message_interrupt_handler: Option<MiniportMessageInterrupt>,
    /// With MsiSupported.
    pub message_interrupt_dpc_handler: Option<MiniportMessageInterruptDpc>,
    /// With MsiSupported.
    pub disable_message_interrupt_handler: Option<MiniportDisableMessageInterrupt>,
    /// With MsiSupported.
    pub enable_message_interrupt_handler: Option<MiniportDisableMessageInterrupt>,
    /// Out: NDIS_CONNECT_LINE_BASED or NDIS_CONNECT_MESSAGE_BASED.
    pub interrupt_type: u32,
    /// Out: the message table, or NULL for a line.
    pub message_info_table: *const IoInterruptMessageInfo,
}

const STRUCTURE: &str = "NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS";

#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    type T = NdisMiniportInterruptCharacteristics;
    assert!(size_of::<T>() == 96);
    assert!(offset_of!(T, header) == 0 && offset_of!(T, interrupt_handler) == 8);
    assert!(offset_of!(T, interrupt_dpc_handler) == 16 && offset_of!(T, disable_interrupt_handler) == 24);
    assert!(offset_of!(T, enable_interrupt_handler) == 32 && offset_of!(T, msi_supported) == 40);
    assert!(
        offset_of!(T, msi_sync_with_all_messages) == 41 && offset_of!(T, message_interrupt_handler) == 48
    );
    assert!(offset_of!(T, message_interrupt_dpc_handler) == 56);
    assert!(offset_of!(T, disable_message_interrupt_handler) == 64);
    assert!(offset_of!(T, enable_message_interrupt_handler) == 72);
    assert!(offset_of!(T, interrupt_type) == 80 && offset_of!(T, message_info_table) == 88);
};

/// The characteristics with all that is required.
#[derive(Clone, Copy, Debug)]
pub struct Routines {
    /// Always there, for the system may grant no message (IR-3).
    pub line: LineRoutines,
    /// There with MsiSupported.
    pub message: Option<MessageRoutines>,
    /// MsiSyncWithAllMessages.
    pub msi_sync_with_all_messages: bool,
}

/// The handlers of a line.
#[derive(Clone, Copy, Debug)]
pub struct LineRoutines {
    /// MiniportInterrupt.
    pub interrupt: MiniportInterrupt,
    /// MiniportInterruptDPC.
    pub interrupt_dpc: MiniportInterruptDpc,
    /// MiniportDisableInterruptEx.
    pub disable: MiniportDisableInterrupt,
    /// MiniportEnableInterruptEx.
    pub enable: MiniportDisableInterrupt,
}

/// The handlers of messages.
#[derive(Clone, Copy, Debug)]
pub struct MessageRoutines {
    /// MiniportMessageInterrupt.
    pub interrupt: MiniportMessageInterrupt,
    /// MiniportMessageInterruptDPC.
    pub interrupt_dpc: MiniportMessageInterruptDpc,
    /// MiniportDisableMessageInterrupt.
    pub disable: MiniportDisableMessageInterrupt,
    /// MiniportEnableMessageInterrupt.
    pub enable: MiniportDisableMessageInterrupt,
}

impl NdisMiniportInterruptCharacteristics {
    /// What Size says for revision 1.
    pub const SIZE_OF_REVISION_1: usize = size_of::<Self>();

    /// Checks header and handlers (contract 2.2, IR-3).
    ///
    /// # Errors
    /// [`RawError`] about the first field that is wrong.
    pub fn validate(&self) -> Result<Routines, RawError> {
        self.header.check(&Expected {
            structure: STRUCTURE,
            object_type: NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT,
            revision: NDIS_MINIPORT_INTERRUPT_REVISION_1,
            least: Self::SIZE_OF_REVISION_1,
            clause: "2.2",
        })?;
        let line = LineRoutines {
            interrupt: line(self.interrupt_handler, "InterruptHandler")?,
            interrupt_dpc: line(self.interrupt_dpc_handler, "InterruptDpcHandler")?,
            disable: line(self.disable_interrupt_handler, "DisableInterruptHandler")?,
            enable: line(self.enable_interrupt_handler, "EnableInterruptHandler")?,
        };
        let message = if self.msi_supported == FALSE { self.no_messages()? } else { Some(self.messages()?) };
        let msi_sync_with_all_messages = self.msi_sync_with_all_messages != FALSE;
        Ok(Routines { line, message, msi_sync_with_all_messages })
    }

    fn messages(&self) -> Result<MessageRoutines, RawError> {
        Ok(MessageRoutines {
            interrupt: message(self.message_interrupt_handler, "MessageInterruptHandler")?,
            interrupt_dpc: message(self.message_interrupt_dpc_handler, "MessageInterruptDpcHandler")?,
            disable: message(self.disable_message_interrupt_handler, "DisableMessageInterruptHandler")?,
            enable: message(self.enable_message_interrupt_handler, "EnableMessageInterruptHandler")?,
        })
    }

    fn no_messages(&self) -> Result<Option<MessageRoutines>, RawError> {
        let given = [
            ("MessageInterruptHandler", self.message_interrupt_handler.is_some()),
            ("MessageInterruptDpcHandler", self.message_interrupt_dpc_handler.is_some()),
            ("DisableMessageInterruptHandler", self.disable_message_interrupt_handler.is_some()),
            ("EnableMessageInterruptHandler", self.enable_message_interrupt_handler.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(None),
            Some((field, _)) => Err(handler(field, "a function", "NULL, for MsiSupported is FALSE", "2.2")),
        }
    }
}

fn line<F>(routine: Option<F>, field: &'static str) -> Result<F, RawError> {
    routine.ok_or_else(|| handler(field, "NULL", "a function, for every registration needs it", "IR-3"))
}

fn message<F>(routine: Option<F>, field: &'static str) -> Result<F, RawError> {
    routine.ok_or_else(|| handler(field, "NULL", "a function, for MsiSupported is TRUE", "2.2"))
}

fn handler(
    field: &'static str,
    found: &'static str,
    expected: &'static str,
    clause: &'static str,
) -> RawError {
    RawError::Handler { structure: STRUCTURE, field, found, expected, clause }
}
