//! A bounded ring of records between those who emit and the thread that writes: lock-free, and full means lost.
//!
//! Each slot has a word that says whose turn it is: the number of the place that may be written into it next, or one more
//! once that was done. A producer claims places by one compare-and-swap, as many as it has records, so a channel's worker and
//! a register write may emit at the same time; it waits for nobody. The words are atomics that this turn word orders, so there
//! is nothing unsafe in here. One consumer.

use crate::sync::atomic::{AtomicU64, Ordering};

/// On a cache line of its own.
#[repr(align(64))]
struct Apart<T>(T);

#[repr(align(64))]
struct Slot<const WORDS: usize> {
    turn: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// The ring of records of so many words. Places are numbered from 0 and never again; place `p` is slot `p % capacity`.
pub(super) struct Ring<const WORDS: usize> {
    slots: Box<[Slot<WORDS>]>,
    mask: u64,
    /// The next place to claim.
    next: Apart<AtomicU64>,
    lost: Apart<AtomicU64>,
}

/// Where the consumer is: the next place to take. There is one for a ring.
#[derive(Default)]
pub(super) struct Cursor(u64);

/// What became of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pushed {
    Taken,
    /// Taken, and another half of the ring is full.
    HalfFull,
    /// None of them fitted.
    Lost,
}

