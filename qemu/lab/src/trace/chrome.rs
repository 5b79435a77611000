//! The Chrome trace event format, which ui.perfetto.dev and chrome://tracing open.
//!
//! What of it is used: metadata (`M`: names and order of processes and threads), complete slices (`X`, `ts` and `dur` in
//! us, three decimals), flows (`s`, `t`, `f` with `bp: e`, bound to the slice around their time by process, thread and `ts`),
//! instants (`i`). A process is a side, a thread is a track.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ioat_stage::{Event, Executed, Mark, Side, Stage};
use serde_json::{Value, json};

use super::link::Linked;
use super::pairs::{processor_of, vector_of};
use super::read::Trace;
use super::record::{Record, What};
use super::slices::begins;
use super::way::Point;

/// The points that a descriptor's arrows go through; translate and copy follow their fetch on the same track.
const ARROWS: [Point; 7] =
    [Point::Written, Point::Doorbell, Point::Fetch, Point::Complete, Point::Msix, Point::Isr, Point::Dpc];

/// Writes a linked trace.
///
/// # Errors
/// What writing to `out` reports.
pub fn write(trace: &Trace, linked: &Linked, out: &mut dyn Write) -> io::Result<()> {
    let slices = slices(&trace.records, linked);
    let mut list = List { out, first: true };
    list.out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
    tracks(&trace.records, &mut list)?;
    for (record, slice) in trace.records.iter().zip(&slices) {
        list.put(&slice_event(record, slice))?;
    }
    let base = trace.records.first().map_or(0, |first| first.t_ns);
    for (id, life) in linked.lives.iter().enumerate() {
        let mut at: Vec<(&Slice, u64)> = Vec::new();
        for (point, t_ns) in life.points(&trace.records) {
            at.extend(
                life.point(point).filter(|_| ARROWS.contains(&point)).map(|index| (&slices[index], t_ns)),
            );
        }
        at.extend(life.done.map(|done| (&slices[done], trace.records[done].t_ns)));
        arrows(id + 1, base, at, &mut list)?;
    }
    let other = json!({ "producer": concat!("netdma-lab ", env!("CARGO_PKG_VERSION")), "first_ns": base.to_string(),
        "files": trace.files, "lost": trace.lost() });
    writeln!(list.out, "\n],\"otherData\":{other}}}")
}

/// Where and when an event is drawn, in ns after the first.
struct Slice {
    process: u32,
    thread: u64,
    begin: u64,
    end: u64,
}

/// Events on one track do not overlap, and each is at least 1 ns long: an arrow needs something to end in.
fn slices(records: &[Record], linked: &Linked) -> Vec<Slice> {
    let base = records.first().map_or(0, |first| first.t_ns);
    let mut ends: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    let slice = |(record, begin): (&Record, u64)| {
        let (process, thread) = (process(record.side), track(record).0);
        let last = ends.entry((process, thread)).or_insert(0);
        let begin = (begin.max(base) - base).max(*last);
        let end = (record.t_ns - base).max(begin + 1);
        *last = end;
        Slice { process, thread, begin, end }
    };
    records.iter().zip(begins(records, linked)).map(slice).collect()
}

fn process(side: Side) -> u32 {
    match side {
        Side::Device => 1,
        Side::Driver => 2,
    }
}

/// The number and the name of the track that a record is on. The number is its place in the order, too.
fn track(record: &Record) -> (u64, String) {
    let event = match &record.what {
        What::Event(event) => event,
        What::Executed(done) => {
            return (2 + 4 * u64::from(done.channel), format!("channel {}", done.channel));
        }
        What::Lost(_) => return (0, "losses".into()),
    };
    let (channel, vector) = (event.channel, vector_of(event));
    let of_vector = |nth: u64| VECTORS + 4 * u64::from(vector) + nth;
    match event.stage {
        Stage::Doorbell => (1 + 4 * u64::from(channel), format!("channel {channel}: doorbells")),
        Stage::Fetch | Stage::Translate | Stage::Copy | Stage::Complete => {
            (2 + 4 * u64::from(channel), format!("channel {channel}"))
        }
        Stage::Msix => (of_vector(0), format!("vector {vector}: messages")),
        Stage::Isr => (of_vector(1), format!("vector {vector}: service routine")),
        Stage::Queue => (of_vector(2), format!("vector {vector}: requests for DPCs")),
        Stage::Dpc => {
            let processor = processor_of(event);
            (PROCESSORS + u64::from(processor), format!("processor {processor}"))
        }
    }
}

const VECTORS: u64 = 10_000;
const PROCESSORS: u64 = 1 << 40;

