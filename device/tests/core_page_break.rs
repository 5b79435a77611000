//! Page breaks (device model 4.3, contract 1.5.1 ND-D2 and ND-D3), on the profile that has them.
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod core_support;

use core_support::{
    Begun, Bench, LINUX_CHANCTRL, NOWHERE, SOURCE, TARGET, cmpl, copy, fill, int, null, pattern, slot, with,
};
use ioat_spec::{ChanErr, ChannelState, Control, Descriptor};
use ioat_stage::{Faults, Mark, NoFaults, Stage};
use proptest::prelude::*;
use std::cell::Cell;
use vfio_user_ioat::memory::{Denied, GuestMemory, Lane, Pin, VolatileSlice, Want};
use vfio_user_ioat::{Begin, Profile};

const PAGE: u64 = 4096;
const IDLE: u64 = ChannelState::Idle.code();
/// Where the second pages are.
const NEXT_SOURCE: u64 = SOURCE + 0x8000;
const NEXT_TARGET: u64 = TARGET + 0x8000;
/// What is compared: both pages of a side, and what is around them.
const AREA: usize = 0x1_0000;

/// Which sides break.
#[derive(Clone, Copy, Debug)]
struct Sides {
    source: bool,
    target: bool,
}

const BOTH: Sides = Sides { source: true, target: true };

/// A copy whose sides start at these offsets of their first pages, with the second pages given.
fn broken(size: u32, source: u64, target: u64, sides: Sides) -> Descriptor {
    let descriptor = Descriptor {
        size,
        source: SOURCE + source,
        destination: TARGET + target,
        next_source: NEXT_SOURCE,
        next_destination: NEXT_TARGET,
        ..Descriptor::default()
    };
    let bits = Control::new().with_src_page_break(sides.source).with_dst_page_break(sides.target);
    cmpl(with(descriptor, bits))
}

fn run<F: Faults>(bench: &mut Bench<F>, descriptor: Descriptor) {
    bench.put(SOURCE, &pattern(AREA, 3));
    bench.put(TARGET, &pattern(AREA, 4));
    bench.ring(&[descriptor]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
}

/// The contract's rule once more, and as plainly as can be: an address walks byte by byte, and jumps where its first page ends.
fn walk(start: u64, next: u64, broken: bool, size: u32) -> Vec<u64> {
    let mut address = start;
    let mut jumped = !broken;
    (0..size)
        .map(|_| {
            let here = address;
            address += 1;
            if !jumped && address % PAGE == 0 {
                address = next;
                jumped = true;
            }
            here
        })
        .collect()
}

/// The target as it is to be after the copy.
fn expected(descriptor: &Descriptor, sides: Sides) -> Vec<u8> {
    let (source, mut target) = (pattern(AREA, 3), pattern(AREA, 4));
    let from = walk(descriptor.source, descriptor.next_source, sides.source, descriptor.size);
    let to = walk(descriptor.destination, descriptor.next_destination, sides.target, descriptor.size);
    for (from, to) in from.into_iter().zip(to) {
        target[usize::try_from(to - TARGET).unwrap()] = source[usize::try_from(from - SOURCE).unwrap()];
    }
    target
}

#[test]
fn nd_d2_breaks_of_both_sides_fall_at_bytes_of_their_own() {
    // 0x100 bytes, then the source jumps; 0x300, then the target.
    let descriptor = broken(0x1000, 0xf00, 0xd00, BOTH);
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, descriptor);
    let source = pattern(AREA, 3);
    assert_eq!((bench.word(), bench.chan_err(0)), (slot(0) | IDLE, 0));
    assert_eq!(bench.take(TARGET + 0xd00, 0x100), source[0xf00..0x1000]);
    assert_eq!(bench.take(TARGET + 0xe00, 0x200), source[0x8000..0x8200]);
    assert_eq!(bench.take(NEXT_TARGET, 0xd00), source[0x8200..0x8f00]);
    assert!(bench.take(TARGET, AREA) == expected(&descriptor, BOTH));
}

