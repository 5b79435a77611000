//! Stage 3 of 9, its lower half: from an IOVA to host memory, through a pin.
//!
//! A hit in the lane's last range is a few compares: no lock, no atomic. Then comes the look-aside buffer, then the
//! table under a short read lock.
#![expect(unsafe_code, reason = "makes slices of the client's memory from addresses that the table proved")]

use std::cell::Cell;
use std::fmt;
use std::ptr::with_exposed_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::VolatileSlice;

use super::epoch::Slot;
use super::tlb::{Range, Tlb};
use super::{Denied, DmaTable, GuestMemory, Lane, Want};

/// One channel's way to the client's memory, at rest: it reaches nothing until it is pinned.
pub struct Reader(Box<State>);

/// One channel's way to the client's memory, for one chunk of work. What was mapped when it was taken, and everything
/// that it resolves, stays in host memory until it ends.
///
/// It may move to another thread, but not be used by two. Forgetting it (`mem::forget`) makes the unmaps that wait
/// for it wait for ever, and nothing worse.
pub struct Pin(Box<State>);

struct State {
    table: Arc<DmaTable>,
    slot: Arc<Slot>,
    /// The generation in which the caches below are right; while pinned, the pin's own.
    generation: u64,
    /// The table's count of truncations, within short reach: it is looked at once per descriptor.
    truncations: Arc<AtomicU64>,
    /// Truncations known at the time of the pin.
    poison_events: u64,
    lanes: [[Cell<Last>; WANTS]; Lane::COUNT],
    tlb: Tlb,
}

/// Kinds of access; each has ranges of its own, which grant it.
const WANTS: usize = 2;

/// The last range of a lane, in the form that is tested fastest.
#[derive(Clone, Copy)]
struct Last {
    first: u64,
    /// Its length; 0 if there is none.
    len: u64,
    host: u64,
}

impl Reader {
    pub(super) fn new(table: Arc<DmaTable>) -> Self {
        let slot = table.epoch.register();
        let lanes = [const { [const { Cell::new(Last::NONE) }; WANTS] }; Lane::COUNT];
        let truncations = table.truncations();
        Self(Box::new(State {
            table,
            slot,
            generation: 0,
            truncations,
            poison_events: 0,
            lanes,
            tlb: Tlb::new(),
        }))
    }

    /// Starts a chunk of work. Lock-free; costs a fence.
    #[inline]
    pub fn pin(self) -> Pin {
        let mut state = self.0;
        let generation = state.table.epoch.pin(&state.slot);
        let poison_events = state.truncations.load(Ordering::Acquire);
        if state.generation != generation || state.poison_events != poison_events {
            state.forget_ranges(generation, poison_events);
        }
        Pin(state)
    }
}

impl Pin {
    /// Ends the chunk of work.
    #[inline]
    pub fn unpin(self) -> Reader {
        self.0.table.epoch.unpin(&self.0.slot);
        Reader(self.0)
    }

    /// Not the whole is in the lane's last range.
    #[inline(never)]
    fn look_aside(&self, lane: Lane, iova: u64, len: u64, want: Want) -> Result<(u64, u64), Denied> {
        let state = &*self.0;
        if let Some((host, inside)) = state.last(lane, want).get().find_begin(iova) {
            return Ok((host, len.min(inside)));
        }
        let range = match state.tlb.look_up(iova, len, want) {
            Some(range) => range,
            None => self.look_up(iova, want)?,
        };
        state.last(lane, want).set(Last::of(&range));
        // Both sources return a range that holds `iova` and grants `want`.
        range.find(iova, len, want).ok_or(Denied::Unmapped { iova })
    }

    /// A miss in the look-aside buffer, too.
    #[cold]
    fn look_up(&self, iova: u64, want: Want) -> Result<Range, Denied> {
        let range = self.0.table.look_up(iova, want)?;
        self.0.tlb.insert(iova, &range);
        Ok(range)
    }
}

impl Last {
    const NONE: Self = Self { first: 0, len: 0, host: 0 };

    /// A piece of host memory is shorter than 2^63 bytes: no overflow.
    fn of(range: &Range) -> Self {
        Self { first: range.first, len: range.span + 1, host: range.host }
    }

    /// Host address of `iova` if all of `len` bytes from there on are inside.
    #[inline(always)]
    fn find_whole(&self, iova: u64, len: u64) -> Option<u64> {
        let offset = iova.wrapping_sub(self.first);
        (offset < self.len && len <= self.len - offset).then(|| self.host + offset)
    }

    /// Host address of `iova` and how many bytes from there on are inside, if it is.
    fn find_begin(&self, iova: u64) -> Option<(u64, u64)> {
        let offset = iova.wrapping_sub(self.first);
        (offset < self.len).then(|| (self.host + offset, self.len - offset))
    }
}

impl GuestMemory for Pin {
    #[inline]
    fn resolve(&self, lane: Lane, iova: u64, len: u64, want: Want) -> Result<VolatileSlice<'_>, Denied> {
        let hit = self.0.last(lane, want).get().find_whole(iova, len);
        let (host, len) = match hit {
            Some(host) => (host, len),
            None => self.look_aside(lane, iova, len, want)?,
        };
        // The volatile and atomic accessors of vm-memory start from an address and a length.
        // SAFETY: the range came from the table under this pin, or under an earlier one with no unmap since, so
        // `[host, host + len)` lies in a `FileMapping`. That goes away only when its last map was removed and no
        // pin of an earlier generation is alive (`Files::collect_limbo`): not while `self` is, which the slice
        // borrows.
        Ok(unsafe { VolatileSlice::new(with_exposed_provenance_mut(host_usize(host)), host_usize(len)) })
    }

    #[inline]
    fn yield_requested(&self) -> bool {
        self.0.table.epoch.hint() != self.0.generation
    }

    #[inline]
    fn poisoned(&self) -> bool {
        self.0.truncations.load(Ordering::Acquire) != self.0.poison_events
    }
}

impl State {
    #[inline(always)]
    fn last(&self, lane: Lane, want: Want) -> &Cell<Last> {
        &self.lanes[lane as usize][want as usize - 1]
    }

    #[cold]
    fn forget_ranges(&mut self, generation: u64, poison_events: u64) {
        self.generation = generation;
        self.poison_events = poison_events;
        self.lanes = [const { [const { Cell::new(Last::NONE) }; WANTS] }; Lane::COUNT];
        self.tlb.flush();
    }
}

/// Ends the pin, if there is one: a `Pin` may be dropped without `unpin`.
impl Drop for State {
    fn drop(&mut self) {
        self.table.epoch.unpin(&self.slot);
        self.table.epoch.deregister(&self.slot);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("generation", &self.0.generation).finish_non_exhaustive()
    }
}

/// Host addresses and lengths are kept as 64 bits, as IOVAs are; hosts with fewer are not supported.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted below")]
fn host_usize(value: u64) -> usize {
    const _: () = assert!(usize::BITS == 64);
    value as usize
}
