//! The faults around the path, row by row, as a driver sees them: accesses, doorbells, interrupts, commands, resets, the link.

mod core_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use core_support::{
    ATTNSTATUS, Bench, CHANERR_INT, COMMAND, INTRCTRL, LINUX_CHANCTRL, RESET, RESUME, RING, SOURCE, SUSPEND,
    TARGET, copy, int, null, pattern, slot,
};
use ioat_spec::ChannelRegister::{ChainAddr, ChanCmd, ChanCmp, ChanCtrl, DmaCount};
use ioat_spec::{ChannelState, Descriptor};
use ioat_stage::{Mark, RuleFaults, Stage};
use vfio_user_ioat::Effects;

const IDLE: u64 = ChannelState::Idle.code();
/// Device control of the PCI Express capability, and its bit that starts a function-level reset.
const DEVCTL: u64 = 0x98;
const FLR: u64 = 0xa810;
/// CHANCNT, XFERCAP, GENCTRL and INTRCTRL of the profile.
const FIRST_DWORD: u64 = 0x0000_1404;

/// Lets the time pass for everything that is put off now; says for how long each was.
fn pass<F: ioat_stage::Faults>(bench: &Bench<F>) -> Vec<u64> {
    let due = bench.function.take_postponed();
    let times = due.iter().map(|postponed| postponed.after_ns).collect();
    let memory = bench.table.reader().pin();
    for postponed in due {
        let _ = bench.function.carry_out(postponed, &memory);
    }
    times
}

/// A channel that is armed over a ring of copies with word and interrupt.
fn armed(rules: &[&str]) -> Bench<RuleFaults> {
    let bench = Bench::faulty(rules);
    prepare(&bench);
    bench.arm(0, LINUX_CHANCTRL);
    bench
}

fn prepare(bench: &Bench<RuleFaults>) {
    bench.put(SOURCE, &pattern(64, 1));
    bench.put(TARGET, &[0; 4 * 64]);
    let ring: Vec<_> = (0..4).map(|n| int(Descriptor { destination: TARGET + 64 * n, ..copy(64) })).collect();
    bench.ring(&ring);
}

/// Rings for one more descriptor, and does it.
fn ring(bench: &mut Bench<RuleFaults>, count: u16) {
    let _ = bench.doorbell(0, count);
    bench.drive(0);
}

/// A clean use, after which nothing of a fault is left: everything is programmed anew, and one copy runs.
fn works(bench: &mut Bench<RuleFaults>) {
    bench.enable();
    prepare(bench);
    bench.wires.messages.lock().clear();
    bench.arm(0, LINUX_CHANCTRL);
    ring(bench, 1);
    assert_eq!((bench.word(), bench.status(0)), (slot(0) | IDLE, slot(0) | IDLE));
    assert_eq!((bench.take(TARGET, 64), bench.messages()), (pattern(64, 1), vec![0]));
}

#[test]
fn a_read_is_zeros_flipped_or_set_once_and_the_register_is_as_it_was() {
    for (action, seen) in [
        ("zeros", 0),
        ("corrupt(0)", FIRST_DWORD ^ 1),
        ("corrupt(3, 0x80)", FIRST_DWORD ^ 0x8000_0000),
        ("set(0, 0xff, 1)", FIRST_DWORD | 0xff),
    ] {
        let bench = Bench::faulty(&[&format!("register[op=read]: nth(2) {action}")]);
        let reads = [0; 3].map(|offset| bench.read(offset, 4));
        assert_eq!(reads, [FIRST_DWORD, seen, FIRST_DWORD], "{action}");
    }
}

#[test]
fn a_stuck_register_gives_what_it_gave_last_and_reading_it_does_nothing() {
    let mut bench = armed(&["register[reg=CHANSTS]: after(1) stick"]);
    assert_eq!(bench.status(0), ChannelState::Armed.code());
    ring(&mut bench, 1);
    // A part of it is stuck as well.
    assert_eq!((bench.status(0), bench.read(0x88, 4)), (ChannelState::Armed.code(), 4));
    assert_eq!(bench.word(), slot(0) | IDLE);
    // What was never read cannot be stuck at anything but what it is.
    let bench = armed(&["register[reg=CHANCMP]: always stick"]);
    let first = bench.get(0, ChanCmp);
    let _ = bench.set(0, ChanCmp, 0x40);
    assert_eq!((bench.get(0, ChanCmp), first), (first, core_support::WORD));
}

