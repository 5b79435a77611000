//! Interrupt request levels, in types: a function that may only be called at a level asks for that level's token.
//!
//! A token is given only to a callback that runs at its level, so a wrong call does not compile. Functions
//! that are callable at any level take none.

use std::cell::Cell;
use std::marker::PhantomData;

/// The level numbers of Windows (contract 2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Irql {
    /// Ordinary thread code.
    Passive = 0,
    /// DPCs.
    Dispatch = 2,
    /// Interrupt service routines; the number is the library's choice, Windows only says "above 2".
    Device = 3,
}

thread_local! {
    static CURRENT: Cell<Irql> = const { Cell::new(Irql::Passive) };
}

/// The level of the calling thread, for debug checks and logs; the tokens are what binds.
#[must_use]
pub fn current() -> Irql {
    CURRENT.get()
}

/// Gives the calling thread another level, and what it had: for a scheduler that runs several tasks on one thread
/// and keeps the level of each. Nobody else should call it: the tokens of the callbacks that are under way stay.
pub fn exchange(level: Irql) -> Irql {
    CURRENT.replace(level)
}

/// Proof of running at PASSIVE_LEVEL.
#[derive(Debug)]
pub struct AtPassive(PhantomData<*const ()>);

impl AtPassive {
    /// The token of ordinary thread code; none inside an ISR or DPC.
    #[must_use]
    pub fn claim() -> Option<Self> {
        (current() == Irql::Passive).then_some(Self(PhantomData))
    }
}

/// Proof of running at DISPATCH_LEVEL.
#[derive(Debug)]
pub struct AtDispatch(PhantomData<*const ()>);

impl AtDispatch {
    /// The token of a DPC that cannot hand it down, because what lies between is C; none at any other level.
    #[must_use]
    pub fn claim() -> Option<Self> {
        (current() == Irql::Dispatch).then_some(Self(PhantomData))
    }
}

/// Proof of running at a device's level.
#[derive(Debug)]
pub struct AtDirql(PhantomData<*const ()>);

impl AtDirql {
    /// The token of a service routine that cannot hand it down, because what lies between is C; none at any other
    /// level.
    #[must_use]
    pub fn claim() -> Option<Self> {
        (current() == Irql::Device).then_some(Self(PhantomData))
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AtPassive {}
    impl Sealed for super::AtDispatch {}
}

/// PASSIVE_LEVEL or DISPATCH_LEVEL: where the provider's channel callbacks may be called.
pub trait AtMostDispatch: sealed::Sealed {}
impl AtMostDispatch for AtPassive {}
impl AtMostDispatch for AtDispatch {}

/// Runs `body` at DISPATCH_LEVEL; the caller's level comes back afterwards, also when `body` panics.
pub(crate) fn at_dispatch<R>(body: impl FnOnce(&AtDispatch) -> R) -> R {
    let _level = raise(Irql::Dispatch);
    body(&AtDispatch(PhantomData))
}

/// Runs `body` at a device's level; the caller's level comes back afterwards, also when `body` panics.
pub(crate) fn at_dirql<R>(body: impl FnOnce(&AtDirql) -> R) -> R {
    let _level = raise(Irql::Device);
    body(&AtDirql(PhantomData))
}

struct Raised(Irql);

impl Drop for Raised {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

fn raise(level: Irql) -> Raised {
    Raised(CURRENT.replace(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_passive_token_can_be_had_inside_a_dpc_or_isr() {
        assert!(AtPassive::claim().is_some());
        at_dispatch(|_| assert!(AtPassive::claim().is_none()));
        at_dirql(|_| {
            assert!(AtPassive::claim().is_none());
            assert_eq!(current(), Irql::Device);
        });
        assert_eq!(current(), Irql::Passive);
    }

    #[test]
    fn a_panicking_routine_gives_its_level_back() {
        let result = std::panic::catch_unwind(|| at_dispatch(|_| panic!("in a DPC")));
        assert!(result.is_err());
        assert_eq!(current(), Irql::Passive);
    }
}
