//! A task's stack and the switch to it. The only file of the simulator that knows how.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Bytes of a task's stack. Pages that nobody touched take no memory; below it lies a page that faults.
const STACK: usize = 256 << 10;
/// Stacks kept for the next scenario.
const KEPT: usize = 64;

type Way = Yielder<(), ()>;

thread_local! {
    /// How the fiber that runs now gets out; null outside of all fibers.
    static OUT: Cell<*const Way> = const { Cell::new(ptr::null()) };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// A function on a stack of its own.
pub(super) struct Fiber {
    inner: Coroutine<(), (), (), DefaultStack>,
    /// Set by the fiber when it starts: its way out.
    out: Rc<Cell<*const Way>>,
}

impl Fiber {
    /// Puts `body` on a stack; it does not run yet. It must not panic.
    pub(super) fn new(body: impl FnOnce() + 'static) -> io::Result<Self> {
        let stack = match STACKS.with_borrow_mut(Vec::pop) {
            Some(stack) => stack,
            None => DefaultStack::new(STACK)?,
        };
        let out = Rc::new(Cell::new(ptr::null()));
        let mine = out.clone();
        let inner = Coroutine::with_stack(stack, move |way: &Way, ()| {
            mine.set(way);
            OUT.set(way);
            body();
        });
        Ok(Self { inner, out })
    }

    /// Runs it until it lets go. False when it has ended.
    pub(super) fn resume(&mut self) -> bool {
        let before = OUT.replace(self.out.get());
        let result = self.inner.resume(());
        OUT.set(before);
        matches!(result, CoroutineResult::Yield(()))
    }

    /// Gives the stack of an ended fiber to the next one.
    pub(super) fn recycle(self) {
        STACKS.with_borrow_mut(|stacks| {
            if stacks.len() < KEPT {
                stacks.push(self.inner.into_stack());
            }
        });
    }
}

/// Lets go of the thread: [`Fiber::resume`] of the fiber that runs now returns, and this does when it is resumed.
///
/// # Panics
/// Outside of all fibers: there is nobody to go on.
pub(super) fn let_go() {
    let out = OUT.get();
    assert!(!out.is_null(), "only a simulated task can wait through the simulator");
    // Why unsafe: the way out is borrowed from the coroutine for as long as it runs, which no lifetime can say
    // through the driver's and the device's code in between.
    // SAFETY: `OUT` is set by the fiber that runs now, on its own stack, and by `resume` to that of the fiber which it
    // resumes; it is null when none runs. The yielder lives as long as the fiber's body, which is below us.
    unsafe { &*out }.suspend(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fibers_take_turns_and_their_stacks_are_used_again() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut fibers: Vec<_> = ["a", "b"]
            .map(|name| {
                let log = log.clone();
                Fiber::new(move || {
                    for turn in 0..2 {
                        log.borrow_mut().push((name, turn));
                        let_go();
                    }
                })
                .unwrap()
            })
            .into();
        for turn in 0..3 {
            for fiber in &mut fibers {
                assert_eq!(fiber.resume(), turn < 2);
            }
        }
        assert_eq!(*log.borrow(), [("a", 0), ("b", 0), ("a", 1), ("b", 1)]);
        fibers.into_iter().for_each(Fiber::recycle);
        assert_eq!(STACKS.with_borrow(Vec::len), 2);
    }
}
