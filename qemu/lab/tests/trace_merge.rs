//! Two clocks: whatever offset and drift there were, the true one lies inside the error that is printed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod trace_support;

use std::collections::BTreeMap;

use ioat_stage::Side;
use netdma_lab::trace::merge::{MAX_DRIFT_PPM, merge, one_clock};
use netdma_lab::trace::{Trace, read_text};
use proptest::prelude::*;
use trace_support::{Line, descriptor, device, driver, text};

/// Two clocks that are known, and how long things take between them.
#[derive(Clone, Debug)]
struct World {
    /// What is to be added to the driver's clock at its time 1,000,000,000.
    offset_ns: i64,
    drift_ppm: f64,
    /// Per operation: idle time before it, doorbell until heard, heard until completed, raised until the routine ended.
    operations: Vec<[u32; 4]>,
    channels: u8,
}

const BEGIN: u64 = 1_000_000_000;

impl World {
    /// The device's time at a time of the driver's.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "less than 2^53")]
    fn device_ns(&self, driver_ns: u64) -> i64 {
        let drift = (driver_ns - BEGIN) as f64 * self.drift_ppm / 1e6;
        i64::try_from(driver_ns).unwrap() + self.offset_ns + drift.round() as i64
    }

    fn lines(&self) -> Vec<Line> {
        let at = |t_ns: u64| u64::try_from(self.device_ns(t_ns)).unwrap();
        let mut lines = Vec::new();
        let mut now = BEGIN;
        for (n, [idle, heard, took, served]) in self.operations.iter().enumerate() {
            let channel = u8::try_from(n % usize::from(self.channels)).unwrap();
            let sequence = u64::try_from(n / usize::from(self.channels)).unwrap();
            let (here, vector) = (descriptor(channel, sequence), u32::from(channel));
            let count = (sequence + 1) & 0xffff;
            now += u64::from(*idle);
            lines.push(driver(now, "doorbell", channel, 0).on(0x86, count));
            now += u64::from(*heard);
            lines.push(device(at(now), "doorbell", channel, 0).on(0x86, count));
            lines.push(device(at(now + 10), "fetch", channel, sequence).on(here, 64));
            now += 20 + u64::from(*took);
            lines.push(device(at(now), "complete", channel, sequence).on(here, 8));
            now += u64::from(*served);
            // The message's own stamp is late: here later than its service routine.
            lines.push(device(at(now + 5), "msix", channel, sequence).at(vector, 0));
            lines.push(driver(now, "isr", channel, sequence + 1).on(here, 0).at(vector, 0));
            now += 100;
        }
        lines
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let one = (1_u32..20_000_000, 1_u32..300_000, 1_u32..500_000, 1_u32..300_000).prop_map(<[u32; 4]>::from);
    (-900_000_000_i64..8_000_000_000_000, -900.0..900.0_f64, proptest::collection::vec(one, 2..120), 1_u8..5)
        .prop_map(|(offset_ns, drift_ppm, operations, channels)| World {
            offset_ns,
            drift_ppm,
            operations,
            channels,
        })
}

/// The driver's times of a merged trace, against what they are in truth.
fn worst_error(world: &World, lines: &[Line], merged: &Trace) -> u64 {
    let mut truth: Vec<i64> =
        lines.iter().filter(|line| line.side == "driver").map(|line| world.device_ns(line.t_ns)).collect();
    truth.sort_unstable();
    let mut fitted: Vec<i64> = merged
        .records
        .iter()
        .filter(|record| record.side == Side::Driver)
        .map(|record| i64::try_from(record.t_ns).unwrap())
        .collect();
    fitted.sort_unstable();
    truth.iter().zip(&fitted).map(|(truth, fitted)| truth.abs_diff(*fitted)).max().unwrap()
}

proptest! {
    #[test]
    fn the_true_offset_is_always_inside_the_error_that_is_printed(world in worlds()) {
        let lines = world.lines();
        prop_assume!(lines.iter().all(|line| line.t_ns < 1 << 62));
        let mut trace = read_text("t", &text(&lines)).unwrap();
        let merged = merge(&mut trace, MAX_DRIFT_PPM).unwrap();
        prop_assert_eq!((merged.doorbells, merged.interrupts), (world.operations.len(), world.operations.len()));
        prop_assert_eq!(&merged.impossible, &[]);
        let error = worst_error(&world, &lines, &trace);
        prop_assert!(error <= merged.error_ns, "wrong by {error} ns, printed {} ns", merged.error_ns);
    }

    /// What is lost of either side makes pairs fewer, never wrong.
    #[test]
    fn lost_records_leave_the_true_offset_inside(world in worlds(), gone in proptest::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let mut lines = world.lines();
        for index in gone {
            if lines.len() > 12 {
                lines.remove(index.index(lines.len()));
            }
        }
        let mut trace = read_text("t", &text(&lines)).unwrap();
        if let Ok(merged) = merge(&mut trace, MAX_DRIFT_PPM) {
            let error = worst_error(&world, &lines, &trace);
            prop_assert!(error <= merged.error_ns, "wrong by {error} ns, printed {} ns, {:?}", merged.error_ns, merged.impossible);
        }
    }

    /// A service routine that was stamped before its message was raised cannot be: it is found, and left out.
    #[test]
    fn a_contradicting_pair_is_detected_and_does_not_move_the_result(world in worlds(), which in any::<prop::sample::Index>()) {
        prop_assume!(world.operations.len() > 8);
        let world = World {
            operations: world.operations.iter().map(|[idle, rest @ ..]| [idle + 20_000_000, rest[0], rest[1], rest[2]]).collect(),
            ..world
        };
        let mut lines = world.lines();
        let isrs: Vec<usize> = (0..lines.len()).filter(|n| lines[*n].stage == "isr").collect();
        let liar = isrs[which.index(isrs.len())];
        let truth = worst_error_free(&world, &lines);
        // Far before its own doorbell, and after everything before that.
        lines[liar].t_ns -= 15_000_000;
        let mut trace = read_text("t", &text(&lines)).unwrap();
        let merged = merge(&mut trace, MAX_DRIFT_PPM).unwrap();
        let found: Vec<u64> = merged.impossible.iter().map(|pair| pair.driver_ns).collect();
        prop_assert_eq!(found, [lines[liar].t_ns]);
        let offset = world.offset_ns;
        prop_assert!(merged.offset_ns.abs_diff(offset) <= merged.error_ns + truth, "{merged:?}");
    }
}

/// How far the offset moves between the driver's begin and its first record.
fn worst_error_free(world: &World, lines: &[Line]) -> u64 {
    let first = lines.iter().find(|line| line.side == "driver").unwrap().t_ns;
    let here = world.device_ns(first) - i64::try_from(first).unwrap();
    here.abs_diff(world.offset_ns) + 1
}

fn world(offset_ns: i64) -> World {
    World { offset_ns, drift_ppm: 0.0, operations: vec![[1_000_000, 4_000, 50_000, 6_000]; 40], channels: 2 }
}

#[test]
fn a_known_offset_is_found_as_sharply_as_the_delays_allow_and_the_result_is_on_one_clock() {
    let lines = world(5_000_000_000).lines();
    let mut trace = read_text("t", &text(&lines)).unwrap();
    assert!(!one_clock(&trace));
    let merged = merge(&mut trace, MAX_DRIFT_PPM).unwrap();
    // Doorbells take 4 us and messages 6 us: 10 us are possible, so 5 us is the error, and a little for the drift.
    assert!((5_000..7_000).contains(&merged.error_ns), "{merged:?}");
    assert!(merged.offset_ns.abs_diff(5_000_000_000) <= merged.error_ns);
    assert!(one_clock(&trace));
    let clocks: BTreeMap<_, _> = trace
        .headers
        .iter()
        .map(|header| (header.side.map(|side| side as u8), header.clock.clone()))
        .collect();
    assert!(
        clocks.len() == 2 && clocks.values().all(|clock| clock.as_deref() == Some("merged")),
        "{clocks:?}"
    );
}

#[test]
fn sides_without_a_common_doorbell_or_interrupt_are_refused_and_left_as_they_were() {
    let lines = world(5_000_000_000).lines();
    for (gone, missing) in [("doorbell", "doorbell"), ("isr", "interrupt")] {
        let left: Vec<Line> = lines.iter().filter(|line| line.stage != gone).cloned().collect();
        let mut trace = read_text("t", &text(&left)).unwrap();
        let before = trace.records.clone();
        let error = merge(&mut trace, MAX_DRIFT_PPM).unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
        assert_eq!(trace.records, before);
    }
}
