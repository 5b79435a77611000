//! The hardware, as the driver sees it: three traits, and what stands behind them.
//!
//! [`Registers`] reaches the BAR and configuration space, [`DmaMemory`] gives memory that the engine can
//! reach, [`InterruptSource`] tells when a vector fired. The same driver runs on kernel VFIO, on a vfio-user
//! socket and on the device in this process.

use std::fmt;
use std::sync::Arc;

use ioat_stage::Pause;

mod buffer;

mod placement;

pub mod memory;

mod arena;

pub mod iova;

mod first_fit;

pub mod vfio;

pub mod socket;

pub mod list;

pub mod host;

#[cfg(feature = "sim")]
pub mod sim;

#[cfg(feature = "sim")]
mod sim_interrupts;

mod vectors;

mod patience;

mod pci;

mod fd;

pub use buffer::{DmaBuffer, Grants};
pub(crate) use fd::of_event;
pub use placement::{DmaAccess, Placement};

/// Which register space an access goes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Space {
    /// The BAR of this number, 0 to 5; 6 is the expansion ROM.
    Bar(u8),
    /// PCI configuration space.
    Config,
}

impl Space {
    /// Where an I/OAT engine's registers are.
    pub const BAR0: Self = Self::Bar(0);
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar(6) => f.write_str("expansion ROM"),
            Self::Bar(number) => write!(f, "BAR{number}"),
            Self::Config => f.write_str("configuration space"),
        }
    }
}

/// One register space of a function, as its bus tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// Which.
    pub space: Space,
    /// Bytes; never 0.
    pub size: u64,
    /// It may be read.
    pub readable: bool,
    /// It may be written.
    pub writable: bool,
}

/// Why the hardware could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum HwError {
    /// An access to a register failed.
    #[error("{access} of {width} bytes at {space} + {offset:#x} failed: {source}")]
    Access {
        /// "read" or "write".
        access: &'static str,
        /// The space.
        space: Space,
        /// The offset.
        offset: u64,
        /// Bytes.
        width: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// Memory could not be had or mapped for the engine.
    #[error("cannot map {len} bytes of DMA memory at iova {iova:#x}: {source}")]
    Map {
        /// Bytes.
        len: usize,
        /// Where the engine would see them.
        iova: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// Interrupts could not be set up or waited for.
    #[error("interrupt vector {vector}: {what}: {source}")]
    Interrupt {
        /// The vector.
        vector: u32,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The device cannot be opened; the text names the thing and the mend.
    #[error("{0}")]
    Open(String),
    /// The device went away (its socket closed, or its function was removed).
    #[error("the device is gone: {0}")]
    Gone(String),
    /// The device could not be reset.
    #[error("device reset failed: {0}")]
    Reset(std::io::Error),
}

/// Register access. Each call of 1, 2, 4 or 8 naturally aligned bytes is one access on the bus.
pub trait Registers: Send + Sync {
    /// Reads `data.len()` bytes at `offset`.
    ///
    /// # Errors
    /// [`HwError::Access`] or [`HwError::Gone`]; `data` is then unspecified.
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError>;

    /// Writes `data` at `offset`.
    ///
    /// # Errors
    /// [`HwError::Access`] or [`HwError::Gone`].
    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError>;

    /// Returns when every write before it has reached the device. On a bus whose writes are posted that takes a read,
    /// of a register of `space` at `offset` that does not mind; where each write is answered there is nothing to do.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn flush(&self, _space: Space, _offset: u64) -> Result<(), HwError> {
        Ok(())
    }

    /// The spaces that the function has, BARs by number and then configuration space. Empty where nobody can say.
    fn regions(&self) -> Vec<Region> {
        Vec::new()
    }

    /// Resets the whole function (VFIO_DEVICE_RESET). DMA mappings and enabled vectors stay, and so does bus
    /// mastering.
    ///
    /// # Errors
    /// [`HwError::Reset`] or [`HwError::Gone`].
    fn reset(&self) -> Result<(), HwError>;
}

/// Memory that the engine can reach.
pub trait DmaMemory: Send + Sync {
    /// Zeroed memory of `len` bytes, page aligned, mapped readable and writable for the engine. It is unmapped
    /// when the buffer is dropped.
    ///
    /// # Errors
    /// [`HwError::Map`] or [`HwError::Gone`].
    fn allocate(&self, len: usize) -> Result<DmaBuffer, HwError>;

    /// As [`Self::allocate`], where and how `placement` says.
    ///
    /// # Errors
    /// As [`Self::allocate`], and [`HwError::Map`] for an address that is taken, not page aligned, or beyond what the
    /// IOMMU translates.
    fn allocate_at(&self, len: usize, placement: Placement) -> Result<DmaBuffer, HwError> {
        match placement {
            Placement { iova: None, access: DmaAccess::ReadWrite } => self.allocate(len),
            Placement { iova, .. } => {
                let source = std::io::Error::from(std::io::ErrorKind::Unsupported);
                Err(HwError::Map { len, iova: iova.unwrap_or(0), source })
            }
        }
    }
}

/// Why a wait for an interrupt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fired {
    /// The vector fired; the number counts the messages since the last wait (a counter, so several may be one wake).
    Times(u64),
    /// [`InterruptSource::stop`] was called.
    Stopped,
}

