//! Locks and atomics, from std or, when a model is checked (`--cfg loom`), from loom.

#[cfg(loom)]
pub use loom::sync::{Arc, MutexGuard, atomic};
#[cfg(not(loom))]
pub use std::sync::{Arc, MutexGuard, atomic};

#[cfg(loom)]
use loom::sync::Mutex as Inner;
#[cfg(not(loom))]
use std::sync::Mutex as Inner;

/// A mutex that does not ask its callers about poison: a thread that panicked while it held the lock has
/// already been reported, and what the lock protects is repaired by a device reset, not by a second panic.
#[derive(Debug, Default)]
pub struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    /// A free mutex around `value`.
    pub fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    /// Takes the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One step of waiting in a spin loop.
pub fn spin_loop() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::hint::spin_loop();
}
