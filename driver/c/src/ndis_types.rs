//! `ndis.h`, the interrupt part: structures, handlers and constants of contract 2.1, 2.2 and 2.9.
//!
//! Laid out as in `netdma::ndis::raw`, which the compiler asserts.

use std::mem::offset_of;

use netdma::ndis::raw;

use crate::netdma_types::same_layout;
use crate::wdm_types::{BOOLEAN, KAFFINITY, PBOOLEAN, PHYSICAL_ADDRESS, PULONG, PVOID, UCHAR, ULONG, USHORT};

/// An adapter (the host's handle) or an interrupt.
pub type NDIS_HANDLE = PVOID;
/// Where a handle goes.
pub type PNDIS_HANDLE = *mut NDIS_HANDLE;
/// A status word.
pub type NDIS_STATUS = i32;

/// Done.
pub const NDIS_STATUS_SUCCESS: NDIS_STATUS = 0x0000_0000;
/// Not done.
pub const NDIS_STATUS_FAILURE: NDIS_STATUS = 0xC000_0001_u32 as NDIS_STATUS;
/// An argument makes no sense.
pub const NDIS_STATUS_INVALID_PARAMETER: NDIS_STATUS = 0xC000_000D_u32 as NDIS_STATUS;
/// No thread or processor.
pub const NDIS_STATUS_RESOURCES: NDIS_STATUS = 0xC000_009A_u32 as NDIS_STATUS;
/// Not in the version that was chosen.
pub const NDIS_STATUS_NOT_SUPPORTED: NDIS_STATUS = 0xC000_00BB_u32 as NDIS_STATUS;
/// A revision that is not known.
pub const NDIS_STATUS_BAD_VERSION: NDIS_STATUS = 0xC001_0004_u32 as NDIS_STATUS;
/// A structure with a wrong type, size or handler.
pub const NDIS_STATUS_BAD_CHARACTERISTICS: NDIS_STATUS = 0xC001_0005_u32 as NDIS_STATUS;
/// The device's interrupts are in use, or were.
pub const NDIS_STATUS_RESOURCE_CONFLICT: NDIS_STATUS = 0xC001_001E_u32 as NDIS_STATUS;

/// Header.Type of NDIS_MSIX_CONFIG_PARAMETERS.
pub const NDIS_OBJECT_TYPE_DEFAULT: UCHAR = 0x80;
/// Header.Type of NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS.
pub const NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT: UCHAR = 0x84;
/// Header.Revision of NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS.
pub const NDIS_MINIPORT_INTERRUPT_REVISION_1: UCHAR = 1;
/// Header.Size of NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS on a 64-bit target.
pub const NDIS_SIZEOF_MINIPORT_INTERRUPT_CHARACTERISTICS_REVISION_1: USHORT = 96;
/// Header.Revision of NDIS_MSIX_CONFIG_PARAMETERS.
pub const NDIS_MSIX_CONFIG_PARAMETERS_REVISION_1: UCHAR = 1;
/// Header.Size of NDIS_MSIX_CONFIG_PARAMETERS.
pub const NDIS_SIZEOF_MSIX_CONFIG_PARAMETERS_REVISION_1: USHORT = 16;
/// InterruptType: a line.
pub const NDIS_CONNECT_LINE_BASED: ULONG = 1;
/// InterruptType: messages.
pub const NDIS_CONNECT_MESSAGE_BASED: ULONG = 2;
/// MaxNblsToIndicate without a cap.
pub const NDIS_INDICATE_ALL_NBLS: ULONG = 0xFFFF_FFFF;
/// ConfigOperation: let an entry deliver another message.
pub const NdisMSIXTableConfigSetTableEntry: ULONG = 0;
/// ConfigOperation: hold an entry back.
pub const NdisMSIXTableConfigMaskTableEntry: ULONG = 1;
/// ConfigOperation: let it deliver again.
pub const NdisMSIXTableConfigUnmaskTableEntry: ULONG = 2;
/// No operation.
pub const NdisMSIXTableConfigMax: ULONG = 3;

/// What versioned structures begin with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_OBJECT_HEADER {
    /// What the structure is.
    pub Type: UCHAR,
    /// Its revision.
    pub Revision: UCHAR,
    /// Its bytes.
    pub Size: USHORT,
}

/// MiniportInterrupt: a line's service routine. Its device's level.
pub type MINIPORT_ISR_HANDLER = Option<
    unsafe extern "C" fn(
        MiniportInterruptContext: NDIS_HANDLE,
        QueueDefaultInterruptDpc: PBOOLEAN,
        TargetProcessors: PULONG,
    ) -> BOOLEAN,