#[test]
fn a_write_is_lost_altered_late_or_there_twice() {
    let bench = Bench::faulty(&["register[reg=CHANCMP]: nth(1) drop"]);
    let _ = bench.set(0, ChanCmp, 0x40);
    assert_eq!(bench.get(0, ChanCmp), 0);

    let bench = Bench::faulty(&["register[reg=CHANCMP, op=write]: nth(1) corrupt(1, 0x01)"]);
    let _ = bench.set(0, ChanCmp, 0x40);
    assert_eq!(bench.get(0, ChanCmp), 0x140);

    let bench = Bench::faulty(&["register[reg=CHANCMP]: nth(1) delay(1ms)"]);
    let _ = bench.set(0, ChanCmp, 0x40);
    assert_eq!(bench.get(0, ChanCmp), 0);
    assert_eq!(pass(&bench), [1_000_000]);
    assert_eq!(bench.get(0, ChanCmp), 0x40);

    let mut bench = armed(&["register[reg=DMACOUNT]: nth(1) duplicate"]);
    ring(&mut bench, 1);
    assert_eq!(bench.events(Stage::Doorbell).len(), 2);
    assert_eq!(bench.word(), slot(0) | IDLE);
}

#[test]
fn a_late_write_is_lost_if_its_channel_is_reset_first() {
    let bench = Bench::faulty(&["register[reg=CHANCMP]: nth(1) delay(1ms)"]);
    let _ = bench.set(0, ChanCmp, 0x40);
    let _ = bench.command(0, RESET);
    assert_eq!(pass(&bench), [1_000_000]);
    assert_eq!(bench.get(0, ChanCmp), 0);
}

#[test]
fn a_reordered_write_comes_after_the_next_one_of_its_channel_or_by_itself() {
    let rule = "register[reg=CHANCMP]: nth(1) reorder";
    let bench = Bench::faulty(&[rule]);
    let _ = bench.set(0, ChanCmp, 0x40);
    // Another channel's is not the next one.
    let _ = bench.set(1, ChanCmp, 0x80);
    assert_eq!((bench.get(0, ChanCmp), bench.get(1, ChanCmp)), (0, 0x80));
    let _ = bench.set(0, ChanCmp, 0xc0);
    assert_eq!(bench.get(0, ChanCmp), 0x40);
    // What was put off for it is spent.
    assert_eq!(pass(&bench).len(), 1);
    let _ = bench.set(0, ChanCmp, 0x100);
    assert_eq!(bench.get(0, ChanCmp), 0x100);

    let bench = Bench::faulty(&[rule]);
    let _ = bench.set(0, ChanCmp, 0x40);
    assert_eq!(pass(&bench), [1_000_000]);
    assert_eq!(bench.get(0, ChanCmp), 0x40);

    // Every write reordered: they come in swapped pairs, and none stays behind.
    let bench = Bench::faulty(&["register[reg=CHANCMP]: always reorder"]);
    for value in [0x40, 0x80, 0xc0, 0x100] {
        let _ = bench.set(0, ChanCmp, value);
    }
    assert_eq!(bench.get(0, ChanCmp), 0xc0);
}

#[test]
fn the_bench_looks_past_faults_and_its_looks_are_no_operations() {
    let bench = Bench::faulty(&["register: nth(1) all-ones", "config[op=read]: nth(1) all-ones"]);
    let mut bytes = [0; 4];
    bench.function.peek(0, &mut bytes);
    assert_eq!(u64::from(u32::from_le_bytes(bytes)), FIRST_DWORD);
    bench.function.peek_config(0, &mut bytes);
    assert_eq!(u32::from_le_bytes(bytes), 0x2021_8086);
    assert_eq!((bench.read(0, 4), bench.config(0, 4)), (0xffff_ffff, 0xffff_ffff));
}

