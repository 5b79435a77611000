//! Rhai's integers are signed; here they stand for 64-bit patterns.

use rhai::{Dynamic, INT, Map};

/// The pattern as a script has it.
pub(super) const fn signed(pattern: u64) -> INT {
    INT::from_ne_bytes(pattern.to_ne_bytes())
}

/// The pattern of a script's integer.
pub(super) const fn unsigned(value: INT) -> u64 {
    u64::from_ne_bytes(value.to_ne_bytes())
}

/// A map of these entries.
pub(super) fn map<const N: usize>(entries: [(&str, Dynamic); N]) -> Map {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}
