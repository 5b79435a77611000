//! What may happen to a step from outside: unmap, bus master off, FLR.

mod core_support;

use core_support::{
    Bench, COMMAND, LINUX_CHANCTRL, SOURCE, SUSPEND, TARGET, WORD, cmpl, copy, int, null, pattern, slot,
};
use ioat_spec::ChannelState;
use ioat_stage::Stage;
use std::cell::Cell;
use std::sync::Arc;
use vfio_user_ioat::memory::{Access, Denied, GuestMemory, Lane, Pin, VolatileSlice, Want};
use vfio_user_ioat::{Begin, Effects, Function, Profile, Run};

const IDLE: u64 = ChannelState::Idle.code();

/// A pin on which something happens each time that the engine asks whether it should yield.
struct Eventful<'a> {
    pin: Pin,
    asked: Cell<u32>,
    on_ask: &'a dyn Fn(u32) -> bool,
}

impl GuestMemory for Eventful<'_> {
    fn resolve(&self, lane: Lane, iova: u64, len: u64, want: Want) -> Result<VolatileSlice<'_>, Denied> {
        self.pin.resolve(lane, iova, len, want)
    }

    fn yield_requested(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        (self.on_ask)(self.asked.get()) || self.pin.yield_requested()
    }

    fn poisoned(&self) -> bool {
        self.pin.poisoned()
    }
}