#[test]
fn configuration_space_has_its_own_operations() {
    for (action, seen) in
        [("all-ones", 0xffff_ffff), ("zeros", 0), ("corrupt(0)", 0x2021_8087), ("set(0, 0x20, 4)", 0x20)]
    {
        let bench = Bench::faulty(&[&format!("config[op=read]: nth(2) {action}")]);
        assert_eq!([0; 3].map(|at| bench.config(at, 4)), [0x2021_8086, seen, 0x2021_8086], "{action}");
    }
    // The bench has written COMMAND already: the next write is the second one.
    let bench = Bench::faulty(&["config: nth(2) drop", "config[reg=COMMAND, op=read]: after(1) stick"]);
    let _ = bench.function.config_write(COMMAND, &[0, 0]);
    assert_eq!(bench.config(COMMAND, 2), 0x0006);
    let _ = bench.function.config_write(COMMAND, &[0x02, 0]);
    assert_eq!(bench.config(COMMAND, 2), 0x0006);
    let mut now = [0; 2];
    bench.function.peek_config(COMMAND, &mut now);
    assert_eq!(u16::from_le_bytes(now), 0x0002);
    let bench = Bench::faulty(&["config[op=write]: nth(2) corrupt(0, 0x04)"]);
    let _ = bench.function.config_write(COMMAND, &[0x06, 0]);
    assert_eq!(bench.config(COMMAND, 2), 0x0002);
}

#[test]
fn a_doorbell_is_lost_late_off_or_rings_twice() {
    let mut bench = armed(&["doorbell: nth(1) drop"]);
    ring(&mut bench, 1);
    assert_eq!((bench.state(0), bench.get(0, DmaCount)), (ChannelState::Armed, 0));
    ring(&mut bench, 1);
    assert_eq!(bench.word(), slot(0) | IDLE);

    let mut bench = armed(&["doorbell: nth(1) delay(1ms)"]);
    ring(&mut bench, 1);
    assert_eq!((bench.state(0), bench.word()), (ChannelState::Armed, 0));
    let due = bench.function.take_postponed();
    let memory = bench.table.reader().pin();
    let effects: Vec<_> = due.into_iter().map(|it| bench.function.carry_out(it, &memory)).collect();
    assert_eq!(effects, [Effects { wake: 1, quiesce: 0 }]);
    bench.drive(0);
    assert_eq!(bench.word(), slot(0) | IDLE);

    for (rule, count) in [("misaddress(-1)", 1), ("misaddress(+1)", 3)] {
        let mut bench = armed(&[&format!("doorbell: nth(1) {rule}")]);
        ring(&mut bench, 2);
        let _ = bench.set(0, ChanCtrl, LINUX_CHANCTRL.into());
        assert_eq!(
            (bench.get(0, DmaCount), bench.function.view(0).unwrap().done),
            (u64::from(count), Some(count))
        );
    }

    let mut bench = armed(&["doorbell: nth(1) duplicate"]);
    ring(&mut bench, 1);
    assert_eq!(bench.function.view(0).unwrap().counters.descriptors, 1);
    assert_eq!(bench.events(Stage::Doorbell)[0].mark, Mark::Faulted);
}

#[test]
fn a_message_is_late_there_twice_or_another_vectors() {
    let mut bench = armed(&["msix: nth(1) delay(1ms)"]);
    ring(&mut bench, 1);
    assert_eq!((bench.messages().len(), bench.word(), bench.get(0, ChanCtrl) & 1), (0, slot(0) | IDLE, 1));
    assert_eq!(pass(&bench), [1_000_000]);
    assert_eq!(bench.messages(), [0]);

    let mut bench = armed(&["msix: nth(1) delay(1ms)"]);
    ring(&mut bench, 1);
    let _ = bench.command(0, RESET);
    pass(&bench);
    assert_eq!(bench.messages(), [0; 0], "a reset takes what is late with it");

    let mut bench = armed(&["msix: nth(1) duplicate"]);
    ring(&mut bench, 1);
    assert_eq!(bench.messages(), [0]);
    pass(&bench);
    assert_eq!(bench.messages(), [0, 0]);

    let mut bench = armed(&["msix: nth(1) vector(2)"]);
    ring(&mut bench, 1);
    assert_eq!(bench.messages(), [2]);
    let mut bench = armed(&["msix: nth(1) vector(200)"]);
    ring(&mut bench, 1);
    assert_eq!(bench.messages(), [0; 0]);
}

#[test]
fn a_storm_is_so_many_messages_whatever_int_dis_says() {
    let mut bench = armed(&["msix: nth(1) storm(5)"]);
    ring(&mut bench, 1);
    let mut counts = vec![bench.messages().len()];
    while !pass(&bench).is_empty() {
        counts.push(bench.messages().len());
    }
    // One after the other, with time in between, and the last one ends it.
    assert_eq!((counts, bench.get(0, ChanCtrl) & 1), (vec![1, 2, 3, 4, 5], 1));
    works(&mut bench);
}

