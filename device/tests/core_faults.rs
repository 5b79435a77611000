//! Each verdict does exactly what it says, and nothing else.

mod core_support;

use core_support::{
    Begun, Bench, CHANERR_INT, LINUX_CHANCTRL, NOWHERE, SOURCE, TARGET, cmpl, copy, fill, int, null, pattern,
    slot,
};
use ioat_spec::ChannelRegister::ChanCtrl;
use ioat_spec::{ChannelState, Descriptor};
use ioat_stage::{Mark, RuleFaults, Stage};

const IDLE: u64 = ChannelState::Idle.code();

/// Runs copies of 64 bytes with word and interrupt, each into its own place, on channel 0.
fn run(rules: &[&str], count: u16) -> Bench<RuleFaults> {
    let mut bench = Bench::faulty(rules);
    bench.put(SOURCE, &pattern(64, 1));
    let ring: Vec<_> =
        (0..u64::from(count)).map(|n| int(Descriptor { destination: TARGET + 64 * n, ..copy(64) })).collect();
    bench.ring(&ring);
    bench.arm(0, LINUX_CHANCTRL);
    for n in 1..=count {
        let _ = bench.doorbell(0, n);
        bench.drive(0);
        let _ = bench.set(0, ChanCtrl, LINUX_CHANCTRL.into());
    }
    bench
}

fn marks<F: ioat_stage::Faults>(bench: &Bench<F>, stage: Stage) -> Vec<Mark> {
    bench.events(stage).iter().map(|event| event.mark).collect()
}

