//! Many interrupts against many DPCs on all processors, on threads: no completion is ever lost.
//!
//! A million operations; ten million with NETDMA_FULL, as `scripts/test --full` sets it.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::time::Duration;

use ioat_stage::ThreadPause;
use netdma::client::{Channel, ChannelOptions, Completions, Driver, Options};
use netdma::contract::CpuSet32;
use netdma::hw::sim::{Sim, SimOptions};

const CHANNELS: u64 = 4;
const PROCESSORS: u32 = 8;
/// Batches that a client has under way at most.
const AHEAD: usize = 6;
/// Liveness only.
const LONG: Duration = Duration::from_secs(60);

/// Fills with counted words, 1 to 8 operations in a batch; every batch must be reported once, in order, with its data.
fn work(driver: &Driver, channel: &Channel, operations: u64) -> u64 {
    const SLOTS: u64 = 64;
    let buffer = driver.allocate(8 * usize::try_from(SLOTS).unwrap()).unwrap();
    let place = |operation: u64| usize::try_from(operation % SLOTS).unwrap() * 8;
    let mut completions = Completions::new();
    let (mut submitted, mut reported) = (0, 0);
    let mut take = |done: netdma::client::Done<(u64, u64)>| {
        let (first, last) = done.tag;
        done.result.unwrap();
        assert_eq!(first, reported, "each batch once, in order");
        // The slots of later batches are others: at most (AHEAD + 1) * 8 operations lie between.
        for operation in first..last {
            assert_eq!(buffer.load_u64(place(operation)).unwrap(), !operation, "operation {operation}");
        }
        reported = last;
    };
    while submitted < operations {
        let mut batch = channel.batch();
        let last = (submitted + submitted % 8 + 1).min(operations);
        for operation in submitted..last {
            batch.fill(&buffer, place(operation), 8, !operation).unwrap();
        }
        completions.submit(batch, (submitted, last)).unwrap();
        submitted = last;
        while let Some(done) = completions.try_next() {
            take(done);
        }
        if completions.len() > AHEAD {
            take(completions.next().unwrap());
        }
    }
    completions.for_each(&mut take);
    reported
}

#[test]
fn c_mt_02_a_refused_queue_attempt_loses_no_completion_on_threads() {
    let full = std::env::var_os("NETDMA_FULL").is_some_and(|value| !value.is_empty());
    let operations = if full { 10_000_000 } else { 1_000_000 };
    let sim = Sim::open(SimOptions::default(), Arc::new(ThreadPause::new())).unwrap();
    let options = Options { processors: PROCESSORS, timeout: LONG, ..Options::default() };
    let driver = Driver::open(sim.device, options).unwrap();
    // Every batch has a DPC on every processor: the first one asks for the others, and the last re-enables.
    let spread = CpuSet32::first(PROCESSORS);
    let channels: Vec<_> = (0..CHANNELS)
        .map(|_| driver.channel(ChannelOptions { spread, ..ChannelOptions::default() }).unwrap())
        .collect();
    let reported: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = channels
            .iter()
            .map(|channel| scope.spawn(|| work(&driver, channel, operations / CHANNELS)))
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(reported, operations);
    for channel in &channels {
        let counts = channel.contract_counts();
        assert_eq!((counts.submitted, counts.completed), (operations / CHANNELS, operations / CHANNELS));
        let stats = channel.stats();
        assert_eq!((stats.errors, stats.recoveries), (0, 0));
        println!("channel {}: {stats:?}", channel.index());
    }
    let processors = driver.processors();
    let refused: u64 = processors.iter().map(|counts| counts.refused).sum();
    let (queued, run) =
        processors.iter().fold((0, 0), |(q, r), counts| (q + counts.queued, r + counts.dpcs_run));
    println!("{operations} operations, {queued} DPCs queued, {refused} refused");
    assert!(refused > 0, "the stress refused nothing");
    assert!(processors.iter().all(|counts| counts.dpcs_run > 0), "every processor ran some: {processors:?}");
    assert!(run <= queued, "no DPC runs that was not queued");
}
