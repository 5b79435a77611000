//! Where interrupts go: an eventfd per vector, as SET_IRQS set them, and the pending bits of those that could not go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vmm_sys_util::eventfd::EventFd;

use super::backend::{Errno, IRQS, Identity, IrqAction, IrqChange, IrqInfo, irq};

/// The eventfds of a device, by index and vector.
///
/// [`IrqTable::signal`] may be called from any thread: it takes one vector's lock for the time of one non-blocking write, and
/// neither blocks nor allocates. Whoever changes a vector holds its lock only to swap; closing the old eventfd comes after. So
/// once a change returns, nothing is signalled through what it took away.
#[derive(Debug)]
pub struct IrqTable {
    indices: [Index; IRQS],
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The eventfd was written, or was so full that its reader cannot miss it.
    Delivered,
    /// The vector has no eventfd, or is masked: its pending bit is set, and it will be delivered when that changes.
    Pending,
    /// The index is disabled, or there is no such vector: nothing happened.
    Dropped,
}

#[derive(Debug)]
struct Index {
    automasked: bool,
    /// True from the first SET_IRQS with eventfd data until the index is disabled.
    enabled: AtomicBool,
    vectors: Box<[Mutex<Vector>]>,
}

#[derive(Debug, Default)]
struct Vector {
    eventfd: Option<EventFd>,
    masked: bool,
    /// A pulse that could not be delivered.
    pending: bool,
    /// A level that is still asserted.
    asserted: bool,
}

impl IrqTable {
    /// An empty table for a device's interrupts. Every index is disabled.
    pub fn new(identity: &Identity) -> IrqTable {
        IrqTable { indices: identity.irqs.each_ref().map(Index::new) }
    }

    /// Whether SET_IRQS has enabled the index. For MSI-X this decides, not the capability's Enable bit.
    pub fn enabled(&self, index: u32) -> bool {
        self.index(index).is_some_and(|row| row.enabled.load(Ordering::Acquire))
    }

    /// Sends an edge.
    pub fn signal(&self, index: u32, vector: u32) -> Signal {
        self.raise(index, vector, |state| state.pending = true)
    }

    /// Asserts a level (INTx). It is delivered once now, and again after each unmask until [`IrqTable::deassert`].
    pub fn assert(&self, index: u32, vector: u32) -> Signal {
        self.raise(index, vector, |state| state.asserted = true)
    }

    /// Takes a level back, together with an edge that was not delivered yet.
    pub fn deassert(&self, index: u32, vector: u32) {
        if let Some(mut state) = self.lock(index, vector) {
            state.asserted = false;
            state.pending = false;
        }
    }

    /// The pending bits of vectors `64 * word ..`, as a quadword of the MSI-X pending-bit array shows them.
    pub fn pending_word(&self, index: u32, word: u32) -> u64 {
        (0..64)
            .filter(|bit| {
                let vector = word.checked_mul(64).and_then(|first| first.checked_add(*bit));
                vector.and_then(|vector| self.lock(index, vector)).is_some_and(|state| state.pending)
            })
            .fold(0, |bits, bit| bits | 1 << bit)
    }

