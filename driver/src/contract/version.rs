//! Versions of the contract, of a provider and of the interface, and what each permits (contract 1.2).

use std::fmt;

/// A version of the contract; ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetDmaVersion {
    /// Major.
    pub major: u8,
    /// Minor.
    pub minor: u8,
}

impl NetDmaVersion {
    /// Windows Vista.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// Vista SP1: version and power notification.
    pub const V1_1: Self = Self { major: 1, minor: 1 };
    /// Vista SP1: counted chains, page breaks, DCA, friendly names.
    pub const V2_0: Self = Self { major: 2, minor: 0 };

    /// The contract defines it. Others are refused at registration, for nobody says what they permit.
    #[must_use]
    pub const fn is_defined(self) -> bool {
        matches!((self.major, self.minor), (1, 0 | 1) | (2, 0))
    }

    /// Chains are counted, and NextDescriptor is never zero (ND-P6, ND-P8). Before, a zero ends the chain.
    #[must_use]
    pub const fn counts_chains(self) -> bool {
        self.major >= 2
    }

    /// `NetDmaPnPEventNotify` is there (1.13).
    #[must_use]
    pub const fn notifies_power(self) -> bool {
        self.major > 1 || self.minor >= 1
    }

    /// A friendly name must be there; before, it must not.
    #[must_use]
    pub const fn has_friendly_name(self) -> bool {
        self.major >= 2
    }

    /// As `NetDmaGetVersion` gives it: major in the high half, minor in the low (ND-F8).
    #[must_use]
    pub const fn word(self) -> u32 {
        (self.major as u32) << 16 | self.minor as u32
    }
}

impl fmt::Display for NetDmaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Flags of NET_DMA_PROVIDER_CHARACTERISTICS (contract 1.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct CharacteristicsFlags(pub u32);

impl CharacteristicsFlags {
    /// Direct cache access, 2.0.
    #[doc(alias = "NET_DMA_PROVIDER_CHARACTERISTICS_DCA_SUPPORTED")]
    #[doc(alias = "NET_DMA_PROVIDER_ATTRIBUTES_DCA_SUPPORTED")]
    pub const DCA_SUPPORTED: Self = Self(0x1);
    /// Processor groups, Windows 7.
    #[doc(alias = "NET_DMA_PROVIDER_SUPPORTS_PROC_GROUPS")]
    pub const SUPPORTS_PROC_GROUPS: Self = Self(0x2);

    /// Every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What a provider of `version` may set, at an interface of `revision`: none before 2.0.
    #[must_use]
    pub const fn permitted(version: NetDmaVersion, revision: InterfaceRevision) -> Self {
        match (version.major, revision) {
            (2.., InterfaceRevision::VistaSp1) => Self::DCA_SUPPORTED,
            (2.., InterfaceRevision::Windows7) => Self::DCA_SUPPORTED.with(Self::SUPPORTS_PROC_GROUPS),
            _ => Self(0),
        }
    }
}

impl fmt::Debug for CharacteristicsFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Which of the interfaces that shipped this one is (contract 1.2). There was never one of version 1.1: providers of
/// 1.1 register with the interface of Vista SP1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum InterfaceRevision {
    /// Version 1.0: without `NetDmaGetVersion` and `NetDmaPnPEventNotify`.
    Vista,
    /// Version 2.0.
    VistaSp1,
    /// Version 2.0 with channel parameters of revision 2, for processor groups.
    #[default]
    Windows7,
}

impl InterfaceRevision {
    /// The highest version that a provider may register with (ND-V1).
    #[must_use]
    pub const fn version(self) -> NetDmaVersion {
        match self {
            Self::Vista => NetDmaVersion::V1_0,
            Self::VistaSp1 | Self::Windows7 => NetDmaVersion::V2_0,
        }
    }
}