#[test]
fn nd_d2_one_side_may_break_alone() {
    for sides in [Sides { source: true, target: false }, Sides { source: false, target: true }] {
        let descriptor = broken(0x1700, 0x810, 0x723, sides);
        let mut bench = Bench::of(Profile::NETDMA);
        run(&mut bench, descriptor);
        assert!(bench.take(TARGET, AREA) == expected(&descriptor, sides), "{sides:?}");
    }
}

#[test]
fn nd_d3_two_whole_pages_are_the_most() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, broken(0x2000, 0, 0, BOTH));
    assert_eq!((bench.word(), bench.chan_err(0)), (slot(0) | IDLE, 0));
    assert!(bench.take(NEXT_TARGET, 0x1000) == pattern(AREA, 3)[0x8000..0x9000]);
}

#[test]
fn nd_d3_a_rest_that_is_longer_than_the_second_page_is_a_length_error_and_copies_nothing() {
    let one = |source| Sides { source, target: !source };
    for (descriptor, sides) in [(0x2001, BOTH), (0x2001, one(true)), (0x2001, one(false))] {
        let mut bench = Bench::of(Profile::NETDMA);
        run(&mut bench, broken(descriptor, 0, 0, sides));
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::LENGTH.into_bits()), "{sides:?}");
        assert!(bench.take(TARGET, AREA) == pattern(AREA, 4), "{sides:?}");
    }
}

#[test]
fn nd_d2_a_second_page_that_is_not_aligned_is_an_address_error_and_copies_nothing() {
    let base = broken(0x1000, 0x10, 0x20, BOTH);
    for (descriptor, chanerr) in [
        (Descriptor { next_source: NEXT_SOURCE + 8, ..base }, ChanErr::SOURCE_ADDRESS),
        (Descriptor { next_destination: NEXT_TARGET + 0x800, ..base }, ChanErr::DESTINATION_ADDRESS),
        // One bit per fault: the source is looked at first.
        (Descriptor { next_source: 1, next_destination: 1, ..base }, ChanErr::SOURCE_ADDRESS),
    ] {
        let mut bench = Bench::of(Profile::NETDMA);
        run(&mut bench, descriptor);
        assert_eq!(bench.chan_err(0), u64::from(chanerr.into_bits()));
        assert_eq!(bench.word(), ChannelState::Halted.code());
        assert!(bench.take(TARGET, AREA) == pattern(AREA, 4));
    }
}

#[test]
fn nd_d3_a_page_that_is_not_needed_is_not_looked_at() {
    // Both end with their first page: 0xf0 and 0x100 bytes are left there.
    let unused =
        Descriptor { next_source: 1, next_destination: NOWHERE + 1, ..broken(0xf0, 0xf10, 0xf00, BOTH) };
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, unused);
    assert_eq!((bench.word(), bench.chan_err(0)), (slot(0) | IDLE, 0));
    assert_eq!(bench.take(TARGET + 0xf00, 0xf0), pattern(AREA, 3)[0xf10..0x1000]);
}

#[test]
fn m61_m62_a_second_page_that_is_not_mapped_has_its_sides_bit() {
    let base = broken(0x1000, 0x10, 0x20, BOTH);
    for (descriptor, chanerr) in [
        (Descriptor { next_source: NOWHERE, ..base }, ChanErr::SOURCE_ADDRESS),
        (Descriptor { next_destination: NOWHERE, ..base }, ChanErr::DESTINATION_ADDRESS),
        (Descriptor { next_source: u64::MAX - 0xfff, ..base }, ChanErr::SOURCE_ADDRESS),
        (Descriptor { source: NOWHERE + 0x10, ..base }, ChanErr::SOURCE_ADDRESS),
        (Descriptor { destination: NOWHERE + 0x20, ..base }, ChanErr::DESTINATION_ADDRESS),
        // The first page is the last one of the address space, and its break does not help.
        (Descriptor { source: u64::MAX - 0xf, ..base }, ChanErr::SOURCE_ADDRESS),
    ] {
        let mut bench = Bench::of(Profile::NETDMA);
        run(&mut bench, descriptor);
        assert_eq!(bench.chan_err(0), u64::from(chanerr.into_bits()), "{descriptor:x?}");
        assert_eq!(bench.state(0), ChannelState::Halted);
    }
}