/// Starts a copy of 256 KiB with word and interrupt; `on_ask` is called before the descriptor and after each 64 KiB.
fn begin_copy<'a>(
    bench: &Bench,
    on_ask: &'a dyn Fn(u32) -> bool,
) -> Run<Eventful<'a>, ioat_stage::NoFaults, Arc<ioat_stage::Recorder>> {
    bench.put(SOURCE, &pattern(0x4_0000, 8));
    bench.ring(&[int(copy(0x4_0000))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    let memory = || Eventful { pin: bench.table.reader().pin(), asked: Cell::new(0), on_ask };
    let Begin::Starting(memory) = bench.function.begin(0, memory()) else { panic!("no start latency") };
    let Begin::Run(run) = bench.function.begin(0, memory) else { panic!("nothing to run") };
    run
}

#[test]
fn a_yield_keeps_what_is_done_and_the_next_step_goes_on_inside_the_descriptor() {
    let mut bench = Bench::new();
    let mut step = begin_copy(&bench, &|asked| asked == 3);
    step.run();
    // The second piece was the last one before the yield.
    assert!(bench.take(TARGET + 0x1_fff0, 16) == pattern(0x4_0000, 8)[0x1_fff0..0x2_0000]);
    assert_eq!(bench.take(TARGET + 0x2_0000, 16), [0; 16]);
    assert!(bench.function.finish(step).more);
    assert_eq!((bench.word(), bench.state(0)), (0, ChannelState::Active));
    bench.drive(0);
    assert!(bench.take(TARGET, 0x4_0000) == pattern(0x4_0000, 8));
    assert_eq!((bench.word(), bench.messages().len()), (slot(0) | IDLE, 1));
    // One descriptor, one event per stage.
    for stage in [Stage::Fetch, Stage::Translate, Stage::Copy, Stage::Complete, Stage::Msix] {
        assert_eq!(bench.events(stage).len(), 1, "{stage}");
    }
}

#[test]
fn an_unmap_waits_for_one_piece_and_the_rest_of_the_copy_fails_on_what_is_gone() {
    let mut bench = Bench::new();
    // The second half of the destination is a map of its own.
    let file = bench.memory.try_clone().unwrap();
    bench
        .table
        .map(0x8000_0000, 0x2_0000, Access::READ_WRITE, Some((file.try_clone().unwrap(), 0x60_0000)))
        .unwrap();
    bench.table.map(0x8002_0000, 0x2_0000, Access::READ_WRITE, Some((file, 0x62_0000))).unwrap();
    let ticket = std::cell::RefCell::new(None);
    let table = Arc::clone(&bench.table);
    let on_ask = |asked| {
        if asked == 2 {
            *ticket.borrow_mut() = Some(table.unmap(0x8002_0000, 0x2_0000).unwrap());
        }
        false
    };
    bench.put(SOURCE, &pattern(0x4_0000, 8));
    bench.ring(&[cmpl(ioat_spec::Descriptor { destination: 0x8000_0000, ..copy(0x4_0000) })]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    let memory = Eventful { pin: table.reader().pin(), asked: Cell::new(0), on_ask: &on_ask };
    let Begin::Starting(memory) = bench.function.begin(0, memory) else { panic!("no start latency") };
    let Begin::Run(mut step) = bench.function.begin(0, memory) else { panic!("nothing to run") };
    step.run();
    assert!(!table.is_drained(ticket.borrow().as_ref().unwrap()));
    let finished = bench.function.finish(step);
    assert!(finished.more);
    let _ = finished.memory.pin.unpin();
    assert!(table.is_drained(ticket.borrow().as_ref().unwrap()));
    bench.drive(0);
    assert_eq!((bench.chan_err(0), bench.word()), (1 << 1, 3));
}

#[test]
fn m10_bus_master_off_stops_inside_a_descriptor_and_on_goes_on() {
    let mut bench = Bench::new();
    let stopped = Cell::new(Effects::default());
    let mut step = {
        let on_ask: &dyn Fn(u32) -> bool = &|_| false;
        begin_copy(&bench, on_ask)
    };
    stopped.set(bench.function.config_write(COMMAND, &[0x02, 0x00]));
    assert_eq!(stopped.get().quiesce, 1);
    step.run();
    assert!(!bench.function.finish(step).more);
    assert_eq!(bench.take(TARGET, 16), [0; 16]);
    assert_eq!((bench.word(), bench.messages().len()), (0, 0));
    assert!(!bench.step(0));
    let effects = bench.function.config_write(COMMAND, &[0x06, 0x00]);
    assert_eq!(effects.wake, 1);
    bench.drive(0);
    assert!(bench.take(TARGET, 0x4_0000) == pattern(0x4_0000, 8));
    assert_eq!((bench.word(), bench.messages().len()), (slot(0) | IDLE, 1));
}

#[test]
fn bus_master_off_holds_an_interrupt_back_until_it_is_on_again() {
    let mut bench = Bench::new();
    let mut step = begin_copy(&bench, &|_| false);
    step.run();
    let _ = bench.function.config_write(COMMAND, &[0x02, 0x00]);
    let _ = bench.function.finish(step);
    assert_eq!((bench.status(0), bench.messages().len()), (slot(0) | IDLE, 0));
    let _ = bench.function.config_write(COMMAND, &[0x06, 0x00]);
    assert_eq!(bench.messages(), [0]);
    let _ = bench.step(0);
}

#[test]
fn suspend_inside_a_descriptor_waits_for_its_end() {
    let mut bench = Bench::new();
    let mut step = begin_copy(&bench, &|asked| asked == 2);
    step.run();
    let _ = bench.function.finish(step);
    assert_eq!(bench.command(0, SUSPEND).wake, 1);
    assert_eq!(bench.state(0), ChannelState::Active);
    bench.drive(0);
    assert_eq!(bench.status(0), slot(0) | ChannelState::Suspended.code());
    assert_eq!(bench.word(), slot(0) | IDLE);
}

#[test]
fn m23_reset_inside_a_descriptor_stops_at_the_next_64_kib() {
    let mut bench = Bench::new();
    let function = &bench.function;
    let reset = |asked| {
        if asked == 2 {
            let _ = function.bar_write(0x84, &[0x20]);
        }
        false
    };
    let mut step = begin_copy(&bench, &reset);
    step.run();
    assert_eq!(function.finish(step).memory.asked.get(), 2);
    assert_eq!((bench.word(), bench.status(0), bench.messages().len()), (0, 3, 0));
    assert_eq!(bench.take(TARGET + 0x2_0000, 16), [0; 16]);
    assert!(!bench.step(0));
}

#[test]
fn m09_flr_and_device_reset_discard_what_is_in_flight() {
    for flr in [true, false] {
        let mut bench = Bench::new();
        let mut step = begin_copy(&bench, &|_| false);
        step.run();
        let effects = if flr { bench.function.config_write(0x99, &[0x80]) } else { bench.function.reset() };
        assert_eq!(effects.quiesce, 1);
        let finished = bench.function.finish(step);
        assert!(!finished.more && !bench.function.is_in_flight(0));
        bench.enable();
        assert!(!bench.step(0));
        assert_eq!((bench.status(0), bench.messages().len(), bench.config(0x98, 2)), (3, 0, 0x2810));
        // The sequence counts from the reset.
        bench.ring(&[null()]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, 1);
        bench.drive(0);
        assert_eq!(bench.events(Stage::Fetch).last().unwrap().sequence, 0);
    }
}

#[test]
fn a_truncated_file_is_an_error_of_the_channel_and_not_of_the_process() {
    let mut bench = Bench::new();
    bench.ring(&[cmpl(copy(64))]);
    bench.arm(0, LINUX_CHANCTRL);
    let file = core_support::memfd(0x1000);
    bench.table.map(0x8000_0000, 0x1000, Access::READ_WRITE, Some((file.try_clone().unwrap(), 0))).unwrap();
    bench.ring(&[cmpl(ioat_spec::Descriptor { source: 0x8000_0000, ..copy(64) })]);
    let _ = bench.doorbell(0, 1);
    file.set_len(0).unwrap();
    bench.drive(0);
    assert_eq!((bench.chan_err(0), bench.status(0), bench.word()), (1 << 7, 3, 3));
}

#[test]
fn channels_do_not_disturb_each_other() {
    let mut bench = Bench::new();
    let mut step = begin_copy(&bench, &|_| false);
    for channel in 1..4 {
        bench.put(WORD, &[0; 8]);
        bench.ring(&[int(copy(64))]);
        bench.arm(channel, LINUX_CHANCTRL);
        let _ = bench.doorbell(channel, 1);
        bench.drive(channel);
        assert_eq!((bench.status(channel), bench.state(0)), (slot(0) | IDLE, ChannelState::Active));
    }
    step.run();
    let _ = bench.function.finish(step);
    assert_eq!(bench.messages(), [1, 2, 3, 0]);
}

#[test]
fn a_function_and_its_runs_may_cross_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Function<ioat_stage::RuleFaults, ioat_stage::NoTrace>>();
    sync::<Function<ioat_stage::RuleFaults, ioat_stage::NoTrace>>();
    send::<Run<Pin, ioat_stage::RuleFaults, ioat_stage::NoTrace>>();
    assert_eq!(Profile::SKX.transfer_max_bytes(), 1 << 20);
}
