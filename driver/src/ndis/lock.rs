//! The two locks of the driver, and which is for what.
//!
//! [`SpinLock`] guards a few instructions that any level may run: it never sleeps and never allocates, and
//! nothing waits while it is held. [`LevelLock`] is held across a whole routine (an ISR, a provider
//! callback); who finds it taken waits through [`Pause`], so that a simulator can go on with the holder.
//!
//! Lock order: `LevelLock` before `SpinLock`; never two of one kind.

use std::sync::Arc;

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

use ioat_stage::sync::atomic::{AtomicBool, Ordering};
use ioat_stage::{Bell, Pause};

/// A spin lock. Built on a mutex whose sleeping `lock` is not used: `try_lock` is one compare-and-swap, and
/// unlocking wakes nobody, because nobody ever sleeps on it. That keeps it free of unsafe code.
#[derive(Debug, Default)]
pub(crate) struct SpinLock<T>(Mutex<T>);

impl<T> SpinLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    #[cfg(not(loom))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        use std::sync::TryLockError::{Poisoned, WouldBlock};
        /// The holder is a few instructions from the end, unless it lost its CPU: then spinning keeps it off.
        const SPINS: u32 = 100;
        let mut spins = 0;
        loop {
            match self.0.try_lock() {
                Ok(guard) => return guard,
                // The panic was reported where it happened; each critical section leaves its data whole.
                Err(Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(WouldBlock) if spins < SPINS => {
                    spins += 1;
                    std::hint::spin_loop();
                }
                Err(WouldBlock) => std::thread::yield_now(),
            }
        }
    }

    // A model explores every order by itself; spinning would only add states.
    #[cfg(loom)]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A lock that is waited for through [`Pause`].
pub(crate) struct LevelLock {
    held: AtomicBool,
    freed: Bell,
    pause: Arc<dyn Pause>,
}

impl LevelLock {
    pub(crate) fn new(pause: Arc<dyn Pause>) -> Self {
        Self { held: AtomicBool::new(false), freed: Bell::new(), pause }
    }

    pub(crate) fn lock(&self) -> LevelGuard<'_> {
        loop {
            let seen = self.freed.seen();
            if !self.held.swap(true, Ordering::Acquire) {
                return LevelGuard(self);
            }
            self.pause.wait(&self.freed, seen, None);
        }
    }
}

/// Holds a [`LevelLock`].
pub(crate) struct LevelGuard<'a>(&'a LevelLock);

impl Drop for LevelGuard<'_> {
    fn drop(&mut self) {
        // Pairs with the swap in `lock`: what the holder did is visible to the next one.
        self.0.held.store(false, Ordering::Release);
        self.0.pause.ring(&self.0.freed);
    }
}