#[test]
fn an_early_message_comes_before_its_word_and_after_its_data() {
    let mut bench = armed(&["msix: nth(2) early"]);
    ring(&mut bench, 1);
    let _ = bench.set(0, ChanCtrl, LINUX_CHANCTRL.into());
    let _ = bench.doorbell(0, 2);
    assert!(bench.step(0));
    assert_eq!((bench.messages().len(), bench.word(), bench.status(0) & 7), (2, slot(0) | IDLE, 0));
    assert_eq!(bench.take(TARGET + 64, 64), pattern(64, 1));
    bench.drive(0);
    // The word came later, and the interrupt only once.
    assert_eq!((bench.messages().len(), bench.word()), (2, slot(1) | IDLE));
    let _ = bench.set(0, ChanCtrl, LINUX_CHANCTRL.into());
    ring(&mut bench, 3);
    assert_eq!((bench.messages().len(), bench.word()), (3, slot(2) | IDLE));
}

#[test]
fn where_only_the_line_is_there_its_event_is_what_is_lost_late_or_repeated() {
    let line = |rules: &[&str]| {
        let mut bench = armed(rules);
        bench.wires.messages_on.store(false, Ordering::Relaxed);
        let _ = bench.write(INTRCTRL, 1, 1);
        ring(&mut bench, 1);
        bench
    };
    let asserted = |bench: &Bench<RuleFaults>| bench.wires.asserted.load(Ordering::Relaxed);
    assert!(asserted(&line(&[])));
    let bench = line(&["msix: nth(1) drop"]);
    assert_eq!((asserted(&bench), bench.read(ATTNSTATUS, 4), bench.word()), (false, 0, slot(0) | IDLE));

    let bench = line(&["msix: nth(1) delay(1ms)"]);
    assert!(!asserted(&bench));
    pass(&bench);
    assert!(asserted(&bench));

    let bench = line(&["msix: nth(1) storm(3)"]);
    let mut times = 0;
    while asserted(&bench) {
        times += 1;
        assert_eq!((bench.read(ATTNSTATUS, 4), asserted(&bench)), (1, false));
        pass(&bench);
    }
    assert_eq!(times, 3);
}

#[test]
fn a_command_is_ignored_or_late() {
    let bench = armed(&["state: nth(1) drop"]);
    assert_eq!((bench.state(0), bench.get(0, ChainAddr)), (ChannelState::Halted, 0));
    let _ = bench.set(0, ChainAddr, RING);
    assert_eq!(bench.state(0), ChannelState::Armed);

    let bench = armed(&["state: nth(1) delay(1ms)"]);
    assert_eq!(bench.state(0), ChannelState::Halted);
    pass(&bench);
    assert_eq!((bench.state(0), bench.get(0, ChainAddr)), (ChannelState::Armed, RING));

    // SUSPEND and RESUME are the second and the third command.
    for (rule, states) in [
        ("state: nth(2) drop", [ChannelState::Idle, ChannelState::Idle]),
        ("state: nth(3) drop", [ChannelState::Suspended, ChannelState::Suspended]),
        ("state[state=idle]: nth(1) delay(1ms)", [ChannelState::Idle, ChannelState::Idle]),
    ] {
        let mut bench = armed(&[rule]);
        ring(&mut bench, 1);
        let states_seen = [SUSPEND, RESUME].map(|command| {
            let _ = bench.command(0, command);
            bench.state(0)
        });
        assert_eq!(states_seen, states, "{rule}");
    }
}

