//! Why a structure from C is refused.

use super::values::{
    NDIS_STATUS_BAD_CHARACTERISTICS, NDIS_STATUS_BAD_VERSION, NDIS_STATUS_INVALID_PARAMETER,
};
use crate::contract::NtStatus;

/// A field of a structure is not as the contract wants it. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RawError {
    /// The header is not this structure's.
    #[error("{structure}.Header.{field} is {found:#x}, expected {expected} (contract {clause})")]
    Header {
        /// The structure.
        structure: &'static str,
        /// `Type`, `Revision` or `Size`.
        field: &'static str,
        /// What it holds.
        found: u32,
        /// What it should.
        expected: String,
        /// Where the contract says so.
        clause: &'static str,
    },
    /// A handler is missing, or there where none may be.
    #[error("{structure}.{field} is {found}, expected {expected} (contract {clause})")]
    Handler {
        /// The structure.
        structure: &'static str,
        /// The handler.
        field: &'static str,
        /// `NULL` or `a function`.
        found: &'static str,
        /// What is wanted, and why.
        expected: &'static str,
        /// Where the contract says so.
        clause: &'static str,
    },
    /// A value is out of its range.
    #[error("{structure}.{field} is {found}, expected {expected} (contract {clause})")]
    Value {
        /// The structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// What it holds.
        found: u32,
        /// What it should.
        expected: &'static str,
        /// Where the contract says so.
        clause: &'static str,
    },
}

impl RawError {
    /// The status word to answer with: a wrong type, size or handler is BAD_CHARACTERISTICS, a revision that we do
    /// not know BAD_VERSION, a wrong value INVALID_PARAMETER.
    #[must_use]
    pub fn status(&self) -> NtStatus {
        match self {
            Self::Header { field: "Revision", .. } => NDIS_STATUS_BAD_VERSION,
            Self::Header { .. } | Self::Handler { .. } => NDIS_STATUS_BAD_CHARACTERISTICS,
            Self::Value { .. } => NDIS_STATUS_INVALID_PARAMETER,
        }
    }
}
