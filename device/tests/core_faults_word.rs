//! Faults of stage 5: what becomes of the completion word, while CHANSTS, data and interrupt are as they should be.

mod core_support;

use core_support::{
    Bench, LINUX_CHANCTRL, NOWHERE, RESET, SOURCE, TARGET, WORD, cmpl, copy, int, pattern, slot,
};
use ioat_spec::{ChanErr, ChannelRegister, ChannelState, Descriptor};
use ioat_stage::{Mark, RuleFaults, Stage};

const IDLE: u64 = ChannelState::Idle.code();
const HALTED: u64 = ChannelState::Halted.code();

/// Runs two copies with word and interrupt, in one doorbell each. `word` is in the word's place before.
fn run(rule: &str, word: u64) -> Bench<RuleFaults> {
    let mut bench = Bench::faulty(&[rule]);
    bench.put(SOURCE, &pattern(128, 1));
    bench.put(WORD, &word.to_le_bytes());
    go(&mut bench);
    bench
}

fn go(bench: &mut Bench<RuleFaults>) {
    bench.ring(&[int(copy(64)), int(Descriptor { destination: TARGET + 64, ..copy(64) })]);
    bench.arm(0, LINUX_CHANCTRL);
    for count in 1..=2 {
        let _ = bench.doorbell(0, count);
        bench.drive(0);
        let _ = bench.set(0, ChannelRegister::ChanCtrl, LINUX_CHANCTRL.into());
    }
}

fn marks(bench: &Bench<RuleFaults>) -> Vec<Mark> {
    bench.events(Stage::Complete).iter().map(|event| event.mark).collect()
}

/// All but the word is as it should be: data, status, two interrupts; and after CHANCMD.RESET the word is, too.
fn all_else_is_sound(mut bench: Bench<RuleFaults>) -> bool {
    let source = pattern(128, 1);
    let sound = bench.status(0) == slot(1) | IDLE
        && bench.chan_err(0) == 0
        && bench.messages().len() == 2
        && bench.take(TARGET, 128) == [&source[..64], &source[..64]].concat()
        && marks(&bench) == [Mark::Ok, Mark::Faulted];
    let _ = bench.command(0, RESET);
    go(&mut bench);
    sound && bench.word() == slot(1) | IDLE && bench.messages().len() == 4
}

#[test]
fn a_wrong_word_is_what_the_rule_says() {
    for (action, word) in [
        ("drop", slot(0) | IDLE),
        ("misaddress(+64)", slot(2) | IDLE),
        ("misaddress(-64)", slot(0) | IDLE),
        ("misaddress(+4096)", (slot(1) + 4096) | IDLE),
        ("corrupt(0, 0x7)", slot(1) | (IDLE ^ 7)),
        ("corrupt(0, 0x2)", slot(1) | HALTED),
        ("corrupt(6, 0xffffff)", (slot(1) | IDLE) ^ 0xffff_0000_0000_00ff),
        ("set(0, 0)", 0),
        ("set(1, 0x7f, 1)", (slot(1) & !0xff00) | 0x7f00 | IDLE),
        ("all-ones", u64::MAX),
        ("stick", slot(0) | IDLE),
    ] {
        let bench = run(&format!("complete: nth(2) {action}"), 0);
        assert_eq!(bench.word(), word, "{action}");
        assert!(all_else_is_sound(bench), "{action}");
    }
}

#[test]
fn a_torn_word_keeps_the_old_bytes_behind_the_tear() {
    for bytes in 0..8 {
        let mut bench = run(&format!("complete: nth(2) short({bytes})"), 0);
        let (old, new) = ((slot(0) | IDLE).to_le_bytes(), (slot(1) | IDLE).to_le_bytes());
        let expected = [&new[..bytes], &old[bytes..]].concat();
        assert_eq!(bench.take(WORD, 8), expected, "{bytes}");
        // The low half is all that differs between two slots: with other old bytes it is seen.
        let _ = bench.command(0, RESET);
        assert!(all_else_is_sound(run(&format!("complete: nth(2) short({bytes})"), 0)), "{bytes}");
    }
    let bench = run("complete: nth(1) short(4)", !0);
    let torn = bench.events(Stage::Complete).first().map(|event| event.mark);
    assert_eq!(torn, Some(Mark::Faulted));
}

#[test]
fn a_whole_word_is_not_counted_as_torn() {
    let bench = run("complete: nth(1) short(8)", 0);
    assert_eq!((marks(&bench), bench.word()), (vec![Mark::Ok, Mark::Ok], slot(1) | IDLE));
}

