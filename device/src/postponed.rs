//! Work that a fault put off. The core has no clock: it says how much later, and whoever drives it keeps the time.
//!
//! ```text
//! stage -> Agenda (in the function) -> take_postponed (the shell adds its clock) -> carry_out
//! ```
//!
//! What a reset or a new device makes pointless is dropped when its time has come, not looked for before.

use std::sync::atomic::{AtomicBool, Ordering};

use ioat_stage::sync::Mutex;

use crate::memory::{GuestMemory, Lane, Want, access};

/// One piece of work, for later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Postponed {
    /// How much later than now: than when the shell learns of it.
    pub after_ns: u64,
    /// Whose it is; none: the function's.
    pub(crate) channel: Option<u8>,
    /// How many resets its owner had seen: after another one it is dropped.
    pub(crate) resets: u64,
    pub(crate) what: What,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A store to the client's memory, as far as it is mapped by then.
    Store {
        /// Where.
        iova: u64,
        /// What.
        bytes: Box<[u8]>,
    },
    /// The device is back on the bus, as after power-on.
    Return,
}

/// What is put off, and not yet taken by the shell. Its lock is the last of all.
#[derive(Default)]
pub(crate) struct Agenda {
    work: Mutex<Vec<Postponed>>,
    /// There is some. Looked at after every access and step, where faults are possible at all.
    some: AtomicBool,
}

impl Agenda {
    /// Puts work on it.
    pub(crate) fn add(&self, postponed: Postponed) {
        let mut work = self.work.lock();
        work.push(postponed);
        self.some.store(true, Ordering::Release);
    }

    /// Something was put off since it was last taken.
    pub(crate) fn has_some(&self) -> bool {
        self.some.load(Ordering::Acquire)
    }

    /// All of it, in the order of putting off.
    pub(crate) fn take(&self) -> Vec<Postponed> {
        let mut work = self.work.lock();
        self.some.store(false, Ordering::Release);
        std::mem::take(&mut *work)
    }
}

/// Stores as much as is mapped, in address order: what is not is not the device's to write.
pub(crate) fn store<M: GuestMemory>(memory: &M, iova: u64, bytes: &[u8]) {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        let at = iova.wrapping_add(done as u64);
        let Ok(slice) = memory.resolve(Lane::Destination, at, rest.len() as u64, Want::Write) else { return };
        let len = slice.len().min(rest.len());
        let whole_word = <[u8; 8]>::try_from(rest).ok().filter(|_| done == 0 && len == 8);
        // A completion word goes in one piece, as it would have in time.
        let stored =
            whole_word.is_some_and(|word| access::store_u64(&slice, u64::from_le_bytes(word)).is_ok());
        if !stored {
            slice.copy_from(&rest[..len]);
        }
        done += len;
    }
}
