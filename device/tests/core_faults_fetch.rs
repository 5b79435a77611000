//! Faults of stage 2: what an engine does with a descriptor that it read wrongly, elsewhere, late, twice or not at all.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod core_support;

use core_support::{
    Bench, LINUX_CHANCTRL, NOWHERE, RESET, SOURCE, TARGET, cmpl, copy, fill, int, pattern, slot,
};
use ioat_spec::{ChanErr, ChannelRegister, ChannelState, Descriptor};
use ioat_stage::{Mark, RuleFaults, Stage};

const IDLE: u64 = ChannelState::Idle.code();
const HALTED: u64 = ChannelState::Halted.code();

/// Four copies of 64 bytes from neighbouring sources to neighbouring targets, each with its word.
fn ring() -> Vec<Descriptor> {
    let at = |n| Descriptor { source: SOURCE + 64 * n, destination: TARGET + 64 * n, ..copy(64) };
    (0..4).map(|n| cmpl(at(n))).collect()
}

fn faulty(rule: &str) -> Bench<RuleFaults> {
    let mut bench = Bench::faulty(&[rule]);
    bench.put(SOURCE, &pattern(0x4000, 1));
    go(&mut bench, &ring());
    bench
}

/// Submits these, and takes all steps.
fn go(bench: &mut Bench<RuleFaults>, ring: &[Descriptor]) {
    bench.ring(ring);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, u16::try_from(ring.len()).unwrap());
    bench.drive(0);
}

/// What the targets hold, and what they should.
fn outputs(bench: &Bench<RuleFaults>) -> (Vec<u8>, Vec<u8>) {
    (bench.take(TARGET, 256), pattern(0x4000, 1)[..256].to_vec())
}

/// After CHANCMD.RESET the channel does clean work.
fn works_after_reset(bench: &mut Bench<RuleFaults>) -> bool {
    let errors = bench.chan_err(0);
    let _ = bench.set(0, ChannelRegister::ChanErr, errors);
    let _ = bench.command(0, RESET);
    bench.put(TARGET, &[0; 256]);
    go(bench, &ring());
    let (found, expected) = outputs(bench);
    found == expected && bench.word() == slot(3) | IDLE && bench.status(0) == slot(3) | IDLE
}

fn marks(bench: &Bench<RuleFaults>) -> Vec<Mark> {
    bench.events(Stage::Fetch).iter().map(|event| event.mark).collect()
}

#[test]
fn a_flipped_bit_of_size_or_destination_is_what_the_engine_goes_by() {
    let mut bench = faulty("fetch: nth(2) corrupt(0, 0x60)");
    // 64 is 0x40: 0x20 bytes move.
    let (found, mut expected) = outputs(&bench);
    expected[64 + 32..128].fill(0);
    assert_eq!(found, expected);
    assert_eq!(marks(&bench), [Mark::Ok, Mark::Faulted, Mark::Ok, Mark::Ok]);
    assert!(works_after_reset(&mut bench));
    let mut bench = faulty("fetch: nth(2) corrupt(16, 0x1000)");
    assert_eq!(bench.take(TARGET + 0x1000 + 64, 64), pattern(0x4000, 1)[64..128]);
    assert_eq!(bench.take(TARGET + 64, 64), [0; 64]);
    assert!(works_after_reset(&mut bench));
}

#[test]
fn a_patch_of_a_descriptor_reaches_all_its_bytes() {
    let mut bench = faulty("fetch: nth(2) corrupt(3, 0xff00000000000000)");
    // Byte 10 is the source's third.
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::SOURCE_ADDRESS.into_bits()));
    assert!(works_after_reset(&mut bench));
}

#[test]
fn another_opcode_or_page_break_bit_is_a_control_error() {
    for rule in ["fetch: nth(2) corrupt(7, 0x42)", "fetch: nth(2) corrupt(4, 0x40)"] {
        let mut bench = faulty(rule);
        assert_eq!(bench.chan_err(0), u64::from(ChanErr::CONTROL.into_bits()), "{rule}");
        assert_eq!(bench.status(0), slot(0) | HALTED, "{rule}");
        assert!(works_after_reset(&mut bench), "{rule}");
    }
}

#[test]
fn a_link_to_nowhere_and_a_misaligned_link_have_their_own_errors() {
    for (rule, error) in [
        ("fetch: nth(2) set(24, 0)", ChanErr::NEXT_DESCRIPTOR_ADDRESS),
        ("fetch: nth(2) set(24, 0x1001)", ChanErr::DESCRIPTOR),
    ] {
        let mut bench = faulty(rule);
        // The descriptor itself is carried out; the next one cannot be read.
        assert_eq!((bench.word(), bench.status(0)), (slot(1) | HALTED, slot(1) | HALTED), "{rule}");
        assert_eq!(bench.chan_err(0), u64::from(error.into_bits()), "{rule}");
        assert!(works_after_reset(&mut bench), "{rule}");
    }
}

#[test]
fn another_slots_descriptor_is_carried_out_under_this_ones_address() {
    let mut bench = faulty("fetch: nth(2) misaddress(+64)");
    // Slot 2 twice, slot 3, and then slot 0 again: DMACOUNT is what ends it.
    assert_eq!(bench.take(TARGET + 64, 64), [0; 64]);
    assert_eq!(bench.take(TARGET + 128, 128), pattern(0x4000, 1)[128..256]);
    let events: Vec<_> = bench.events(Stage::Fetch).iter().map(|event| event.address).collect();
    assert_eq!(events, [slot(0), slot(1), slot(3), slot(0)]);
    assert!(works_after_reset(&mut bench));
}

