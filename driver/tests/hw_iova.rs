//! The allocator of I/O virtual addresses.

use std::ops::RangeInclusive;

use netdma::hw::iova::{FIRST, IovaSpace, PAGE, PlacementError};
use proptest::prelude::*;

#[test]
fn addresses_start_above_four_gibibytes_and_in_whole_pages() {
    let mut space = IovaSpace::default();
    assert_eq!(space.take(1), Some(FIRST));
    assert_eq!(space.take(PAGE + 1), Some(FIRST + PAGE));
    assert_eq!(space.take(1), Some(FIRST + 3 * PAGE));
}

#[test]
fn the_first_gap_that_fits_is_used_again() {
    let mut space = IovaSpace::default();
    let [first, second, _third] = [2, 1, 1].map(|pages| space.take(pages * PAGE).unwrap());
    space.give(first);
    assert_eq!(space.take(3 * PAGE), Some(FIRST + 4 * PAGE));
    assert_eq!(space.take(PAGE), Some(first));
    space.give(second);
    assert_eq!(space.take(2 * PAGE), Some(first + PAGE));
}

#[test]
fn a_low_aperture_is_used_but_never_page_zero() {
    let mut space = IovaSpace::inside(&[0..=3 * PAGE - 1]);
    assert_eq!([space.take(PAGE), space.take(PAGE), space.take(PAGE)], [Some(PAGE), Some(2 * PAGE), None]);
}

#[test]
fn a_reserved_hole_in_the_aperture_is_stepped_over() {
    let hole = FIRST + PAGE..=FIRST + 2 * PAGE - 1;
    let mut space = IovaSpace::inside(&[0..=hole.start() - 1, hole.end() + 1..=u64::MAX]);
    assert_eq!(space.take(2 * PAGE), Some(hole.end() + 1));
    assert_eq!(space.take(PAGE), Some(FIRST));
}

#[test]
fn no_length_and_no_aperture_can_overflow() {
    let mut space = IovaSpace::inside(&[0..=u64::MAX]);
    for len in [u64::MAX, u64::MAX - PAGE + 1, u64::MAX - FIRST] {
        assert_eq!(space.take(len), None, "{len:#x}");
    }
    assert_eq!(IovaSpace::inside(&[u64::MAX - 1..=u64::MAX]).take(1), None);
    assert_eq!(IovaSpace::inside(&[0..=0]).take(1), None);
}

#[test]
fn a_place_that_was_asked_for_is_stepped_over_by_the_others() {
    let mut space = IovaSpace::default();
    space.take_at(FIRST + PAGE, PAGE + 1).unwrap();
    assert_eq!([space.take(PAGE), space.take(PAGE)], [Some(FIRST), Some(FIRST + 3 * PAGE)]);
    let taken = |start, len| Err(PlacementError::Taken { start, len });
    assert_eq!(space.take_at(FIRST + 2 * PAGE, 1), taken(FIRST + PAGE, 2 * PAGE));
    assert_eq!(space.take_at(FIRST - PAGE, 2 * PAGE), taken(FIRST, PAGE));
    space.give(FIRST + PAGE);
    assert_eq!(space.take(2 * PAGE), Some(FIRST + PAGE));
}

#[test]
fn any_page_inside_a_range_may_be_asked_for_and_none_across_a_hole() {
    let hole = 0xfee0_0000..=0xfeef_ffff;
    let mut space = IovaSpace::inside(&[0..=hole.start() - 1, hole.end() + 1..=u64::MAX]);
    space.take_at(0, PAGE).unwrap();
    // Also across 4 GiB, where nothing is put by itself before the rest is full.
    space.take_at(FIRST - PAGE, 2 * PAGE).unwrap();
    assert_eq!(space.take_at(1, PAGE), Err(PlacementError::Unaligned));
    let beyond =
        [(*hole.start(), PAGE), (hole.start() - PAGE, 2 * PAGE), (u64::MAX - PAGE + 1, 1), (PAGE, u64::MAX)];
    for (start, len) in beyond {
        let refused = space.take_at(start, len);
        assert!(matches!(refused, Err(PlacementError::Unreachable(_))), "{start:#x} {len:#x}: {refused:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Take(u64),
    Give(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![(1..6 * PAGE).prop_map(Step::Take), any::<usize>().prop_map(Step::Give)]
}

proptest! {
    #[test]
    fn taken_ranges_never_overlap_nor_leave_the_aperture_and_all_comes_back(
        steps in prop::collection::vec(step(), 1..200),
        pages in 1..64_u64,
        low_pages in 1..8_u64,
    ) {
        let aperture = [0..=low_pages * PAGE - 1, FIRST..=FIRST + pages * PAGE - 1];
        let mut space = IovaSpace::inside(&aperture);
        let mut held: Vec<RangeInclusive<u64>> = vec![];
        for step in steps {
            match step {
                Step::Take(len) => if let Some(start) = space.take(len) {
                    let range = start..=start + len - 1;
                    prop_assert_eq!(start % PAGE, 0);
                    prop_assert!(aperture.iter().any(|part| part.contains(&start) && part.contains(range.end())));
                    prop_assert!(held.iter().all(|other| range.end() < other.start() || other.end() < &start));
                    held.push(range);
                },
                Step::Give(which) if !held.is_empty() => {
                    let range = held.swap_remove(which % held.len());
                    space.give(*range.start());
                }
                Step::Give(_) => {}
            }
        }
        for range in held {
            space.give(*range.start());
        }
        prop_assert_eq!(space.take(pages * PAGE), Some(FIRST));
    }
}
