//! One clock for two sides: the driver's times become times of the device's clock.
//!
//! What is known without any clock: a doorbell is written before it is seen, and the service routine ends after the
//! message was raised. Each pair ([`super::pairs`]) bounds what must be added to the driver's clock: the first from
//! above, the second from below. The message's own stamp is taken when it is already under way, so the stage before it
//! counts ([`super::pairs::raised_after`]).

use ioat_stage::Side;
use serde::Serialize;

use super::fit::{Bound, Fit, FitError, Kind, fit};
use super::pairs;
use super::read::Trace;
use super::record::{Header, Record};

/// The most that two clocks are taken to drift apart: far above what crystals and NTP do, and enough for a guest that
/// calibrated its clock on a busy host.
pub const MAX_DRIFT_PPM: u32 = 1_000;

/// Two happenings whose order is known, and whose times say otherwise.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Impossible {
    /// `doorbell` or `interrupt`.
    pub pair: &'static str,
    /// The device's time, of its own clock.
    pub device_ns: u64,
    /// The driver's time, of its own clock.
    pub driver_ns: u64,
    /// The channel of a doorbell, or the vector of an interrupt.
    pub number: u32,
}

/// What the merge found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Merged {
    /// Doorbells that both sides tell of.
    pub doorbells: usize,
    /// Interrupts that both sides tell of.
    pub interrupts: usize,
    /// What is added to the driver's first time.
    pub offset_ns: i64,
    /// How much faster the device's clock runs.
    pub drift_ppm: f64,
    /// By how much a driver's time may be wrong against the device's, anywhere in the trace.
    pub error_ns: u64,
    /// Pairs that contradict the others: they were left out.
    pub impossible: Vec<Impossible>,
}

/// Puts a trace of both sides on the device's clock, in place.
///
/// # Errors
/// When there is too little that both sides tell of. The trace is unchanged then.
pub fn merge(trace: &mut Trace, max_drift_ppm: u32) -> Result<Merged, FitError> {
    let (bounds, pairs) = bounds(&trace.records);
    let driver: Vec<u64> =
        trace.records.iter().filter(|record| record.side == Side::Driver).map(|record| record.t_ns).collect();
    // The records are in the order of time.
    let span = (driver.first().copied().unwrap_or(0), driver.last().copied().unwrap_or(0));
    let (fit, out) = fit(&bounds, span, max_drift_ppm)?;
    let of = |kind: Kind| bounds.iter().filter(|bound| bound.kind == kind).count();
    let merged = Merged {
        doorbells: of(Kind::Upper),
        interrupts: of(Kind::Lower),
        offset_ns: whole(fit.at(span.0)),
        drift_ppm: fit.drift_ppm(),
        error_ns: fit.worst_ns(),
        impossible: out
            .iter()
            .map(|index| impossible(&trace.records, &bounds[*index], pairs[*index]))
            .collect(),
    };
    convert(trace, &fit, &merged);
    Ok(merged)
}

/// Whether both sides can be on one clock as they are: no pair contradicts that, or there is none.
#[must_use]
pub fn one_clock(trace: &Trace) -> bool {
    let (bounds, _) = bounds(&trace.records);
    let wrong = bounds.iter().filter(|bound| match bound.kind {
        Kind::Lower => bound.offset_ns > 0,
        Kind::Upper => bound.offset_ns < 0,
    });
    // A few may be paired wrongly.
    wrong.count() * 10 <= bounds.len()
}

/// All bounds, and the records (driver, device) that each is from.
fn bounds(records: &[Record]) -> (Vec<Bound>, Vec<(usize, usize)>) {
    let bound = |kind: Kind, driver: usize, device: usize| {
        let (driver, device) = (records[driver].t_ns, records[device].t_ns);
        let offset_ns = i64::try_from(i128::from(device) - i128::from(driver)).unwrap_or(i64::MAX);
        Bound { kind, t_ns: driver, offset_ns }
    };
    let mut all = (Vec::new(), Vec::new());
    for (driver, device) in pairs::doorbells(records) {
        all.0.push(bound(Kind::Upper, driver, device));
        all.1.push((driver, device));
    }
    for (msix, isr) in pairs::messages(records) {
        let device = pairs::raised_after(records, msix);
        if device != msix {
            all.0.push(bound(Kind::Lower, isr, device));
            all.1.push((isr, device));
        }
    }
    all
}

fn impossible(records: &[Record], bound: &Bound, (driver, device): (usize, usize)) -> Impossible {
    let event = records[driver].event();
    let (pair, number) = match bound.kind {
        Kind::Upper => ("doorbell", event.map_or(0, |event| event.channel.into())),
        Kind::Lower => ("interrupt", event.map_or(0, pairs::vector_of)),
    };
    Impossible { pair, device_ns: records[device].t_ns, driver_ns: records[driver].t_ns, number }
}

fn convert(trace: &mut Trace, fit: &Fit, merged: &Merged) {
    let time = |record: &Record| match record.side {
        Side::Device => i128::from(record.t_ns),
        Side::Driver => fit.convert(record.t_ns),
    };
    // A driver that ran before the device's clock began to count: everything moves.
    let shift = trace.records.iter().map(time).min().unwrap_or(0).min(0);
    for record in &mut trace.records {
        record.t_ns = u64::try_from(time(record) - shift).unwrap_or(u64::MAX);
    }
    trace.sort();
    let mut headers = Vec::new();
    for side in [Side::Device, Side::Driver] {
        let mut header = trace.header(side).cloned().unwrap_or_default();
        (header.side, header.clock) = (Some(side), Some("merged".into()));
        if side == Side::Driver {
            header.offset_ns = Some(merged.offset_ns);
            header.drift_ppm = Some(merged.drift_ppm);
            header.error_ns = Some(merged.error_ns);
        }
        headers.push(header);
    }
    trace.headers = headers;
}

/// Header of a side that is on the clock of a merge.
#[must_use]
pub fn error_bound(trace: &Trace) -> Option<u64> {
    trace.header(Side::Driver).and_then(|header: &Header| header.error_ns)
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to whole ns")]
fn whole(ns: f64) -> i64 {
    ns.round() as i64
}
