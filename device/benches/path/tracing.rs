//! What a trace costs: the same copies through two engines in turns, one of them without a trace.
//!
//! The trace is the one of `--trace FILE`: a switch, a ring for each channel, and a thread that writes JSON lines to a file, on
//! the same processors as everything else.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ioat_stage::trace::Header;
use ioat_stage::{Detail, Pause, Side, Switch, ThreadPause, TraceCounts, TraceWriter};

use crate::memory::{BASE, Memory};
use crate::queue::{Job, Queue, ring_bytes};
use crate::report::{Line, Report, Target};

/// A load: copies of one size, so many to a doorbell, so many doorbells waiting.
struct Load {
    name: &'static str,
    size: u32,
    slots: usize,
    batch: usize,
    queued: u64,
    /// Doorbells of one round.
    rung: u64,
}

/// Few buffers, which caches hold: the copies are as fast as they get, and what the trace adds shows most.
const BULK: Load = Load { name: "64 KiB copies", size: 64 << 10, slots: 32, batch: 1, queued: 16, rung: 128 };
const SMALL: Load = Load { name: "64 B descriptors", size: 64, slots: 4096, batch: 256, queued: 8, rung: 64 };

/// Readings of the clock that are timed together.
const READINGS: u64 = 10_000;

pub(crate) fn measure(report: &mut Report) {
    clock(report);
    // "Off" is one branch per step; what is above 1 is noise, and what the limit is for.
    compare(report, &BULK, Detail::Off, Target::AtMost(1.02));
    compare(report, &BULK, Detail::Descriptors, Target::AtMost(1.05));
    compare(report, &BULK, Detail::Stages, Target::None);
    compare(report, &SMALL, Detail::Off, Target::AtMost(1.02));
    compare(report, &SMALL, Detail::Descriptors, Target::AtMost(3.0));
    compare(report, &SMALL, Detail::Stages, Target::None);
}

/// What one stamp costs: for small descriptors more than the copy.
fn clock(report: &mut Report) {
    let pause = ThreadPause::new();
    let (mut ours, mut std) = (f64::MAX, f64::MAX);
    for _ in report.rounds() {
        let start = Instant::now();
        (0..READINGS).for_each(|_| _ = black_box(pause.now_ns()));
        ours = ours.min(nanoseconds_each(READINGS, start));
        let start = Instant::now();
        (0..READINGS).for_each(|_| _ = black_box(Instant::now()));
        std = std.min(nanoseconds_each(READINGS, start));
    }
    let (name, baseline) = ("one reading of the clock".to_owned(), ("Instant::now", std));
    report.add(Line { name, unit: "ns", figure: ours, baseline, target: Target::None });
}

fn compare(report: &mut Report, load: &Load, detail: Detail, target: Target) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let writer = TraceWriter::create(file.path(), Arc::new(ThreadPause::new())).expect("a thread");
    let sink = writer.sink(&Header::new(Side::Device, detail, "bench"), 1);
    let switch = Arc::new(Switch::of(sink, detail));
    let (memory, jobs) = load.prepare();
    let mut traced = Queue::traced(memory, &jobs, load.batch, switch);
    let (memory, jobs) = load.prepare();
    let mut plain = Queue::start(memory, &jobs, load.batch);
    let copies = load.rung * load.batch as u64;
    let (mut with, mut without) = (f64::MAX, f64::MAX);
    for _ in report.rounds() {
        traced.pump(load.rung, load.queued);
        let start = Instant::now();
        traced.pump(load.rung, load.queued);
        with = with.min(nanoseconds_each(copies, start));

        plain.pump(load.rung, load.queued);
        let start = Instant::now();
        plain.pump(load.rung, load.queued);
        without = without.min(nanoseconds_each(copies, start));
    }
    let name = format!("{}, trace: {detail}", load.name);
    report.add(Line { name, unit: "ns each", figure: with, baseline: ("without", without), target });
    drop(traced);
    writer.drain();
    let TraceCounts { written, lost } = writer.counts();
    if written + lost > 0 {
        let share = 100.0 * lost as f64 / (written + lost) as f64;
        let text = format!("{written} lines written, {lost} lost ({share:.1} %)");
        report.note("trace", serde_json::json!({ "written": written, "lost": lost }), &text);
    }
}

impl Load {
    fn prepare(&self) -> (Arc<Memory>, Vec<Job>) {
        let (data, len) = (BASE + ring_bytes(self.slots), u64::from(self.size));
        let memory = Memory::whole((ring_bytes(self.slots) + 2 * len * self.slots as u64).next_multiple_of(4096));
        let job = |slot: usize| {
            let source = data + 2 * len * slot as u64;
            Job { size: self.size, source, destination: source + len }
        };
        (Arc::new(memory), (0..self.slots).map(job).collect())
    }
}

fn nanoseconds_each(copies: u64, start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / copies as f64
}
