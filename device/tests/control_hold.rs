//! A channel that a bench holds: exactly so many descriptors, and everything that must go on all the same.

mod core_support;

use core_support::{
    Begun, Bench, COMMAND, LINUX_CHANCTRL, RESET, RESUME, SOURCE, SUSPEND, TARGET, cmpl, copy, fill, int,
    null, slot, with,
};
use ioat_spec::{ChanErr, ChannelRegister, ChannelState, Control, Descriptor};
use ioat_stage::FaultBook;
use vfio_user_ioat::Profile;

fn started(bench: &Bench, count: u16) {
    bench.ring(&[int(cmpl(copy(64)))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, count);
}

#[test]
fn a_paused_channel_begins_nothing_and_goes_on_when_it_is_resumed() {
    let mut bench = Bench::new();
    bench.function.pause(0);
    started(&bench, 5);
    assert!(matches!(bench.begin(0), Begun::Nothing));
    assert_eq!((bench.state(0), bench.word()), (ChannelState::Active, 0));
    let view = bench.function.view(0).unwrap();
    assert_eq!((view.paused, view.settled, view.dma_count, view.done), (true, true, 5, Some(0)));
    assert!(bench.function.resume(0));
    bench.drive(0);
    assert_eq!(
        (bench.state(0), bench.function.view(0).unwrap().counters.descriptors),
        (ChannelState::Idle, 5)
    );
}

#[test]
fn a_step_of_n_does_exactly_n_descriptors_one_per_step() {
    let mut bench = Bench::new();
    bench.ring(&[copy(64), copy(4096), null(), fill(1 << 20, 7)]);
    bench.arm(0, LINUX_CHANCTRL);
    assert!(!bench.function.allow(0, 1), "only a held channel can be stepped");
    bench.function.pause(0);
    let _ = bench.doorbell(0, 100);
    for n in 1..=7 {
        assert!(bench.function.allow(0, n));
        bench.drive(0);
    }
    let view = bench.function.view(0).unwrap();
    assert_eq!((view.counters.descriptors, view.counters.steps, view.sequence), (28, 28, 28));
    assert_eq!((view.allowed, view.done, view.settled), (0, Some(28), true));
    assert_eq!(view.counters.bytes, 7 * (64 + 4096 + 1 + (1 << 20)));
}

#[test]
fn a_descriptor_of_several_steps_counts_once() {
    let mut bench = Bench::of(Profile::NETDMA);
    // A context change takes two steps: target first, word second (contract 1.12).
    let context = Descriptor { size: 0xdead_be07, control: 0xff00_0001, ..copy(0) };
    bench.ring(&[cmpl(context), copy(64)]);
    bench.arm(0, LINUX_CHANCTRL);
    bench.function.pause(0);
    let _ = bench.doorbell(0, 2);
    assert!(bench.function.allow(0, 1));
    bench.drive(0);
    let view = bench.function.view(0).unwrap();
    assert_eq!((view.counters.descriptors, view.counters.steps, view.counters.bytes), (1, 2, 0));
    assert_eq!((view.state, view.settled, view.allowed), (ChannelState::Active, true, 0));
    assert_eq!(bench.word(), slot(0));
}

#[test]
fn what_is_not_used_now_stays_allowed_and_a_new_pause_takes_it_back() {
    let mut bench = Bench::new();
    bench.function.pause(0);
    started(&bench, 2);
    assert!(bench.function.allow(0, 5));
    bench.drive(0);
    assert_eq!(bench.function.view(0).unwrap().allowed, 3);
    let _ = bench.doorbell(0, 3);
    bench.drive(0);
    assert_eq!(bench.function.view(0).unwrap().allowed, 2);
    bench.function.pause(0);
    let _ = bench.doorbell(0, 4);
    assert!(matches!(bench.begin(0), Begun::Nothing));
}

#[test]
fn a_pause_stops_a_run_that_is_under_way_at_its_next_boundary() {
    let mut bench = Bench::new();
    bench.ring(&[copy(64)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 100);
    assert!(matches!(bench.begin(0), Begun::Starting));
    let mut step = bench.begin(0).step();
    bench.function.pause(0);
    step.run();
    assert!(!bench.finish(step));
    assert_eq!(bench.function.view(0).unwrap().counters.descriptors, 0);
    assert!(bench.function.resume(0));
    bench.drive(0);
    assert_eq!(bench.function.view(0).unwrap().counters.descriptors, 100);
}

/// The run began before the pause, when a step had no end: it must not do more than is allowed.
#[test]
fn a_step_that_is_allowed_before_the_pause_has_settled_does_no_more_than_it() {
    let mut bench = Bench::new();
    bench.ring(&[copy(64)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 100);
    assert!(matches!(bench.begin(0), Begun::Starting));
    let mut step = bench.begin(0).step();
    bench.function.pause(0);
    assert!(bench.function.allow(0, 2));
    step.run();
    assert!(bench.finish(step), "what is allowed is still to be done");
    bench.drive(0);
    let view = bench.function.view(0).unwrap();
    assert_eq!((view.counters.descriptors, view.allowed, view.settled), (2, 0, true));
}

/// Whatever way a descriptor goes: its size is counted when it is done, once, and a page that only bounds the step is not.
#[test]
fn bytes_are_the_sizes_of_what_was_done_whatever_way_it_went() {
    const SIZES: [u32; 4] = [64, 1 << 20, 4096, 200_000];
    let rules = [
        "fetch: nth(100) halt(descriptor)",
        "fetch: nth(3) halt(descriptor)",
        "translate: nth(2) halt(source-address)",
        "copy: nth(4) halt(read-data)",
        "copy: every(2) corrupt(0)",
        "complete: nth(1) early",
        "complete: every(2) early",
        "complete: every(3) drop",
        "complete: every(1) misaddress(+64)",
    ];
    for (rule, single) in rules.into_iter().flat_map(|rule| [(rule, false), (rule, true)]) {
        let mut bench = Bench::faulty(&[rule]);
        bench.ring(&SIZES.map(|size| cmpl(copy(size))));
        bench.arm(0, LINUX_CHANCTRL);
        if single {
            bench.function.pause(0);
            assert!(bench.function.allow(0, 30));
        }
        let _ = bench.doorbell(0, 30);
        bench.drive(0);
        let counters = bench.function.view(0).unwrap().counters;
        let done = usize::try_from(counters.descriptors).unwrap();
        let sizes: u64 = SIZES.iter().cycle().take(done).map(|size| u64::from(*size)).sum();
        assert_eq!(counters.bytes, sizes, "{rule}, {done} descriptors, single: {single}");
        let halts = rule.contains("halt") && !rule.contains("nth(100)");
        assert_eq!((done < 30, counters.errors), (halts, halts.into()), "{rule}, single: {single}");
    }
}

/// What a reset abandons inside a descriptor was not done.
#[test]
fn a_descriptor_that_is_abandoned_half_way_counts_no_bytes() {
    let mut bench = Bench::faulty(&["complete: nth(2) early"]);
    bench.ring(&[cmpl(copy(1 << 20)), cmpl(copy(1 << 20))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 5);
    // A MiB fills a step; the fault leaves the data of the second one to a later step.
    assert!(bench.step(0) && bench.step(0));
    assert_eq!(bench.word(), slot(1));
    assert!(matches!(bench.begin(0), Begun::Starting));
    let mut step = bench.begin(0).step();
    // No reset waits for a step that nobody runs: the order is what the run sees.
    let _ = bench.command(0, RESET);
    step.run();
    let _ = bench.finish(step);
    let counters = bench.function.view(0).unwrap().counters;
    assert_eq!((counters.descriptors, counters.bytes), (1, 1 << 20));
}

#[test]
fn suspend_reset_and_flr_work_on_a_paused_channel() {
    let mut bench = Bench::new();
    bench.function.pause(0);
    started(&bench, 5);
    let effects = bench.command(0, SUSPEND);
    assert_eq!((effects.quiesce, bench.state(0)), (0, ChannelState::Suspended));
    let _ = bench.command(0, RESUME);
    assert_eq!(bench.state(0), ChannelState::Active);
    let effects = bench.command(0, RESET);
    assert_eq!((effects.quiesce, bench.state(0)), (0, ChannelState::Halted));
    started(&bench, 5);
    let effects = bench.function.config_write(0x99, &[0x80]);
    assert_eq!((effects.quiesce, bench.state(0)), (0, ChannelState::Halted));
    assert!(bench.function.view(0).unwrap().paused, "a pause is the bench's: no reset ends it");
    bench.enable();
    started(&bench, 5);
    let effects = bench.function.config_write(COMMAND, &[0, 0]);
    assert_eq!((effects.quiesce, bench.config(COMMAND, 2)), (0, 0));
    assert!(matches!(bench.begin(0), Begun::Nothing));
}

/// SUSPEND waits for a descriptor boundary (3.5); a pause must not keep the channel from it.
#[test]
fn a_descriptor_that_was_begun_is_finished_under_a_pause_so_that_suspend_ends() {
    let mut bench = Bench::faulty(&["complete: nth(1) early"]);
    bench.ring(&[cmpl(copy(64))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 5);
    // The fault leaves the data of the first descriptor to a later step.
    assert!(bench.step(0));
    bench.function.pause(0);
    let _ = bench.command(0, SUSPEND);
    assert_eq!(bench.state(0), ChannelState::Active);
    bench.drive(0);
    assert_eq!(
        (bench.state(0), bench.function.view(0).unwrap().counters.descriptors),
        (ChannelState::Suspended, 1)
    );
}

#[test]
fn the_views_have_what_the_registers_have_and_touch_nothing() {
    let mut bench = Bench::new();
    bench.ring(&[int(copy(64)), with(copy(64), Control::new().with_opcode(0x77))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    let peek = |offset, len: usize| {
        let mut bytes = [0; 8];
        bench.function.peek(offset, &mut bytes[..len]);
        u64::from_le_bytes(bytes)
    };
    // ATTNSTATUS clears when it is read (2.1), CHANCTRL claims the channel (2.5).
    assert_eq!([peek(4, 4), peek(4, 4), bench.read(4, 4), peek(4, 4)], [1, 1, 1, 0]);
    assert_eq!([peek(0x80, 2) & 0x100, peek(0x80, 2) & 0x100], [0, 0]);
    let _ = bench.get(0, ChannelRegister::ChanCtrl);
    assert_eq!(peek(0x80, 2) & 0x100, 0x100);
    let view = bench.function.view(0).unwrap();
    assert_eq!((view.state, view.chan_err), (ChannelState::Halted, ChanErr::CONTROL));
    assert_eq!((view.completed, view.current, view.sequence), (slot(0), slot(1), 1));
    let counters = view.counters;
    assert_eq!((counters.descriptors, counters.errors, counters.doorbells), (1, 1, 1));
    assert_eq!((counters.interrupts_raised, counters.interrupts_held), (1, 1));
    assert!(bench.function.view(99).is_none());
}

#[test]
fn a_rule_that_is_armed_between_two_steps_hits_inside_the_next_one_and_is_gone_when_disarmed() {
    let book = FaultBook::new([]);
    let mut bench = Bench::with(Profile::SKX, |_| book.faults());
    let mut round = |armed: Option<&str>| {
        let id = armed.map(|rule| book.arm(rule.parse().unwrap()));
        bench.put(SOURCE, &[0xa5; 64]);
        bench.put(TARGET, &[0; 64]);
        bench.ring(&[copy(64)]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, 3);
        bench.drive(0);
        assert!(id.is_none_or(|id| book.disarm(id)));
        (bench.state(0), bench.take(TARGET, 2))
    };
    assert_eq!(round(None), (ChannelState::Idle, vec![0xa5, 0xa5]));
    assert_eq!(round(Some("copy[ch=0]: nth(3) corrupt(1, 0xff)")), (ChannelState::Idle, vec![0xa5, 0x5a]));
    assert_eq!(round(None), (ChannelState::Idle, vec![0xa5, 0xa5]));
    assert_eq!(book.fired()[0].again().to_string(), "copy[ch=0]: nth(3) corrupt(1, 0xff)");
    assert_eq!(round(Some("fetch: nth(1) halt(descriptor)")).0, ChannelState::Halted);
}
