//! Where C enters: panics end here, and the caller's level is asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use netdma::irql::{self, AtDirql, AtDispatch, AtMostDispatch, AtPassive};

use crate::report::violation;

/// Runs a call of C's; a panic becomes `otherwise`, for it must not unwind into C.
pub(crate) fn enter<R>(call: &'static str, otherwise: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        violation(call, "our own bug", "the library panicked");
        otherwise
    })
}

/// Proof of PASSIVE_LEVEL; a caller at another has broken `clause`.
pub(crate) fn passive(call: &str, clause: &str) -> Option<AtPassive> {
    AtPassive::claim().or_else(|| breach(call, clause, "PASSIVE_LEVEL"))
}

/// Proof of DISPATCH_LEVEL.
pub(crate) fn dispatch(call: &str, clause: &str) -> Option<AtDispatch> {
    AtDispatch::claim().or_else(|| breach(call, clause, "DISPATCH_LEVEL"))
}

/// Proof of a device's level.
pub(crate) fn dirql(call: &str, clause: &str) -> Option<AtDirql> {
    AtDirql::claim().or_else(|| breach(call, clause, "a device's level"))
}

/// Proof of DISPATCH_LEVEL or below.
pub(crate) fn at_most_dispatch(call: &str, clause: &str) -> Option<Box<dyn AtMostDispatch>> {
    if let Some(level) = AtPassive::claim() {
        return Some(Box::new(level));
    }
    let level = AtDispatch::claim().or_else(|| breach(call, clause, "DISPATCH_LEVEL or below"))?;
    Some(Box::new(level))
}

/// The number of the level that the thread is at.
pub(crate) fn level() -> u8 {
    irql::current() as u8
}

fn breach<T>(call: &str, clause: &str, wanted: &str) -> Option<T> {
    violation(call, clause, format_args!("called at level {}, expected {wanted}", level()));
    None
}
