//! The client on the in-process device: every operation verified against plain memory, and the six faults.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ioat_spec::{ChanErr, GeneralRegister};
use ioat_stage::ThreadPause;
use netdma::client::{Channel, ChannelOptions, Driver, Error, OpenError, Options};
use netdma::contract::{AllocateError, CpuSet32};
use netdma::hw::sim::{Sim, SimOptions};
use netdma::hw::{DmaBuffer, Space};
use netdma::ioat::IoatError;
use vfio_user_ioat::lint::{LintBook, Rule};

/// Liveness only: what is waited for takes milliseconds.
const LONG: Duration = Duration::from_secs(20);
/// For work that must never finish.
const SHORT: Duration = Duration::from_millis(100);
const GUARD: usize = 64;

/// A driver whose device watches it: in the end it has broken no rule, faults or not.
struct Watched {
    driver: Option<Driver>,
    lint: Arc<LintBook>,
}

impl Deref for Watched {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        self.driver.as_ref().unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // What it does while it closes counts as well.
        drop(self.driver.take());
        if !std::thread::panicking() {
            assert_eq!(self.lint.to_string(), "lint: 0 violations, 0 notices");
        }
    }
}

fn open_with(rules: &[&str], processors: u32) -> Result<Watched, OpenError> {
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    let lint = LintBook::new();
    let options = SimOptions { rules, lint: Some(lint.clone()), ..SimOptions::default() };
    let sim = Sim::open(options, Arc::new(ThreadPause::new())).unwrap();
    let driver = Driver::open(sim.device, Options { processors, timeout: LONG, ..Options::default() })?;
    Ok(Watched { driver: Some(driver), lint })
}

fn open(rules: &[&str]) -> (Watched, Channel) {
    let driver = open_with(rules, 2).unwrap();
    let channel = driver.channel(ChannelOptions::default()).unwrap();
    (driver, channel)
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(step).collect()
}

fn contents(buffer: &DmaBuffer, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    buffer.read(0, &mut bytes).unwrap();
    bytes
}

