//! The data path of the device core by itself: descriptors, completion words, errors, interrupts
//! (conformance items 40 to 49 and 60 to 70 of the device model).

mod core_support;

use core_support::{
    BASE, Bench, CHANERR_INT, LINUX_CHANCTRL, NOWHERE, RESET, RING, SIZE, SOURCE, TARGET, WORD, cmpl, copy,
    fill, int, null, pattern, slot, with,
};
use ioat_spec::ChannelRegister::{ChainAddr, ChanCmp, ChanCtrl, ChanErr, ChanErrMsk};
use ioat_spec::{ChannelState, Control, Descriptor};
use ioat_stage::{Mark, Stage};
use proptest::prelude::*;
use vfio_user_ioat::memory::Access;

const HALTED: u64 = ChannelState::Halted.code();
const IDLE: u64 = ChannelState::Idle.code();
/// DPDK's CHANCTRL: error completion, no error interrupt.
const DPDK_CHANCTRL: u16 = 0x000c;
/// SPDK's: neither.
const SPDK_CHANCTRL: u16 = 0x0008;
/// Only the error interrupt.
const ERR_INT_EN: u16 = 0x0010;

/// Runs one descriptor on channel 0, with the completion word set to ones before.
fn run_one(bench: &mut Bench, descriptor: Descriptor, chan_ctrl: u16) {
    bench.ring(&[descriptor]);
    bench.put(WORD, &[0xff; 8]);
    bench.arm(0, chan_ctrl);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
}

#[test]
fn m40_m42_a_copy_lands_with_its_word_and_its_interrupt() {
    let mut bench = Bench::new();
    let data = pattern(4096, 1);
    bench.put(SOURCE, &data);
    run_one(&mut bench, int(copy(4096)), LINUX_CHANCTRL);
    assert_eq!(bench.take(TARGET, 4096), data);
    assert_eq!(bench.word(), slot(0) | IDLE);
    assert_eq!(bench.status(0), slot(0) | IDLE);
    assert_eq!(bench.messages(), [0]);
}