#[test]
fn a_dropped_message_leaves_every_register_as_if_it_had_been_sent() {
    let dropped = run(&["msix: nth(2) drop"], 2);
    assert_eq!(dropped.messages(), [0]);
    assert_eq!(marks(&dropped, Stage::Msix), [Mark::Ok, Mark::Faulted]);
    let mut bench = Bench::faulty(&["msix: nth(1) drop"]);
    bench.ring(&[int(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!((bench.messages().len(), bench.get(0, ChanCtrl) & 1, bench.read(0x04, 4)), (0, 1, 1));
    assert_eq!((bench.word(), bench.status(0)), (slot(0) | IDLE, slot(0) | IDLE));
}

#[test]
fn a_dropped_word_leaves_everything_else_in_place() {
    let bench = run(&["complete: nth(2) drop"], 2);
    assert_eq!(bench.word(), slot(0) | IDLE);
    assert_eq!((bench.status(0), bench.messages().len()), (slot(1) | IDLE, 2));
    assert_eq!(bench.take(TARGET + 64, 64), pattern(64, 1));
    assert_eq!(marks(&bench, Stage::Complete), [Mark::Ok, Mark::Faulted]);
}

#[test]
fn a_misaddressed_word_is_off_by_its_delta_and_chansts_is_not() {
    let bench = run(&["complete: nth(1) misaddress(+0x40)"], 1);
    assert_eq!((bench.word(), bench.status(0)), ((slot(0) + 0x40) | IDLE, slot(0) | IDLE));
    let bench = run(&["complete: nth(1) misaddress(-0x200000)"], 1);
    assert_eq!(bench.word(), slot(0).wrapping_sub(0x20_0000) | IDLE);
}

#[test]
fn an_early_word_comes_a_start_latency_before_its_data() {
    let mut bench = Bench::faulty(&["complete: nth(1) early"]);
    bench.put(SOURCE, &pattern(64, 1));
    bench.ring(&[int(copy(64)), cmpl(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    assert!(bench.step(0));
    assert_eq!((bench.word(), bench.messages().len()), (slot(0) | IDLE, 1));
    assert_eq!(bench.take(TARGET, 64), [0; 64]);
    assert_eq!(bench.state(0), ChannelState::Active);
    assert!(matches!(bench.begin(0), Begun::Starting));
    assert!(!bench.step(0));
    assert_eq!(bench.take(TARGET, 64), pattern(64, 1));
    // The word and the interrupt came once.
    assert_eq!((bench.status(0), bench.messages().len()), (slot(0) | IDLE, 1));
    assert_eq!(marks(&bench, Stage::Complete), [Mark::Faulted]);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!(bench.word(), slot(1) | IDLE);
}

#[test]
fn a_halt_looks_like_an_error_that_its_stage_found() {
    for stage in [Stage::Fetch, Stage::Translate, Stage::Copy] {
        let bench = run(&[&format!("{stage}: nth(2) halt(8)")], 2);
        assert_eq!((bench.chan_err(0), bench.config(CHANERR_INT, 4)), (1 << 8, 1 << 8), "{stage}");
        assert_eq!((bench.word(), bench.status(0)), (slot(0) | 3, slot(0) | 3), "{stage}");
        assert_eq!(bench.take(TARGET + 64, 64), [0; 64], "{stage}");
        assert_eq!(marks(&bench, stage), [Mark::Ok, Mark::Faulted], "{stage}");
        assert_eq!(bench.messages().len(), 2, "{stage}");
    }
}

#[test]
fn a_corrupted_byte_is_the_only_difference() {
    for (descriptor, len) in [(copy(100), 100), (copy(0x1_8000), 0x1_8000), (fill(100, 0x11), 100)] {
        let output = |rules: &[&str]| {
            let mut bench = Bench::faulty(rules);
            bench.put(SOURCE, &pattern(len, 1));
            bench.ring(&[cmpl(descriptor)]);
            bench.arm(0, LINUX_CHANCTRL);
            let _ = bench.doorbell(0, 1);
            bench.drive(0);
            assert_eq!(bench.word(), slot(0) | IDLE);
            bench.take(TARGET, len)
        };
        let mut expected = output(&[]);
        expected[17] ^= 0x80;
        let offset = len + 17;
        assert!(output(&[&format!("copy: nth(1) corrupt({offset}, 0x80)")]) == expected, "{len}");
    }
}

#[test]
fn all_ones_answers_one_read_and_does_nothing_else() {
    let bench = Bench::faulty(&["register: nth(2) all-ones"]);
    assert_eq!(bench.get(0, ChanCtrl), 0);
    let _ = bench.set(0, ChanCtrl, 0);
    assert_eq!(bench.get(0, ChanCtrl), 0xffff);
    // The read that saw ones has not claimed the channel.
    assert_eq!(bench.get(0, ChanCtrl), 0);
    let bench = Bench::faulty(&["register[ch=1]: nth(1) all-ones"]);
    assert_eq!((bench.status(0), bench.status(1), bench.status(1)), (3, u64::MAX, 3));
}

#[test]
fn a_channel_filter_and_an_every_trigger_count_one_channels_operations() {
    let mut bench = Bench::faulty(&["complete[ch=1]: every(2) drop"]);
    for channel in [0, 1] {
        bench.ring(&[cmpl(null()); 4]);
        bench.arm(channel, LINUX_CHANCTRL);
        let _ = bench.doorbell(channel, 4);
        bench.drive(channel);
    }
    let faulted: Vec<_> = bench
        .events(Stage::Complete)
        .iter()
        .map(|event| (event.channel, event.sequence, event.mark == Mark::Faulted))
        .collect();
    assert_eq!(
        faulted,
        [
            (0, 0, false),
            (0, 1, false),
            (0, 2, false),
            (0, 3, false),
            (1, 0, false),
            (1, 1, true),
            (1, 2, false),
            (1, 3, true),
        ]
    );
}

#[test]
fn the_word_of_an_error_is_a_completion_too() {
    let mut bench = Bench::faulty(&["complete: nth(1) drop"]);
    bench.ring(&[Descriptor { source: NOWHERE, ..copy(64) }]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!((bench.word(), bench.status(0), bench.chan_err(0)), (0, 3, 1));
}