>;

/// MiniportInterruptDPC. DISPATCH_LEVEL. ReceiveThrottleParameters is reserved before 6.20.
pub type MINIPORT_INTERRUPT_DPC_HANDLER = Option<
    unsafe extern "C" fn(
        MiniportInterruptContext: NDIS_HANDLE,
        MiniportDpcContext: PVOID,
        ReceiveThrottleParameters: PVOID,
        NdisReserved2: PVOID,
    ),
>;

/// MiniportDisableInterruptEx. The device's level.
pub type MINIPORT_DISABLE_INTERRUPT_HANDLER =
    Option<unsafe extern "C" fn(MiniportInterruptContext: NDIS_HANDLE)>;

/// MiniportEnableInterruptEx. The device's level.
pub type MINIPORT_ENABLE_INTERRUPT_HANDLER =
    Option<unsafe extern "C" fn(MiniportInterruptContext: NDIS_HANDLE)>;

/// MiniportMessageInterrupt: a message's service routine. Its device's level.
pub type MINIPORT_MSI_ISR_HANDLER = Option<
    unsafe extern "C" fn(
        MiniportInterruptContext: NDIS_HANDLE,
        MessageId: ULONG,
        QueueDefaultInterruptDpc: PBOOLEAN,
        TargetProcessors: PULONG,
    ) -> BOOLEAN,
>;

/// MiniportMessageInterruptDPC. DISPATCH_LEVEL. ReceiveThrottleParameters is reserved before 6.20.
pub type MINIPORT_MSI_INTERRUPT_DPC_HANDLER = Option<
    unsafe extern "C" fn(
        MiniportInterruptContext: NDIS_HANDLE,
        MessageId: ULONG,
        MiniportDpcContext: PVOID,
        ReceiveThrottleParameters: PVOID,
        NdisReserved2: PVOID,
    ),
>;

/// MiniportDisableMessageInterrupt. The device's level.
pub type MINIPORT_DISABLE_MSI_INTERRUPT_HANDLER =
    Option<unsafe extern "C" fn(MiniportInterruptContext: NDIS_HANDLE, MessageId: ULONG)>;

/// MiniportEnableMessageInterrupt. The device's level.
pub type MINIPORT_ENABLE_MSI_INTERRUPT_HANDLER =
    Option<unsafe extern "C" fn(MiniportInterruptContext: NDIS_HANDLE, MessageId: ULONG)>;

/// MiniportSynchronizeInterrupt, of a line or of a message. The device's level.
pub type MINIPORT_SYNCHRONIZE_INTERRUPT_HANDLER =
    Option<unsafe extern "C" fn(SynchronizeContext: NDIS_HANDLE) -> BOOLEAN>;

/// One message.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IO_INTERRUPT_MESSAGE_INFO_ENTRY {
    /// 0: VFIO hides it.
    pub MessageAddress: PHYSICAL_ADDRESS,
    /// Where its service routine runs.
    pub TargetProcessorSet: KAFFINITY,
    /// NULL.
    pub InterruptObject: PVOID,
    /// 0: VFIO hides it.
    pub MessageData: ULONG,
    /// 0: VFIO hides it.
    pub Vector: ULONG,
    /// Its service routine's level.
    pub Irql: UCHAR,
    /// 0 LevelSensitive, 1 Latched.
    pub Mode: ULONG,
    /// 0 unknown, 1 active high, 2 active low.
    pub Polarity: ULONG,
}

/// The messages. MessageInfo has MessageCount entries.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IO_INTERRUPT_MESSAGE_INFO {
    /// The level of every service routine.
    pub UnifiedIrql: UCHAR,
    /// Entries.
    pub MessageCount: ULONG,
    /// The first of them.
    pub MessageInfo: [IO_INTERRUPT_MESSAGE_INFO_ENTRY; 1],
}

/// Where they are.
pub type PIO_INTERRUPT_MESSAGE_INFO = *mut IO_INTERRUPT_MESSAGE_INFO;

