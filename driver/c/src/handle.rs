//! Handles: numbers that C gets in the shape of a pointer. Each is given out once and never again, so a stale or
//! invented one names nothing.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::wdm_types::PVOID;

/// What a handle names, in its low bits: a handle of one kind is never one of another.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Host = 1,
    Provider = 2,
    Channel = 3,
    Interrupt = 4,
    Dpc = 5,
}

/// Room for the kind.
const KINDS: usize = 8;

/// A handle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Handle(usize);

impl Handle {
    /// What C says it is; whether it names anything, a table knows.
    pub(crate) fn from_c(pointer: PVOID) -> Self {
        Self(pointer.addr())
    }

    /// For C: never to be followed.
    pub(crate) fn to_c(self) -> PVOID {
        ptr::without_provenance_mut(self.0)
    }

    /// As a word of the library's.
    pub(crate) fn word(self) -> u64 {
        self.0 as u64
    }

    /// Back from [`Self::word`].
    pub(crate) fn of_word(word: u64) -> Self {
        Self(usize::try_from(word).unwrap_or(0))
    }
}

/// What the handles of one kind name. Looking up takes a lock that is only ever held for a step, so it is fit for any
/// level.
pub(crate) struct Table<T> {
    kind: Kind,
    next: AtomicUsize,
    rows: RwLock<BTreeMap<usize, Arc<T>>>,
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, next: AtomicUsize::new(1), rows: RwLock::new(BTreeMap::new()) }
    }

    /// A handle that nobody had before.
    pub(crate) fn insert(&self, row: Arc<T>) -> Handle {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let handle = serial.checked_mul(KINDS).expect("a program makes fewer than 2^60 handles");
        let handle = handle | self.kind as usize;
        self.rows.write().unwrap_or_else(PoisonError::into_inner).insert(handle, row);
        Handle(handle)
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<Arc<T>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).get(&handle.0).cloned()
    }

    /// From now on the handle names nothing.
    pub(crate) fn remove(&self, handle: Handle) -> Option<Arc<T>> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner).remove(&handle.0)
    }

    /// The oldest row that is so.
    pub(crate) fn find(&self, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).values().find(|row| is(row)).cloned()
    }

    /// Every row, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// From now on the handles of rows that are so name nothing.
    pub(crate) fn remove_all(&self, is: impl Fn(&T) -> bool) {
        self.rows.write().unwrap_or_else(PoisonError::into_inner).retain(|_, row| !is(row));
    }

    /// How many rows are so.
    pub(crate) fn count(&self, is: impl Fn(&T) -> bool) -> usize {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).values().filter(|row| is(row)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_its_own_row_until_it_is_removed_and_nothing_of_another_kind() {
        let hosts = Table::new(Kind::Host);
        let channels = Table::new(Kind::Channel);
        let (host, channel) = (hosts.insert(Arc::new(7)), channels.insert(Arc::new(8)));
        assert_eq!(hosts.get(Handle::from_c(host.to_c())).as_deref(), Some(&7));
        assert_eq!(channels.get(host), None);
        assert_eq!(hosts.get(channel), None);
        assert_eq!(hosts.remove(host).as_deref(), Some(&7));
        assert_eq!(hosts.get(host), None);
        let later = hosts.insert(Arc::new(9));
        assert_ne!(later, host);
    }
}