#[test]
fn m40_the_word_of_a_descriptor_that_is_not_the_last_says_active() {
    let mut bench = Bench::new();
    bench.ring(&[int(null()), null()]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.step(0);
    assert_eq!(bench.word(), slot(0));
    assert_eq!(bench.status(0), slot(0));
    bench.drive(0);
    assert_eq!(bench.status(0), slot(1) | IDLE);
}

#[test]
fn the_word_says_idle_only_if_nothing_is_left_at_that_moment() {
    let mut bench = Bench::new();
    bench.ring(&[cmpl(null()), null()]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    assert!(matches!(bench.begin(0), core_support::Begun::Starting));
    let mut step = bench.begin(0).step();
    // DMACOUNT grows between begin and run.
    let _ = bench.doorbell(0, 2);
    step.run();
    assert_eq!(bench.word(), slot(0));
    assert!(!bench.finish(step));
    assert_eq!(bench.status(0), slot(1) | IDLE);
}

#[test]
fn m41_without_cmpl_wr_or_without_chancmp_no_word_is_stored() {
    let mut bench = Bench::new();
    run_one(&mut bench, copy(64), LINUX_CHANCTRL);
    assert_eq!(bench.word(), u64::MAX);
    let mut bench = Bench::new();
    bench.ring(&[cmpl(null())]);
    let _ = bench.set(0, ChainAddr, RING);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.status(0), slot(0) | IDLE);
    assert!(bench.events(Stage::Complete).is_empty());
}

#[test]
fn m42_status_is_published_after_the_word_and_the_interrupt_after_the_status() {
    let mut bench = Bench::new();
    bench.ring(&[int(copy(64))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    assert!(matches!(bench.begin(0), core_support::Begun::Starting));
    let mut step = bench.begin(0).step();
    step.run();
    assert_eq!(bench.word(), slot(0) | IDLE);
    assert_eq!((bench.status(0), bench.messages().len()), (0, 0));
    bench.finish(step);
    assert_eq!((bench.status(0), bench.messages().len()), (slot(0) | IDLE, 1));
}

#[test]
fn m44_a_batch_with_one_word_at_its_end() {
    let mut bench = Bench::new();
    let mut batch = vec![copy(64); 32];
    batch[31] = cmpl(copy(64));
    bench.ring(&batch);
    bench.put(WORD, &[0xff; 8]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 32);
    bench.drive(0);
    assert_eq!(bench.word(), slot(31) | IDLE);
    assert_eq!(bench.events(Stage::Complete).len(), 1);
    assert_eq!(bench.events(Stage::Copy).len(), 32);
}

#[test]
fn m46_only_8_bytes_at_chancmp_change() {
    let mut bench = Bench::new();
    bench.put(WORD - 8, &[0xee; 24]);
    bench.ring(&[cmpl(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!((bench.take(WORD - 8, 8), bench.take(WORD + 8, 8)), (vec![0xee; 8], vec![0xee; 8]));
    assert_ne!(bench.take(WORD, 8), [0xee; 8]);
}

#[test]
fn m47_copies_of_every_size_class_land_and_leave_their_neighbours_alone() {
    for len in [1, 2000, 4096, 0x1_0000, 0x1_0001, 1 << 20] {
        let mut bench = Bench::new();
        let data = pattern(len, 3);
        bench.put(SOURCE, &data);
        bench.put(TARGET - 64, &[0x5a; 64]);
        bench.put(TARGET + len as u64, &[0x5a; 64]);
        run_one(&mut bench, cmpl(copy(u32::try_from(len).unwrap())), LINUX_CHANCTRL);
        assert!(bench.take(TARGET, len) == data, "{len}");
        assert_eq!(bench.take(TARGET - 64, 64), [0x5a; 64], "{len}");
        assert_eq!(bench.take(TARGET + len as u64, 64), [0x5a; 64], "{len}");
        assert_eq!(bench.word(), slot(0) | IDLE, "{len}");
    }
}

#[test]
fn m47_every_misalignment_of_source_and_destination() {
    let mut bench = Bench::new();
    let data = pattern(512, 9);
    bench.put(SOURCE, &data);
    let mut shadow = vec![0xa5_u8; 512];
    bench.put(TARGET, &shadow);
    bench.arm(0, LINUX_CHANCTRL);
    for from in 0..64_u16 {
        for to in 0..64 {
            let len = 1 + usize::from(from * 7 + to * 5) % 300;
            shadow[to as usize..to as usize + len]
                .copy_from_slice(&data[from.into()..usize::from(from) + len]);
            let descriptor = Descriptor {
                source: SOURCE + u64::from(from),
                destination: TARGET + u64::from(to),
                ..copy(u32::try_from(len).unwrap())
            };
            bench.ring(&[descriptor]);
            let _ = bench.doorbell(0, from * 64 + to + 1);
            bench.drive(0);
            assert!(bench.take(TARGET, 512) == shadow, "from {from} to {to} len {len}");
        }
    }
    assert_eq!(bench.take(SOURCE, 512), data);
}

#[test]
fn a_copy_across_many_scattered_maps_is_whole() {
    let mut bench = Bench::new();
    let data = pattern(0x1_1000, 4);
    bench.put(SOURCE, &data);
    // 17 pages of source and destination each, in reverse order of the file.
    for page in 0..17_u64 {
        for (iova, file) in [(0x8000_0000, SOURCE), (0x9000_0000, TARGET)] {
            let memory = bench.memory.try_clone().unwrap();
            let offset = file - BASE + (16 - page) * 4096;
            bench.table.map(iova + page * 4096, 4096, Access::READ_WRITE, Some((memory, offset))).unwrap();
        }
    }
    let size = 0x1_0ffd;
    let descriptor = Descriptor { source: 0x8000_0001, destination: 0x9000_0002, ..copy(size) };
    run_one(&mut bench, cmpl(descriptor), LINUX_CHANCTRL);
    let page = |bytes: &[u8], n: usize| bytes[(16 - n) * 4096..(17 - n) * 4096].to_vec();
    let gather = |bytes: &[u8]| (0..17).flat_map(|n| page(bytes, n)).collect::<Vec<_>>();
    let (from, to) = (gather(&data), gather(&bench.take(TARGET, 0x1_1000)));
    assert!(to[2..2 + size as usize] == from[1..1 + size as usize]);
    assert_eq!((to[..2].to_vec(), to[2 + size as usize..].to_vec()), (vec![0; 2], vec![0; 1]));
}

#[test]
fn m48_null_touches_no_memory_and_completes() {
    for size in [0, 1, 8, u32::MAX] {
        let mut bench = Bench::new();
        let _ = bench.table.unmap(BASE, SIZE).unwrap();
        let file = bench.memory.try_clone().unwrap();
        bench.table.map(RING, 0x2_0000, Access::READ_WRITE, Some((file, 0))).unwrap();
        run_one(&mut bench, int(Descriptor { size, ..null() }), LINUX_CHANCTRL);
        assert_eq!(bench.word(), slot(0) | IDLE, "{size}");
        assert_eq!(bench.messages(), [0]);
    }
}

#[test]
fn m49_fill_repeats_its_pattern_and_does_not_overrun() {
    for len in [1, 8, 50, 64, 89, 100, 1024, 0x1_0003, 1 << 20] {
        let mut bench = Bench::new();
        let value = 0xfedc_ba98_7654_3210_u64;
        bench.put(TARGET - 8, &[0x5a; 8]);
        bench.put(TARGET + len as u64, &[0x5a; 8]);
        run_one(&mut bench, cmpl(fill(u32::try_from(len).unwrap(), value)), LINUX_CHANCTRL);
        let expected: Vec<u8> = (0..len).map(|at| value.to_le_bytes()[at % 8]).collect();
        assert!(bench.take(TARGET, len) == expected, "{len}");
        assert_eq!(bench.take(TARGET - 8, 8), [0x5a; 8], "{len}");
        assert_eq!(bench.take(TARGET + len as u64, 8), [0x5a; 8], "{len}");
        assert_eq!(bench.word(), slot(0) | IDLE);
    }
}

#[test]
fn m60_to_m62_each_fault_has_its_one_bit() {
    let control = |opcode| Control::new().with_opcode(opcode);
    let plain = |opcode| with(copy(64), control(opcode));
    for (name, descriptor, bit) in [
        ("size 0", copy(0), 11),
        ("fill of size 0", fill(0, 1), 11),
        ("above XFERCAP", copy((1 << 20) + 1), 11),
        ("unknown opcode", plain(0x42), 10),
        ("XOR without its capability", plain(0x87), 10),
        ("context change", plain(0xff), 10),
        ("source page break", with(copy(64), Control::new().with_src_page_break(true)), 10),
        ("destination page break", with(copy(64), Control::new().with_dst_page_break(true)), 10),
        ("destination page break of a fill", with(fill(64, 1), Control::new().with_dst_page_break(true)), 10),
        ("unmapped source", Descriptor { source: NOWHERE, ..copy(64) }, 0),
        ("source 0", Descriptor { source: 0, ..copy(64) }, 0),
        ("source that wraps", Descriptor { source: u64::MAX - 8, ..copy(64) }, 0),
        ("source that ends behind the map", Descriptor { source: BASE + SIZE - 32, ..copy(64) }, 0),
        ("unmapped destination", Descriptor { destination: NOWHERE, ..copy(64) }, 1),
        ("unmapped destination of a fill", Descriptor { destination: NOWHERE, ..fill(64, 1) }, 1),
        ("destination that wraps", Descriptor { destination: u64::MAX - 8, ..fill(64, 1) }, 1),
        ("both", Descriptor { source: NOWHERE, destination: NOWHERE, ..copy(64) }, 0),
    ] {
        let mut bench = Bench::new();
        run_one(&mut bench, int(descriptor), LINUX_CHANCTRL);
        assert_eq!(bench.chan_err(0), 1 << bit, "{name}");
        assert_eq!(bench.config(CHANERR_INT, 4), 1 << bit, "{name}");
        assert_eq!(bench.status(0), HALTED, "{name}");
        assert_eq!(bench.word(), HALTED, "{name}");
        assert_eq!(bench.messages(), [0], "{name}");
    }
}

#[test]
fn m61_permissions_of_a_map_are_kept() {
    for (access, descriptor, bit) in [
        (Access::WRITE, Descriptor { source: 0x8000_0000, ..copy(64) }, 0),
        (Access::READ, Descriptor { destination: 0x8000_0000, ..copy(64) }, 1),
    ] {
        let mut bench = Bench::new();
        let file = bench.memory.try_clone().unwrap();
        bench.table.map(0x8000_0000, 0x1000, access, Some((file, 0x70_0000))).unwrap();
        run_one(&mut bench, descriptor, LINUX_CHANCTRL);
        assert_eq!(bench.chan_err(0), 1 << bit);
    }
}

#[test]
fn m62_addresses_of_descriptors_and_words() {
    // The second descriptor is not mapped.
    let mut bench = Bench::new();
    bench.ring(&[null()]);
    bench.put(slot(0) + 0x18, &NOWHERE.to_le_bytes());
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!(
        (bench.chan_err(0), bench.status(0), bench.word()),
        (1 << 2, slot(0) | HALTED, slot(0) | HALTED)
    );
    // It is misaligned.
    let mut bench = Bench::new();
    bench.ring(&[null()]);
    bench.put(slot(0) + 0x18, &(slot(1) + 8).to_le_bytes());
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!(bench.chan_err(0), 1 << 3);
    // The first is not mapped.
    let mut bench = Bench::new();
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.set(0, ChainAddr, NOWHERE);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!((bench.chan_err(0), bench.word()), (1 << 4, HALTED));
    // CHAINADDR is misaligned: at once.
    let bench = Bench::new();
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.set(0, ChainAddr, RING + 32);
    assert_eq!((bench.chan_err(0), bench.config(CHANERR_INT, 4), bench.status(0)), (1 << 4, 1 << 4, HALTED));
    assert_eq!(bench.messages(), [0]);
    // CHANCMP is not mapped, or misaligned: the data is there, the descriptor is not complete.
    for chan_cmp in [NOWHERE, WORD + 4] {
        let mut bench = Bench::new();
        bench.put(SOURCE, &[7; 64]);
        bench.ring(&[cmpl(copy(64))]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.set(0, ChanCmp, chan_cmp);
        let _ = bench.doorbell(0, 1);
        bench.drive(0);
        assert_eq!((bench.chan_err(0), bench.status(0)), (1 << 12, HALTED));
        assert_eq!(bench.word(), 0);
    }
    // Several commands at once.
    let bench = Bench::new();
    let _ = bench.command(0, 0x24);
    assert_eq!((bench.chan_err(0), bench.status(0)), (1 << 5, HALTED));
}

#[test]
fn m63_m64_the_word_of_an_error_names_the_last_good_descriptor() {
    let bad = cmpl(Descriptor { source: NOWHERE, ..copy(64) });
    for (ring, last_good) in [(vec![bad, null()], 0), (vec![null(), null(), bad], slot(1))] {
        for (chan_ctrl, word) in [(DPDK_CHANCTRL, last_good | HALTED), (SPDK_CHANCTRL, u64::MAX)] {
            let mut bench = Bench::new();
            bench.ring(&ring);
            bench.put(WORD, &[0xff; 8]);
            bench.arm(0, chan_ctrl);
            let _ = bench.doorbell(0, u16::try_from(ring.len()).unwrap());
            bench.drive(0);
            assert_eq!(bench.status(0), last_good | HALTED);
            assert_eq!(bench.word(), word);
        }
    }
}

#[test]
fn m65_only_err_int_en_makes_an_error_interrupt() {
    for (chan_ctrl, messages) in [(DPDK_CHANCTRL, vec![]), (ERR_INT_EN, vec![0])] {
        let mut bench = Bench::new();
        run_one(&mut bench, int(Descriptor { source: NOWHERE, ..copy(64) }), chan_ctrl);
        assert_eq!(bench.messages(), messages);
    }
}

#[test]
fn m66_what_follows_the_failing_descriptor_is_not_executed() {
    let mut bench = Bench::new();
    bench.put(SOURCE, &[7; 64]);
    bench.ring(&[Descriptor { source: NOWHERE, ..copy(64) }, copy(64)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.take(TARGET, 64), [0; 64]);
    assert_eq!(bench.events(Stage::Fetch).len(), 1);
}

#[test]
fn m67_the_rest_of_a_burst_runs_after_dpdks_recovery() {
    let mut bench = Bench::new();
    bench.put(SOURCE, &[7; 64]);
    bench.ring(&[Descriptor { source: NOWHERE, ..copy(64) }, cmpl(copy(64)), cmpl(null())]);
    bench.arm(0, DPDK_CHANCTRL);
    let _ = bench.doorbell(0, 3);
    bench.drive(0);
    let errors = bench.chan_err(0);
    let _ = bench.set(0, ChanErr, errors);
    let _ = bench.command(0, RESET);
    let _ = bench.set(0, ChainAddr, slot(1));
    let _ = bench.set(0, ChanCtrl, DPDK_CHANCTRL.into());
    let _ = bench.set(0, ChanCmp, WORD);
    assert_eq!(bench.status(0), 4);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!(bench.word(), slot(2) | IDLE);
    assert_eq!(bench.take(TARGET, 64), [7; 64]);
}

#[test]
fn a_masked_error_neither_latches_nor_halts() {
    let mut bench = Bench::new();
    let _ = bench.set(0, ChanErrMsk, 1);
    bench.put(SOURCE, &[7; 64]);
    bench.ring(&[cmpl(Descriptor { source: NOWHERE, ..copy(64) }), cmpl(copy(64))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!((bench.chan_err(0), bench.config(CHANERR_INT, 4)), (0, 0));
    assert_eq!(bench.word(), slot(1) | IDLE);
    assert_eq!(bench.take(TARGET, 64), [7; 64]);
}

#[test]
fn m68_intrctrl_does_not_gate_msix() {
    for intrctrl in [0x08, 0x09] {
        let mut bench = Bench::new();
        let _ = bench.write(core_support::INTRCTRL, 1, intrctrl);
        run_one(&mut bench, int(copy(64)), LINUX_CHANCTRL);
        assert_eq!(bench.messages(), [0]);
    }
}

#[test]
fn m69_m70_a_second_interrupt_waits_for_the_re_arm() {
    let mut bench = Bench::new();
    bench.ring(&[int(null()), int(null()), int(null())]);
    bench.arm(2, LINUX_CHANCTRL);
    let _ = bench.doorbell(2, 3);
    bench.drive(2);
    assert_eq!(bench.messages(), [2]);
    let _ = bench.set(2, ChanCtrl, LINUX_CHANCTRL.into());
    assert_eq!(bench.messages(), [2, 2]);
    let _ = bench.set(2, ChanCtrl, LINUX_CHANCTRL.into());
    let _ = bench.set(2, ChanCtrl, LINUX_CHANCTRL.into());
    assert_eq!(bench.messages(), [2, 2]);
    let marks: Vec<_> = bench.events(Stage::Msix).iter().map(|event| event.mark).collect();
    assert_eq!(marks, [Mark::Ok, Mark::Held, Mark::Held, Mark::Ok]);
}

#[test]
fn the_trace_of_a_descriptor_is_the_path_in_order() {
    let mut bench = Bench::new();
    run_one(&mut bench, int(copy(64)), LINUX_CHANCTRL);
    let events: Vec<_> =
        bench.trace.events().iter().map(|event| (event.stage, event.address, event.len)).collect();
    assert_eq!(
        events,
        [
            (Stage::Doorbell, 0x86, 1),
            (Stage::Fetch, slot(0), 64),
            (Stage::Translate, TARGET, 64),
            (Stage::Copy, TARGET, 64),
            (Stage::Complete, slot(0), 8),
            (Stage::Msix, 0, 0),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_bursts_equal_a_shadow_memory(operations in prop::collection::vec(
        (any::<bool>(), 0..0x3_0000_usize, 0..0x3_0000_usize, 1..0x1_2000_u32, any::<u64>()),
        1..24,
    )) {
        const AREA: usize = 0x5_0000;
        let mut bench = Bench::new();
        let mut shadow_source = pattern(AREA, 5);
        let mut shadow_target = pattern(AREA, 6);
        bench.put(SOURCE, &shadow_source);
        bench.put(TARGET, &shadow_target);
        let mut ring = Vec::new();
        for (filling, from, to, size, value) in operations {
            let (at, end) = (to, to + size as usize);
            if filling {
                (at..end).for_each(|byte| shadow_target[byte] = value.to_le_bytes()[(byte - at) % 8]);
                ring.push(Descriptor { destination: TARGET + to as u64, ..fill(size, value) });
            } else {
                shadow_target[at..end].copy_from_slice(&shadow_source[from..from + size as usize]);
                ring.push(Descriptor { source: SOURCE + from as u64, destination: TARGET + to as u64, ..copy(size) });
            }
        }
        bench.ring(&ring);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, u16::try_from(ring.len()).unwrap());
        bench.drive(0);
        prop_assert!(bench.take(TARGET, AREA) == shadow_target);
        prop_assert!(bench.take(SOURCE, AREA) == std::mem::take(&mut shadow_source));
        prop_assert_eq!(bench.status(0), slot(ring.len() - 1) | IDLE);
    }
}
