//! `wdm.h`: the base types, in fixed widths, and the status words that both contracts use.
//!
//! A `ULONG` has 32 bits here too, where C's `unsigned long` has 64.

use std::ffi::c_void;

/// Any pointer, and every opaque handle.
pub type PVOID = *mut c_void;
/// FALSE is 0; every other value is true.
pub type BOOLEAN = u8;
/// Where a BOOLEAN goes.
pub type PBOOLEAN = *mut BOOLEAN;
/// 8 bits.
pub type UCHAR = u8;
/// 16 bits.
pub type USHORT = u16;
/// A UTF-16 unit, as in `u"text"`.
pub type WCHAR = u16;
/// 32 bits.
pub type ULONG = u32;
/// Where a ULONG goes.
pub type PULONG = *mut ULONG;
/// 32 bits, signed.
pub type LONG = i32;
/// 64 bits.
pub type ULONG64 = u64;
/// 64 bits, signed.
pub type LONGLONG = i64;
/// A status word; negative ones are errors.
pub type NTSTATUS = i32;
/// A level: 0, 1, 2, or above 2.
pub type KIRQL = u8;
/// One bit for each processor of a group.
pub type KAFFINITY = usize;

/// 64 bits.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LARGE_INTEGER {
    /// All of them.
    pub QuadPart: LONGLONG,
}

/// An address as the engine uses it; passed by value, never a pointer.
pub type PHYSICAL_ADDRESS = LARGE_INTEGER;

/// A counted UTF-16 text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UNICODE_STRING {
    /// Bytes in use.
    pub Length: USHORT,
    /// Bytes there are.
    pub MaximumLength: USHORT,
    /// The text; no zero ends it.
    pub Buffer: *mut WCHAR,
}

/// Processors of one group.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GROUP_AFFINITY {
    /// One bit for each.
    pub Mask: KAFFINITY,
    /// The group.
    pub Group: USHORT,
    /// Zero.
    pub Reserved: [USHORT; 3],
}

/// Where processors of one group are named.
pub type PGROUP_AFFINITY = *mut GROUP_AFFINITY;

/// A processor of a group.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PROCESSOR_NUMBER {
    /// The group.
    pub Group: USHORT,
    /// In the group.
    pub Number: UCHAR,
    /// Zero.
    pub Reserved: UCHAR,
}

/// Where it is.
pub type PPROCESSOR_NUMBER = *mut PROCESSOR_NUMBER;

/// A small number of a processor.
pub type CCHAR = i8;

/// A kernel DPC in the driver's own memory, which must stay where it is. Its words are the library's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KDPC {
    /// Not the driver's.
    pub Reserved: [ULONG64; 8],
}

/// Where it is.
pub type PKDPC = *mut KDPC;
/// Where it is.
pub type PRKDPC = *mut KDPC;

/// CustomDpc. DISPATCH_LEVEL, on the DPC's processor.
pub type PKDEFERRED_ROUTINE = Option<
    unsafe extern "C" fn(Dpc: PKDPC, DeferredContext: PVOID, SystemArgument1: PVOID, SystemArgument2: PVOID),
>;

/// When a queued DPC starts its processor: one of the four below.
pub type KDPC_IMPORTANCE = i32;
/// It waits, also on its own processor.
pub const LowImportance: KDPC_IMPORTANCE = 0;
/// It starts its own processor; on another it waits.
pub const MediumImportance: KDPC_IMPORTANCE = 1;
/// It starts any processor, and goes to the head of the queue.
pub const HighImportance: KDPC_IMPORTANCE = 2;
/// It starts any processor, from the tail.
pub const MediumHighImportance: KDPC_IMPORTANCE = 3;

/// No.
pub const FALSE: BOOLEAN = 0;
/// Yes.
pub const TRUE: BOOLEAN = 1;

/// Done.
pub const STATUS_SUCCESS: NTSTATUS = 0x0000_0000;
/// Not done.
pub const STATUS_UNSUCCESSFUL: NTSTATUS = 0xC000_0001_u32 as NTSTATUS;
/// An argument makes no sense.
pub const STATUS_INVALID_PARAMETER: NTSTATUS = 0xC000_000D_u32 as NTSTATUS;
/// No memory, channel or processor left. The pages also call it STATUS_RESOURCES.
pub const STATUS_INSUFFICIENT_RESOURCES: NTSTATUS = 0xC000_009A_u32 as NTSTATUS;
/// The call is not in this version.
pub const STATUS_NOT_SUPPORTED: NTSTATUS = 0xC000_00BB_u32 as NTSTATUS;
/// The pages' name of STATUS_INSUFFICIENT_RESOURCES.
pub const STATUS_RESOURCES: NTSTATUS = 0xC000_009A_u32 as NTSTATUS;

/// Ordinary code.
pub const PASSIVE_LEVEL: KIRQL = 0;
/// Nothing here runs at it.
pub const APC_LEVEL: KIRQL = 1;
/// DPCs. A service routine's level is above it.
pub const DISPATCH_LEVEL: KIRQL = 2;

impl LARGE_INTEGER {
    /// The address with these bits.
    #[must_use]
    pub const fn of(bits: u64) -> Self {
        Self { QuadPart: i64::from_ne_bytes(bits.to_ne_bytes()) }
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        u64::from_ne_bytes(self.QuadPart.to_ne_bytes())
    }
}