/// What an interrupt is registered with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS {
    /// NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT, revision 1.
    pub Header: NDIS_OBJECT_HEADER,
    /// Must be there.
    pub InterruptHandler: MINIPORT_ISR_HANDLER,
    /// Must be there.
    pub InterruptDpcHandler: MINIPORT_INTERRUPT_DPC_HANDLER,
    /// Must be there.
    pub DisableInterruptHandler: MINIPORT_DISABLE_INTERRUPT_HANDLER,
    /// Must be there.
    pub EnableInterruptHandler: MINIPORT_ENABLE_INTERRUPT_HANDLER,
    /// TRUE: the four message handlers are there. FALSE: none is.
    pub MsiSupported: BOOLEAN,
    /// Service routines of different messages exclude each other.
    pub MsiSyncWithAllMessages: BOOLEAN,
    /// With MsiSupported.
    pub MessageInterruptHandler: MINIPORT_MSI_ISR_HANDLER,
    /// With MsiSupported.
    pub MessageInterruptDpcHandler: MINIPORT_MSI_INTERRUPT_DPC_HANDLER,
    /// With MsiSupported.
    pub DisableMessageInterruptHandler: MINIPORT_DISABLE_MSI_INTERRUPT_HANDLER,
    /// With MsiSupported.
    pub EnableMessageInterruptHandler: MINIPORT_ENABLE_MSI_INTERRUPT_HANDLER,
    /// Out: NDIS_CONNECT_LINE_BASED or NDIS_CONNECT_MESSAGE_BASED.
    pub InterruptType: ULONG,
    /// Out: the messages; NULL for a line. Good until NdisMDeregisterInterruptEx.
    pub MessageInfoTable: PIO_INTERRUPT_MESSAGE_INFO,
}

/// Where they are.
pub type PNDIS_MINIPORT_INTERRUPT_CHARACTERISTICS = *mut NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS;

/// What an MSI-X table entry is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MSIX_CONFIG_PARAMETERS {
    /// NDIS_OBJECT_TYPE_DEFAULT, revision 1.
    pub Header: NDIS_OBJECT_HEADER,
    /// NdisMSIXTableConfigSetTableEntry and so on.
    pub ConfigOperation: ULONG,
    /// The entry.
    pub TableEntry: ULONG,
    /// For Set: the message.
    pub MessageNumber: ULONG,
}

/// Where it is.
pub type PNDIS_MSIX_CONFIG_PARAMETERS = *mut NDIS_MSIX_CONFIG_PARAMETERS;

/// A DPC's cap on receives (6.20). A provider has none and leaves it alone.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RECEIVE_THROTTLE_PARAMETERS {
    /// In: NDIS_INDICATE_ALL_NBLS for no cap.
    pub MaxNblsToIndicate: ULONG,
    /// Out, one bit: call again.
    /// cbindgen:bitfield=1
    pub MoreNblsPending: ULONG,
}

same_layout!(NDIS_OBJECT_HEADER, raw::NdisObjectHeader { Type = object_type, Revision = revision, Size = size });
same_layout!(IO_INTERRUPT_MESSAGE_INFO_ENTRY, raw::IoInterruptMessageInfoEntry {
    MessageAddress = message_address, TargetProcessorSet = target_processor_set,
    InterruptObject = interrupt_object, MessageData = message_data, Vector = vector, Irql = irql, Mode = mode,
    Polarity = polarity,
});
same_layout!(IO_INTERRUPT_MESSAGE_INFO, raw::IoInterruptMessageInfo {
    UnifiedIrql = unified_irql, MessageCount = message_count, MessageInfo = message_info,
});
same_layout!(NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS, raw::NdisMiniportInterruptCharacteristics {
    Header = header, InterruptHandler = interrupt_handler, InterruptDpcHandler = interrupt_dpc_handler,
    DisableInterruptHandler = disable_interrupt_handler, EnableInterruptHandler = enable_interrupt_handler,
    MsiSupported = msi_supported, MsiSyncWithAllMessages = msi_sync_with_all_messages,
    MessageInterruptHandler = message_interrupt_handler,
    MessageInterruptDpcHandler = message_interrupt_dpc_handler,
    DisableMessageInterruptHandler = disable_message_interrupt_handler,
    EnableMessageInterruptHandler = enable_message_interrupt_handler, InterruptType = interrupt_type,
    MessageInfoTable = message_info_table,
});
same_layout!(NDIS_MSIX_CONFIG_PARAMETERS, raw::NdisMsixConfigParameters {
    Header = header, ConfigOperation = config_operation, TableEntry = table_entry,
    MessageNumber = message_number,
});
same_layout!(NDIS_RECEIVE_THROTTLE_PARAMETERS, raw::NdisReceiveThrottleParameters {
    MaxNblsToIndicate = max_nbls_to_indicate, MoreNblsPending = more_nbls_pending,
});
