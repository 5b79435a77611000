//! What the rule engine costs where nothing is armed: the same copies through two engines in turns, one of them built without
//! faults.
//!
//! The median of 20 turns, not the best: the limit is about what it costs as a rule, and the two are close.

use std::sync::Arc;
use std::time::Instant;

use ioat_stage::{FaultBook, Faults, NoTrace, Trace};
use serde_json::json;

use crate::memory::{BASE, Memory};
use crate::queue::{Job, Queue, ring_bytes};
use crate::report::{Line, Report, Target};

/// Turns.
const TURNS: usize = 20;
/// Descriptors of the ring, those of one doorbell, doorbells that wait, doorbells of one turn.
const SLOTS: usize = 4096;
const BATCH: usize = 256;
const QUEUED: u64 = 8;
const RUNG: u64 = 2048;

pub(crate) fn measure(report: &mut Report) {
    let book = FaultBook::new([]);
    let (memory, jobs) = prepare();
    let mut rules = Queue::with(memory, &jobs, BATCH, NoTrace, |_| book.faults());
    let (memory, jobs) = prepare();
    let mut none = Queue::start(memory, &jobs, BATCH);
    let turns: Vec<(f64, f64)> = (0..TURNS)
        .map(|turn| {
            // Neither is always the first.
            if turn % 2 == 0 {
                let with = time(&mut rules);
                (with, time(&mut none))
            } else {
                let without = time(&mut none);
                (time(&mut rules), without)
            }
        })
        .collect();
    let figure = median(turns.iter().map(|turn| turn.0));
    let baseline = median(turns.iter().map(|turn| turn.1));
    let ratio = median(turns.iter().map(|turn| turn.0 / turn.1));
    let name = "64 B descriptors, rules built in, none armed".to_owned();
    let baseline = ("NoFaults", baseline);
    report.add(Line { name, unit: "ns each", figure, baseline, target: Target::AtMost(1.03) });
    let text = format!("medians of {TURNS} turns; the median of their ratios is {ratio:.3}");
    report.note("median-of-ratios", json!(ratio), &text);
}

fn prepare() -> (Arc<Memory>, Vec<Job>) {
    let data = BASE + ring_bytes(SLOTS);
    let memory = Memory::whole((ring_bytes(SLOTS) + 2 * 64 * SLOTS as u64).next_multiple_of(4096));
    let job = |slot: usize| {
        let source = data + 128 * slot as u64;
        Job { size: 64, source, destination: source + 64 }
    };
    (Arc::new(memory), (0..SLOTS).map(job).collect())
}

fn time<T: Trace + 'static, F: Faults + 'static>(queue: &mut Queue<T, F>) -> f64 {
    queue.pump((SLOTS / BATCH) as u64, QUEUED);
    let start = Instant::now();
    queue.pump(RUNG, QUEUED);
    start.elapsed().as_nanos() as f64 / (RUNG * BATCH as u64) as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    (values[middle - 1] + values[middle]) / 2.0
}
