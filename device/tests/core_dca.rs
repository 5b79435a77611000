//! Direct cache access: context changes and hints (contract 1.4.1, 1.12 and 3.4), on the profile that has them.
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod core_support;

use core_support::{
    Begun, Bench, LINUX_CHANCTRL, RESET, SOURCE, TARGET, cmpl, copy, int, null, pattern, slot, with,
};
use ioat_spec::ChannelRegister::{ChainAddr, DcaCtrl};
use ioat_spec::{ChanErr, ChannelState, Control, Descriptor};
use ioat_stage::{Faults, Mark, Stage};
use vfio_user_ioat::Profile;

const IDLE: u64 = ChannelState::Idle.code();
const ACTIVE: u64 = ChannelState::Active.code();
/// NET_DMA_OP_TYPE_CONTEXT_CHANGE and NET_DMA_DCA_CONTEXT_CHANGE.
const CHANGE: u32 = 0xff00_0001;
/// DCACTRL: the id holds.
const ENABLE: u64 = 1 << 16;

/// A context change to this APIC id; the rest of the first word is reserved, the addresses are nobody's.
fn change(apic_id: u8) -> Descriptor {
    Descriptor {
        size: 0xdead_be00 | u32::from(apic_id),
        control: CHANGE,
        source: 1,
        destination: 2,
        ..Descriptor::default()
    }
}

fn run<F: Faults>(bench: &mut Bench<F>, descriptors: &[Descriptor]) {
    bench.ring(descriptors);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, u16::try_from(descriptors.len()).unwrap());
    bench.drive(0);
}

#[test]
fn nd_a3_a_context_change_sets_the_channels_target() {
    for apic_id in [0, 7, 0xff] {
        let mut bench = Bench::of(Profile::NETDMA);
        assert_eq!(bench.get(0, DcaCtrl), 0);
        run(&mut bench, &[cmpl(change(apic_id))]);
        assert_eq!(bench.get(0, DcaCtrl), ENABLE | u64::from(apic_id));
        assert_eq!((bench.word(), bench.status(0), bench.chan_err(0)), (slot(0) | IDLE, slot(0) | IDLE, 0));
        // Its own channel, and no other.
        assert_eq!(bench.get(1, DcaCtrl), 0);
    }
}

#[test]
fn nd_a4_the_target_stays_until_the_next_context_change() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, &[change(3), copy(64), cmpl(null())]);
    assert_eq!(bench.get(0, DcaCtrl), ENABLE | 3);
    // A new chain is none.
    let _ = bench.set(0, ChainAddr, slot(0));
    assert_eq!(bench.get(0, DcaCtrl), ENABLE | 3);
    run(&mut bench, &[change(3), change(9)]);
    assert_eq!(bench.get(0, DcaCtrl), ENABLE | 9);
}

#[test]
fn a_reset_takes_the_target_away() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, &[change(3)]);
    let _ = bench.command(0, RESET);
    assert_eq!(bench.get(0, DcaCtrl), 0);
    run(&mut bench, &[change(3)]);
    let _ = bench.function.reset();
    assert_eq!(bench.get(0, DcaCtrl), 0);
}

#[test]
fn bit_0_under_a_context_change_asks_for_no_interrupt() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, &[cmpl(change(3))]);
    assert_eq!((bench.messages().len(), bench.events(Stage::Msix).len()), (0, 0));
    assert_eq!(bench.read(core_support::ATTNSTATUS, 4), 0);
    // The next descriptor's does.
    run(&mut bench, &[change(3), int(null())]);
    assert_eq!(bench.messages(), [0]);
}

#[test]
fn the_word_follows_status_update_and_comes_when_the_target_is_there() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, &[change(3)]);
    assert_eq!((bench.word(), bench.status(0)), (0, slot(0) | IDLE));
    let mut bench = Bench::of(Profile::NETDMA);
    bench.ring(&[null(), cmpl(change(5)), null()]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 3);
    assert!(bench.step(0));
    assert_eq!((bench.word(), bench.get(0, DcaCtrl), bench.status(0)), (0, ENABLE | 5, slot(0) | ACTIVE));
    bench.drive(0);
    assert_eq!((bench.word(), bench.status(0)), (slot(1) | ACTIVE, slot(2) | IDLE));
}

#[test]
fn the_whole_top_byte_names_the_operation() {
    for opcode in [0x7f_u8, 0xfe, 0xf0, 0x0f, 0x80] {
        let mut bench = Bench::of(Profile::NETDMA);
        run(
            &mut bench,
            &[Descriptor { control: u32::from(opcode) << 24 | 1, size: 3, ..Descriptor::default() }],
        );
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::CONTROL.into_bits()), "{opcode:#x}");
        assert_eq!(bench.get(0, DcaCtrl), 0);
    }
}

