//! The structures as a 32-bit Windows has them: pointers of four bytes, 64-bit integers aligned to eight. A model for
//! reading the other layout, with every pointer as its number.

use std::mem::offset_of;

use super::header::NdisObjectHeader;

/// NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS, 48 bytes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of the 64-bit form")]
pub struct NdisMiniportInterruptCharacteristics {
    pub header: NdisObjectHeader,
    pub interrupt_handler: u32,
    pub interrupt_dpc_handler: u32,
    pub disable_interrupt_handler: u32,
    pub enable_interrupt_handler: u32,
    pub msi_supported: u8,
    pub msi_sync_with_all_messages: u8,
    pub message_interrupt_handler: u32,
    pub message_interrupt_dpc_handler: u32,
    pub disable_message_interrupt_handler: u32,
    pub enable_message_interrupt_handler: u32,
    pub interrupt_type: u32,
    pub message_info_table: u32,
}

const _: () = {
    type T = NdisMiniportInterruptCharacteristics;
    assert!(size_of::<T>() == 48);
    assert!(offset_of!(T, interrupt_handler) == 4 && offset_of!(T, interrupt_dpc_handler) == 8);
    assert!(offset_of!(T, disable_interrupt_handler) == 12 && offset_of!(T, enable_interrupt_handler) == 16);
    assert!(offset_of!(T, msi_supported) == 20 && offset_of!(T, msi_sync_with_all_messages) == 21);
    assert!(
        offset_of!(T, message_interrupt_handler) == 24 && offset_of!(T, message_interrupt_dpc_handler) == 28
    );
    assert!(offset_of!(T, disable_message_interrupt_handler) == 32);
    assert!(offset_of!(T, enable_message_interrupt_handler) == 36);
    assert!(offset_of!(T, interrupt_type) == 40 && offset_of!(T, message_info_table) == 44);
};

/// IO_INTERRUPT_MESSAGE_INFO_ENTRY, 40 bytes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of the 64-bit form")]
pub struct IoInterruptMessageInfoEntry {
    pub message_address: Aligned64,
    pub target_processor_set: u32,
    pub interrupt_object: u32,
    pub message_data: u32,
    pub vector: u32,
    pub irql: u8,
    pub mode: u32,
    pub polarity: u32,
}

const _: () = {
    type T = IoInterruptMessageInfoEntry;
    assert!(size_of::<T>() == 40);
    assert!(offset_of!(T, message_address) == 0 && offset_of!(T, target_processor_set) == 8);
    assert!(offset_of!(T, interrupt_object) == 12 && offset_of!(T, message_data) == 16);
    assert!(offset_of!(T, vector) == 20 && offset_of!(T, irql) == 24);
    assert!(offset_of!(T, mode) == 28 && offset_of!(T, polarity) == 32);
};

/// IO_INTERRUPT_MESSAGE_INFO with its first entry, 48 bytes; the entries begin at offset 8.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of the 64-bit form")]
pub struct IoInterruptMessageInfo {
    pub unified_irql: u8,
    pub message_count: u32,
    pub message_info: [IoInterruptMessageInfoEntry; 1],
}

const _: () = {
    assert!(offset_of!(IoInterruptMessageInfo, message_count) == 4);
    assert!(offset_of!(IoInterruptMessageInfo, message_info) == 8);
};

/// A 64-bit integer aligned as a Windows compiler aligns it, whatever the host does.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Aligned64(pub u64);
