//! Which revision of the interface a miniport registers for, and what that revision has.

use std::fmt;

/// An NDIS version, chosen when the interrupt is registered. Messages have DPC objects of their own in every one of
/// them: 6.0 promises nothing there, so doing as 6.1 does is a choice of ours (QD-5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum NdisVersion {
    /// NDIS 6.0.
    V6_0,
    /// NDIS 6.1: adds control of the MSI-X table (contract 2.9).
    V6_1,
    /// NDIS 6.20: adds `NdisMQueueDpcEx` (contract 2.6) and the receive throttle (contract 2.10).
    #[default]
    V6_20,
}

impl NdisVersion {
    /// The version of these numbers; none if this contract does not cover it.
    #[must_use]
    pub const fn from_numbers(major: u8, minor: u8) -> Option<Self> {
        match (major, minor) {
            (6, 0) => Some(Self::V6_0),
            (6, 1) => Some(Self::V6_1),
            (6, 20) => Some(Self::V6_20),
            _ => None,
        }
    }

    /// Its numbers, major and minor.
    #[must_use]
    pub const fn numbers(self) -> (u8, u8) {
        match self {
            Self::V6_0 => (6, 0),
            Self::V6_1 => (6, 1),
            Self::V6_20 => (6, 20),
        }
    }

    /// `NdisMConfigMSIXTableEntry` exists.
    #[must_use]
    pub fn has_msix_table(self) -> bool {
        self >= Self::V6_1
    }

    /// `NdisMQueueDpcEx` exists.
    #[must_use]
    pub fn has_queue_dpc_ex(self) -> bool {
        self >= Self::V6_20
    }

    /// A DPC's throttle parameters mean something; before, that parameter is reserved (DP-3).
    #[must_use]
    pub fn has_receive_throttle(self) -> bool {
        self >= Self::V6_20
    }
}

impl fmt::Display for NdisVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.numbers();
        write!(f, "NDIS {major}.{minor}")
    }
}

/// The call is not in the version that the interrupt was registered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{call} needs {since}, and the interrupt is registered for {version} (contract {clause})")]
pub struct NotInVersion {
    /// The call.
    pub call: &'static str,
    /// The interrupt's version.
    pub version: NdisVersion,
    /// The first version that has the call.
    pub since: NdisVersion,
    /// Where the contract says so.
    pub clause: &'static str,
}
