//! Where memory is for the device, and what that may do with it.

use std::fmt;

/// What the device may do with memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DmaAccess {
    /// Read and write it.
    #[default]
    ReadWrite,
    /// Read it only.
    ReadOnly,
    /// Write it only.
    WriteOnly,
}

impl DmaAccess {
    /// The device may read.
    #[must_use]
    pub fn reads(self) -> bool {
        self != Self::WriteOnly
    }

    /// The device may write.
    #[must_use]
    pub fn writes(self) -> bool {
        self != Self::ReadOnly
    }
}

impl fmt::Display for DmaAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadWrite => "rw",
            Self::ReadOnly => "r",
            Self::WriteOnly => "w",
        })
    }
}

/// Where memory shall be for the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// At this address, page aligned; none for one that is free.
    pub iova: Option<u64>,
    /// With this permission.
    pub access: DmaAccess,
}
