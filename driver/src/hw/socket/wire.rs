//! The wire format of vfio-user as a client needs it: the sixteen-byte header and the fixed structures.
//!
//! Everything is little-endian. The sizes are the protocol's; nothing here allocates or can fail.

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The commands that this client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub(super) enum Command {
    Version = 1,
    DmaMap = 2,
    DmaUnmap = 3,
    DeviceGetInfo = 4,
    DeviceGetRegionInfo = 5,
    DeviceGetIrqInfo = 7,
    DeviceSetIrqs = 8,
    RegionRead = 9,
    RegionWrite = 10,
    DeviceReset = 13,
}

impl Command {
    pub(super) fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "VERSION",
            Self::DmaMap => "DMA_MAP",
            Self::DmaUnmap => "DMA_UNMAP",
            Self::DeviceGetInfo => "DEVICE_GET_INFO",
            Self::DeviceGetRegionInfo => "DEVICE_GET_REGION_INFO",
            Self::DeviceGetIrqInfo => "DEVICE_GET_IRQ_INFO",
            Self::DeviceSetIrqs => "DEVICE_SET_IRQS",
            Self::RegionRead => "REGION_READ",
            Self::RegionWrite => "REGION_WRITE",
            Self::DeviceReset => "DEVICE_RESET",
        })
    }
}

/// Bits 0 to 3 of the flags: what kind of message.
pub(super) const TYPE_MASK: u32 = 0xf;
pub(super) const TYPE_COMMAND: u32 = 0;
pub(super) const TYPE_REPLY: u32 = 1;
/// The sender wants no reply (a posted write).
pub(super) const NO_REPLY: u32 = 1 << 4;
/// The reply is an error, and the errno is valid.
pub(super) const ERROR: u32 = 1 << 5;

/// Every message begins with this.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) id: U16,
    pub(super) command: U16,
    /// Of the whole message, this header included.
    pub(super) size: U32,
    pub(super) flags: U32,
    pub(super) errno: U32,
}

impl Header {
    pub(super) const SIZE: usize = size_of::<Self>();

    pub(super) fn kind(&self) -> u32 {
        self.flags.get() & TYPE_MASK
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }
}

/// VERSION, without the JSON text that follows it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Version {
    pub(super) major: U16,
    pub(super) minor: U16,
}

/// DMA_MAP. The file descriptor goes beside it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DmaMap {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) offset: U64,
    pub(super) address: U64,
    pub(super) size: U64,
}

/// DMA_MAP: the device may read what is mapped.
pub(super) const DMA_READ: u32 = 1;
/// DMA_MAP: the device may write it.
pub(super) const DMA_WRITE: u32 = 2;

/// DMA_UNMAP; the reply repeats it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DmaUnmap {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) address: U64,
    pub(super) size: U64,
}

/// DEVICE_GET_INFO, and its reply.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DeviceInfo {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) regions: U32,
    pub(super) irqs: U32,
}

/// DEVICE_GET_INFO: the device is a PCI function.
pub(super) const DEVICE_IS_PCI: u32 = 2;

/// DEVICE_GET_REGION_INFO, and the fixed part of its reply; capabilities may follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionInfo {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) index: U32,
    pub(super) cap_offset: U32,
    pub(super) size: U64,
    pub(super) offset: U64,
}

/// DEVICE_GET_IRQ_INFO, and its reply.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct IrqInfo {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) index: U32,
    pub(super) count: U32,
}

/// DEVICE_SET_IRQS. The eventfds go beside it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SetIrqs {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) index: U32,
    pub(super) start: U32,
    pub(super) count: U32,
}

/// DATA_NONE | ACTION_TRIGGER with count 0: the whole index off.
pub(super) const IRQS_OFF: u32 = 0x21;
/// DATA_EVENTFD | ACTION_TRIGGER: signal these eventfds.
pub(super) const IRQS_EVENTFD: u32 = 0x24;

/// DATA_NONE | ACTION_UNMASK: let a masked interrupt fire again.
pub(super) const IRQS_UNMASK: u32 = 0x11;

/// REGION_READ and REGION_WRITE; the reply repeats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionAccess {
    pub(super) offset: U64,
    pub(super) region: U32,
    pub(super) count: U32,
}

/// DEVICE_GET_REGION_INFO: the region may be read.
pub(super) const REGION_READABLE: u32 = 1;
/// DEVICE_GET_REGION_INFO: it may be written.
pub(super) const REGION_WRITABLE: u32 = 2;

/// The configuration space's region index.
pub(super) const REGION_CONFIG: u32 = 7;
/// The line's interrupt index (INTx).
pub(super) const IRQ_INTX: u32 = 0;
/// MSI's interrupt index.
pub(super) const IRQ_MSI: u32 = 1;
/// MSI-X's interrupt index.
pub(super) const IRQ_MSIX: u32 = 2;

const _: () = assert!(Header::SIZE == 16);
const _: () = assert!(size_of::<DmaMap>() == 32);
const _: () = assert!(size_of::<DmaUnmap>() == 24);
const _: () = assert!(size_of::<RegionInfo>() == 32);
const _: () = assert!(size_of::<SetIrqs>() == 20);
const _: () = assert!(size_of::<RegionAccess>() == 16);
