//! What the driver leaves in a trace, held against what the device in this process leaves in another.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use ioat_spec::ChannelRegister;
use ioat_spec::register::channel_base;
use ioat_stage::{Detail, Event, Recorder, Stage, ThreadPause};
use netdma::client::{Channel, ChannelOptions, Driver, Options};
use netdma::hw::sim::{Sim, SimOptions};

/// Liveness only: what is waited for takes milliseconds.
const LONG: Duration = Duration::from_secs(20);

struct Traced {
    driver: Driver,
    of_device: Arc<Recorder>,
    of_driver: Arc<Recorder>,
}

fn open(detail: Detail, vectors: Option<u16>) -> Traced {
    let recorder = || Recorder::with_detail(1 << 20, detail);
    let (of_device, of_driver) = (recorder(), recorder());
    let options = SimOptions { vectors, trace: Some(of_device.clone()), ..SimOptions::default() };
    let sim = Sim::open(options, Arc::new(ThreadPause::new())).unwrap();
    let options = Options { processors: 2, timeout: LONG, trace: of_driver.clone(), ..Options::default() };
    Traced { driver: Driver::open(sim.device, options).unwrap(), of_device, of_driver }
}

fn channel(driver: &Driver) -> Channel {
    driver.channel(ChannelOptions { ring_slots: 2048, ..ChannelOptions::default() }).unwrap()
}

fn nulls(channel: &Channel, count: usize) {
    let mut batch = channel.batch();
    (0..count).for_each(|_| _ = batch.null());
    batch.submit().unwrap().wait(LONG).unwrap();
}

fn of(recorder: &Recorder, stage: Stage) -> Vec<Event> {
    recorder.events().into_iter().filter(|event| event.stage == stage).collect()
}

/// A DPC's event comes after its client is woken.
fn reported(recorder: &Recorder, sequence: u64) -> Event {
    let until = Instant::now() + LONG;
    loop {
        let found = of(recorder, Stage::Dpc).into_iter().find(|dpc| dpc.address != 0 && dpc.sequence == sequence);
        if let Some(found) = found {
            return found;
        }
        assert!(Instant::now() < until, "no DPC reported descriptor {sequence}: {:?}", of(recorder, Stage::Dpc));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn doorbells_and_dpcs_count_descriptors_as_the_engine_does_and_go_on_when_dmacount_wraps() {
    const EACH: usize = 1000;
    let Traced { driver, of_device, of_driver } = open(Detail::Descriptors, None);
    let channel = channel(&driver);
    for round in 1..=70_u64 {
        nulls(&channel, EACH);
        reported(&of_driver, round * EACH as u64 - 1);
    }
    let (rung, heard) = (of(&of_driver, Stage::Doorbell), of(&of_device, Stage::Doorbell));
    let register = channel_base(0) + ChannelRegister::DmaCount.offset();
    for (round, (rung, heard)) in (1_u64..).zip(rung.iter().zip(&heard)) {
        assert_eq!((rung.channel, rung.address, rung.len), (0, register, heard.len), "doorbell {round}");
        assert_eq!((rung.sequence, rung.sequence % (1 << 16)), (round * EACH as u64, rung.len));
    }
    assert_eq!((rung.len(), heard.len()), (70, 70));
    let executed = of_device.descriptors();
    assert_eq!(executed.len(), 70 * EACH);
    // Number and address of what was reported last are one descriptor's, on both sides.
    let last = reported(&of_driver, 70 * EACH as u64 - 1);
    let engine = executed.last().unwrap();
    assert_eq!((last.sequence, last.address, last.channel), (engine.sequence, engine.descriptor, engine.channel));
}

#[test]
fn the_number_goes_on_after_an_abort_and_the_chain_is_another() {
    let Traced { driver, of_driver, .. } = open(Detail::Descriptors, None);
    let channel = channel(&driver);
    nulls(&channel, 3);
    let before = reported(&of_driver, 2);
    channel.reset().unwrap();
    nulls(&channel, 2);
    let after = reported(&of_driver, 4);
    assert!(after.generation > before.generation, "{before:?} {after:?}");
    let rung: Vec<_> = of(&of_driver, Stage::Doorbell).iter().map(|event| (event.sequence, event.generation)).collect();
    assert_eq!(rung, [(3, before.generation), (5, after.generation)]);
}

#[test]
fn with_a_shared_message_a_dpc_names_its_channel_and_its_message() {
    let Traced { driver, of_driver, .. } = open(Detail::Stages, Some(1));
    let (_zero, one) = (channel(&driver), channel(&driver));
    assert_eq!(one.index(), 1);
    nulls(&one, 4);
    let dpc = reported(&of_driver, 3);
    assert_eq!((dpc.channel, dpc.vector), (1, Some(0)));
    assert_eq!(u64::from(dpc.processor.unwrap()), dpc.len);
}

#[test]
fn a_trace_that_is_off_is_not_told_of_a_doorbell() {
    let sim = Sim::open(SimOptions::default(), Arc::new(ThreadPause::new())).unwrap();
    let trace = Recorder::with_detail(16, Detail::Off);
    let driver = Driver::open(sim.device, Options { trace: trace.clone(), ..Options::default() }).unwrap();
    nulls(&channel(&driver), 1);
    assert_eq!(of(&trace, Stage::Doorbell), []);
}
