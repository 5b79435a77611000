//! A run in words and in JSON lines.

use std::io::{self, Write};

use ioat_stage::trace::{Header, Stamped as Line};
use ioat_stage::{Detail, Event, Side};

use super::run::Report;
use super::world::Stamped;

/// Events that a report shows of a run that failed.
const LAST: usize = 12;

/// Writes every event as one JSON object per line, in the format of a trace file, with virtual time. No line tells one run of
/// a seed from another.
///
/// # Errors
/// What writing to `out` reports.
pub fn trace(report: &Report, out: &mut impl Write) -> io::Result<()> {
    lines(&report.events, out)
}

/// The same, of events.
///
/// # Errors
/// What writing to `out` reports.
pub fn lines(events: &[Stamped], out: &mut impl Write) -> io::Result<()> {
    for side in [Side::Device, Side::Driver] {
        let program = concat!("netdma-lab ", env!("CARGO_PKG_VERSION"));
        out.write_all(Header::simulated(side, Detail::Stages, program).line().as_bytes())?;
    }
    for &Stamped { t_ns, side, event } in events {
        let line = Line { t_ns, side, what: event };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// What a failing seed has to say: what is wrong, the last events, and how to see it again.
#[must_use]
pub fn failure(report: &Report, scenario: &str) -> String {
    let Report { seed, findings, events, .. } = report;
    let mut text = format!("seed {seed} fails:\n");
    for finding in findings {
        text += &format!("  {:?}: {}\n", finding.wrong, finding.text);
    }
    text += &format!("  the last events of {}:\n", events.len());
    for Stamped { t_ns, side, event } in events.iter().skip(events.len().saturating_sub(LAST)) {
        let Event { stage, channel, generation, sequence, address, len, mark, .. } = event;
        text += &format!(
            "    {t_ns:>9} ns {} {stage:<9} channel {channel} generation {generation} sequence {sequence} \
             address {address:#x} len {len} {mark:?}\n",
            match side {
                Side::Device => "device",
                Side::Driver => "driver",
            },
        );
    }
    format!("{text}  again: {}\n", replay(*seed, scenario))
}

/// The one command that runs a seed again.
#[must_use]
pub fn replay(seed: u64, scenario: &str) -> String {
    format!("netdma-lab sim --seeds {seed}..{} {scenario} --trace seed-{seed}.jsonl", seed + 1)
}
