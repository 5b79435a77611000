//! The ten points of a descriptor's way, in order, and the times between them.

use super::link::Life;
use super::record::Record;

/// A point of the way: the driver's doorbell, and the nine stages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Point {
    /// The driver writes DMACOUNT.
    Written,
    /// The device hears it.
    Doorbell,
    /// The descriptor is read.
    Fetch,
    /// Its addresses become host ranges.
    Translate,
    /// Its data moves.
    Copy,
    /// The completion word that reports it is stored.
    Complete,
    /// The message that announces it is sent.
    Msix,
    /// The service routine of that message has run.
    Isr,
    /// The request for DPCs of that service routine.
    Queue,
    /// The DPC that reports it has run.
    Dpc,
}

impl Point {
    /// All ten, in the order of the path.
    pub const ALL: [Self; 10] = [
        Self::Written,
        Self::Doorbell,
        Self::Fetch,
        Self::Translate,
        Self::Copy,
        Self::Complete,
        Self::Msix,
        Self::Isr,
        Self::Queue,
        Self::Dpc,
    ];

    /// Its word: that of the stage, or `written`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Doorbell => "doorbell",
            Self::Fetch => "fetch",
            Self::Translate => "translate",
            Self::Copy => "copy",
            Self::Complete => "complete",
            Self::Msix => "msix",
            Self::Isr => "isr",
            Self::Queue => "queue",
            Self::Dpc => "dpc",
        }
    }
}

/// What the time between two points is called, in the order of the path.
pub const SPANS: [&str; 12] = [
    "doorbell",
    "wait",
    "fetch",
    "translate",
    "copy",
    "execute",
    "complete",
    "msix",
    "isr",
    "queue",
    "dpc",
    "total",
];

/// One piece of a descriptor's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// A word of [`SPANS`]: the point that ends it; `wait` is the time behind earlier descriptors; `execute` is all of
    /// stages 2 to 5 where only the descriptor's record is known; `total` is from the first point to the last.
    pub name: &'static str,
    /// Its length.
    pub ns: u64,
}

impl Life {
    /// The points that are known, in the order of their times. The message's stamp is taken when the message is under
    /// way: where the driver was there first, the message counts as sent then. The service routine's is of its end: it
    /// counts from its request for DPCs, which it makes inside.
    #[must_use]
    pub fn points(&self, records: &[Record]) -> Vec<(Point, u64)> {
        let t_ns = |point: Point| self.point(point).map(|index| records[index].t_ns);
        let after =
            [Point::Isr, Point::Queue, Point::Dpc].into_iter().filter_map(t_ns).min().unwrap_or(u64::MAX);
        let asked = t_ns(Point::Queue).unwrap_or(u64::MAX);
        let stamp = |point: Point, t_ns: u64| match point {
            Point::Msix => t_ns.min(after),
            Point::Isr => t_ns.min(asked),
            _ => t_ns,
        };
        let known = Point::ALL.into_iter().filter_map(|point| Some((point, stamp(point, t_ns(point)?))));
        let mut points: Vec<_> = known.collect();
        // Its own message, which came when it was reported already (rule 8 of linking).
        let reported = t_ns(Point::Dpc).filter(|_| self.point(Point::Isr).is_none());
        points.retain(|(point, _)| *point != Point::Msix || t_ns(Point::Msix) <= reported.or(Some(u64::MAX)));
        points.sort_by_key(|(_, t_ns)| *t_ns);
        points
    }

    /// The times between the points: each counts from whatever came before it, for some are missing.
    #[must_use]
    pub fn spans(&self, records: &[Record]) -> Vec<Span> {
        let mut points: Vec<(&'static str, u64)> =
            self.points(records).into_iter().map(|(point, t_ns)| (point.name(), t_ns)).collect();
        if let Some(done) = self.done {
            points.push(("execute", records[done].t_ns));
        }
        if let Some(begin) = self.begin {
            // Where nothing came before, the wait is not known, and the fetch counts from the begin.
            points.push(("wait", begin));
        }
        points.sort_by_key(|(_, t_ns)| *t_ns);
        let mut spans: Vec<Span> =
            points.windows(2).map(|two| Span { name: two[1].0, ns: two[1].1 - two[0].1 }).collect();
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            if spans.len() > 1 {
                spans.push(Span { name: "total", ns: last.1 - first.1 });
            }
        }
        // What is named after the point that nothing ends: the driver's write is always first.
        spans.retain(|span| span.name != Point::Written.name());
        spans
    }
}