#[test]
fn a_spurious_halt_has_its_bits_or_no_reason_at_all() {
    for (bits, chan_err) in [("none", 0), ("5", 1 << 5), ("30", 1 << 30)] {
        let mut bench = armed(&[&format!("state: nth(2) halt({bits})")]);
        ring(&mut bench, 1);
        let _ = bench.set(0, ChanCtrl, LINUX_CHANCTRL.into());
        let _ = bench.command(0, SUSPEND);
        assert_eq!((bench.state(0), bench.chan_err(0)), (ChannelState::Halted, chan_err), "{bits}");
        assert_eq!((bench.config(CHANERR_INT, 4), bench.messages().len()), (chan_err, 2), "{bits}");
        let _ = bench.set(0, ioat_spec::ChannelRegister::ChanErr, u64::from(u32::MAX));
        let _ = bench.command(0, RESET);
        works(&mut bench);
    }
    // In the middle of a descriptor's way it waits for the boundary.
    let mut bench = armed(&["state: nth(2) halt(none)"]);
    let _ = bench.doorbell(0, 4);
    let _ = bench.begin(0);
    let mut step = bench.begin(0).step();
    let _ = bench.command(0, SUSPEND);
    assert_eq!(bench.state(0), ChannelState::Active);
    step.run();
    let _ = bench.finish(step);
    bench.drive(0);
    assert_eq!((bench.state(0), bench.chan_err(0)), (ChannelState::Halted, 0));
    // What is masked does not halt, as no error of a stage would.
    let bench = Bench::faulty(&["state: nth(1) halt(5)"]);
    let _ = bench.set(0, ioat_spec::ChannelRegister::ChanErrMsk, 1 << 5);
    let _ = bench.set(0, ChainAddr, RING);
    assert_eq!((bench.state(0), bench.chan_err(0)), (ChannelState::Armed, 0));
}

#[test]
fn a_channel_reset_does_nothing_never_ends_or_comes_late() {
    let mut bench = armed(&["reset: nth(1) drop"]);
    ring(&mut bench, 1);
    let _ = bench.command(0, RESET);
    assert_eq!((bench.state(0), bench.get(0, ChanCmd)), (ChannelState::Idle, 0));
    let _ = bench.command(0, RESET);
    assert_eq!(bench.state(0), ChannelState::Halted);

    let mut bench = armed(&["reset: nth(1) stick"]);
    for _ in 0..3 {
        let _ = bench.command(0, RESET);
        let _ = bench.set(0, ChainAddr, RING);
        assert_eq!((bench.get(0, ChanCmd), bench.state(0)), (RESET.into(), ChannelState::Halted));
    }
    let _ = bench.function.config_write(DEVCTL, &FLR.to_le_bytes()[..2]);
    assert_eq!(bench.get(0, ChanCmd), 0);
    works(&mut bench);

    let mut bench = armed(&["reset: nth(1) delay(1ms)"]);
    let _ = bench.command(0, RESET);
    assert_eq!((bench.get(0, ChanCmd), bench.state(0)), (RESET.into(), ChannelState::Armed));
    assert_eq!(pass(&bench), [1_000_000]);
    assert_eq!((bench.get(0, ChanCmd), bench.state(0)), (0, ChannelState::Halted));
    works(&mut bench);
}

#[test]
fn a_reset_leaves_an_error_or_takes_the_vectors_with_it() {
    let mut bench = armed(&["reset: nth(1) halt(7)"]);
    let _ = bench.command(0, RESET);
    assert_eq!((bench.state(0), bench.chan_err(0)), (ChannelState::Halted, 1 << 7));
    assert_eq!(bench.config(CHANERR_INT, 4), 1 << 7);
    let _ = bench.set(0, ioat_spec::ChannelRegister::ChanErr, 1 << 7);
    works(&mut bench);

    let mut bench = Bench::faulty(&["reset: nth(1) wipe"]);
    let _ = bench.write(0x2000, 4, 0xfee0_0000);
    let _ = bench.write(0x200c, 4, 0);
    let _ = bench.command(0, RESET);
    assert_eq!((bench.read(0x2000, 4), bench.read(0x200c, 4)), (0, 1));
    prepare(&bench);
    bench.arm(0, LINUX_CHANCTRL);
    ring(&mut bench, 1);
    assert_eq!((bench.word(), bench.messages()), (slot(0) | IDLE, vec![]));
    let _ = bench.write(0x200c, 4, 0);
    works(&mut bench);
}

