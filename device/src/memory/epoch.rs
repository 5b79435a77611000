//! Generations and pins: how an unmap learns that nothing uses what it removed.
//!
//! Every unmap that removes something starts a new generation. A pin writes down the generation that it saw.
//! Whatever was removed before generation `g` began can be reached only by pins of generations below `g`.
//!
//! The pairing: a pin stores its generation, fences, and re-reads the current one; an unmap stores the new
//! generation, fences, and reads the pins. Of the two, at least one sees the other: either the pin notices the
//! new generation and starts over, or the unmap sees the pin.

use std::sync::Arc;

use super::sync::{AtomicU64, Mutex, Ordering, fence, lock};

/// A slot's value while its reader holds no pin: later than every generation.
const UNPINNED: u64 = u64::MAX;

/// The current generation and who is pinned in which.
#[derive(Debug)]
pub(super) struct Epoch {
    generation: AtomicU64,
    slots: Mutex<Vec<Arc<Slot>>>,
}

/// One reader's mark. On a cache line of its own: its worker stores to it twice per chunk.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    pinned: AtomicU64,
}

impl Epoch {
    pub(super) fn new() -> Self {
        Self { generation: AtomicU64::new(1), slots: Mutex::new(Vec::new()) }
    }

    /// A slot for a new reader.
    pub(super) fn register(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot { pinned: AtomicU64::new(UNPINNED) });
        lock(&self.slots).push(Arc::clone(&slot));
        slot
    }

    /// Forgets a reader that is gone.
    pub(super) fn deregister(&self, slot: &Arc<Slot>) {
        lock(&self.slots).retain(|other| !Arc::ptr_eq(other, slot));
    }

    /// Marks `slot` as pinned and returns the generation in which it is. Lock-free.
    #[inline]
    pub(super) fn pin(&self, slot: &Slot) -> u64 {
        let mut generation = self.generation.load(Ordering::Acquire);
        loop {
            // Release: whoever reads this mark also knows that this reader's earlier pin has ended.
            slot.pinned.store(generation, Ordering::Release);
            // Pairs with the fence in `oldest`.
            fence(Ordering::SeqCst);
            let now = self.generation.load(Ordering::Acquire);
            if now == generation {
                return generation;
            }
            generation = now;
        }
    }

    /// Ends a pin. What the pin's owner did with the mappings happens before whoever sees it ended.
    #[inline]
    pub(super) fn unpin(&self, slot: &Slot) {
        slot.pinned.store(UNPINNED, Ordering::Release);
    }

    /// The generation now, only as a hint to stop early.
    #[inline]
    pub(super) fn hint(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Starts the next generation, after its maps were removed; returns it. Callers take turns (under a lock).
    pub(super) fn advance(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Release) + 1
    }

    /// The oldest generation in which a pin is alive, or `u64::MAX`.
    pub(super) fn oldest(&self) -> u64 {
        // Pairs with the fence in `pin`.
        fence(Ordering::SeqCst);
        lock(&self.slots).iter().map(|slot| slot.pinned.load(Ordering::Acquire)).min().unwrap_or(UNPINNED)
    }
}

/// `RUSTFLAGS="--cfg loom" cargo test -p vfio-user-ioat --lib --release --target-dir target/loom memory::epoch`
#[cfg(all(test, loom))]
mod tests {
    use std::sync::Arc;

    use loom::sync::RwLock;
    use loom::thread;

    use super::super::sync::{AtomicU64, Ordering};
    use super::{Epoch, Slot};

    const ALIVE: u64 = 1;
    const GONE: u64 = 0;

    /// A table of one map, and the state of its mapping. All accesses to `mapping` are relaxed: only the epoch may
    /// order them.
    struct Model {
        epoch: Epoch,
        map: RwLock<bool>,
        mapping: AtomicU64,
        /// Bytes written through the mapping.
        bytes: AtomicU64,
    }

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                epoch: Epoch::new(),
                map: RwLock::new(true),
                mapping: AtomicU64::new(ALIVE),
                bytes: AtomicU64::new(0),
            })
        }

        /// What a worker does with one chunk.
        fn chunk(&self, slot: &Slot) {
            self.epoch.pin(slot);
            if *self.map.read().unwrap() {
                assert_eq!(self.mapping.load(Ordering::Relaxed), ALIVE, "use after unmap");
                self.bytes.fetch_add(1, Ordering::Relaxed);
                assert_eq!(self.mapping.load(Ordering::Relaxed), ALIVE, "unmapped in use");
            }
            self.epoch.unpin(slot);
        }

        /// What the server does: remove, advance, wait.
        fn unmap(&self) {
            *self.map.write().unwrap() = false;
            let generation = self.epoch.advance();
            while self.epoch.oldest() < generation {
                thread::yield_now();
            }
            self.mapping.store(GONE, Ordering::Relaxed);
        }
    }

    #[test]
    fn nothing_is_used_after_the_unmap_drained() {
        loom::model(|| {
            let model = Model::new();
            let slot = model.epoch.register();
            let worker = {
                let (model, slot) = (Arc::clone(&model), Arc::clone(&slot));
                thread::spawn(move || {
                    model.chunk(&slot);
                    model.chunk(&slot);
                })
            };

            model.unmap();
            let bytes = model.bytes.load(Ordering::Relaxed);
            worker.join().unwrap();

            assert_eq!(model.bytes.load(Ordering::Relaxed), bytes, "a write after the drain");
        });
    }

    #[test]
    fn cached_range_is_not_used_in_a_later_generation() {
        loom::model(|| {
            let model = Model::new();
            let slot = model.epoch.register();
            let worker = {
                let (model, slot) = (Arc::clone(&model), Arc::clone(&slot));
                thread::spawn(move || {
                    // What a reader remembers of its last pin: the generation, and whether it found the map.
                    let mut cached = (0, false);
                    for _ in 0..2 {
                        let generation = model.epoch.pin(&slot);
                        if cached.0 != generation {
                            cached = (generation, *model.map.read().unwrap());
                        }
                        if cached.1 {
                            assert_eq!(model.mapping.load(Ordering::Relaxed), ALIVE, "stale cache");
                        }
                        model.epoch.unpin(&slot);
                    }
                })
            };

            model.unmap();

            worker.join().unwrap();
        });
    }

    #[test]
    fn reader_registered_during_an_unmap_is_safe() {
        loom::model(|| {
            let model = Model::new();
            let worker = {
                let model = Arc::clone(&model);
                thread::spawn(move || {
                    let slot = model.epoch.register();
                    model.chunk(&slot);
                    model.epoch.deregister(&slot);
                })
            };

            model.unmap();

            worker.join().unwrap();
        });
    }
}