#[test]
fn m60_lengths_that_no_copy_may_have_are_none_with_breaks() {
    for size in [0, (1 << 20) + 1, u32::MAX] {
        let mut bench = Bench::of(Profile::NETDMA);
        run(&mut bench, broken(size, 0, 0, BOTH));
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::LENGTH.into_bits()), "{size}");
    }
}

#[test]
fn without_the_capability_the_bits_are_a_control_error() {
    for sides in [BOTH, Sides { source: true, target: false }, Sides { source: false, target: true }] {
        let mut bench = Bench::of(Profile::SKX);
        run(&mut bench, broken(0x100, 0, 0, sides));
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::CONTROL.into_bits()));
    }
}

#[test]
fn m48_a_null_descriptor_ignores_breaks_and_their_addresses() {
    let bits = Control::new().with_src_page_break(true).with_dst_page_break(true);
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, cmpl(with(Descriptor { next_source: 1, next_destination: 1, ..null() }, bits)));
    assert_eq!((bench.word(), bench.chan_err(0)), (slot(0) | IDLE, 0));
    assert!(bench.take(TARGET, AREA) == pattern(AREA, 4));
}

#[test]
fn m49_a_fill_goes_on_with_its_pattern_in_the_second_page() {
    let fill = fill(0x100, 0x0706_0504_0302_0100);
    let descriptor = Descriptor { destination: TARGET + 0xffd, next_destination: NEXT_TARGET, ..fill };
    let breaks = Control::new().with_dst_page_break(true);
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, cmpl(with(descriptor, breaks)));
    assert_eq!((bench.word(), bench.chan_err(0)), (slot(0) | IDLE, 0));
    let mut target = pattern(AREA, 4);
    target[0xffd..0x1000].copy_from_slice(&[0, 1, 2]);
    for (byte, n) in target[0x8000..0x80fd].iter_mut().zip((0..8).cycle().skip(3)) {
        *byte = n;
    }
    assert!(bench.take(TARGET, AREA) == target);
    let mut real = Bench::of(Profile::SKX);
    run(&mut real, cmpl(with(descriptor, breaks)));
    assert_eq!(real.chan_err(0), u64::from(ChanErr::CONTROL.into_bits()));
}

#[test]
fn a_broken_copy_is_one_event_per_stage_with_its_whole_length() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, int(broken(0x1000, 0xf00, 0xd00, BOTH)));
    for (stage, len) in [
        (Stage::Fetch, 64),
        (Stage::Translate, 0x1000),
        (Stage::Copy, 0x1000),
        (Stage::Complete, 8),
        (Stage::Msix, 0),
    ] {
        let events = bench.events(stage);
        assert_eq!(events.iter().map(|event| (event.len, event.mark)).collect::<Vec<_>>(), [(len, Mark::Ok)]);
    }
    assert_eq!(bench.messages(), [0]);
}

#[test]
fn fault_points_work_on_broken_copies_as_on_others() {
    let descriptor = broken(0x1000, 0xf00, 0xd00, BOTH);
    let ran = |rule: &str| {
        let mut bench = Bench::faulty_with(Profile::NETDMA, &[rule]);
        run(&mut bench, descriptor);
        bench
    };
    for stage in ["translate", "copy"] {
        let bench = ran(&format!("{stage}: nth(1) halt(read-data)"));
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::READ_DATA.into_bits()), "{stage}");
    }
    // Byte 0x400 of the transfer is byte 0x100 of the target's second page.
    let bench = ran("copy: nth(1) corrupt(1024, 0x01)");
    let mut target = expected(&descriptor, BOTH);
    target[0x8100] ^= 0x01;
    assert!(bench.take(TARGET, AREA) == target);
    let bench = ran("complete: nth(1) early");
    assert!(bench.take(TARGET, AREA) == expected(&descriptor, BOTH));
    assert_eq!(bench.word(), slot(0) | IDLE);
}