#[test]
fn a_context_change_of_no_known_context_is_a_control_error() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, &[Descriptor { control: 0xff00_0000, ..change(3) }]);
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::CONTROL.into_bits()));
    assert_eq!(bench.get(0, DcaCtrl), 0);
}

#[test]
fn without_the_capability_a_context_change_is_an_unknown_operation_and_dcactrl_is_scratch() {
    let mut bench = Bench::of(Profile::SKX);
    let _ = bench.set(0, DcaCtrl, 0xffff_ffff);
    run(&mut bench, &[cmpl(change(3))]);
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::CONTROL.into_bits()));
    assert_eq!(bench.get(0, DcaCtrl), 0xffff_ffff);
    let _ = bench.command(0, RESET);
    assert_eq!(bench.get(0, DcaCtrl), 0xffff_ffff);
}

#[test]
fn m17_dcactrl_keeps_what_linux_writes_until_a_context_change() {
    let mut bench = Bench::of(Profile::NETDMA);
    let _ = bench.set(0, DcaCtrl, 0xffff_ffff);
    assert_eq!(bench.get(0, DcaCtrl), 0xffff_ffff);
    run(&mut bench, &[change(3)]);
    assert_eq!(bench.get(0, DcaCtrl), ENABLE | 3);
}

#[test]
fn c_ch_18_the_destination_hint_is_accepted_with_dca_and_without() {
    for profile in [Profile::SKX, Profile::NETDMA] {
        let mut bench = Bench::of(profile);
        bench.put(SOURCE, &pattern(64, 1));
        run(&mut bench, &[cmpl(with(copy(64), Control::new().with_dst_dca(true)))]);
        assert_eq!((bench.word(), bench.chan_err(0)), (slot(0) | IDLE, 0), "{}", profile.name);
        assert_eq!(bench.take(TARGET, 64), pattern(64, 1));
    }
}

#[test]
fn a_reset_between_the_two_halves_of_a_context_change_leaves_neither() {
    let mut bench = Bench::of(Profile::NETDMA);
    bench.ring(&[cmpl(change(5))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    let Begun::Starting = bench.begin(0) else { panic!("no start latency") };
    let mut step = bench.begin(0).step();
    step.run();
    let _ = bench.command(0, RESET);
    assert!(!bench.finish(step));
    assert_eq!((bench.get(0, DcaCtrl), bench.word(), bench.status(0)), (0, 0, 3));
    assert!(!bench.step(0));
}

#[test]
fn a_suspend_between_the_two_halves_waits_for_the_second() {
    let mut bench = Bench::of(Profile::NETDMA);
    bench.ring(&[cmpl(change(5)), null()]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    assert!(bench.step(0));
    let _ = bench.command(0, core_support::SUSPEND);
    bench.drive(0);
    assert_eq!(bench.status(0), slot(0) | ChannelState::Suspended.code());
    assert_eq!(bench.word(), slot(0) | ACTIVE);
}

#[test]
fn a_context_change_is_one_event_per_stage_and_its_fault_points_work() {
    let mut bench = Bench::of(Profile::NETDMA);
    run(&mut bench, &[cmpl(change(3))]);
    for stage in [Stage::Fetch, Stage::Translate, Stage::Copy, Stage::Complete] {
        assert_eq!(
            bench.events(stage).iter().map(|event| event.mark).collect::<Vec<_>>(),
            [Mark::Ok],
            "{stage}"
        );
    }
    for stage in ["translate", "copy"] {
        let mut bench = Bench::faulty_with(Profile::NETDMA, &[&format!("{stage}: nth(1) halt(read-data)")]);
        run(&mut bench, &[cmpl(change(3))]);
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::READ_DATA.into_bits()), "{stage}");
        assert_eq!(bench.get(0, DcaCtrl), 0, "{stage}");
    }
    // There is no output to corrupt, and no division by its length.
    let mut bench = Bench::faulty_with(Profile::NETDMA, &["copy: nth(1) corrupt(5)"]);
    run(&mut bench, &[cmpl(change(3))]);
    assert_eq!((bench.word(), bench.get(0, DcaCtrl)), (slot(0) | IDLE, ENABLE | 3));
    // An early word comes before the target.
    let mut bench = Bench::faulty_with(Profile::NETDMA, &["complete: nth(1) early"]);
    bench.ring(&[cmpl(change(3))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    assert!(bench.step(0));
    assert_eq!((bench.word(), bench.get(0, DcaCtrl)), (slot(0) | IDLE, 0));
    bench.drive(0);
    assert_eq!((bench.get(0, DcaCtrl), bench.events(Stage::Complete).len()), (ENABLE | 3, 1));
}