impl<const WORDS: usize> Ring<WORDS> {
    /// An empty ring of `capacity` slots, rounded up to a power of two.
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.next_power_of_two().max(2) as u64;
        let slot = |place| Slot::<WORDS> { turn: AtomicU64::new(place), words: std::array::from_fn(|_| AtomicU64::new(0)) };
        Self {
            slots: (0..capacity).map(slot).collect(),
            mask: capacity - 1,
            next: Apart(AtomicU64::new(0)),
            lost: Apart(AtomicU64::new(0)),
        }
    }

    /// Puts all of `count` records in, or none.
    #[inline]
    pub(super) fn push(&self, count: usize, record: impl Fn(usize) -> [u64; WORDS]) -> Pushed {
        let many = count as u64;
        if many == 0 {
            return Pushed::Taken;
        }
        let Some(first) = self.claim(many) else {
            // Relaxed: the number is all that it says.
            self.lost.0.fetch_add(many, Ordering::Relaxed);
            return Pushed::Lost;
        };
        for (place, index) in (first..).zip(0..count) {
            let slot = self.slot(place);
            for (word, value) in slot.words.iter().zip(record(index)) {
                word.store(value, Ordering::Relaxed);
            }
            // Release: who sees the turn sees the words.
            slot.turn.store(place + 1, Ordering::Release);
        }
        let halves = |place: u64| place & !(self.mask >> 1);
        if halves(first) == halves(first + many) { Pushed::Taken } else { Pushed::HalfFull }
    }

    /// Takes the oldest record. None if there is none, or if whoever claimed its place has not written it yet.
    #[inline]
    pub(super) fn pop(&self, cursor: &mut Cursor) -> Option<[u64; WORDS]> {
        let place = cursor.0;
        let slot = self.slot(place);
        if slot.turn.load(Ordering::Acquire) != place + 1 {
            return None;
        }
        let words = std::array::from_fn(|index| slot.words[index].load(Ordering::Relaxed));
        // Release: who writes the slot next does so after these loads.
        slot.turn.store(place + self.capacity(), Ordering::Release);
        cursor.0 = place + 1;
        Some(words)
    }

    /// Records that were lost since this was asked last.
    pub(super) fn take_lost(&self) -> u64 {
        if self.lost.0.load(Ordering::Relaxed) == 0 { 0 } else { self.lost.0.swap(0, Ordering::Relaxed) }
    }

    /// Slots.
    pub(super) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Claims `many` places in a row. The consumer frees slots in order: if the last one is free, so are those before it.
    fn claim(&self, many: u64) -> Option<u64> {
        if many > self.capacity() {
            return None;
        }
        let mut first = self.next.0.load(Ordering::Relaxed);
        loop {
            let last = first + many - 1;
            // Acquire pairs with the release in `pop`.
            let turn = self.slot(last).turn.load(Ordering::Acquire);
            if turn < last {
                return None;
            }
            if turn > last {
                // Somebody else has claimed and written it since `first` was read.
                first = self.next.0.load(Ordering::Relaxed);
                continue;
            }
            match self.next.0.compare_exchange_weak(first, first + many, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(first),
                Err(now) => first = now,
            }
        }
    }

    #[inline]
    fn slot(&self, place: u64) -> &Slot<WORDS> {
        #[expect(clippy::cast_possible_truncation, reason = "below the capacity")]
        let index = (place & self.mask) as usize;
        &self.slots[index]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeMap;
    use std::thread;

    use super::*;

    fn record(value: u64) -> [u64; 7] {
        [value; 7]
    }

    #[test]
    fn what_does_not_fit_is_counted_and_what_fits_comes_out_in_order() {
        let (ring, mut cursor) = (Ring::new(4), Cursor::default());
        assert_eq!(ring.push(1, |_| record(0)), Pushed::Taken);
        assert_eq!(ring.push(2, |index| record(1 + index as u64)), Pushed::HalfFull);
        // All or none: one would fit.
        assert_eq!(ring.push(2, |_| record(9)), Pushed::Lost);
        assert_eq!(ring.push(5, |_| record(9)), Pushed::Lost);
        assert_eq!((ring.take_lost(), ring.take_lost()), (7, 0));
        let all: Vec<_> = std::iter::from_fn(|| ring.pop(&mut cursor)).collect();
        assert_eq!(all, [record(0), record(1), record(2)]);
        assert_eq!(ring.push(4, |index| record(3 + index as u64)), Pushed::HalfFull);
        assert_eq!(ring.pop(&mut cursor), Some(record(3)));
    }

    #[test]
    fn of_four_producers_nothing_is_torn_or_out_of_order_and_produced_is_taken_and_lost() {
        const EACH: u64 = 50_000;
        let ring = Ring::new(64);
        let (mut cursor, mut taken) = (Cursor::default(), BTreeMap::<u64, Vec<u64>>::new());
        let mut take = |cursor: &mut Cursor| {
            while let Some(words) = ring.pop(cursor) {
                assert_eq!(words, record(words[0]));
                taken.entry(words[0] >> 32).or_default().push(words[0] & 0xffff_ffff);
            }
        };
        thread::scope(|scope| {
            let producers: Vec<_> = (0..4_u64)
                .map(|producer| {
                    let ring = &ring;
                    scope.spawn(move || {
                        for first in (0..EACH).step_by(2) {
                            ring.push(2, |index| record(producer << 32 | (first + index as u64)));
                        }
                    })
                })
                .collect();
            while producers.iter().any(|producer| !producer.is_finished()) {
                take(&mut cursor);
                thread::yield_now();
            }
        });
        take(&mut cursor);
        assert!(taken.values().all(|numbers| numbers.is_sorted()));
        assert_eq!(taken.values().map(|numbers| numbers.len() as u64).sum::<u64>() + ring.take_lost(), 4 * EACH);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Two words: enough to be torn.
    fn record(value: u64) -> [u64; 2] {
        [value; 2]
    }

    /// Two producers, a consumer, and a ring that is too small: whatever comes out is whole and in order, and what does not is
    /// counted.
    #[test]
    fn a_record_is_whole_or_lost() {
        loom::model(|| {
            let ring = Arc::new(Ring::new(2));
            let producers: Vec<_> = (0..2_u64)
                .map(|producer| {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || {
                        let many = 1 + producer;
                        ring.push(1 + usize::try_from(producer).unwrap(), |index| record(10 * many + index as u64));
                    })
                })
                .collect();
            let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
            let mut take = |cursor: &mut Cursor, seen: &mut Vec<u64>| {
                while let Some(words) = ring.pop(cursor) {
                    assert_eq!(words, record(words[0]));
                    seen.push(words[0]);
                }
            };
            take(&mut cursor, &mut seen);
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            take(&mut cursor, &mut seen);
            assert_eq!(seen.len() as u64 + ring.take_lost(), 3);
            let twenties: Vec<_> = seen.iter().filter(|value| **value >= 20).collect();
            assert!(twenties.is_empty() || twenties == [&20, &21], "{seen:?}");
        });
    }

    /// A slot that is used again: the producer does not overwrite what the consumer still reads.
    #[test]
    fn a_slot_is_written_again_only_after_it_was_read() {
        loom::model(|| {
            let ring = Arc::new(Ring::new(2));
            assert_ne!(ring.push(2, |index| record(1 + index as u64)), Pushed::Lost);
            let again = Arc::clone(&ring);
            let producer = thread::spawn(move || again.push(1, |_| record(3)));
            let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
            for _ in 0..2 {
                let words = ring.pop(&mut cursor).unwrap();
                assert_eq!(words, record(words[0]));
                seen.push(words[0]);
            }
            let pushed = producer.join().unwrap();
            seen.extend(ring.pop(&mut cursor).map(|words| words[0]));
            assert_eq!(seen, if pushed == Pushed::Lost { vec![1, 2] } else { vec![1, 2, 3] });
        });
    }
}
