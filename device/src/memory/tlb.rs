//! The look-aside buffer of stage 3: a channel's own memory of where pages are.
//!
//! Guests behind a virtual IOMMU scatter single pages, so it remembers pages, in sets of four, one cache line each.
//! 16,384 pages in a row, or at any power-of-two distance, never push each other out.

use std::cell::{Cell, OnceCell};

use super::{Access, Want};

const PAGE: u64 = 4096;
const WAYS: usize = 4;
const SET_BITS: u32 = 13;
const SETS: usize = 1 << SET_BITS;
/// Look-ups after which the buffer is worth its 512 KiB: a client with a few large maps never pays.
const MISSES_BEFORE_USE: u32 = 64;

/// The low bits of a tag, which is a page's first IOVA and these: what may be done with the page,
const ACCESS_BITS: u64 = 0b011;
/// that the bytes after the page are elsewhere in host memory,
const ENDS_BIT: u64 = 0b100;
/// and the epoch in which the entry was made.
const EPOCH_SHIFT: u32 = 3;
const EPOCH_LIMIT: u64 = PAGE >> EPOCH_SHIFT;

/// IOVAs `[first, first + span]` in one piece of host memory. Empty if it grants nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) first: u64,
    /// Its length less one.
    pub(super) span: u64,
    pub(super) host: u64,
    pub(super) access: Access,
}

impl Range {
    pub(super) const NONE: Self = Self { first: 0, span: 0, host: 0, access: Access::NONE };

    pub(super) fn new(first: u64, last: u64, host: u64, access: Access) -> Self {
        Self { first, span: last - first, host, access }
    }

    /// Host address of `iova` and how many of `len` bytes from there on are inside; `None` if it is not or may not.
    #[inline]
    pub(super) fn find(&self, iova: u64, len: u64, want: Want) -> Option<(u64, u64)> {
        let offset = iova.wrapping_sub(self.first);
        if offset > self.span || !self.access.grants(want) {
            return None;
        }
        // A piece of host memory is shorter than 2^63 bytes: no overflow.
        Some((self.host + offset, len.min(self.span - offset + 1)))
    }
}

#[derive(Default)]
#[repr(C, align(64))]
struct Set([Way; WAYS]);

#[derive(Default)]
struct Way {
    tag: Cell<u64>,
    host: Cell<u64>,
}

/// One channel's buffer. Allocated when the channel has missed often enough to need it.
pub(super) struct Tlb {
    sets: OnceCell<Box<[Set]>>,
    misses: Cell<u32>,
    epoch: u64,
    victim: Cell<usize>,
}

impl Tlb {
    pub(super) fn new() -> Self {
        Self { sets: OnceCell::new(), misses: Cell::new(0), epoch: 1, victim: Cell::new(0) }
    }

    /// Forgets everything: the maps changed. Cheap, but for once in 511 times.
    pub(super) fn flush(&mut self) {
        self.epoch += 1;
        if self.epoch == EPOCH_LIMIT {
            self.epoch = 1;
            if let Some(sets) = self.sets.get_mut() {
                sets.fill_with(Set::default);
            }
        }
    }

    /// The page of `iova`, if it is known, may be used as `want` says, and there is no point in looking for more:
    /// `[iova, iova + len)` ends in it, or host memory does.
    #[inline]
    pub(super) fn look_up(&self, iova: u64, len: u64, want: Want) -> Option<Range> {
        let page = iova & !(PAGE - 1);
        let tag = page | self.epoch << EPOCH_SHIFT;
        let set = &self.sets.get()?[index(page)];
        let way = set.0.iter().find(|way| (way.tag.get() ^ tag) & !(ACCESS_BITS | ENDS_BIT) == 0)?;
        let flags = way.tag.get();
        let ends = flags & ENDS_BIT != 0 || len <= PAGE - (iova - page);
        let range = Range { first: page, span: PAGE - 1, host: way.host.get(), access: access(flags) };
        (ends && range.access.grants(want)).then_some(range)
    }

    /// Remembers the page of `iova` if all of it is in `range`, which a look-up in the table returned.
    pub(super) fn insert(&self, iova: u64, range: &Range) {
        if self.misses.get() < MISSES_BEFORE_USE {
            self.misses.set(self.misses.get() + 1);
            return;
        }
        let page = iova & !(PAGE - 1);
        let last = range.first + range.span;
        if page < range.first || last - page < PAGE - 1 {
            return;
        }
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        let way = self.choose(&sets[index(page)], page);
        let ends = if last - page == PAGE - 1 { ENDS_BIT } else { 0 };
        way.tag.set(page | self.epoch << EPOCH_SHIFT | ends | u64::from(range.access.bits()));
        way.host.set(range.host + (page - range.first));
    }

    /// The way that the page has already, else one that is out of date, else the next in turn.
    fn choose<'a>(&self, set: &'a Set, page: u64) -> &'a Way {
        let same = set.0.iter().find(|way| way.tag.get() & !(PAGE - 1) == page && way.tag.get() != 0);
        let stale = || set.0.iter().find(|way| (way.tag.get() & (PAGE - 1)) >> EPOCH_SHIFT != self.epoch);
        same.or_else(stale).unwrap_or_else(|| {
            self.victim.set((self.victim.get() + 1) % WAYS);
            &set.0[self.victim.get()]
        })
    }
}

/// The set of a page. Higher bits are folded in, so that pages at a distance do not all meet in a few sets.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked to SET_BITS")]
fn index(page: u64) -> usize {
    let number = page / PAGE;
    let folded = number ^ number >> SET_BITS ^ number >> (2 * SET_BITS) ^ number >> (3 * SET_BITS);
    folded as usize & (SETS - 1)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked to two bits")]
fn access(tag: u64) -> Access {
    Access((tag & ACCESS_BITS) as u8)
}
