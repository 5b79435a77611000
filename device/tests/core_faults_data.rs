//! Faults of stages 3 and 4: where the data comes from, what becomes of it, and where it goes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod core_support;

use core_support::{
    BASE, Bench, LINUX_CHANCTRL, NOWHERE, RESET, SIZE, SOURCE, TARGET, cmpl, copy, fill, memfd, null,
    pattern, slot,
};
use ioat_spec::{ChanErr, ChannelRegister, ChannelState, Control, Descriptor};
use ioat_stage::{Mark, RuleFaults, Stage};
use vfio_user_ioat::Profile;
use vfio_user_ioat::memory::Access;

const IDLE: u64 = ChannelState::Idle.code();
const HALTED: u64 = ChannelState::Halted.code();
/// What is around every target before the work.
const GUARD: u8 = 0xa5;
const AREA: usize = 0x4_0000;
/// Where the tests' targets lie in the area that they look at.
const AT: usize = 0x1_0000;

/// Lengths of one piece and of several, with and without an odd end.
const LENGTHS: [usize; 4] = [1, 100, 0x1_0000, 0x1_8003];

fn source(len: usize) -> Vec<u8> {
    pattern(len, 7)
}

/// Runs one descriptor from [`SOURCE`] to [`TARGET`] and a small copy after it. Returns the bench.
fn run(rules: &[&str], descriptor: Descriptor) -> Bench<RuleFaults> {
    let mut bench = Bench::faulty_with(Profile::NETDMA, rules);
    bench.put(SOURCE, &source(AREA));
    bench.put(TARGET - AT as u64, &vec![GUARD; AREA]);
    bench.ring(&[cmpl(descriptor), cmpl(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    bench
}

fn found(bench: &Bench<RuleFaults>) -> Vec<u8> {
    bench.take(TARGET - AT as u64, AREA)
}

/// The area with `data` at the target's place, off by `delta`.
fn area(data: &[u8], delta: isize) -> Vec<u8> {
    let mut area = vec![GUARD; AREA];
    let at = AT.checked_add_signed(delta).unwrap();
    area[at..at + data.len()].copy_from_slice(data);
    area
}

fn copies() -> impl Iterator<Item = (usize, Descriptor)> {
    LENGTHS.into_iter().map(|len| (len, copy(u32::try_from(len).unwrap())))
}

fn marks(bench: &Bench<RuleFaults>, stage: Stage) -> Vec<Mark> {
    bench.events(stage).iter().map(|event| event.mark).collect()
}

/// After CHANCMD.RESET the channel does clean work.
fn works_after_reset(bench: &mut Bench<RuleFaults>) -> bool {
    let errors = bench.chan_err(0);
    let _ = bench.set(0, ChannelRegister::ChanErr, errors);
    let _ = bench.command(0, RESET);
    bench.put(TARGET - AT as u64, &vec![GUARD; AREA]);
    bench.ring(&[cmpl(copy(100))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    found(bench) == area(&source(100), 0) && bench.word() == slot(0) | IDLE
}

/// The whole area is as if `data` were written `delta` from its place, and the descriptor is done.
fn done_with(bench: &mut Bench<RuleFaults>, data: &[u8], delta: isize) -> bool {
    found(bench) == area(data, delta)
        && bench.status(0) == slot(1) | IDLE
        && marks(bench, Stage::Copy) == [Mark::Faulted, Mark::Ok]
        && works_after_reset(bench)
}

#[test]
fn what_is_read_is_altered_in_one_piece_and_in_many() {
    for (len, descriptor) in copies() {
        let end = len as u64 - 1;
        let (mut flipped, mut set) = (source(len), source(len));
        flipped[len - 1] ^= 0x80;
        flipped[0] ^= if len > 1 { 0x01 } else { 0 };
        set[len - 1] = 0x34;
        let rule = format!("read: nth(1) corrupt({end}, 0x0180)");
        assert!(done_with(&mut run(&[&rule], descriptor), &flipped, 0), "{len}");
        let rule = format!("read: nth(1) set({end}, 0x34, 1)");
        assert!(done_with(&mut run(&[&rule], descriptor), &set, 0), "{len}");
        assert!(done_with(&mut run(&["read: nth(1) zeros"], descriptor), &vec![0; len], 0), "{len}");
        assert!(done_with(&mut run(&["read: nth(1) all-ones"], descriptor), &vec![0xff; len], 0), "{len}");
    }
}

#[test]
fn a_patch_over_the_edge_of_a_piece_is_whole() {
    let mut expected = source(0x1_8000);
    for (at, byte) in (0xfffd..).zip([8, 7, 6, 5, 4, 3, 2, 1]) {
        expected[at] = byte;
    }
    let mut bench = run(&["read: nth(1) set(65533, 0x0102030405060708)"], copy(0x1_8000));
    assert!(done_with(&mut bench, &expected, 0));
}

#[test]
fn the_source_is_read_at_another_address() {
    for (len, descriptor) in copies() {
        let mut bench = run(&["read: nth(1) misaddress(+1)"], descriptor);
        assert!(done_with(&mut bench, &source(AREA)[1..=len], 0), "{len}");
    }
    let away = NOWHERE - SOURCE;
    let mut bench = run(&[&format!("read: nth(1) misaddress(+{away})")], copy(100));
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::SOURCE_ADDRESS.into_bits()));
    assert_eq!((found(&bench), marks(&bench, Stage::Copy)), (vec![GUARD; AREA], vec![Mark::Faulted]));
    assert!(works_after_reset(&mut bench));
}

#[test]
fn what_is_not_written_leaves_what_was_there() {
    for (len, descriptor) in copies() {
        assert!(done_with(&mut run(&["write: nth(1) drop"], descriptor), &[], 0), "{len}");
        for short in [0, 1, 99, 0x1_0000, 0x1_0001].into_iter().filter(|short| *short < len) {
            let mut bench = run(&[&format!("write: nth(1) short({short})")], descriptor);
            assert!(done_with(&mut bench, &source(short), 0), "{short} of {len}");
        }
    }
}

#[test]
fn a_copy_that_is_shorter_anyway_is_not_counted_as_torn() {
    let bench = run(&["write: nth(1) short(100)"], copy(100));
    assert_eq!(marks(&bench, Stage::Copy), [Mark::Ok, Mark::Ok]);
}

#[test]
fn an_overrun_writes_the_data_again_behind_its_end() {
    for (len, descriptor) in copies() {
        let mut expected = source(len);
        expected.extend(source(len).into_iter().cycle().take(8));
        assert!(done_with(&mut run(&["write: nth(1) overrun(8)"], descriptor), &expected, 0), "{len}");
    }
    let expected: Vec<u8> = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 1, 2, 3, 4, 5, 6].to_vec();
    let mut bench = run(&["write: nth(1) overrun(6)"], fill(10, 0x0807_0605_0403_0201));
    assert!(done_with(&mut bench, &expected, 0));
}

#[test]
fn an_overrun_over_the_end_of_a_map_is_an_error_and_writes_no_other_memory() {
    let end = BASE + SIZE - 100;
    let mut bench = Bench::faulty(&["write: nth(1) overrun(8)"]);
    let other = memfd(0x1000);
    bench.table.map(BASE + SIZE, 0x1000, Access::READ, Some((other.try_clone().unwrap(), 0))).unwrap();
    bench.put(SOURCE, &source(100));
    bench.ring(&[cmpl(Descriptor { destination: end, ..copy(100) })]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::DESTINATION_ADDRESS.into_bits()));
    let mut beyond = [1; 8];
    std::os::unix::fs::FileExt::read_exact_at(&other, &mut beyond, 0).unwrap();
    assert_eq!((bench.take(end, 100), beyond), (source(100), [0; 8]));
}

#[test]
fn the_data_lands_at_another_address() {
    for (len, descriptor) in copies() {
        for delta in [64, -1] {
            let mut bench = run(&[&format!("write: nth(1) misaddress({delta:+})")], descriptor);
            assert!(done_with(&mut bench, &source(len), delta), "{len} off by {delta}");
        }
        let bench = run(&["translate: nth(1) misaddress(+4096)"], descriptor);
        assert!(found(&bench) == area(&source(len), 4096), "{len}");
        assert_eq!(marks(&bench, Stage::Translate), [Mark::Faulted, Mark::Ok], "{len}");
    }
}

#[test]
fn data_that_lands_nowhere_or_where_it_may_not_is_an_error_as_any_other() {
    let away = NOWHERE - TARGET;
    for point in ["translate", "write"] {
        let mut bench = run(&[&format!("{point}: nth(1) misaddress(+{away})")], copy(100));
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::DESTINATION_ADDRESS.into_bits()), "{point}");
        assert_eq!((found(&bench), bench.status(0)), (vec![GUARD; AREA], HALTED), "{point}");
        assert!(works_after_reset(&mut bench), "{point}");
    }
    let bench = Bench::faulty(&["write: nth(1) misaddress(+0x400000)"]);
    let other = memfd(0x1000);
    bench.table.map(BASE + SIZE, 0x1000, Access::READ, Some((other.try_clone().unwrap(), 0))).unwrap();
    let mut bench = bench;
    bench.ring(&[cmpl(Descriptor { destination: BASE + SIZE - 0x40_0000, ..copy(100) })]);
    bench.put(SOURCE, &source(100));
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::DESTINATION_ADDRESS.into_bits()));
}