/// Where the system delivers a vector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Routed {
    /// The kernel's IRQ affinity was set to this processor.
    Kernel(u32),
    /// The kernel's IRQ affinity was not permitted or not found, with the reason; delivery is where the kernel wills.
    NotPermitted(String),
    /// There is no kernel interrupt behind this vector.
    NotApplicable,
}

/// How a PCI function interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InterruptKind {
    /// The line, INTx.
    Line,
    /// Messages out of configuration space.
    Msi,
    /// Messages out of a table in a BAR.
    Msix,
}

impl fmt::Display for InterruptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "INTx",
            Self::Msi => "MSI",
            Self::Msix => "MSI-X",
        })
    }
}

/// Where interrupts come from.
pub trait InterruptSource: Send + Sync {
    /// How many message vectors (MSI-X) the device offers; 0 if none.
    fn vectors(&self) -> u32;

    /// Enables the first `count` vectors.
    ///
    /// # Errors
    /// [`HwError::Interrupt`] or [`HwError::Gone`].
    fn enable(&self, count: u32) -> Result<(), HwError>;

    /// Disables all vectors. Afterwards none fires.
    ///
    /// # Errors
    /// [`HwError::Interrupt`] or [`HwError::Gone`].
    fn disable(&self) -> Result<(), HwError>;

    /// Waits until `vector` fires, through `pause`.
    ///
    /// # Errors
    /// [`HwError::Interrupt`] or [`HwError::Gone`].
    fn wait(&self, vector: u32, pause: &dyn Pause) -> Result<Fired, HwError>;

    /// Ends all present waits, and all later ones until something is enabled again: then the source is as new. Whoever stops
    /// sees to it that nobody of his still waits by then.
    fn stop(&self);

    /// Asks that `vector` be delivered on `processor`.
    fn route(&self, vector: u32, processor: u32) -> Routed;

    /// Whether the device offers a line interrupt (INTx).
    fn has_line(&self) -> bool {
        false
    }

    /// Enables the line instead of message vectors: afterwards it fires as vector 0. Each time that it fires, it
    /// is masked until [`Self::unmask_line`].
    ///
    /// # Errors
    /// [`HwError::Interrupt`] where there is no line; [`HwError::Gone`].
    fn enable_line(&self) -> Result<(), HwError> {
        let source = std::io::Error::from_raw_os_error(libc::ENODEV);
        Err(HwError::Interrupt { vector: 0, what: "enabling the line of a device without one", source })
    }

    /// How many vectors of this kind the device offers; of the line, 1 or 0.
    fn offers(&self, kind: InterruptKind) -> u32 {
        match kind {
            InterruptKind::Line => self.has_line().into(),
            InterruptKind::Msi => 0,
            InterruptKind::Msix => self.vectors(),
        }
    }

    /// Enables the first `count` vectors of this kind, and nothing else: they fire as vectors 0 to `count - 1`.
    ///
    /// # Errors
    /// [`HwError::Interrupt`] where the device does not offer that many; [`HwError::Gone`].
    fn enable_kind(&self, kind: InterruptKind, count: u32) -> Result<(), HwError> {
        let refused = |errno| {
            let source = std::io::Error::from_raw_os_error(errno);
            let what = "enabling more vectors of this kind than the device offers";
            Err(HwError::Interrupt { vector: count, what, source })
        };
        match kind {
            _ if count > self.offers(kind) => refused(libc::EINVAL),
            _ if count == 0 => self.disable(),
            InterruptKind::Line => self.enable_line(),
            InterruptKind::Msix => self.enable(count),
            InterruptKind::Msi => refused(libc::ENODEV),
        }
    }

    /// Lets the line fire again; at once, if the device still asserts it. Callable at any level.
    ///
    /// # Errors
    /// [`HwError::Interrupt`] or [`HwError::Gone`].
    fn unmask_line(&self) -> Result<(), HwError> {
        Ok(())
    }
}

/// An open device: the three traits, and its name.
#[derive(Clone)]
pub struct Device {
    /// What it is and where, for people: `sim skx`, `socket /run/x.sock`, `0000:00:10.0`.
    pub name: String,
    /// Its registers.
    pub registers: Arc<dyn Registers>,
    /// Its memory.
    pub memory: Arc<dyn DmaMemory>,
    /// Its interrupts.
    pub interrupts: Arc<dyn InterruptSource>,
    /// How everything that drives it waits.
    pub pause: Arc<dyn Pause>,
}

macro_rules! typed {
    ($($read:ident $write:ident $type:ty),*) => {
        impl Device {
            $(
                /// One register read of this width.
                ///
                /// # Errors
                /// As [`Registers::read`].
                pub fn $read(&self, space: Space, offset: u64) -> Result<$type, HwError> {
                    let mut data = [0; size_of::<$type>()];
                    self.registers.read(space, offset, &mut data)?;
                    Ok(<$type>::from_le_bytes(data))
                }

                /// One register write of this width.
                ///
                /// # Errors
                /// As [`Registers::write`].
                pub fn $write(&self, space: Space, offset: u64, value: $type) -> Result<(), HwError> {
                    self.registers.write(space, offset, &value.to_le_bytes())
                }
            )*
        }
    };
}

typed!(read8 write8 u8, read16 write16 u16, read32 write32 u32, read64 write64 u64);
