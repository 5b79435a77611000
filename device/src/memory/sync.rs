//! The one place where this module picks std's or loom's primitives.

#[cfg(loom)]
pub(super) use loom::sync::{
    Mutex, MutexGuard, RwLock,
    atomic::{AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use std::sync::{
    Mutex, MutexGuard, RwLock,
    atomic::{AtomicU64, Ordering, fence},
};

use std::sync::PoisonError;

/// Locks, also after a panic elsewhere: the data under our locks is changed in steps that each leave it valid.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