#[test]
fn each_half_of_a_copy_halts_with_its_bits_and_moves_nothing() {
    for (rule, bit) in
        [("read: nth(1) halt(8)", 8), ("write: nth(1) halt(9)", 9), ("copy: nth(1) halt(8)", 8)]
    {
        for (len, descriptor) in copies() {
            let mut bench = run(&[rule], descriptor);
            assert_eq!((bench.chan_err(0), bench.word()), (1 << bit, HALTED), "{rule} {len}");
            assert!(found(&bench) == vec![GUARD; AREA], "{rule} {len}");
            assert_eq!(marks(&bench, Stage::Copy), [Mark::Faulted], "{rule} {len}");
            assert!(works_after_reset(&mut bench), "{rule} {len}");
        }
    }
}

#[test]
fn written_once_more_after_the_next_descriptor_it_overwrites_what_came_between() {
    for (len, descriptor) in copies() {
        let mut bench = Bench::faulty(&["write: nth(1) duplicate"]);
        bench.put(SOURCE, &source(AREA));
        // The second descriptor writes over the first one's target.
        bench.ring(&[cmpl(descriptor), cmpl(fill(1, !0))]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, 2);
        bench.drive(0);
        assert!(bench.take(TARGET, len) == source(len), "{len}");
    }
    let mut bench = Bench::faulty(&["write: nth(1) duplicate"]);
    bench.put(SOURCE, &source(AREA));
    bench.ring(&[cmpl(copy(100)), cmpl(fill(100, 0)), cmpl(fill(50, 0))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!((bench.take(TARGET, 100), bench.status(0)), (source(100), slot(1) | IDLE));
    assert!(!bench.function.has_postponed());
    // Once only.
    let _ = bench.doorbell(0, 3);
    bench.drive(0);
    assert_eq!(
        (bench.take(TARGET, 50), bench.take(TARGET + 50, 50)),
        (vec![0; 50], source(100)[50..].to_vec())
    );
}

#[test]
fn written_once_more_with_no_descriptor_after_it_comes_later() {
    let mut bench = Bench::faulty(&["write: nth(1) duplicate"]);
    bench.put(SOURCE, &source(AREA));
    bench.ring(&[cmpl(copy(0x1_8003))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    bench.put(TARGET, &vec![0; 0x1_8003]);
    let memory = bench.table.reader().pin();
    for postponed in bench.function.take_postponed() {
        assert_eq!(postponed.after_ns, 1_000_000);
        let _ = bench.function.carry_out(postponed, &memory);
    }
    assert!(bench.take(TARGET, 0x1_8003) == source(0x1_8003));
}

#[test]
fn late_data_comes_after_its_word_and_not_after_a_reset() {
    for (len, descriptor) in copies() {
        for reset in [false, true] {
            let mut bench = run(&["write: nth(1) delay(3ms)"], descriptor);
            assert_eq!(bench.status(0), slot(1) | IDLE, "{len}");
            assert!(found(&bench) == vec![GUARD; AREA], "{len}");
            // What is read is what was there in time.
            bench.put(SOURCE, &vec![0; AREA]);
            if reset {
                let _ = bench.command(0, RESET);
            }
            let late = bench.function.take_postponed();
            assert!(!late.is_empty() && late.iter().all(|late| late.after_ns == 3_000_000), "{len}");
            let memory = bench.table.reader().pin();
            late.into_iter().for_each(|late| _ = bench.function.carry_out(late, &memory));
            drop(memory);
            let expected = if reset { vec![GUARD; AREA] } else { area(&source(len), 0) };
            assert!(found(&bench) == expected, "{len} {reset}");
            bench.put(SOURCE, &source(AREA));
            assert!(works_after_reset(&mut bench), "{len} {reset}");
        }
    }
}

#[test]
fn late_data_is_held_up_to_a_bound_and_beyond_it_is_written_at_once() {
    // Each of two pieces; 256 of them fill what is held.
    let most = 32 << 20;
    let mut bench = Bench::faulty(&["write: always delay(1s)"]);
    bench.put(SOURCE, &source(0x2_0000));
    bench.ring(&[copy(0x2_0000); 300]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 256);
    bench.drive(0);
    assert!(bench.take(TARGET, 0x2_0000) == vec![0; 0x2_0000]);
    let _ = bench.doorbell(0, 300);
    bench.drive(0);
    assert!(bench.take(TARGET, 0x2_0000) == source(0x2_0000));
    let late = bench.function.take_postponed();
    assert_eq!(late.len() * 0x1_0000, most);
    // Taken is not done: the shell holds it now.
    bench.put(TARGET, &vec![0; 0x2_0000]);
    let _ = bench.doorbell(0, 301);
    bench.drive(0);
    assert!(!bench.function.has_postponed() && bench.take(TARGET, 0x2_0000) == source(0x2_0000));
    // What is done, or was dropped by a reset, makes room.
    let _ = bench.command(0, RESET);
    let memory = bench.table.reader().pin();
    late.into_iter().for_each(|late| _ = bench.function.carry_out(late, &memory));
    drop(memory);
    bench.put(TARGET, &vec![0; 0x2_0000]);
    bench.ring(&[copy(0x2_0000)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert!(bench.function.has_postponed() && bench.take(TARGET, 0x2_0000) == vec![0; 0x2_0000]);
}

#[test]
fn faults_of_a_fill_are_the_same_as_of_a_copy_but_it_reads_nothing() {
    let bytes: Vec<u8> = [1, 2, 3, 4, 5, 6, 7, 8].into_iter().cycle().take(0x1_8003).collect();
    let descriptor = fill(0x1_8003, 0x0807_0605_0403_0201);
    assert!(done_with(&mut run(&["write: nth(1) short(65537)"], descriptor), &bytes[..65537], 0));
    assert!(done_with(&mut run(&["write: nth(1) misaddress(-3)"], descriptor), &bytes, -3));
    let mut flipped = bytes.clone();
    flipped[0x1_0005] ^= 0x10;
    assert!(done_with(&mut run(&["copy: nth(1) corrupt(65541, 0x10)"], descriptor), &flipped, 0));
    let bench = run(&["read: nth(1) zeros"], descriptor);
    assert!(found(&bench) == area(&bytes, 0) && marks(&bench, Stage::Copy) == [Mark::Ok, Mark::Ok]);
}

#[test]
fn a_null_moves_nothing_so_only_what_needs_no_data_fires_at_it() {
    for rule in ["copy: nth(1) corrupt(0)", "read: nth(1) zeros", "write: nth(1) overrun(8)"] {
        let mut bench = Bench::faulty(&[rule]);
        bench.put(SOURCE, &source(100));
        bench.ring(&[cmpl(null()), cmpl(copy(100))]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, 2);
        bench.drive(0);
        assert_eq!(marks(&bench, Stage::Copy), [Mark::Ok, Mark::Faulted], "{rule}");
    }
    let bench = run(&["copy: nth(2) halt(8)"], copy(100));
    assert_eq!((bench.chan_err(0), bench.status(0)), (1 << 8, slot(0) | HALTED));
}

#[test]
fn faults_meet_both_pages_of_a_broken_copy() {
    let both = Control::new().with_src_page_break(true).with_dst_page_break(true).into_bits();
    let descriptor = Descriptor {
        source: SOURCE + 0xff0,
        destination: TARGET + 0xfe0,
        next_source: SOURCE + 0x5000,
        next_destination: TARGET + 0x8000,
        control: both,
        ..copy(64)
    };
    let data = [&source(AREA)[0xff0..0x1000], &source(AREA)[0x5000..0x5030]].concat();
    let expected = |data: &[u8], delta: usize| {
        let mut area = vec![GUARD; AREA];
        area[AT + 0xfe0 + delta..AT + 0x1000 + delta].copy_from_slice(&data[..32]);
        area[AT + 0x8000 + delta..AT + 0x8000 + data.len() - 32 + delta].copy_from_slice(&data[32..]);
        area
    };
    let mut altered = data.clone();
    altered[30..34].copy_from_slice(&[4, 3, 2, 1]);
    assert!(found(&run(&["read: nth(1) set(30, 0x01020304, 4)"], descriptor)) == expected(&altered, 0));
    assert!(found(&run(&["write: nth(1) misaddress(+5)"], descriptor)) == expected(&data, 5));
    let longer = [&data[..], &data[..8]].concat();
    assert!(found(&run(&["write: nth(1) overrun(8)"], descriptor)) == expected(&longer, 0));
}

#[test]
fn several_rules_at_one_descriptor_each_do_their_part() {
    let rules = ["read: nth(1) all-ones", "copy: nth(1) corrupt(3, 0x0f)", "write: nth(1) misaddress(+2)"];
    let mut expected = vec![0xff; 0x1_8003];
    expected[3] = 0xf0;
    assert!(done_with(&mut run(&rules, copy(0x1_8003)), &expected, 2));
}
