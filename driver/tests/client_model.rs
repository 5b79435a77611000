//! The client on the engine that was written apart: verified data, a device that goes away, many threads.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on should panic"
)]

mod provider_model;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ioat_stage::pause::Join;
use ioat_stage::{Pause, ThreadPause};
use netdma::client::{Channel, ChannelOptions, Driver, Error, Options};
use netdma::contract::CpuSet32;
use provider_model::Model;

/// Liveness only.
const LONG: Duration = Duration::from_secs(20);

struct Rig {
    model: Arc<Model>,
    engine: Box<dyn Join>,
    driver: Driver,
}

impl Rig {
    fn new() -> Self {
        let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
        let model = Model::new(pause);
        let engine = model.run();
        let driver =
            Driver::open(model.device(), Options { processors: 2, timeout: LONG, ..Options::default() });
        Self { model, engine, driver: driver.unwrap() }
    }

    fn channel(&self) -> Channel {
        self.driver.channel(ChannelOptions { ring_slots: 64, ..ChannelOptions::default() }).unwrap()
    }

    fn end(self) {
        drop(self.driver);
        self.model.end(self.engine);
    }
}

fn verified_copy(driver: &Driver, channel: &Channel, len: usize, shift: usize) {
    let (from, to) = (driver.allocate(len + 200).unwrap(), driver.allocate(len + 200).unwrap());
    let data: Vec<u8> = (0..len + 200).map(|index| (index * 7 + index / 251) as u8).collect();
    from.write(0, &data).unwrap();
    channel.copy(&from, shift, &to, 100, len).unwrap();
    let mut moved = vec![0; len + 200];
    to.read(0, &mut moved).unwrap();
    let mut expected = vec![0; len + 200];
    expected[100..100 + len].copy_from_slice(&data[shift..shift + len]);
    assert!(moved == expected, "{len} bytes from {shift}");
}

#[test]
fn sizes_and_misalignments_arrive_whole_within_their_guard_bands() {
    let rig = Rig::new();
    let channels = [rig.channel(), rig.channel()];
    assert!(rig.driver.channel(ChannelOptions::default()).is_err(), "the model has two channels");
    for (round, len) in [1, 3, 8, 63, 4096, 65535, 65536, 65537, 300_001, 1 << 20].into_iter().enumerate() {
        verified_copy(&rig.driver, &channels[round % 2], len, round * 9);
    }
    drop(channels);
    rig.end();
}

#[test]
fn a_device_that_goes_away_in_flight_is_a_typed_error_and_works_when_it_is_back() {
    let rig = Rig::new();
    let channel = rig.channel();
    verified_copy(&rig.driver, &channel, 100, 0);
    rig.model.wrong.drop_words.store(1, Ordering::Release);
    let buffer = rig.driver.allocate(4096).unwrap();
    let mut batch = channel.batch();
    batch.fill(&buffer, 0, 8, 1).unwrap();
    let submission = batch.submit().unwrap();
    rig.model.wrong.gone.store(true, Ordering::Release);
    assert!(matches!(submission.wait(LONG), Err(Error::DeviceGone)));
    assert!(matches!(channel.null(), Err(Error::DeviceGone)));
    let weak = Arc::downgrade(&buffer);
    drop((buffer, submission));
    assert!(weak.upgrade().is_some(), "an engine that could not be stopped may still write");
    rig.model.wrong.gone.store(false, Ordering::Release);
    verified_copy(&rig.driver, &channel, 100, 0);
    assert!(weak.upgrade().is_none());
    drop(channel);
    rig.end();
}

#[test]
fn a_channel_whose_device_is_gone_can_be_dropped() {
    let rig = Rig::new();
    let channel = rig.channel();
    rig.model.wrong.drop_words.store(1, Ordering::Release);
    let buffer = rig.driver.allocate(4096).unwrap();
    let mut batch = channel.batch();
    batch.fill(&buffer, 0, 8, 1).unwrap();
    drop(batch.submit().unwrap());
    rig.model.wrong.gone.store(true, Ordering::Release);
    drop(channel);
    let weak = Arc::downgrade(&buffer);
    drop(buffer);
    assert!(weak.upgrade().is_some(), "kept until the function is reset");
    rig.end();
    assert!(weak.upgrade().is_none(), "closing the driver resets the function");
}

#[test]
fn c_mt_02_many_threads_on_one_channel_lose_no_completion() {
    let rig = Rig::new();
    let options = ChannelOptions { ring_slots: 16, spread: CpuSet32::first(2), ..ChannelOptions::default() };
    let channel = rig.driver.channel(options).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (channel, driver) = (channel.clone(), rig.driver.clone());
            scope.spawn(move || {
                let buffer = driver.allocate(4096).unwrap();
                for round in 0..200_u64 {
                    let mut batch = channel.batch();
                    for word in 0..1 + thread * 5 {
                        batch.fill(&buffer, word * 8, 8, round).unwrap();
                    }
                    batch.submit().unwrap().wait(LONG).unwrap();
                    assert_eq!(buffer.load_u64(thread * 40).unwrap(), round);
                }
            });
        }
    });
    let counts = channel.contract_counts();
    assert_eq!((counts.submitted, counts.completed), (200 * 34, 200 * 34));
    assert_eq!((channel.stats().errors, channel.stats().recoveries), (0, 0));
    drop(channel);
    rig.end();
}

#[test]
fn lost_messages_are_recovered_one_by_one() {
    let rig = Rig::new();
    let channel = rig.channel();
    for lost in 1..=3 {
        rig.model.wrong.drop_messages.store(1, Ordering::Release);
        verified_copy(&rig.driver, &channel, 1000, 3);
        assert_eq!(channel.stats().lost_interrupts_recovered, lost);
        // A copy that ends before the DPC of the one before has re-armed needs no message of its own.
        let until = std::time::Instant::now() + LONG;
        while channel.stats().provider.rearms < lost {
            assert!(std::time::Instant::now() < until, "{:?}", channel.stats());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    drop(channel);
    rig.end();
}