fn tracks(records: &[Record], list: &mut List<'_>) -> io::Result<()> {
    let named: BTreeMap<(u32, u64), String> = records
        .iter()
        .map(|record| (process(record.side), track(record)))
        .map(|(process, (thread, name))| ((process, thread), name))
        .collect();
    for (pid, name) in [(1, "device"), (2, "driver")] {
        if named.keys().any(|(process, _)| *process == pid) {
            list.put(&json!({ "ph": "M", "pid": pid, "name": "process_name", "args": { "name": name } }))?;
            list.put(&json!({ "ph": "M", "pid": pid, "name": "process_sort_index", "args": { "sort_index": pid } }))?;
        }
    }
    for (order, ((pid, tid), name)) in named.iter().enumerate() {
        let at = |kind: &str, args: Value| json!({ "ph": "M", "pid": pid, "tid": tid, "name": kind, "args": args });
        list.put(&at("thread_name", json!({ "name": name })))?;
        list.put(&at("thread_sort_index", json!({ "sort_index": order })))?;
    }
    Ok(())
}

fn slice_event(record: &Record, slice: &Slice) -> Value {
    let Slice { process, thread, begin, end } = slice;
    let (name, args) = match &record.what {
        What::Event(event) => (event.stage.name(), event_args(event)),
        What::Executed(done) => ("execute", executed_args(done)),
        What::Lost(lost) => {
            let name = format!("{lost} records lost");
            return json!({ "ph": "i", "s": "p", "pid": process, "tid": thread, "ts": us(*begin), "name": name });
        }
    };
    json!({ "ph": "X", "pid": process, "tid": thread, "ts": us(*begin), "dur": us(end - begin), "cat": category(record.mark()),
        "name": name, "args": args })
}

/// What can be filtered by.
fn category(mark: Mark) -> &'static str {
    match mark {
        Mark::Ok => "stage",
        Mark::Faulted => "stage,faulted",
        Mark::Held => "stage,held",
        Mark::Error(_) => "stage,error",
    }
}

fn event_args(event: &Event) -> Value {
    let Event { channel, generation, sequence, address, len, mark, vector, processor, .. } = event;
    let mut args = json!({ "channel": channel, "generation": generation, "sequence": sequence,
        "address": format!("{address:#x}"), "len": len, "mark": words(*mark) });
    if let Some(vector) = vector {
        args["vector"] = json!(vector);
    }
    if let Some(processor) = processor {
        args["processor"] = json!(processor);
    }
    args
}

fn executed_args(done: &Executed) -> Value {
    let Executed { channel, generation, sequence, descriptor, address, len, mark } = done;
    json!({ "channel": channel, "generation": generation, "sequence": sequence, "descriptor": format!("{descriptor:#x}"),
        "address": format!("{address:#x}"), "len": len, "mark": words(*mark) })
}

/// A mark in words.
#[must_use]
pub fn words(mark: Mark) -> String {
    match mark {
        Mark::Ok => "ok".into(),
        Mark::Faulted => "faulted".into(),
        Mark::Held => "held".into(),
        Mark::Error(code) => format!("error {code:#x}"),
    }
}

/// The arrows of one descriptor: through its slices in the order of their times, never back.
fn arrows(id: usize, base: u64, mut at: Vec<(&Slice, u64)>, list: &mut List<'_>) -> io::Result<()> {
    at.sort_by_key(|(_, t_ns)| *t_ns);
    let mut bound: Vec<(&Slice, u64)> = Vec::new();
    for (slice, t_ns) in at {
        // Inside the slice, which ends before its end.
        let inside = (t_ns - base).min(slice.end - 1).max(slice.begin);
        let ts = inside.max(bound.last().map_or(0, |(_, ts)| *ts));
        if ts < slice.end {
            bound.push((slice, ts));
        }
    }
    if bound.len() < 2 {
        return Ok(());
    }
    let last = bound.len() - 1;
    for (n, (slice, ts)) in bound.into_iter().enumerate() {
        let ph = if n == 0 {
            "s"
        } else if n == last {
            "f"
        } else {
            "t"
        };
        let mut event = json!({ "ph": ph, "id": id, "pid": slice.process, "tid": slice.thread, "ts": us(ts),
            "cat": "life", "name": "life" });
        if n > 0 {
            event["bp"] = json!("e");
        }
        list.put(&event)?;
    }
    Ok(())
}

/// The format counts in us; three decimals are ns.
#[expect(clippy::cast_precision_loss, reason = "less than 2^53 ns after the first event")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

struct List<'a> {
    out: &'a mut dyn Write,
    first: bool,
}

impl List<'_> {
    fn put(&mut self, event: &Value) -> io::Result<()> {
        if !std::mem::take(&mut self.first) {
            self.out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *self.out, event)?;
        Ok(())
    }
}
