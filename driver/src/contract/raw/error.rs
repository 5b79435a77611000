//! What is wrong with a structure from outside.

/// A field of a structure does not hold what the contract asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{structure}.{field} is {found:#x}, expected {expected} ({clause})")]
pub struct RawError {
    /// The structure, by its Windows name.
    pub structure: &'static str,
    /// The field, by its Windows name.
    pub field: &'static str,
    /// What it held; a pointer's address.
    pub found: u64,
    /// What the contract asks for.
    pub expected: &'static str,
    /// Where it does.
    pub clause: &'static str,
}

/// The checks of one structure.
#[derive(Clone, Copy)]
pub(super) struct Checks {
    pub(super) structure: &'static str,
    pub(super) clause: &'static str,
}

impl Checks {
    /// `found` is what was expected.
    pub(super) fn that(
        self,
        holds: bool,
        field: &'static str,
        found: u64,
        expected: &'static str,
    ) -> Result<(), RawError> {
        if holds { Ok(()) } else { Err(self.fails(field, found, expected)) }
    }

    pub(super) fn fails(self, field: &'static str, found: u64, expected: &'static str) -> RawError {
        RawError { structure: self.structure, field, found, expected, clause: self.clause }
    }
}
