//! What the server asks of a device: its tables, register accesses, DMA maps, interrupts, reset.

use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::ops::Range;

use ioat_stage::Action;
use vmm_sys_util::eventfd::EventFd;

use super::deviation::Message;

/// Number of region indices of a PCI device: six BARs, ROM, configuration space, VGA.
pub const REGIONS: usize = 9;
/// Number of interrupt indices of a PCI device: INTx, MSI, MSI-X, ERR, REQ.
pub const IRQS: usize = 5;

/// Region indices and region flags, in VFIO's numbers.
pub mod region {
    /// Index of the expansion ROM.
    pub const ROM: u32 = 6;
    /// Index of the configuration space.
    pub const CONFIG: u32 = 7;
    /// Flag: the region can be read.
    pub const READ: u32 = 1 << 0;
    /// Flag: the region can be written.
    pub const WRITE: u32 = 1 << 1;
}

/// Interrupt indices and interrupt flags, in VFIO's numbers.
///
/// There is no constant for NORESIZE: with it, QEMU disables all vectors for each new one and interrupts get lost.
pub mod irq {
    /// Index of the legacy interrupt.
    pub const INTX: u32 = 0;
    /// Index of MSI.
    pub const MSI: u32 = 1;
    /// Index of MSI-X.
    pub const MSIX: u32 = 2;
    /// Index of the error interrupt. Signalling it stops a QEMU guest for good.
    pub const ERR: u32 = 3;
    /// Index of the device-release request.
    pub const REQ: u32 = 4;
    /// Flag: can be signalled through an eventfd.
    pub const EVENTFD: u32 = 1 << 0;
    /// Flag: can be masked.
    pub const MASKABLE: u32 = 1 << 1;
    /// Flag: masks itself when it is signalled.
    pub const AUTOMASKED: u32 = 1 << 2;
}

/// One row of the region table. Size 0 and flags 0 mean that the region does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionInfo {
    /// Size in bytes.
    pub size: u64,
    /// [`region::READ`] and [`region::WRITE`].
    pub flags: u32,
}

/// One row of the interrupt table. Count 0 means that the index does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IrqInfo {
    /// Number of vectors.
    pub count: u32,
    /// Bits of [`irq`].
    pub flags: u32,
}

/// What the device looks like from the bus. Read once per connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The region table, by index.
    pub regions: [RegionInfo; REGIONS],
    /// The interrupt table, by index.
    pub irqs: [IrqInfo; IRQS],
}

/// An error number that is fit for an error reply: 1 to 4095. Zero cannot be built, because QEMU takes it as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("errno {0}")]
pub struct Errno(NonZeroU32);

impl Errno {
    /// No such entry.
    pub const ENOENT: Errno = Errno::known(libc::ENOENT);
    /// Input/output error.
    pub const EIO: Errno = Errno::known(libc::EIO);
    /// Out of memory.
    pub const ENOMEM: Errno = Errno::known(libc::ENOMEM);
    /// Permission denied.
    pub const EACCES: Errno = Errno::known(libc::EACCES);
    /// Bad address.
    pub const EFAULT: Errno = Errno::known(libc::EFAULT);
    /// Device or resource busy.
    pub const EBUSY: Errno = Errno::known(libc::EBUSY);
    /// Already exists.
    pub const EEXIST: Errno = Errno::known(libc::EEXIST);
    /// Invalid argument.
    pub const EINVAL: Errno = Errno::known(libc::EINVAL);
    /// Not supported by this device ("inappropriate ioctl").
    pub const ENOTTY: Errno = Errno::known(libc::ENOTTY);
    /// No room for another entry.
    pub const ENOSPC: Errno = Errno::known(libc::ENOSPC);
    /// No such command.
    pub const ENOSYS: Errno = Errno::known(libc::ENOSYS);

    /// `raw` if it is 1 to 4095, else [`Errno::EIO`].
    pub const fn new(raw: i32) -> Errno {
        if raw >= 1 && raw <= 4095 { Errno::known(raw) } else { Errno::EIO }
    }