    /// Does what a SET_IRQS says. `change` comes from the server, so its numbers are in range.
    pub fn apply(&self, change: IrqChange) -> Result<(), Errno> {
        let row = self.index(change.index).ok_or(Errno::EINVAL)?;
        let (start, end) = (change.vectors.start as usize, change.vectors.end as usize);
        let vectors = row.vectors.get(start..end).ok_or(Errno::EINVAL)?;
        match change.action {
            IrqAction::Disable => row.disable(),
            IrqAction::Assign(eventfds) => {
                if eventfds.len() != vectors.len() {
                    return Err(Errno::EINVAL);
                }
                // First the eventfds, then the mark: who sees the index enabled may signal at once.
                for (vector, eventfd) in vectors.iter().zip(eventfds) {
                    row.replace(vector, Some(eventfd));
                }
                row.enabled.store(true, Ordering::Release);
            }
            IrqAction::Deassign => {
                for vector in vectors {
                    row.replace(vector, None);
                }
                row.enabled.store(true, Ordering::Release);
            }
            IrqAction::Trigger(select) => {
                for (vector, _) in change.vectors.zip(0..).filter(|(_, nth)| select.picks(*nth)) {
                    self.signal(change.index, vector);
                }
            }
            IrqAction::Mask(select) => {
                for (_, vector) in vectors.iter().enumerate().filter(|(nth, _)| select.picks(*nth)) {
                    lock(vector).masked = true;
                }
            }
            IrqAction::Unmask(select) => {
                for (_, vector) in vectors.iter().enumerate().filter(|(nth, _)| select.picks(*nth)) {
                    let mut state = lock(vector);
                    state.masked = false;
                    row.deliver(&mut state);
                }
            }
        }
        Ok(())
    }

    /// DEVICE_RESET and FLR: levels, masks and pending bits go, eventfds and "enabled" stay.
    pub fn reset(&self) {
        for vector in self.indices.iter().flat_map(|row| &row.vectors) {
            let mut state = lock(vector);
            let Vector { eventfd: _, masked, pending, asserted } = &mut *state;
            (*masked, *pending, *asserted) = (false, false, false);
        }
    }

    /// The client is gone: everything goes.
    pub fn release(&self) {
        self.indices.iter().for_each(Index::disable);
    }

    fn raise(&self, index: u32, vector: u32, mark: impl FnOnce(&mut Vector)) -> Signal {
        let Some(row) = self.index(index) else { return Signal::Dropped };
        let Some(mut state) = self.lock(index, vector) else { return Signal::Dropped };
        // Read under the vector's lock, which `disable` takes after it cleared the mark: no bit outlives a disable.
        if !row.enabled.load(Ordering::Acquire) {
            return Signal::Dropped;
        }
        mark(&mut state);
        row.deliver(&mut state)
    }

    fn index(&self, index: u32) -> Option<&Index> {
        self.indices.get(index as usize)
    }

    fn lock(&self, index: u32, vector: u32) -> Option<MutexGuard<'_, Vector>> {
        self.index(index)?.vectors.get(vector as usize).map(lock)
    }
}

impl Index {
    fn new(info: &IrqInfo) -> Index {
        Index {
            automasked: info.flags & irq::AUTOMASKED != 0,
            enabled: AtomicBool::new(false),
            vectors: (0..info.count).map(|_| Mutex::default()).collect(),
        }
    }

    fn disable(&self) {
        self.enabled.store(false, Ordering::Release);
        for vector in &self.vectors {
            let old = std::mem::take(&mut *lock(vector));
            drop(old);
        }
    }

    /// Puts another eventfd in place. What was pending goes out through it.
    fn replace(&self, vector: &Mutex<Vector>, eventfd: Option<EventFd>) {
        let mut state = lock(vector);
        let old = std::mem::replace(&mut state.eventfd, eventfd);
        self.deliver(&mut state);
        drop(state);
        drop(old);
    }

    /// Writes the eventfd if there is something to say and nothing in the way.
    fn deliver(&self, state: &mut Vector) -> Signal {
        if !state.pending && !state.asserted {
            return Signal::Dropped;
        }
        let Some(eventfd) = state.eventfd.as_ref().filter(|_| !state.masked) else {
            return Signal::Pending;
        };
        // The eventfd is non-blocking. A full counter (EAGAIN) is a signal that its reader has yet to take: one more adds
        // nothing. No other error can come from a descriptor that is known to be an eventfd.
        let _ = eventfd.write(1);
        state.pending = false;
        state.masked = self.automasked;
        Signal::Delivered
    }
}

/// A panic in a thread that held the lock leaves a vector whole: each field stands for itself.
fn lock(vector: &Mutex<Vector>) -> MutexGuard<'_, Vector> {
    vector.lock().unwrap_or_else(PoisonError::into_inner)
}