#[test]
fn a_word_that_sticks_with_none_before_it_leaves_what_was_there() {
    let mut bench = Bench::faulty(&["complete: nth(1) stick"]);
    bench.put(WORD, &[0x77; 8]);
    bench.ring(&[cmpl(copy(64))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!((bench.take(WORD, 8), bench.status(0)), (vec![0x77; 8], slot(0) | IDLE));
}

#[test]
fn a_word_elsewhere_leaves_its_own_place_as_it_was() {
    for (action, place) in [("elsewhere(+8)", WORD + 8), ("elsewhere(-4096)", WORD - 4096)] {
        let bench = run(&format!("complete: nth(2) {action}"), 0);
        assert_eq!(
            (bench.word(), bench.take(place, 8)),
            (slot(0) | IDLE, (slot(1) | IDLE).to_le_bytes().to_vec())
        );
        assert!(all_else_is_sound(bench), "{action}");
    }
}

#[test]
fn a_word_to_nowhere_or_beside_its_alignment_is_a_completion_address_error() {
    let away = NOWHERE - WORD;
    for action in [format!("elsewhere(+{away})"), "elsewhere(+4)".to_owned(), "halt(12)".to_owned()] {
        let mut bench = run(&format!("complete: nth(2) {action}"), 0);
        let error = u64::from(ChanErr::COMPLETION_ADDRESS.into_bits());
        assert_eq!((bench.chan_err(0), bench.status(0)), (error, slot(0) | HALTED), "{action}");
        // The word of the halt, which could be stored.
        assert_eq!(bench.word(), slot(0) | HALTED, "{action}");
        assert_eq!(marks(&bench), [Mark::Ok, Mark::Faulted, Mark::Ok], "{action}");
        let _ = bench.set(0, ChannelRegister::ChanErr, error);
        let _ = bench.command(0, RESET);
        go(&mut bench);
        assert_eq!(bench.word(), slot(1) | IDLE, "{action}");
    }
}

#[test]
fn a_masked_completion_error_counts_as_done_without_its_word() {
    let mut bench = Bench::faulty(&["complete: nth(2) halt(12)"]);
    let _ = bench.set(0, ChannelRegister::ChanErrMsk, 1 << 12);
    go(&mut bench);
    assert_eq!((bench.word(), bench.status(0), bench.chan_err(0)), (slot(0) | IDLE, slot(1) | IDLE, 0));
}

#[test]
fn a_late_word_comes_after_its_interrupt_and_not_after_a_reset() {
    for reset in [false, true] {
        let bench = run("complete: nth(2) delay(2ms)", 0);
        assert_eq!((bench.word(), bench.messages().len()), (slot(0) | IDLE, 2));
        if reset {
            let _ = bench.command(0, RESET);
        }
        let late = bench.function.take_postponed();
        assert_eq!(late.iter().map(|late| late.after_ns).collect::<Vec<_>>(), [2_000_000]);
        let memory = bench.table.reader().pin();
        late.into_iter().for_each(|late| _ = bench.function.carry_out(late, &memory));
        assert_eq!(bench.word(), if reset { slot(0) | IDLE } else { slot(1) | IDLE });
        assert!(reset || all_else_is_sound(bench));
    }
}

#[test]
fn the_word_of_a_halt_deviates_too_but_is_never_early() {
    for (action, word, mark) in [
        ("all-ones", u64::MAX, Mark::Faulted),
        ("misaddress(+64)", 64 | HALTED, Mark::Faulted),
        ("halt(12)", 0x55, Mark::Faulted),
        ("early", HALTED, Mark::Ok),
    ] {
        let mut bench = Bench::faulty(&[&format!("complete: nth(1) {action}")]);
        bench.put(WORD, &0x55_u64.to_le_bytes());
        bench.ring(&[Descriptor { source: NOWHERE, ..copy(64) }]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, 1);
        bench.drive(0);
        assert_eq!((bench.word(), bench.chan_err(0)), (word, 1), "{action}");
        assert_eq!(marks(&bench), [mark], "{action}");
    }
}

#[test]
fn where_no_word_is_due_there_is_nothing_to_deviate() {
    let mut bench = Bench::faulty(&["complete: nth(1) all-ones"]);
    bench.ring(&[copy(64), cmpl(copy(64))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!((bench.word(), bench.status(0)), (0, slot(0) | IDLE));
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!(bench.word(), u64::MAX);
}