fn rearmed(channel: &Channel, times: u64) {
    let until = std::time::Instant::now() + LONG;
    while channel.stats().provider.rearms < times {
        assert!(std::time::Instant::now() < until, "{:?}", channel.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn moves_again(driver: &Driver, channel: &Channel) {
    let (from, to) = (driver.allocate(4096).unwrap(), driver.allocate(4096).unwrap());
    let data = noise(4096, 7);
    from.write(0, &data).unwrap();
    channel.copy(&from, 0, &to, 0, 4096).unwrap();
    assert_eq!(contents(&to, 4096), data);
}

#[test]
fn every_size_and_misalignment_arrives_whole_and_touches_nothing_else_on_every_channel() {
    let driver = open_with(&[], 4).unwrap();
    let channels: Vec<_> = (0..4).map(|_| driver.channel(ChannelOptions::default()).unwrap()).collect();
    let room = (1 << 20) + 4 * GUARD;
    let (from, to) = (driver.allocate(room).unwrap(), driver.allocate(room).unwrap());
    let source = noise(room, 1);
    from.write(0, &source).unwrap();
    let sizes = [1, 2, 7, 8, 63, 64, 65, 511, 4095, 4096, 4097, 65536, 100_003, 1 << 20];
    for (round, len) in sizes.into_iter().enumerate() {
        let channel = &channels[round % channels.len()];
        let (from_offset, to_offset) = ((round * 5) % GUARD, GUARD + (round * 11) % GUARD);
        to.write(0, &vec![0xaa; room]).unwrap();
        channel.copy(&from, from_offset, &to, to_offset, len).unwrap();
        let mut expected = vec![0xaa; room];
        expected[to_offset..to_offset + len].copy_from_slice(&source[from_offset..from_offset + len]);
        assert!(contents(&to, room) == expected, "copy of {len} bytes, {from_offset} to {to_offset}");
        let pattern = 0x0123_4567_89ab_cdef_u64;
        channel.fill(&to, to_offset, len, pattern).unwrap();
        let bytes = pattern.to_le_bytes();
        (0..len).for_each(|index| expected[to_offset + index] = bytes[index % 8]);
        // The pattern's anchor is only stated for aligned destinations.
        if to_offset % 8 == 0 {
            assert!(contents(&to, room) == expected, "fill of {len} bytes at {to_offset}");
        }
        channel.null().unwrap();
    }
    let moved: u64 = channels.iter().map(|channel| channel.stats().bytes).sum();
    assert_eq!(moved, 2 * sizes.iter().sum::<usize>() as u64);
    let full = driver.channel(ChannelOptions::default());
    assert!(matches!(full, Err(Error::Allocate(AllocateError::Provider(_)))));
}

#[test]
fn a_transfer_above_the_largest_is_split_and_one_of_nothing_completes() {
    let (driver, channel) = open(&[]);
    let len = (3 << 20) + 12345;
    let (from, to) = (driver.allocate(len).unwrap(), driver.allocate(len).unwrap());
    let data = noise(len, 3);
    from.write(0, &data).unwrap();
    channel.copy(&from, 0, &to, 0, len).unwrap();
    assert!(contents(&to, len) == data);
    assert_eq!(channel.stats().descriptors, 4);
    channel.copy(&from, 0, &to, 0, 0).unwrap();
    channel.fill(&to, 0, 0, u64::MAX).unwrap();
    assert!(contents(&to, len) == data);
}

#[test]
fn more_descriptors_than_dmacount_can_hold_go_round_the_ring() {
    let (driver, channel) = open(&[]);
    let (from, to) = (driver.allocate(4096).unwrap(), driver.allocate(4096).unwrap());
    from.write(0, &noise(4096, 4)).unwrap();
    let mut sent = 0;
    while sent <= 70_000 {
        let mut batch = channel.batch();
        for index in 0..500 {
            batch.copy(&from, index, &to, index, 8).unwrap();
        }
        sent += batch.len();
        // Nobody waits: the ring's own back-pressure does.
        let _ = batch.submit().unwrap();
    }
    channel.null().unwrap();
    assert_eq!(contents(&to, 507), contents(&from, 507));
    assert_eq!(channel.stats().descriptors, sent as u64 + 1);
    assert_eq!(channel.contract_counts().completed, sent as u64 + 1);
}

#[test]
fn a_batch_has_one_interrupt_and_one_larger_than_the_ring_is_sent_in_parts() {
    let (driver, _) = open(&[]);
    let channel = driver.channel(ChannelOptions { ring_slots: 64, ..ChannelOptions::default() }).unwrap();
    let buffer = driver.allocate(4096).unwrap();
    let mut batch = channel.batch();
    for index in 0..60 {
        batch.fill(&buffer, index * 8, 8, index as u64).unwrap();
    }
    batch.submit().unwrap().wait(LONG).unwrap();
    assert_eq!(channel.stats().provider.interrupts, 1);
    let mut batch = channel.batch();
    for index in 0..200 {
        batch.fill(&buffer, index * 8, 8, !(index as u64)).unwrap();
    }
    batch.submit().unwrap().wait(LONG).unwrap();
    assert_eq!(buffer.load_u64(199 * 8).unwrap(), !199);
    let mut batch = channel.batch();
    for _ in 0..64 {
        batch.null();
    }
    assert!(matches!(batch.try_submit(), Err(Error::RingFull { wanted: 64, free: 63 })));
    assert!(matches!(channel.copy(&buffer, 4090, &buffer, 0, 7), Err(Error::OutOfRange { size: 4096, .. })));
}

#[test]
fn a_lost_interrupt_keeps_the_completion() {
    let (driver, channel) = open(&["msix: nth(3) drop"]);
    let before = channel.stats().provider.rearms;
    for round in 1..=5 {
        moves_again(&driver, &channel);
        // A copy that ends before the DPC of the one before has re-armed needs no interrupt of its own.
        rearmed(&channel, before + round);
    }
    let stats = channel.stats();
    assert_eq!((stats.lost_interrupts_recovered, stats.errors, stats.recoveries), (1, 0, 0));
    assert_eq!(stats.bytes, 5 * 4096);
}

#[test]
fn a_completion_word_that_never_comes_times_out_and_the_next_batch_works() {
    let (driver, channel) = open(&["complete: nth(2) drop"]);
    moves_again(&driver, &channel);
    let (from, to) = (driver.allocate(4096).unwrap(), driver.allocate(4096).unwrap());
    let mut batch = channel.batch();
    batch.copy(&from, 0, &to, 0, 4096).unwrap();
    let late = batch.submit().unwrap();
    assert!(matches!(late.wait(SHORT), Err(Error::Timeout { .. })));
    assert!(matches!(late.try_poll(), Some(Err(Error::Timeout { .. }))));
    moves_again(&driver, &channel);
    assert_eq!((channel.stats().errors, channel.stats().recoveries), (1, 1));
}

#[test]
fn a_misaddressed_completion_word_is_an_error_and_never_a_completion() {
    for delta in ["0x40", "-0x40", "0x1000", "0x100000000"] {
        let (driver, channel) = open(&[&format!("complete: nth(2) misaddress({delta})")]);
        moves_again(&driver, &channel);
        let buffer = driver.allocate(4096).unwrap();
        let mut batch = channel.batch();
        batch.fill(&buffer, 0, 8, 1).unwrap();
        let outcome = batch.submit().unwrap().wait(SHORT);
        // One slot back is the descriptor reported before: no news, so nothing but the time limit tells.
        match delta {
            "-0x40" => assert!(matches!(outcome, Err(Error::Timeout { .. })), "{delta}: {outcome:?}"),
            _ => assert!(matches!(outcome, Err(Error::BadCompletion { .. })), "{delta}: {outcome:?}"),
        }
        moves_again(&driver, &channel);
        assert_eq!(channel.stats().recoveries, 1);
    }
}

#[test]
fn a_doorbell_that_counts_too_far_carries_no_old_descriptor_out_again() {
    let driver = open_with(&["doorbell: nth(6) misaddress(+1)"], 2).unwrap();
    let options = ChannelOptions { ring_slots: 4, ..ChannelOptions::default() };
    let channel = driver.channel(options).unwrap();
    let (from, to) = (driver.allocate(4096).unwrap(), driver.allocate(4096).unwrap());
    let mut expected = vec![0; 6 * 64];
    for round in 0..6_u8 {
        from.write(0, &[round + 1; 64]).unwrap();
        let at = usize::from(round) * 64;
        expected[at..at + 64].fill(round + 1);
        // In the second lap the third round's descriptor lies behind the last one.
        let done = channel.copy(&from, 0, &to, at, 64);
        assert!(done.is_ok() || round == 5, "{round}: {done:?}");
    }
    // The engine is past it, or has halted there; nothing may have been moved meanwhile.
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(contents(&to, 6 * 64), expected);
    let _ = channel.null();
    moves_again(&driver, &channel);
    assert_eq!(channel.stats().recoveries, 1);
}

#[test]
fn a_halt_fails_what_is_pending_with_its_chanerr_and_new_work_goes_on() {
    let (driver, channel) = open(&["copy: nth(3) halt(read-data)"]);
    moves_again(&driver, &channel);
    let (from, to) = (driver.allocate(4096).unwrap(), driver.allocate(4096).unwrap());
    let submissions: Vec<_> = (0..4)
        .map(|_| {
            let mut batch = channel.batch();
            batch.copy(&from, 0, &to, 0, 64).unwrap();
            batch.submit().unwrap()
        })
        .collect();
    let outcomes: Vec<_> = submissions.iter().map(|submission| submission.wait(LONG)).collect();
    let halted = |outcome: &&Result<(), Error>| matches!(outcome, Err(Error::Halted { chanerr }) if *chanerr == ChanErr::READ_DATA);
    assert!(outcomes.iter().filter(halted).count() >= 1, "{outcomes:?}");
    assert!(outcomes[3].is_err() || channel.stats().recoveries == 1, "{outcomes:?}");
    moves_again(&driver, &channel);
}

#[test]
fn a_channel_whose_reset_never_ends_is_reset_with_its_function_at_open() {
    let driver = open_with(&["reset: nth(2) stick"], 2).unwrap();
    let channel = driver.channel(ChannelOptions::default()).unwrap();
    moves_again(&driver, &channel);
}

#[test]
fn a_channel_that_stays_in_reset_after_that_of_its_function_is_an_error_at_open() {
    let stuck = open_with(&["reset[ch=0]: always stick"], 2).err();
    assert!(matches!(stuck, Some(OpenError::Ioat(IoatError::ResetStuck { .. }))), "{stuck:?}");
}

#[test]
fn a_device_that_reads_all_ones_is_gone_at_open() {
    let gone = open_with(&["register: every(1) all-ones"], 1);
    assert!(matches!(gone.err(), Some(OpenError::Ioat(IoatError::Gone { .. }))));
}

#[test]
fn submissions_that_nobody_waits_for_keep_their_buffers_until_they_are_done() {
    let (driver, channel) = open(&[]);
    let weak: Vec<_> = (0..50)
        .map(|_| {
            let (from, to) = (driver.allocate(1 << 16).unwrap(), driver.allocate(1 << 16).unwrap());
            let mut batch = channel.batch();
            batch.copy(&from, 0, &to, 0, 1 << 16).unwrap();
            drop(batch.submit().unwrap());
            Arc::downgrade(&to)
        })
        .collect();
    channel.null().unwrap();
    assert_eq!(channel.stats().bytes, 50 << 16);
    assert!(weak.iter().all(|buffer| buffer.upgrade().is_none()), "finished work lets go of its buffers");
    // And a channel that is dropped with work under way stops the engine first.
    let (from, to) = (driver.allocate(1 << 20).unwrap(), driver.allocate(1 << 20).unwrap());
    let mut batch = channel.batch();
    for _ in 0..100 {
        batch.copy(&from, 0, &to, 0, 1 << 20).unwrap();
    }
    drop(batch.submit().unwrap());
    drop((channel, from, to, driver));
}

#[test]
fn c_dp_05_the_last_dpc_of_a_spread_batch_enables_the_interrupt_once() {
    let driver = open_with(&[], 4).unwrap();
    let options = ChannelOptions { spread: CpuSet32::first(4), ..ChannelOptions::default() };
    let channel = driver.channel(options).unwrap();
    let before = channel.stats().provider;
    for round in 1..=20 {
        channel.null().unwrap();
        // The copy is finished before its batch of DPCs is.
        rearmed(&channel, before.rearms + round);
    }
    let stats = channel.stats().provider;
    assert_eq!((stats.interrupts, stats.dpcs, stats.rearms - before.rearms), (20, 20, 20));
    assert_eq!(stats.spread_dpcs, 60);
    // The worker counts a run after the routine, which may be after the re-arming was seen here.
    let until = std::time::Instant::now() + LONG;
    while driver.processors().iter().any(|processor| processor.dpcs_run < 20) {
        assert!(std::time::Instant::now() < until, "{:?}", driver.processors());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(driver.processors().iter().all(|processor| processor.dpcs_run == 20));
}

#[test]
fn abort_and_reset_fail_what_is_pending_and_leave_a_channel_that_works() {
    let (driver, channel) = open(&[]);
    for stop in [Channel::abort, Channel::reset] {
        let (from, to) = (driver.allocate(1 << 20).unwrap(), driver.allocate(1 << 20).unwrap());
        let mut batch = channel.batch();
        for _ in 0..500 {
            batch.copy(&from, 0, &to, 0, 1 << 20).unwrap();
        }
        let submission = batch.submit().unwrap();
        stop(&channel).unwrap();
        assert!(matches!(submission.wait(LONG), Err(Error::Aborted)));
        moves_again(&driver, &channel);
    }
}

#[test]
fn a_suspended_channel_goes_on_where_it_stopped() {
    let (driver, channel) = open(&[]);
    let (from, to) = (driver.allocate(1 << 20).unwrap(), driver.allocate(1 << 20).unwrap());
    let data = noise(1 << 20, 9);
    from.write(0, &data).unwrap();
    let mut batch = channel.batch();
    for _ in 0..100 {
        batch.copy(&from, 0, &to, 0, 1 << 20).unwrap();
    }
    let submission = batch.submit().unwrap();
    channel.suspend().unwrap();
    assert!(channel.batch().submit().is_err(), "a suspended channel takes no work");
    channel.resume().unwrap();
    submission.wait(LONG).unwrap();
    assert!(contents(&to, 1 << 20) == data);
    moves_again(&driver, &channel);
}

/// So that a clean list is known to mean something: the same list, after one write that no driver makes.
#[test]
fn the_lint_of_the_in_process_device_sees_what_its_driver_writes() {
    let lint = LintBook::new();
    let options = SimOptions { lint: Some(lint.clone()), ..SimOptions::default() };
    let sim = Sim::open(options, Arc::new(ThreadPause::new())).unwrap();
    sim.device.write8(Space::BAR0, GeneralRegister::CbVer.offset(), 0).unwrap();
    assert_eq!((lint.count(Rule::ReadOnlyRegister), lint.records().len()), (1, 1));
}

#[test]
fn a_device_serves_one_driver_after_the_other_with_interrupts() {
    let sim = Sim::open(SimOptions::default(), Arc::new(ThreadPause::new())).unwrap();
    for _ in 0..3 {
        // No look-out for lost interrupts: only an interrupt can finish the copy in time.
        let options = Options { processors: 2, watchdog: 2 * LONG, timeout: LONG, ..Options::default() };
        let driver = Driver::open(sim.device.clone(), options).unwrap();
        let channel = driver.channel(ChannelOptions::default()).unwrap();
        let buffer = driver.allocate(4096).unwrap();
        channel.copy(&buffer, 0, &buffer, 2048, 64).unwrap();
        assert_eq!(channel.stats().lost_interrupts_recovered, 0);
    }
}