#[test]
fn a_fetch_from_nowhere_is_an_error_as_any_other() {
    let away = NOWHERE - slot(1);
    let mut bench = faulty(&format!("fetch: nth(2) misaddress(+{away})"));
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::NEXT_DESCRIPTOR_ADDRESS.into_bits()));
    assert_eq!(marks(&bench), [Mark::Ok, Mark::Faulted]);
    assert!(works_after_reset(&mut bench));
    let mut bench = faulty("fetch: nth(1) misaddress(+1)");
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::CHAIN_ADDRESS.into_bits()));
    assert!(works_after_reset(&mut bench));
}

#[test]
fn a_stale_descriptor_is_carried_out_again_in_the_place_of_the_new_one() {
    let mut bench = faulty("fetch: nth(3) stick");
    // Slot 1 is done as slot 2, too; its link leads to slot 2.
    let addresses: Vec<_> = bench.events(Stage::Copy).iter().map(|event| event.address).collect();
    assert_eq!(addresses, [TARGET, TARGET + 64, TARGET + 64, TARGET + 128]);
    let completed: Vec<_> = bench.events(Stage::Complete).iter().map(|event| event.address).collect();
    assert_eq!(completed, [slot(0), slot(1), slot(2), slot(2)]);
    assert!(works_after_reset(&mut bench));
}

#[test]
fn a_stale_descriptor_with_nothing_before_it_is_all_zeros() {
    let mut bench = faulty("fetch: nth(1) stick");
    assert_eq!(bench.chan_err(0), u64::from(ChanErr::LENGTH.into_bits()));
    assert!(works_after_reset(&mut bench));
}

#[test]
fn a_skipped_descriptor_counts_as_done_without_data_word_or_interrupt() {
    let mut bench = Bench::faulty(&["fetch: nth(2) drop"]);
    bench.put(SOURCE, &pattern(0x4000, 1));
    go(&mut bench, &[int(copy(64)), int(Descriptor { destination: TARGET + 64, ..copy(64) })]);
    assert_eq!((bench.word(), bench.status(0)), (slot(0), slot(1) | IDLE));
    assert_eq!((bench.take(TARGET + 64, 64), bench.messages().len()), (vec![0; 64], 1));
    assert_eq!(marks(&bench), [Mark::Ok, Mark::Faulted]);
    assert!(works_after_reset(&mut bench));
}

#[test]
fn a_descriptor_that_is_carried_out_twice_has_two_words_two_interrupts_and_one_count() {
    let mut bench = Bench::faulty(&["fetch: nth(2) duplicate"]);
    bench.put(SOURCE, &pattern(0x4000, 1));
    let second = int(Descriptor { destination: TARGET + 64, ..copy(64) });
    bench.ring(&[cmpl(copy(64)), second]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    assert!(bench.step(0));
    assert_eq!(
        (bench.word(), bench.state(0), bench.messages().len()),
        (slot(1) | IDLE, ChannelState::Active, 1)
    );
    // What the driver takes for done is overwritten.
    bench.put(TARGET + 64, &[0x5a; 64]);
    let _ = bench.set(0, ChannelRegister::ChanCtrl, LINUX_CHANCTRL.into());
    bench.drive(0);
    assert_eq!(bench.take(TARGET + 64, 64), pattern(0x4000, 1)[..64]);
    assert_eq!((bench.status(0), bench.messages().len()), (slot(1) | IDLE, 2));
    let sequences: Vec<_> = bench.events(Stage::Complete).iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [0, 1, 1]);
    assert!(works_after_reset(&mut bench));
}

#[test]
fn a_halt_without_a_reason_is_halted_with_no_bit_even_if_all_are_masked() {
    for point in ["fetch", "translate", "copy", "read", "write", "complete"] {
        let mut bench = Bench::faulty(&[&format!("{point}: nth(2) halt(none)")]);
        bench.put(SOURCE, &pattern(0x4000, 1));
        let _ = bench.set(0, ChannelRegister::ChanErrMsk, 0xffff_ffff);
        go(&mut bench, &ring());
        assert_eq!((bench.status(0), bench.chan_err(0)), (slot(0) | HALTED, 0), "{point}");
        let _ = bench.set(0, ChannelRegister::ChanErrMsk, 0);
        assert!(works_after_reset(&mut bench), "{point}");
    }
}

#[test]
fn a_fetch_rule_sees_no_descriptor_and_the_later_points_see_it() {
    let mut bench = Bench::faulty(&["translate[op=fill]: nth(1) halt(1)", "complete[size=64]: nth(2) drop"]);
    bench.put(SOURCE, &pattern(0x4000, 1));
    go(&mut bench, &[cmpl(copy(64)), cmpl(copy(128)), cmpl(copy(64)), cmpl(fill(64, 7))]);
    let words: Vec<_> = bench.events(Stage::Complete).iter().map(|event| event.mark).collect();
    // The last one is the word of the halt.
    assert_eq!(words, [Mark::Ok, Mark::Ok, Mark::Faulted, Mark::Ok]);
    assert_eq!(bench.status(0), slot(2) | HALTED);
    assert!(works_after_reset(&mut bench));
}
