//! The queue of one processor: what waits, in order, and whether the processor should start working.

use std::collections::VecDeque;

use super::kdpc_importance::DpcImportance;

/// What a processor's worker should do about its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// The queue is empty.
    Nothing,
    /// All that is queued may wait, for a while (KD-9).
    Later,
    /// Take the entries off, until there are none.
    Now,
}

/// The queue.
pub(super) struct Fifo<E> {
    entries: VecDeque<E>,
    /// Entries that can be queued at most: each object that exists, once.
    objects: usize,
    /// Something asked for the processor since the queue was last found empty. What comes meanwhile is reached in
    /// turn, whatever its importance (KD-9).
    started: bool,
    /// Nothing is queued any more.
    closed: bool,
}

impl<E> Default for Fifo<E> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), objects: 0, started: false, closed: false }
    }
}

impl<E> Fifo<E> {
    /// How many entries there must be room for, with `more` objects; none if there is.
    pub(super) fn room_missing(&self, more: usize) -> Option<usize> {
        let objects = self.objects + more;
        (self.entries.capacity() < objects).then(|| objects.next_power_of_two())
    }

    /// Has `more` objects from now on. `larger` is where the entries move to, if they must; gives the old place, to be
    /// freed without the lock.
    pub(super) fn grow(&mut self, more: usize, larger: Option<VecDeque<E>>) -> Option<VecDeque<E>> {
        self.objects += more;
        larger.map(|mut larger| {
            larger.append(&mut self.entries);
            std::mem::replace(&mut self.entries, larger)
        })
    }

    /// Queues `entry`; false if the queue is closed. Does not allocate, for there is room for each object.
    pub(super) fn push(&mut self, entry: E, importance: DpcImportance, on_own_processor: bool) -> bool {
        if self.closed {
            return false;
        }
        assert!(self.entries.len() < self.objects, "each DPC object is in its queue at most once");
        if importance.goes_to_head() {
            self.entries.push_front(entry);
        } else {
            self.entries.push_back(entry);
        }
        self.started |= importance.starts(on_own_processor, self.entries.len());
        true
    }

    /// The next entry. Finding none ends the processor's work.
    pub(super) fn pop(&mut self) -> Option<E> {
        let entry = self.entries.pop_front();
        self.started &= entry.is_some();
        entry
    }

    /// Takes out the first entry that is `wanted`.
    pub(super) fn take(&mut self, wanted: impl Fn(&E) -> bool) -> Option<E> {
        let position = self.entries.iter().position(wanted)?;
        self.entries.remove(position)
    }

    /// Finding nothing ends the processor's work.
    pub(super) fn due(&mut self) -> Due {
        self.started &= !self.entries.is_empty();
        match (self.entries.is_empty(), self.started) {
            (true, _) => Due::Nothing,
            (false, false) => Due::Later,
            (false, true) => Due::Now,
        }
    }

    /// Has `fewer` objects from now on.
    pub(super) fn shrink(&mut self, fewer: usize) {
        self.objects -= fewer;
    }

    /// Takes no more entries, and gives those that were left, to be dropped without the lock.
    pub(super) fn close(&mut self) -> VecDeque<E> {
        self.closed = true;
        std::mem::take(&mut self.entries)
    }
}