#[test]
fn a_function_reset_does_nothing_never_ends_takes_its_time_or_leaves_errors() {
    let flr = |rule: &str| {
        let mut bench = armed(&[rule]);
        ring(&mut bench, 1);
        let _ = bench.function.config_write(DEVCTL, &FLR.to_le_bytes()[..2]);
        bench
    };
    let bench = flr("reset: nth(1) drop");
    assert_eq!((bench.state(0), bench.config(COMMAND, 2)), (ChannelState::Idle, 6));
    // DEVICE_RESET is the same, and says whether it was done.
    assert!(bench.function.device_reset().is_some());
    assert_eq!((bench.status(0), bench.config(COMMAND, 2)), (3, 0));
    assert!(Bench::faulty(&["reset: nth(1) drop"]).function.device_reset().is_none());

    let mut bench = flr("reset: nth(1) delay(1ms)");
    assert_eq!((bench.status(0), bench.config(0, 4)), (u64::MAX, 0xffff_ffff));
    assert_eq!(pass(&bench), [1_000_000]);
    assert_eq!((bench.status(0), bench.config(0, 4)), (3, 0x2021_8086));
    works(&mut bench);

    let bench = flr("reset: nth(1) stick");
    assert_eq!((bench.config(0, 4), pass(&bench)), (0xffff_ffff, vec![]));

    let bench = flr("reset: nth(1) halt(7)");
    assert_eq!([0, 1, 2, 3].map(|channel| bench.chan_err(channel)), [1 << 7; 4]);
}

#[test]
fn a_device_that_is_removed_reads_ones_does_nothing_and_returns_as_after_power_on() {
    let mut bench = armed(&["pcie[ch=0, op=write]: nth(5) remove(5ms)"]);
    ring(&mut bench, 1);
    let _ = bench.doorbell(0, 2);
    assert!(bench.function.is_gone());
    bench.drive(0);
    assert_eq!((bench.status(0), bench.config(COMMAND, 2)), (u64::MAX, 0xffff));
    let _ = bench.set(0, ChanCmp, 0x40);
    assert!(bench.function.device_reset().is_none());
    assert_eq!((bench.word(), bench.take(TARGET + 64, 64)), (slot(0) | IDLE, vec![0; 64]));
    assert_eq!(pass(&bench), [5_000_000]);
    assert_eq!((bench.status(0), bench.get(0, ChanCmp), bench.config(COMMAND, 2)), (3, 0, 0));
    works(&mut bench);

    // In the middle of a step: what it did is discarded.
    let mut bench = armed(&["pcie[ch=0, op=read]: nth(1) remove"]);
    let _ = bench.doorbell(0, 1);
    let _ = bench.begin(0);
    let mut step = bench.begin(0).step();
    assert_eq!(bench.status(0), u64::MAX);
    step.run();
    assert!(!bench.finish(step));
    assert_eq!((bench.messages().len(), bench.word(), pass(&bench).len()), (0, 0, 0));
    let _ = bench.function.put_back();
    works(&mut bench);
}

#[test]
fn an_access_of_a_device_that_is_gone_is_no_operation() {
    let bench = Bench::faulty(&["pcie[ch=0, op=read]: nth(2) remove(1ms)", "register: nth(2) zeros"]);
    let _ = bench.get(0, ChanCmp);
    assert_eq!([0, 0, 0].map(|channel| bench.status(channel)), [u64::MAX; 3]);
    pass(&bench);
    assert_eq!([0, 0].map(|channel| bench.status(channel)), [0, 3]);
}

#[test]
fn bus_mastery_is_switched_off_under_the_driver() {
    let mut bench = armed(&["pcie[ch=0, op=write]: nth(4) bus-master-off"]);
    ring(&mut bench, 1);
    assert_eq!((bench.config(COMMAND, 2), bench.word(), bench.messages().len()), (0x0002, 0, 0));
    bench.enable();
    bench.drive(0);
    assert_eq!((bench.word(), bench.messages().len()), (slot(0) | IDLE, 1));
}

#[test]
fn kill_ends_the_program_or_where_that_is_not_known_the_device() {
    let bench = Bench::faulty(&["register[reg=CHANSTS]: nth(1) kill"]);
    assert_eq!((bench.status(0), bench.config(0, 4)), (u64::MAX, 0xffff_ffff));
    assert_eq!(pass(&bench), [0; 0]);
    let bench = Bench::faulty(&["register[reg=CHANSTS]: nth(1) kill"]);
    let calls = Arc::new(AtomicU32::new(0));
    let called = Arc::clone(&calls);
    assert!(bench.function.on_kill(Box::new(move || {
        called.fetch_add(1, Ordering::Relaxed);
    })));
    assert!(!bench.function.on_kill(Box::new(|| {})));
    let _ = bench.status(0);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_quiet_descriptor_is_no_message_to_be_early() {
    let mut bench = Bench::faulty(&["msix: always early"]);
    bench.ring(&[core_support::cmpl(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    ring(&mut bench, 1);
    assert_eq!((bench.word(), bench.messages().len()), (slot(0) | IDLE, 0));
}