    /// The number as it stands in a reply.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    const fn known(raw: i32) -> Errno {
        match NonZeroU32::new(raw.unsigned_abs()) {
            Some(number) => Errno(number),
            None => Errno(NonZeroU32::MIN),
        }
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        Errno::new(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// How the bytes behind a DMA map's file are to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAccess {
    /// `mmap`, the default.
    Mmap,
    /// `pread` and `pwrite`, as the client demands.
    Io,
}

/// A DMA_MAP whose numbers and file are checked: `size` > 0, no wrap of `iova`, `offset + size` inside a regular file that
/// is open for writing if `write` is set.
#[derive(Debug)]
pub struct DmaMap {
    /// First address on the bus.
    pub iova: u64,
    /// Length in bytes; `iova + (size - 1)` does not overflow.
    pub size: u64,
    /// Where the range begins in `file`.
    pub offset: u64,
    /// The device may read.
    pub read: bool,
    /// The device may write. To be enforced in software: the file may be writeable all the same.
    pub write: bool,
    /// The memory, or `None` for a range that only messages could reach (accept it, and fail DMA to it).
    pub file: Option<File>,
    /// How to reach `file`.
    pub access: FileAccess,
}

/// What DMA_UNMAP takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaUnmap {
    /// Every map.
    All,
    /// Every map that lies inside the range; none is a success; a map that the range cuts is `EINVAL`.
    Range {
        /// First address.
        iova: u64,
        /// Length in bytes, not 0; `iova + (size - 1)` does not overflow, so the end may be 2^64.
        size: u64,
    },
}

/// A checked SET_IRQS: `vectors` lies inside the table of `index`.
#[derive(Debug)]
pub struct IrqChange {
    /// Interrupt index, below [`IRQS`].
    pub index: u32,
    /// The vectors it is about.
    pub vectors: Range<u32>,
    /// What to do with them.
    pub action: IrqAction,
}

/// What a SET_IRQS does.
#[derive(Debug)]
pub enum IrqAction {
    /// Forget every eventfd of the index and count it as disabled.
    Disable,
    /// Signal through these eventfds from now on, one per vector. The index counts as enabled.
    Assign(Vec<EventFd>),
    /// Forget the eventfds of `vectors`. The index counts as enabled: QEMU enables MSI-X this way.
    Deassign,
    /// Signal the selected vectors now, as the device would.
    Trigger(Select),
    /// Hold the selected vectors back.
    Mask(Select),
    /// Let the selected vectors go, and deliver what was held.
    Unmask(Select),
}

/// Which vectors of a range are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// All of them.
    All,
    /// Those whose entry is true; as long as the range.
    Where(Vec<bool>),
}

impl Select {
    /// Whether the `nth` vector of the range is meant.
    pub fn picks(&self, nth: usize) -> bool {
        match self {
            Select::All => true,
            Select::Where(wanted) => wanted.get(nth).copied().unwrap_or(false),
        }
    }
}

/// A PCI function that the server serves. All methods are called from one thread at a time, the session's.
pub trait Backend: Send + Sync {
    /// The region and interrupt tables.
    fn identity(&self) -> Identity;

    /// Reads `data.len()` bytes of a region. Bounds and READ flag are checked; `data` is not empty, and zeroed.
    fn read(&self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno>;

    /// Writes to a region. Bounds and WRITE flag are checked; `data` is not empty. Returns only when the effect holds.
    fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno>;

    /// Adds a map. An overlap is `EEXIST`, and changes nothing.
    fn dma_map(&self, map: DmaMap) -> Result<(), Errno>;

    /// Drops maps. Returns only when nothing in flight uses the range any more.
    fn dma_unmap(&self, what: DmaUnmap) -> Result<(), Errno>;

    /// Changes interrupts. [`IrqTable::apply`](super::IrqTable::apply) does all of it.
    fn set_irq(&self, change: IrqChange) -> Result<(), Errno>;

    /// DEVICE_RESET: every register as after power-on; DMA maps and eventfds stay.
    fn reset(&self);

    /// What is to become of this message instead of what the protocol says. Asked once per message, when it was received whole
    /// and nothing was done about it yet. A slow answer must come from [`Action::Delay`], not from this call.
    fn deviation(&self, message: &Message) -> Option<Action> {
        let _ = message;
        None
    }

    /// The program is to end at once, as if it had crashed: the fault `kill`. If this returns, the connection ends.
    fn kill(&self) {}

    /// A client was let in, and is served from now on. Called once per connection.
    fn client_came(&self) {}

    /// The connection ended, for whatever reason: drop maps and eventfds, and reset. Called once per connection.
    fn client_gone(&self);
}
