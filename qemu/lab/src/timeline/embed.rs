//! The data of the page: a linked trace in columns, as JSON that a browser parses at once.
//!
//! Times are ns after the event before (`t`) and the length of the event (`d`); an address is hexadecimal text, and a number
//! that a browser's own numbers cannot hold (2^53 and above) is text too. A life's events are counted back from its first
//! one, plus 1; 0 is none.

use ioat_stage::{Mark, Side, Stage};
use serde_json::{Value, json};

use crate::trace::pairs::{processor_of, vector_of};
use crate::trace::slices::begins;
use crate::trace::stats::stats;
use crate::trace::way::Point;
use crate::trace::{Life, Linked, Trace, What};

/// Codes of what an event is: the place in [`Stage::ALL`], then these.
pub const EXECUTED: usize = 9;
/// A loss.
pub const LOST: usize = 10;

/// The first number that a browser cannot hold exactly.
const TOO_BIG: u64 = 1 << 53;

/// All that the page shows of a trace.
#[must_use]
pub fn data(trace: &Trace, linked: &Linked, title: &str) -> Value {
    json!({
        "title": title,
        "files": trace.files,
        "warnings": trace.warnings,
        "headers": trace.headers,
        "first_ns": trace.records.first().map_or(0, |first| first.t_ns).to_string(),
        "stats": stats(trace, linked, None),
        "points": Point::ALL.map(Point::name),
        "stages": Stage::ALL.map(Stage::name),
        "events": events(trace, linked),
        "lives": lives(trace, linked),
    })
}

/// One column per field; `n` is the vector or the processor, -1 if none; `m` is the mark: 0 ok, 1 held, 2 faulted, 3 error.
fn events(trace: &Trace, linked: &Linked) -> Value {
    let begins = begins(&trace.records, linked);
    let mut columns: [Vec<Value>; 12] = Default::default();
    let mut before = trace.records.first().map_or(0, |first| first.t_ns);
    for (record, begin) in trace.records.iter().zip(begins) {
        let (kind, channel, generation, sequence, address, len) = match &record.what {
            What::Event(e) => {
                (e.stage as usize, i32::from(e.channel), e.generation, e.sequence, e.address, e.len)
            }
            What::Executed(e) => (EXECUTED, i32::from(e.channel), e.generation, e.sequence, e.address, e.len),
            What::Lost(lost) => (LOST, -1, 0, 0, 0, *lost),
        };
        let (vector, processor) = record.event().map_or((None, None), |event| {
            let vector = (event.stage >= Stage::Msix).then(|| vector_of(event));
            (vector, matches!(event.stage, Stage::Isr | Stage::Dpc).then(|| processor_of(event)))
        });
        let or_none = |number: Option<u32>| number.map_or(-1, i64::from);
        let row = [
            json!(record.t_ns - before),
            json!(record.t_ns - begin),
            json!(kind + if record.side == Side::Driver { 16 } else { 0 }),
            json!(channel),
            json!(generation),
            number(sequence),
            json!(format!("{address:x}")),
            number(len),
            json!(mark(record.mark())),
            json!(or_none(vector)),
            json!(or_none(processor)),
            json!(code(record.mark())),
        ];
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        before = record.t_ns;
    }
    let names = ["t", "d", "k", "c", "g", "s", "a", "l", "m", "v", "p", "e"];
    Value::Object(names.into_iter().map(str::to_owned).zip(columns.map(Value::Array)).collect())
}

/// `at` has the ten points of each life, then its record, one life after the other; `begin` is how long before its fetch
/// (or its record) the engine could turn to it, -1 if that is not known.
fn lives(trace: &Trace, linked: &Linked) -> Value {
    let of = |field: fn(&Life) -> Value| linked.lives.iter().map(field).collect::<Vec<Value>>();
    let points = |life: &Life| life.at.into_iter().chain([life.done]);
    let first = |life: &Life| points(life).flatten().min().unwrap_or(0);
    let at =
        linked.lives.iter().flat_map(|life| points(life).map(|at| at.map_or(0, |at| at - first(life) + 1)));
    let begin = linked.lives.iter().map(|life| {
        let start = life.point(Point::Fetch).or(life.done).map(|at| trace.records[at].t_ns);
        let before = start.zip(life.begin).and_then(|(start, begin)| start.checked_sub(begin));
        before.map_or(json!(-1), |before| json!(before))
    });
    json!({
        "first": linked.lives.iter().map(first).collect::<Vec<usize>>(),
        "c": of(|life| json!(life.channel)),
        "g": of(|life| json!(life.generation)),
        "s": of(|life| number(life.sequence)),
        "own": of(|life| json!(u8::from(life.announced))),
        "begin": begin.collect::<Vec<Value>>(),
        "at": at.collect::<Vec<usize>>(),
    })
}

fn number(value: u64) -> Value {
    if value < TOO_BIG { json!(value) } else { json!(value.to_string()) }
}

fn mark(mark: Mark) -> u8 {
    match mark {
        Mark::Ok => 0,
        Mark::Held => 1,
        Mark::Faulted => 2,
        Mark::Error(_) => 3,
    }
}

fn code(mark: Mark) -> u32 {
    if let Mark::Error(code) = mark { code } else { 0 }
}
