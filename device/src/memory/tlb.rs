//! The look-aside buffer of stage 3: a channel's own memory of where pages are.
//!
//! Guests behind a virtual IOMMU scatter single pages, so it remembers pages, in sets of four, one cache line each.
//! Pages in a row, or at any power-of-two distance, spread evenly over the sets. A page whose set is full goes to
//! another, which a hash picks: so half of the buffer, 16,384 pages, stays in it however they lie.

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

/// IOVAs `[first, first + span]` in one piece of host memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) first: u64,
    /// Its length less one.
    pub(super) span: u64,
    pub(super) host: u64,
    pub(super) access: Access,
}

impl Range {
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
        let sets = self.sets.get()?;
        let way = sets[index(page)].find(tag).or_else(|| sets[other_index(page)].find(tag))?;
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
        let way = self.choose([&sets[index(page)], &sets[other_index(page)]], page);
        let ends = if last - page == PAGE - 1 { ENDS_BIT } else { 0 };
        way.tag.set(page | self.epoch << EPOCH_SHIFT | ends | u64::from(range.access.bits()));
        way.host.set(range.host + (page - range.first));
    }

    /// The way that the page has already, else one that is out of date, else the next in turn.
    fn choose<'a>(&self, sets: [&'a Set; 2], page: u64) -> &'a Way {
        let ways = || sets.into_iter().flat_map(|set| &set.0);
        let is_same = |way: &&Way| way.tag.get() & !(PAGE - 1) == page && way.tag.get() != 0;
        let is_stale = |way: &&Way| (way.tag.get() & (PAGE - 1)) >> EPOCH_SHIFT != self.epoch;
        ways().find(is_same).or_else(|| ways().find(is_stale)).unwrap_or_else(|| {
            self.victim.set((self.victim.get() + 1) % (2 * WAYS));
            &sets[self.victim.get() / WAYS].0[self.victim.get() % WAYS]
        })
    }
}

impl Set {
    /// The way with this tag, whatever its flags.
    #[inline]
    fn find(&self, tag: u64) -> Option<&Way> {
        self.0.iter().find(|way| (way.tag.get() ^ tag) & !(ACCESS_BITS | ENDS_BIT) == 0)
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

/// The set of a page that finds the first one full.
#[inline]
fn other_index(page: u64) -> usize {
    // 2^64 divided by the golden ratio: the usual multiplier of multiplicative hashing.
    ((page / PAGE).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SET_BITS)) as usize
}

#[inline]
fn access(tag: u64) -> Access {
    Access((tag & ACCESS_BITS) as u8)
}

#[cfg(test)]
mod tests {
    use super::{Access, EPOCH_LIMIT, MISSES_BEFORE_USE, PAGE, Range, Tlb, Want};

    fn page_range(page: u64) -> Range {
        Range::new(page * PAGE, page * PAGE + (PAGE - 1), 0x7000_0000_0000 + page * PAGE, Access::READ)
    }

    /// A buffer that has missed often enough to be in use.
    fn used_tlb() -> Tlb {
        let tlb = Tlb::new();
        for _ in 0..MISSES_BEFORE_USE {
            tlb.insert(0, &page_range(0));
        }
        tlb
    }

    /// How many of the pages are found after all were inserted.
    fn kept(pages: &[u64]) -> usize {
        let tlb = used_tlb();
        for &page in pages {
            tlb.insert(page * PAGE + 5, &page_range(page));
        }
        let found = |page: u64| {
            tlb.look_up(page * PAGE + 8, 8, Want::Read)
                .is_some_and(|range| range.host == page_range(page).host)
        };
        pages.iter().filter(|&&page| found(page)).count()
    }

    #[test]
    fn pages_at_any_power_of_two_distance_are_all_kept() {
        for shift in 0..=32 {
            let pages: Vec<u64> = (0..16_384).map(|i| i << shift).collect();
            assert_eq!(kept(&pages), 16_384, "distance of {} pages", 1_u64 << shift);
        }
    }

    #[test]
    fn pages_at_random_are_nearly_all_kept() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 24
        };
        let mut pages: Vec<u64> = (0..16_384).map(|_| random()).collect();
        pages.dedup();
        let kept = kept(&pages);
        assert!(kept * 100 >= pages.len() * 99, "{kept} of {}", pages.len());
    }

    #[test]
    fn nothing_survives_a_flush_however_many_follow() {
        let mut tlb = used_tlb();
        tlb.insert(3 * PAGE, &page_range(3));
        assert!(tlb.look_up(3 * PAGE, 8, Want::Read).is_some());

        for flushes in 1..=2 * EPOCH_LIMIT {
            tlb.flush();
            assert!(tlb.look_up(3 * PAGE, 8, Want::Read).is_none(), "after {flushes} flushes");
        }
    }

    #[test]
    fn page_answers_for_more_than_itself_only_where_host_memory_ends() {
        let tlb = used_tlb();
        tlb.insert(PAGE, &Range::new(PAGE, 3 * PAGE - 1, 0x7000_0000_0000, Access::READ));
        tlb.insert(8 * PAGE, &page_range(8));

        assert!(tlb.look_up(PAGE, PAGE, Want::Read).is_some());
        assert!(tlb.look_up(PAGE, PAGE + 1, Want::Read).is_none());
        assert!(tlb.look_up(8 * PAGE, PAGE + 1, Want::Read).is_some());
        assert!(tlb.look_up(8 * PAGE, 8, Want::Write).is_none());
    }

    #[test]
    fn page_that_a_range_holds_only_in_part_is_not_kept() {
        let tlb = used_tlb();
        tlb.insert(PAGE, &Range::new(PAGE, PAGE + 0xdff, 0x7000_0000_0000, Access::READ));
        tlb.insert(5 * PAGE + 0x200, &Range::new(5 * PAGE + 0x200, 6 * PAGE - 1, 0, Access::READ));

        assert!(tlb.look_up(PAGE, 8, Want::Read).is_none());
        assert!(tlb.look_up(5 * PAGE + 0x200, 8, Want::Read).is_none());
    }
}
