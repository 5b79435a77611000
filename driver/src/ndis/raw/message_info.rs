//! The message table as C sees it.

use std::ffi::c_void;

use crate::contract::PhysAddr;
use crate::ndis::message_table::{MessageInfo, MessageInfoTable};

/// Messages that are used at most, and so the entries of a table. I/OAT has one per channel; the number comes from
/// the device, and each message costs a thread.
pub const MESSAGES_MAX: u32 = 64;

/// IO_INTERRUPT_MESSAGE_INFO. `E` is the flexible array at its end: C sees `MessageCount` entries from
/// `MessageInfo` on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "IO_INTERRUPT_MESSAGE_INFO")]
pub struct IoInterruptMessageInfo<E = [IoInterruptMessageInfoEntry; 1]> {
    /// The level of every service routine.
    pub unified_irql: u8,
    /// How many entries follow.
    pub message_count: u32,
    /// The entries.
    pub message_info: E,
}

/// IO_INTERRUPT_MESSAGE_INFO_ENTRY.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "IO_INTERRUPT_MESSAGE_INFO_ENTRY")]
pub struct IoInterruptMessageInfoEntry {
    /// 0 where VFIO hides it.
    pub message_address: u64,
    /// KAFFINITY: the processors that may receive it, inside their group.
    pub target_processor_set: usize,
    /// NULL: there is no such object here.
    pub interrupt_object: *mut c_void,
    /// 0 where VFIO hides it.
    pub message_data: u32,
    /// 0 where VFIO hides it.
    pub vector: u32,
    /// The level of its service routine.
    pub irql: u8,
    /// KINTERRUPT_MODE.
    pub mode: u32,
    /// KINTERRUPT_POLARITY.
    pub polarity: u32,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    type T = IoInterruptMessageInfoEntry;
    assert!(size_of::<T>() == 48);
    assert!(offset_of!(T, message_address) == 0 && offset_of!(T, target_processor_set) == 8);
    assert!(offset_of!(T, interrupt_object) == 16 && offset_of!(T, message_data) == 24);
    assert!(offset_of!(T, vector) == 28 && offset_of!(T, irql) == 32);
    assert!(offset_of!(T, mode) == 36 && offset_of!(T, polarity) == 40);
    type Table = IoInterruptMessageInfo;
    assert!(offset_of!(Table, unified_irql) == 0 && offset_of!(Table, message_count) == 4);
    assert!(offset_of!(Table, message_info) == 8);
};

/// Room for every message that there can be.
type Entries = [IoInterruptMessageInfoEntry; MESSAGES_MAX as usize];

impl IoInterruptMessageInfo<Entries> {
    /// The table in one piece of memory.
    #[must_use]
    pub fn of(table: &MessageInfoTable) -> Box<Self> {
        let mut entries = [IoInterruptMessageInfoEntry::EMPTY; MESSAGES_MAX as usize];
        for (entry, message) in entries.iter_mut().zip(&table.messages) {
            *entry = IoInterruptMessageInfoEntry::of(message);
        }
        let message_count =
            u32::try_from(table.messages.len()).map_or(MESSAGES_MAX, |count| count.min(MESSAGES_MAX));
        Box::new(Self { unified_irql: table.unified_irql as u8, message_count, message_info: entries })
    }
}

impl IoInterruptMessageInfoEntry {
    const EMPTY: Self = Self {
        message_address: 0,
        target_processor_set: 0,
        interrupt_object: std::ptr::null_mut(),
        message_data: 0,
        vector: 0,
        irql: 0,
        mode: 0,
        polarity: 0,
    };

    /// One entry.
    #[must_use]
    pub fn of(message: &MessageInfo) -> Self {
        let PhysAddr(message_address) = message.message_address;
        Self {
            message_address,
            // A KAFFINITY is as wide as a pointer, and a group as wide as a KAFFINITY.
            target_processor_set: usize::try_from(message.target_processor_set.mask).unwrap_or(0),
            interrupt_object: std::ptr::null_mut(),
            message_data: message.message_data,
            vector: message.vector,
            irql: message.irql as u8,
            mode: message.mode as u32,
            polarity: message.polarity as u32,
        }
    }
}
