//! What a program likes about the client: scatter-gather, outcomes of single operations, polling, events, capacity.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::pause::deadline;
use ioat_stage::{Pause, Ready, ThreadPause};
use netdma::client::{
    Capacity, Channel, ChannelOptions, CompletionMode, Completions, Driver, Error, Options, Segment,
};
use netdma::hw::DmaBuffer;
use netdma::hw::sim::{Sim, SimOptions};
use proptest::prelude::*;

/// Liveness only: what is waited for takes milliseconds.
const LONG: Duration = Duration::from_secs(20);

fn open(rules: &[&str], options: ChannelOptions) -> (Driver, Channel) {
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    let sim = Sim::open(SimOptions { rules, ..SimOptions::default() }, Arc::new(ThreadPause::new())).unwrap();
    let driver =
        Driver::open(sim.device, Options { processors: 2, timeout: LONG, ..Options::default() }).unwrap();
    let channel = driver.channel(options).unwrap();
    (driver, channel)
}

fn contents(buffer: &DmaBuffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    buffer.read(0, &mut bytes).unwrap();
    bytes
}

fn segments(buffer: &Arc<DmaBuffer>, cuts: &[(usize, usize)]) -> Vec<Segment> {
    cuts.iter().map(|(offset, len)| Segment::new(buffer, *offset, *len)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn segments_of_any_cut_arrive_in_order(
        from in prop::collection::vec((0_usize..7000, 0_usize..900), 1..8),
        to_cuts in prop::collection::vec(1_usize..700, 1..12),
    ) {
        let (driver, channel) = open(&[], ChannelOptions::default());
        let (source, target) = (driver.allocate(8192).unwrap(), driver.allocate(65536).unwrap());
        let bytes: Vec<u8> = (0..8192_u32).map(|index| (index * 7 + index / 251).to_le_bytes()[0]).collect();
        source.write(0, &bytes).unwrap();
        // A second way to the same result: one flat list of bytes, dealt out again.
        let flat: Vec<u8> = from.iter().flat_map(|(offset, len)| bytes[*offset..offset + len].to_vec()).collect();
        let mut expected = contents(&target);
        let (mut to, mut dealt, mut place) = (Vec::new(), 0, 64);
        for cut in to_cuts.iter().cycle() {
            let len = (*cut).min(flat.len() - dealt);
            to.push((place, len));
            expected[place..place + len].copy_from_slice(&flat[dealt..dealt + len]);
            dealt += len;
            // A hole between the segments.
            place += len + 3;
            if dealt == flat.len() {
                break;
            }
        }
        let mut batch = channel.batch();
        batch.copy_segments(&segments(&source, &from), &segments(&target, &to)).unwrap();
        prop_assert_eq!(batch.operations(), 1);
        batch.submit().unwrap().wait(LONG).unwrap();
        prop_assert!(contents(&target) == expected);
    }
}

#[test]
fn segments_that_do_not_fit_are_refused_and_leave_the_batch_as_it_was() {
    let (driver, channel) = open(&[], ChannelOptions::default());
    let buffer = driver.allocate(4096).unwrap();
    let mut batch = channel.batch();
    let short = batch.copy_segments(&segments(&buffer, &[(0, 10)]), &segments(&buffer, &[(100, 9)]));
    assert!(matches!(short, Err(Error::SegmentLengths { from: 10, to: 9 })));
    let outside = batch.copy_segments(&segments(&buffer, &[(0, 10)]), &segments(&buffer, &[(4090, 10)]));
    assert!(matches!(outside, Err(Error::OutOfRange { offset: 4090, len: 10, size: 4096 })));
    assert!(batch.is_empty());
    assert_eq!(batch.operations(), 0);
    // Nothing at all is an operation that moves nothing.
    batch.copy_segments(&[], &[]).unwrap();
    batch.submit().unwrap().wait(LONG).unwrap();
}

#[test]
fn a_failed_batch_tells_what_became_of_each_operation() {
    let (driver, channel) = open(&["copy: nth(4) halt(write-data)"], ChannelOptions::default());
    let (from, to) = (driver.allocate(8192).unwrap(), driver.allocate(8192).unwrap());
    let mut batch = channel.batch();
    // Two descriptors, then one each.
    batch.copy_segments(&segments(&from, &[(0, 100), (200, 100)]), &segments(&to, &[(0, 200)])).unwrap();
    for part in 1..5 {
        batch.copy(&from, part * 1000, &to, part * 1000, 64).unwrap();
    }
    let submission = batch.submit().unwrap();
    assert!(matches!(submission.wait(LONG), Err(Error::Halted { .. })));
    let results = submission.results().unwrap();
    let words: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().map_or_else(ToString::to_string, |()| "ok".into()))
        .collect();
    assert_eq!(words[..2], ["ok", "ok"]);
    assert!(words[2].starts_with("the engine halted"), "{words:?}");
    assert_eq!(words[3..], ["aborted: the channel was reset", "aborted: the channel was reset"]);
}

