//! Status words. Open sets: a newtype with names, never an enum.

use std::fmt;

/// An NTSTATUS.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct NtStatus(pub u32);

impl NtStatus {
    /// STATUS_SUCCESS.
    pub const SUCCESS: Self = Self(0);
    /// STATUS_PENDING.
    pub const PENDING: Self = Self(0x0000_0103);
    /// STATUS_UNSUCCESSFUL.
    pub const UNSUCCESSFUL: Self = Self(0xc000_0001);
    /// STATUS_INVALID_PARAMETER.
    pub const INVALID_PARAMETER: Self = Self(0xc000_000d);
    /// STATUS_INSUFFICIENT_RESOURCES.
    pub const INSUFFICIENT_RESOURCES: Self = Self(0xc000_009a);
    /// STATUS_NOT_SUPPORTED.
    pub const NOT_SUPPORTED: Self = Self(0xc000_00bb);

    /// The two top bits say error.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >> 30 == 3
    }
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::SUCCESS => "STATUS_SUCCESS",
            Self::PENDING => "STATUS_PENDING",
            Self::UNSUCCESSFUL => "STATUS_UNSUCCESSFUL",
            Self::INVALID_PARAMETER => "STATUS_INVALID_PARAMETER",
            Self::INSUFFICIENT_RESOURCES => "STATUS_INSUFFICIENT_RESOURCES",
            Self::NOT_SUPPORTED => "STATUS_NOT_SUPPORTED",
            Self(value) => return write!(f, "status {value:#010x}"),
        };
        f.write_str(name)
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a provider callback failed (contract 1.3 and 1.8): one of two status words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("the provider answered {0}")]
pub struct NetDmaStatus(NtStatus);

impl NetDmaStatus {
    /// What the pages call STATUS_RESOURCES (conflict X5).
    #[doc(alias = "STATUS_RESOURCES")]
    pub const RESOURCES: Self = Self(NtStatus::INSUFFICIENT_RESOURCES);
    /// STATUS_UNSUCCESSFUL.
    pub const UNSUCCESSFUL: Self = Self(NtStatus::UNSUCCESSFUL);

    /// The NTSTATUS behind it.
    #[must_use]
    pub const fn status(self) -> NtStatus {
        self.0
    }
}
