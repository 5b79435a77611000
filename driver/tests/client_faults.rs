//! The driver's own fault points: isr, queue and dpc deviate as the rule says, nothing else does, and all the work is done.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::time::Duration;

use ioat_stage::{Event, FaultBook, Recorder, Stage, ThreadPause};
use netdma::client::{Channel, ChannelOptions, Driver, Options};
use netdma::contract::CpuSet32;
use netdma::hw::DmaBuffer;
use netdma::hw::sim::{Sim, SimOptions};

const LONG: Duration = Duration::from_secs(20);

struct Bench {
    driver: Driver,
    book: Arc<FaultBook>,
    trace: Arc<Recorder>,
}

fn open(rules: &[&str], vectors: Option<u16>) -> Bench {
    let pause = Arc::new(ThreadPause::new());
    let options = SimOptions { channels: Some(2), vectors, ..SimOptions::default() };
    let sim = Sim::open(options, pause).unwrap();
    let book = FaultBook::new(rules.iter().map(|rule| rule.parse().unwrap()));
    let trace = Recorder::new(1 << 12);
    let faults = Some(book.clone());
    let options =
        Options { processors: 2, timeout: LONG, trace: trace.clone(), faults, ..Options::default() };
    Bench { driver: Driver::open(sim.device, options).unwrap(), book, trace }
}

/// A channel with its two buffers.
struct Mover {
    channel: Channel,
    from: Arc<DmaBuffer>,
    to: Arc<DmaBuffer>,
}

impl Bench {
    fn mover(&self) -> Mover {
        let affinity = CpuSet32(1);
        let channel = self.driver.channel(ChannelOptions { affinity, ..ChannelOptions::default() }).unwrap();
        let (from, to) = (self.driver.allocate(4096).unwrap(), self.driver.allocate(4096).unwrap());
        Mover { channel, from, to }
    }

    /// Service routines that have begun. Their trace events come after them, and so maybe after the DPC's.
    fn routines(&self) -> u64 {
        self.driver.messages().iter().map(|message| message.isr_runs).sum()
    }
}

impl Mover {
    fn copy(&self, byte: u8) {
        self.from.write(0, &[byte; 4096]).unwrap();
        self.channel.copy(&self.from, 0, &self.to, 0, 4096).unwrap();
        let mut found = [0; 4096];
        self.to.read(0, &mut found).unwrap();
        assert_eq!(found, [byte; 4096]);
    }