#[test]
fn an_early_word_comes_before_both_pages() {
    let mut bench = Bench::faulty_with(Profile::NETDMA, &["complete: nth(1) early"]);
    bench.put(SOURCE, &pattern(AREA, 3));
    bench.ring(&[broken(0x1000, 0xf00, 0xd00, BOTH)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    let _ = bench.step(0);
    assert_eq!((bench.word(), bench.take(TARGET + 0xd00, 4)), (slot(0) | IDLE, vec![0; 4]));
    let Begun::Starting = bench.begin(0) else { panic!("the data comes a start latency later") };
    bench.drive(0);
    assert_eq!(bench.take(TARGET + 0xd00, 4), pattern(AREA, 3)[0xf00..0xf04]);
}

/// A pin that asks for a yield at the second question: after the descriptor's first piece.
struct Yielding {
    pin: Pin,
    asked: Cell<u32>,
}

impl GuestMemory for Yielding {
    fn resolve(&self, lane: Lane, iova: u64, len: u64, want: Want) -> Result<VolatileSlice<'_>, Denied> {
        self.pin.resolve(lane, iova, len, want)
    }

    fn yield_requested(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get() == 2
    }

    fn poisoned(&self) -> bool {
        self.pin.poisoned()
    }
}

#[test]
fn an_unmap_may_come_between_the_two_pages() {
    let descriptor = broken(0x1000, 0xf00, 0xd00, BOTH);
    let mut bench: Bench<NoFaults> = Bench::of(Profile::NETDMA);
    bench.put(SOURCE, &pattern(AREA, 3));
    bench.put(TARGET, &pattern(AREA, 4));
    bench.ring(&[descriptor]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    let memory = Yielding { pin: bench.table.reader().pin(), asked: Cell::new(0) };
    let Begin::Starting(memory) = bench.function.begin(0, memory) else { panic!("no start latency") };
    let Begin::Run(mut run) = bench.function.begin(0, memory) else { panic!("nothing to run") };
    run.run();
    assert!(bench.function.finish(run).more);
    let source = pattern(AREA, 3);
    assert_eq!((bench.word(), bench.take(TARGET + 0xd00, 0x100)), (0, source[0xf00..0x1000].to_vec()));
    assert_eq!(bench.take(TARGET + 0xe00, 0x10), pattern(AREA, 4)[0xe00..0xe10]);
    bench.drive(0);
    assert!(bench.take(TARGET, AREA) == expected(&descriptor, BOTH));
    assert_eq!((bench.word(), bench.events(Stage::Copy).len()), (slot(0) | IDLE, 1));
}

#[test]
fn plain_and_broken_copies_follow_each_other_in_one_chain() {
    let mut bench = Bench::of(Profile::NETDMA);
    bench.put(SOURCE, &pattern(AREA, 3));
    let plain = Descriptor { destination: TARGET + 0x4000, ..cmpl(copy(0x40)) };
    bench.ring(&[plain, broken(0x1000, 0xf00, 0xd00, BOTH), plain]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 3);
    // One step: a broken copy does not end it.
    assert!(!bench.step(0));
    assert_eq!((bench.word(), bench.chan_err(0)), (slot(2) | IDLE, 0));
    assert_eq!(bench.take(NEXT_TARGET, 0x10), pattern(AREA, 3)[0x8200..0x8210]);
}

proptest! {
    #[test]
    fn every_split_moves_the_bytes_that_a_walk_byte_by_byte_moves(
        source in 0..PAGE,
        target in 0..PAGE,
        size in prop_oneof![1..0x2100_u32, 0xff0..0x1010_u32],
        (breaks_source, breaks_target) in any::<(bool, bool)>(),
    ) {
        let sides = Sides { source: breaks_source, target: breaks_target };
        let descriptor = broken(size, source, target, sides);
        let mut bench = Bench::of(Profile::NETDMA);
        run(&mut bench, descriptor);
        let fits = |broken: bool, offset| !broken || u64::from(size) <= PAGE - offset + PAGE;
        if fits(sides.source, source) && fits(sides.target, target) {
            prop_assert_eq!((bench.word(), bench.chan_err(0)), (slot(0) | IDLE, 0));
            prop_assert!(bench.take(TARGET, AREA) == expected(&descriptor, sides));
        } else {
            prop_assert_eq!(bench.chan_err(0), u64::from(ChanErr::LENGTH.into_bits()));
            prop_assert!(bench.take(TARGET, AREA) == pattern(AREA, 4));
        }
    }
}
