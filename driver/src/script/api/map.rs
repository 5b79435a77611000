//! Maps for scripts.

use rhai::{Dynamic, Map};

/// A map of these entries.
pub(super) fn map<const N: usize>(entries: [(&str, Dynamic); N]) -> Map {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}
