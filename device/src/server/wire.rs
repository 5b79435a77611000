//! The protocol's byte layouts and numbers, and nothing that acts on them. All fields are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The most data that one region access or reply carries: what we advertise as `max_data_xfer_size`.
pub const MAX_DATA_BYTES: u32 = 1024 * 1024;
/// The longest message that is received at all; a longer size in a header ends the connection.
pub const MAX_FRAME_BYTES: usize = HEADER_BYTES + 4096 + MAX_DATA_BYTES as usize;
/// The most file descriptors that one message may carry: what we advertise as `max_msg_fds`.
pub const MAX_MESSAGE_FDS: usize = 16;
/// Length of [`Header`].
pub(crate) const HEADER_BYTES: usize = size_of::<Header>();
/// QEMU receives our VERSION reply into a buffer as long as its own request: 214 bytes.
pub(crate) const MAX_VERSION_REPLY_BYTES: usize = 214;

/// Command numbers.
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub mod command {
    pub const VERSION: u16 = 1;
    pub const DMA_MAP: u16 = 2;
    pub const DMA_UNMAP: u16 = 3;
    pub const DEVICE_GET_INFO: u16 = 4;
    pub const DEVICE_GET_REGION_INFO: u16 = 5;
    pub const DEVICE_GET_REGION_IO_FDS: u16 = 6;
    pub const DEVICE_GET_IRQ_INFO: u16 = 7;
    pub const DEVICE_SET_IRQS: u16 = 8;
    pub const REGION_READ: u16 = 9;
    pub const REGION_WRITE: u16 = 10;
    pub const DEVICE_RESET: u16 = 13;
    pub const REGION_WRITE_MULTI: u16 = 15;
    pub const DEVICE_FEATURE: u16 = 16;
    pub const MIG_DATA_READ: u16 = 17;
}

/// Bits of the header's flags and of the payloads' flags.
pub mod flag {
    /// Header: the bits that hold the type.
    pub const TYPE: u32 = 0xf;
    /// Header type: a command.
    pub const COMMAND: u32 = 0;
    /// Header type: a reply.
    pub const REPLY: u32 = 1;
    /// Header: the sender wants no reply, not even an error.
    pub const NO_REPLY: u32 = 1 << 4;
    /// Header: the reply is an error.
    pub const ERROR: u32 = 1 << 5;

    /// DMA_MAP: the device may read.
    pub const MAP_READ: u32 = 1 << 0;
    /// DMA_MAP: the device may write.
    pub const MAP_WRITE: u32 = 1 << 1;
    /// DMA_MAP: reach the file by `mmap`.
    pub const MAP_BY_MMAP: u32 = 1 << 2;
    /// DMA_MAP: reach the file by `pread` and `pwrite`.
    pub const MAP_BY_FILE_IO: u32 = 1 << 3;

    /// DMA_UNMAP: every map (VFIO type 1's bit).
    pub const UNMAP_ALL: u32 = 1 << 1;

    /// DEVICE_GET_INFO: DEVICE_RESET is supported.
    pub const DEVICE_RESET: u32 = 1 << 0;
    /// DEVICE_GET_INFO: a PCI device.
    pub const DEVICE_PCI: u32 = 1 << 1;

    /// SET_IRQS: no data.
    pub const IRQ_DATA_NONE: u32 = 1 << 0;
    /// SET_IRQS: a byte per vector.
    pub const IRQ_DATA_BOOL: u32 = 1 << 1;
    /// SET_IRQS: an eventfd per vector, or none at all.
    pub const IRQ_DATA_EVENTFD: u32 = 1 << 2;
    /// SET_IRQS: mask.
    pub const IRQ_MASK: u32 = 1 << 3;
    /// SET_IRQS: unmask.
    pub const IRQ_UNMASK: u32 = 1 << 4;
    /// SET_IRQS: trigger, or set up what triggers.
    pub const IRQ_TRIGGER: u32 = 1 << 5;
}

/// The first 16 bytes of every message.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Chosen by the sender, echoed in the reply; may repeat.
    pub id: U16,
    /// A number of [`command`], echoed in the reply.
    pub command: U16,
    /// Length of the message with this header.
    pub size: U32,
    /// Bits of [`flag`].
    pub flags: U32,
    /// Error number of an error reply.
    pub error: U32,
}

/// VERSION, before the JSON.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Version {
    pub(crate) major: U16,
    pub(crate) minor: U16,
}

/// DMA_MAP.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DmaMapBody {
    pub(crate) argsz: U32,
    pub(crate) flags: U32,
    pub(crate) offset: U64,
    pub(crate) address: U64,
    pub(crate) size: U64,
}

/// DMA_UNMAP, and its reply.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DmaUnmapBody {
    pub(crate) argsz: U32,
    pub(crate) flags: U32,
    pub(crate) address: U64,
    pub(crate) size: U64,
}

/// DEVICE_GET_INFO, and its reply.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceInfoBody {
    pub(crate) argsz: U32,
    pub(crate) flags: U32,
    pub(crate) num_regions: U32,
    pub(crate) num_irqs: U32,
}

/// DEVICE_GET_REGION_INFO, and its reply.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RegionInfoBody {
    pub(crate) argsz: U32,
    pub(crate) flags: U32,
    pub(crate) index: U32,
    pub(crate) cap_offset: U32,
    pub(crate) size: U64,
    pub(crate) offset: U64,
}

/// DEVICE_GET_REGION_IO_FDS and DEVICE_GET_IRQ_INFO, and their replies.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct IndexBody {
    pub(crate) argsz: U32,
    pub(crate) flags: U32,
    pub(crate) index: U32,
    pub(crate) count: U32,
}

/// DEVICE_SET_IRQS, before the data.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SetIrqsBody {
    pub(crate) argsz: U32,
    pub(crate) flags: U32,
    pub(crate) index: U32,
    pub(crate) start: U32,
    pub(crate) count: U32,
}

/// REGION_READ and REGION_WRITE, before the data, and their replies.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RegionAccessBody {
    pub(crate) offset: U64,
    pub(crate) region: U32,
    pub(crate) count: U32,
}

/// REGION_WRITE_MULTI, before the entries, and its reply.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct WriteMultiBody {
    pub(crate) wr_cnt: U64,
}

/// One write of REGION_WRITE_MULTI.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct WriteEntry {
    /// Offset in the region.
    pub offset: U64,
    /// Region index.
    pub region: U32,
    /// How many bytes of `data` count: at most 8.
    pub count: U32,
    /// The bytes.
    pub data: [u8; 8],
}

/// DEVICE_FEATURE, before the data.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct FeatureBody {
    pub(crate) argsz: U32,
    pub(crate) flags: U32,
}

const _: () = {
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<DmaMapBody>() == 32);
    assert!(size_of::<DmaUnmapBody>() == 24);
    assert!(size_of::<DeviceInfoBody>() == 16);
    assert!(size_of::<RegionInfoBody>() == 32);
    assert!(size_of::<IndexBody>() == 16);
    assert!(size_of::<SetIrqsBody>() == 20);
    assert!(size_of::<RegionAccessBody>() == 16);
    assert!(size_of::<WriteEntry>() == 24);
};
