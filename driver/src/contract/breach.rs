//! Calls at a wrong level that the types cannot see: a token that outlived its callback's level.

use crate::irql::{self, Irql};

/// A call at a level where the contract forbids it. The tokens of [`crate::irql`] make most of these impossible to
/// write; what is left (one task that runs another's routine) is found by the task's own level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{call} at {found:?} level; {clause} asks for {expected}")]
pub struct IrqlBreach {
    /// The call.
    pub call: &'static str,
    /// Where the contract says so.
    pub clause: &'static str,
    /// The level of the calling task.
    pub found: Irql,
    /// The levels that the contract permits.
    pub expected: &'static str,
}

/// The calling task is at PASSIVE_LEVEL.
pub(super) fn passive(call: &'static str, clause: &'static str) -> Result<(), IrqlBreach> {
    check(irql::current() == Irql::Passive, call, clause, "Passive")
}

/// The calling task is at DISPATCH_LEVEL or below.
pub(super) fn at_most_dispatch(call: &'static str) -> Result<(), IrqlBreach> {
    check(irql::current() <= Irql::Dispatch, call, "contract 1.8", "Dispatch or below")
}

/// The calling task is at DISPATCH_LEVEL.
pub(super) fn dispatch(call: &'static str) -> Result<(), IrqlBreach> {
    check(irql::current() == Irql::Dispatch, call, "C-ND-07", "Dispatch")
}

/// The calling task is at a device's level.
pub(super) fn device(call: &'static str) -> Result<(), IrqlBreach> {
    check(irql::current() == Irql::Device, call, "C-ND-08", "Device")
}

fn check(
    holds: bool,
    call: &'static str,
    clause: &'static str,
    expected: &'static str,
) -> Result<(), IrqlBreach> {
    if holds {
        return Ok(());
    }
    let breach = IrqlBreach { call, clause, found: irql::current(), expected };
    log::warn!("contract violation: {breach}");
    Err(breach)
}
