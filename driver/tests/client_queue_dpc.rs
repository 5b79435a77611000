//! `NdisMQueueDpc` by hand on an open engine: what comes back, what the DPC reports, and that interrupts go on afterwards.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::time::Duration;

use ioat_stage::{Pause, Recorder, Stage, ThreadPause};
use netdma::client::{ChannelOptions, CompletionMode, Driver, Options};
use netdma::contract::CpuSet32;
use netdma::hw::sim::{Sim, SimOptions};

const PATIENCE: Duration = Duration::from_secs(20);

fn open(vectors: Option<u16>) -> (Driver, Arc<Recorder>, Arc<ThreadPause>) {
    let pause = Arc::new(ThreadPause::new());
    let trace = Recorder::new(1 << 12);
    let sim = Sim::open(SimOptions { vectors, ..SimOptions::default() }, pause.clone()).unwrap();
    // Nobody looks for lost interrupts: what is reported, a DPC reports.
    let options = Options { processors: 4, trace: trace.clone(), watchdog: PATIENCE, ..Options::default() };
    (Driver::open(sim.device, options).unwrap(), trace, pause)
}

/// The descriptors that the DPCs of `stage` reported, each with its processor, once there are `count`.
fn dpcs(trace: &Recorder, pause: &dyn Pause, count: usize) -> Vec<(u32, u64)> {
    let started = pause.now_ns();
    loop {
        let events = trace.events();
        let ran = events.iter().filter(|event| event.stage == Stage::Dpc);
        let ran: Vec<_> = ran.map(|event| (event.processor.unwrap(), event.address)).collect();
        if ran.len() >= count {
            return ran;
        }
        assert!(Duration::from_nanos(pause.now_ns() - started) < PATIENCE, "{ran:?}");
        pause.sleep(Duration::from_millis(1));
    }
}

#[test]
fn qd_08_processors_that_are_not_there_are_missing_from_what_comes_back() {
    let (driver, trace, pause) = open(None);
    let queued = driver.queue_dpc(0, CpuSet32(0xff)).unwrap();
    assert_eq!((queued.requested, queued.scheduled), (CpuSet32(0xff), CpuSet32(0x0f)));
    let mut ran: Vec<_> = dpcs(&trace, &*pause, 4).into_iter().map(|(processor, _)| processor).collect();
    ran.sort_unstable();
    assert_eq!(ran, [0, 1, 2, 3]);
    assert_eq!(driver.queue_dpc(0, CpuSet32::EMPTY).unwrap().scheduled, CpuSet32::EMPTY);
}

#[test]
fn qd_06_a_message_that_is_not_there_is_refused_and_a_line_takes_any() {
    let (messages, ..) = open(Some(1));
    assert!(messages.queue_dpc(1, CpuSet32(1)).is_err());
    let (line, trace, pause) = open(Some(0));
    assert_eq!(line.queue_dpc(7, CpuSet32(0b10)).unwrap().scheduled, CpuSet32(0b10));
    assert_eq!(dpcs(&trace, &*pause, 1), [(1, 0)]);
}

#[test]
fn the_first_of_the_processors_reports_what_a_channel_without_interrupts_has_finished() {
    let (driver, trace, pause) = open(None);
    let polled = ChannelOptions { completion: CompletionMode::Polled, ..ChannelOptions::default() };
    let channel = driver.channel(polled).unwrap();
    let mut batch = channel.batch();
    batch.null();
    let submission = batch.submit().unwrap();
    // Nobody looks at the word, so the submission stays open until a DPC does.
    let message = u32::try_from(channel.index()).unwrap();
    let mut asked = 0;
    loop {
        asked += driver.queue_dpc(message, CpuSet32(0b1100)).unwrap().scheduled.len() as usize;
        let reported: Vec<_> =
            dpcs(&trace, &*pause, asked).into_iter().filter(|(_, last)| *last != 0).collect();
        if let Some((processor, _)) = reported.first() {
            assert_eq!(*processor, 2);
            break;
        }
    }
    assert_eq!(channel.capacity().submissions, 0);
    submission.wait(PATIENCE).unwrap();
}

#[test]
fn interrupts_go_on_after_dpcs_that_nobody_interrupted_for() {
    for vectors in [None, Some(1), Some(0)] {
        let (driver, ..) = open(vectors);
        let channel = driver.channel(ChannelOptions::default()).unwrap();
        for turn in 0..50 {
            let mut batch = channel.batch();
            batch.null();
            let submission = batch.submit().unwrap();
            let _ = driver.queue_dpc(0, CpuSet32(1 << (turn % 4))).unwrap();
            submission.wait(PATIENCE).unwrap();
        }
        assert_eq!(channel.stats().lost_interrupts_recovered, 0);
    }
}
