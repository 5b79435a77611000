//! How long each stage takes.

use std::collections::BTreeMap;

use ioat_stage::{Mark, Side};
use serde::Serialize;

use super::link::Linked;
use super::read::Trace;
use super::record::What;
use super::way::SPANS;

/// The figures of one stage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// As in [`SPANS`].
    pub stage: &'static str,
    /// Descriptors that it is known of.
    pub count: usize,
    /// Half of them took at most this.
    pub p50_ns: u64,
    /// Nine of ten.
    pub p90_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Events of one stage, and how many belong to a descriptor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Links {
    /// Whose.
    pub side: Side,
    /// The stage.
    pub stage: &'static str,
    /// Recorded.
    pub events: usize,
    /// Part of a descriptor's life.
    pub linked: usize,
}

/// What a trace comes to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stats {
    /// Records of any kind.
    pub records: usize,
    /// Descriptors.
    pub descriptors: usize,
    /// Bytes of those that were moved.
    pub bytes: u64,
    /// From the first record to the last.
    pub span_ns: u64,
    /// Marked `faulted`.
    pub faulted: usize,
    /// Marked as an error.
    pub errors: usize,
    /// Marked `held`.
    pub held: usize,
    /// Records that did not fit.
    pub lost: u64,
    /// By how much the driver's times may be wrong, after a merge.
    pub clock_error_ns: Option<u64>,
    /// By stage, in the order of the path.
    pub stages: Vec<Row>,
    /// What could be linked.
    pub links: Vec<Links>,
}

/// Measures a linked trace, or one channel of it.
#[must_use]
pub fn stats(trace: &Trace, linked: &Linked, channel: Option<u8>) -> Stats {
    let wanted = |of: Option<u8>| channel.is_none() || of == channel;
    let records: Vec<_> = trace.records.iter().filter(|record| wanted(record.channel())).collect();
    let marked = |is: fn(Mark) -> bool| records.iter().filter(|record| is(record.mark())).count();
    let lives = || linked.lives.iter().filter(|life| wanted(Some(life.channel)));
    let mut spans: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for life in lives() {
        for span in life.spans(&trace.records) {
            spans.entry(span.name).or_default().push(span.ns);
        }
    }
    let links = linked.tally.iter().map(|(side, stage, tally)| Links {
        side: *side,
        stage: stage.name(),
        events: tally.events,
        linked: tally.linked,
    });
    Stats {
        records: records.len(),
        descriptors: lives().count(),
        bytes: lives().map(|life| moved(trace, life)).sum(),
        span_ns: records.last().map_or(0, |last| last.t_ns) - records.first().map_or(0, |first| first.t_ns),
        faulted: marked(|mark| mark == Mark::Faulted),
        errors: marked(|mark| matches!(mark, Mark::Error(_))),
        held: marked(|mark| mark == Mark::Held),
        lost: trace.lost(),
        clock_error_ns: super::merge::error_bound(trace),
        stages: SPANS.iter().filter_map(|name| row(name, spans.remove(name)?)).collect(),
        // Links are of the whole trace: a service routine has no channel.
        links: if channel.is_none() { links.collect() } else { Vec::new() },
    }
}

/// Bytes that a descriptor moved; a NULL has no destination.
fn moved(trace: &Trace, life: &super::Life) -> u64 {
    let index = life.point(super::way::Point::Copy).or(life.done);
    match index.map(|index| &trace.records[index].what) {
        Some(What::Event(event)) if event.address != 0 && !matches!(event.mark, Mark::Error(_)) => event.len,
        Some(What::Executed(done)) if done.address != 0 => done.len,
        _ => 0,
    }
}

fn row(stage: &'static str, mut ns: Vec<u64>) -> Option<Row> {
    ns.sort_unstable();
    let max_ns = *ns.last()?;
    let [p50_ns, p90_ns, p99_ns] = [50, 90, 99].map(|percent| percentile(&ns, percent));
    Some(Row { stage, count: ns.len(), p50_ns, p90_ns, p99_ns, max_ns })
}

/// The smallest that at least so many percent do not exceed (nearest rank).
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank.max(1) - 1]
}

/// A time for people: four digits and a unit.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn human(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.3} s", ns as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        let row = row("copy", hundred).unwrap();
        assert_eq!((row.p50_ns, row.p90_ns, row.p99_ns, row.max_ns), (50, 90, 99, 100));
        assert_eq!(percentile(&[7], 50), 7);
        assert_eq!(percentile(&[1, 9], 50), 1);
    }
}