    /// Waits until as many DPCs as that have reported on the channel, so that the next batch asks for one of its own.
    fn settled(&self, rearms: u64) {
        let until = std::time::Instant::now() + LONG;
        while self.channel.stats().provider.rearms < rearms {
            assert!(std::time::Instant::now() < until, "{:?}", self.channel.stats());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn recovered(&self) -> u64 {
        self.channel.stats().lost_interrupts_recovered
    }
}

#[test]
fn a_message_that_the_host_loses_runs_no_service_routine_and_its_completion_is_found_by_looking() {
    let bench = open(&["isr[ch=0]: nth(2) drop"], None);
    let mover = bench.mover();
    assert_eq!(mover.channel.index(), 0);
    mover.copy(1);
    mover.settled(1);
    assert_eq!(bench.routines(), 1);
    mover.copy(2);
    assert_eq!((mover.recovered(), bench.routines()), (1, 1));
    mover.copy(3);
    let fired = bench.book.fired();
    assert_eq!(fired.len(), 1);
    assert_eq!((fired[0].nth, fired[0].op.channel, fired[0].op.vector), (2, Some(0), Some(0)));
}

#[test]
fn a_service_routine_that_is_called_twice_completes_nothing_twice() {
    let bench = open(&["isr: nth(1) duplicate"], None);
    let mover = bench.mover();
    mover.copy(1);
    mover.settled(1);
    mover.copy(2);
    // The second of the two may be late enough to find the second batch too, and that one's own comes after it.
    let until = std::time::Instant::now() + LONG;
    while bench.routines() < 3 {
        assert!(std::time::Instant::now() < until, "{}", bench.routines());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((mover.channel.stats().descriptors, mover.channel.contract_counts().completed), (2, 2));
    assert_eq!(mover.recovered(), 0);
}

#[test]
fn a_late_service_routine_is_late_and_its_end_does_not_wait_for_it() {
    let bench = open(&["isr: nth(1) delay(40ms)", "isr: nth(2) delay(1000s)"], None);
    let mover = bench.mover();
    let began = std::time::Instant::now();
    mover.copy(1);
    // Whoever waits looks after two watchdogs of 20 ms: it is told of the completion one way or the other.
    mover.settled(1);
    assert!(began.elapsed() >= Duration::from_millis(40), "{:?}", began.elapsed());
    mover.copy(2);
    // Its routine has not run: it was found by looking.
    assert_eq!((mover.channel.contract_counts().completed, bench.routines()), (2, 1));
    // The second one still waits: deregistration ends that.
    drop((mover, bench));
}

#[test]
fn qd_03_a_queue_fault_leaves_processors_out_of_the_queues_and_out_of_the_answer() {
    let bench = open(&["queue: nth(1) corrupt(0)", "queue: nth(2) drop"], None);
    let queued = bench.driver.queue_dpc(0, CpuSet32(0b11)).unwrap();
    assert_eq!((queued.requested, queued.scheduled), (CpuSet32(0b11), CpuSet32(0b10)));
    let none = bench.driver.queue_dpc(1, CpuSet32(0b11)).unwrap();
    assert_eq!(none.scheduled, CpuSet32::EMPTY);
    let all = bench.driver.queue_dpc(1, CpuSet32(0b11)).unwrap();
    assert_eq!(all.scheduled, CpuSet32(0b11));
    let queue = |event: &&Event| event.stage == Stage::Queue;
    let events: Vec<_> =
        bench.trace.events().iter().filter(queue).map(|event| (event.address, event.len)).collect();
    assert_eq!(events, [(0b11, 0b10), (0b11, 0), (0b11, 0b11)]);
}

#[test]
fn a_dpc_that_is_never_scheduled_is_a_lost_interrupt_and_the_next_one_comes() {
    let bench = open(&["queue: nth(1) drop"], None);
    let mover = bench.mover();
    mover.copy(1);
    mover.copy(2);
    mover.copy(3);
    assert_eq!(bench.book.fired().len(), 1);
    assert_eq!(mover.channel.contract_counts().completed, 3);
}

#[test]
fn qd_09_a_dpc_that_stays_in_its_queue_is_refused_meanwhile_and_then_runs_once() {
    let bench = open(&["queue: nth(1) delay(200ms)"], None);
    let began = std::time::Instant::now();
    let first = bench.driver.queue_dpc(0, CpuSet32(0b01)).unwrap();
    let second = bench.driver.queue_dpc(0, CpuSet32(0b01)).unwrap();
    assert_eq!((first.scheduled, second.scheduled), (CpuSet32(0b01), CpuSet32::EMPTY));
    while bench.driver.processors()[0].dpcs_run == 0 {
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!((bench.driver.processors()[0].queued, bench.driver.processors()[0].refused), (1, 1));
}

#[test]
fn qd_10_a_dpc_that_is_late_is_off_its_queue_and_can_be_queued_again() {
    let bench = open(&["dpc: nth(1) delay(200ms)"], None);
    assert_eq!(bench.driver.queue_dpc(0, CpuSet32(0b01)).unwrap().scheduled, CpuSet32(0b01));
    let began = std::time::Instant::now();
    // It is off its queue as soon as its worker has taken it.
    while bench.driver.queue_dpc(0, CpuSet32(0b01)).unwrap().scheduled == CpuSet32::EMPTY {
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(bench.driver.processors()[0].dpcs_run, 0);
    while bench.driver.processors()[0].dpcs_run < 2 {
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_dpc_that_runs_twice_reports_nothing_twice_and_leaves_no_channel_deaf() {
    let bench = open(&["dpc: every(1) duplicate"], None);
    let mover = bench.mover();
    for byte in 1..=20 {
        mover.copy(byte);
    }
    let fired = bench.book.fired().len() as u64;
    assert!(fired >= 10, "{fired}");
    assert_eq!((mover.channel.contract_counts().completed, mover.channel.stats().descriptors), (20, 20));
    assert_eq!(mover.recovered(), 0, "{:?}", mover.channel.stats());
}

#[test]
fn a_line_whose_interrupt_the_host_loses_fires_again() {
    let bench = open(&["isr: nth(1) drop"], Some(0));
    let mover = bench.mover();
    mover.copy(1);
    mover.copy(2);
    assert_eq!(bench.book.fired().len(), 1);
    // The line is a level: it is asserted still.
    assert_eq!(mover.recovered(), 0, "{:?}", mover.channel.stats());
}

#[test]
fn a_shared_message_has_no_channel_and_its_vector_is_known() {
    let bench = open(&["isr: nth(1) drop", "dpc: nth(1) duplicate"], Some(1));
    let mover = bench.mover();
    mover.copy(1);
    mover.copy(2);
    let fired = bench.book.fired();
    assert!(fired.iter().all(|fired| fired.op.channel.is_none() && fired.op.vector == Some(0)), "{fired:?}");
    assert_eq!(fired.len(), 2);
}
