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
    static PROCESSOR: Cell<Option<u32>> = const { Cell::new(None) };
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

/// The number of the processor that the calling thread runs on: a DPC's or a service routine's own; processor 0 for a
/// thread that is in neither, for it belongs to none of the engine's processors (KD-6, our choice).
#[must_use]
pub fn current_processor() -> u32 {
    PROCESSOR.get().unwrap_or(0)
}

/// Gives the calling thread another processor, none for that of an ordinary thread, and what it had: for a scheduler,
/// which calls it wherever it calls [`exchange`].
pub fn exchange_processor(processor: Option<u32>) -> Option<u32> {
    PROCESSOR.replace(processor)
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

/// Runs `body` on `processor`; the caller's comes back afterwards, also when `body` panics.
pub(crate) fn on_processor<R>(processor: u32, body: impl FnOnce() -> R) -> R {
    let _moved = Moved(exchange_processor(Some(processor)));
    body()
}

struct Moved(Option<u32>);

impl Drop for Moved {
    fn drop(&mut self) {
        exchange_processor(self.0);
    }
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
        at_dispatch(|_| assert!(AtDispatch::claim().is_some() && AtDirql::claim().is_none()));
        at_dirql(|_| assert!(AtDirql::claim().is_some() && AtDispatch::claim().is_none()));
        assert!(AtDispatch::claim().is_none() && AtDirql::claim().is_none());
        at_dirql(|_| {
            assert!(AtPassive::claim().is_none());
            assert_eq!(current(), Irql::Device);
        });
        assert_eq!(current(), Irql::Passive);
    }

    #[test]
    fn a_panicking_routine_gives_its_level_and_processor_back() {
        let routine = || on_processor(3, || at_dispatch(|_| panic!("in a DPC")));
        assert!(std::panic::catch_unwind(routine).is_err());
        assert_eq!((current(), current_processor()), (Irql::Passive, 0));
    }

    #[test]
    fn a_scheduler_carries_the_processor_from_task_to_task() {
        on_processor(70, || {
            let of_task = exchange_processor(None);
            assert_eq!((of_task, current_processor()), (Some(70), 0));
            assert_eq!(exchange_processor(of_task), None);
            assert_eq!(current_processor(), 70);
        });
    }
}