#[test]
fn a_polled_channel_completes_without_one_interrupt_and_a_dropped_batch_leaves_no_dma_behind() {
    let options = ChannelOptions { completion: CompletionMode::Polled, ..ChannelOptions::default() };
    let (driver, channel) = open(&[], options);
    let (from, to) = (driver.allocate(1 << 20).unwrap(), driver.allocate(1 << 20).unwrap());
    from.write(12345, b"polled").unwrap();
    for _ in 0..20 {
        channel.copy(&from, 0, &to, 0, 1 << 20).unwrap();
    }
    assert_eq!(contents(&to)[12345..12351], *b"polled");
    assert_eq!(channel.stats().provider.interrupts, 0);
    // Without anyone who waits, poll alone finds what is finished.
    let mut batch = channel.batch();
    batch.copy(&from, 0, &to, 0, 4096).unwrap();
    let submission = batch.submit().unwrap();
    let until = std::time::Instant::now() + LONG;
    while !channel.poll().unwrap() {
        assert!(std::time::Instant::now() < until);
    }
    assert!(matches!(submission.try_poll(), Some(Ok(()))));
    let mut batch = channel.batch();
    batch.copy(&from, 0, &to, 0, 1 << 20).unwrap();
    let _ = batch.submit().unwrap();
    drop((channel, submission, from, to));
    drop(driver);
}

#[test]
fn a_polled_channel_that_halts_says_so() {
    let options = ChannelOptions { completion: CompletionMode::Polled, ..ChannelOptions::default() };
    let (driver, channel) = open(&["copy: nth(2) halt(write-data)"], options);
    let buffer = driver.allocate(8192).unwrap();
    channel.copy(&buffer, 0, &buffer, 4096, 64).unwrap();
    assert!(matches!(channel.copy(&buffer, 0, &buffer, 4096, 64), Err(Error::Halted { .. })));
    channel.copy(&buffer, 0, &buffer, 4096, 64).unwrap();
}

#[test]
fn the_event_becomes_readable_for_completions_and_for_failures() {
    let (driver, channel) = open(&["copy: nth(2) halt(write-data)"], ChannelOptions::default());
    let pause = ThreadPause::new();
    let events = channel.events().unwrap();
    let buffer = driver.allocate(8192).unwrap();
    for fails in [false, true] {
        let mut batch = channel.batch();
        batch.copy(&buffer, 0, &buffer, 4096, 64).unwrap();
        let submission = batch.submit().unwrap();
        let ready = pause.wait_readable(&[events.as_fd()], Some(deadline(&pause, LONG)));
        assert_eq!(ready, Ready::Readable(0));
        assert!(events.clear() > 0);
        assert_eq!(submission.wait(LONG).is_err(), fails);
    }
}

#[test]
fn capacity_counts_what_is_under_way() {
    let (driver, channel) = open(&[], ChannelOptions { ring_slots: 16, ..ChannelOptions::default() });
    let buffer = driver.allocate(8192).unwrap();
    let free = Capacity { descriptors: 15, free: 15, submissions: 0, largest_transfer: 1 << 20 };
    assert_eq!(channel.capacity(), free);
    channel.copy(&buffer, 0, &buffer, 4096, 64).unwrap();
    channel.suspend().unwrap();
    channel.resume().unwrap();
    assert_eq!(channel.capacity(), free);
    let mut completions = Completions::new();
    for part in 0..3 {
        let mut batch = channel.batch();
        batch.copy(&buffer, 0, &buffer, 4096, 64).unwrap().null();
        completions.submit(batch, part).unwrap();
    }
    assert_eq!(completions.len(), 3);
    assert!(completions.by_ref().all(|done| done.result.is_ok() && done.operations.len() == 2));
    assert!(completions.is_empty());
    assert_eq!(channel.capacity(), free);
}
