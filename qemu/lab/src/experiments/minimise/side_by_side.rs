//! A failing and a passing schedule as two columns of events, with the first difference marked.

use std::fmt::Write as _;

use ioat_stage::{Event, Mark, Side};

use super::schedule::{Nearest, Played, Shortest, alike};
use crate::sim::schedule::Taken;
use crate::sim::world::Stamped;

/// Events that are shown before the first difference.
const BEFORE: usize = 6;
/// Lines that are shown from it on.
const AFTER: usize = 24;
/// Characters of a column.
const WIDE: usize = 62;

/// The text.
#[must_use]
pub fn text(found: &Shortest) -> String {
    let Shortest { of_seed, fails, passes, is_minimal, runs } = found;
    let taken = fails.taken.len();
    let mut text = format!(
        "the shortest failing schedule: {taken} of the seed's {of_seed} switches ({runs} runs{})\n",
        if *is_minimal { ", and without any one of them it passes, or fails otherwise" } else { "" },
    );
    for Taken { switch, t_ns, instead_of, name } in &fails.taken {
        let _ = writeln!(text, "  at point {} ({t_ns} ns): {name} goes on, not {instead_of}", switch.at);
    }
    if taken == 0 {
        text += "  it fails where every task goes on until it waits: no order of events is the cause\n";
    }
    match passes {
        Some(nearest) => columns(&mut text, fails, nearest),
        None => last(&mut text, fails),
    }
    let _ = writeln!(text, "fails: {}", fails.reason);
    text
}

/// The two runs, from a little before they part.
fn columns(text: &mut String, fails: &Played, nearest: &Nearest) {
    let Nearest { without, played } = nearest;
    let alike = alike(&fails.events, &played.events);
    let from = alike.saturating_sub(BEFORE);
    let _ = writeln!(text, "the nearest that passes: {without}\n\n  {:<WIDE$} | passes", "fails");
    if from > 0 {
        let _ = writeln!(text, "  {:<WIDE$} |", format!("({from} events alike)"));
    }
    let longest = fails.events.len().max(played.events.len());
    for at in from..longest.min(alike + AFTER) {
        let show = |events: &[Stamped]| events.get(at).map_or_else(String::new, line);
        let (left, right) = (show(&fails.events), show(&played.events));
        let mark = if at == alike { '>' } else { ' ' };
        let _ = writeln!(text, "{mark} {left:<WIDE$} | {right}");
    }
    if longest > alike + AFTER {
        let rest = |events: &[Stamped]| events.len().saturating_sub(alike + AFTER);
        let left = format!("(and {} events)", rest(&fails.events));
        let _ = writeln!(text, "  {left:<WIDE$} | (and {} events)", rest(&played.events));
    }
    text.push('\n');
}

/// Nothing to compare with: its end.
fn last(text: &mut String, fails: &Played) {
    let from = fails.events.len().saturating_sub(AFTER);
    for event in &fails.events[from..] {
        let _ = writeln!(text, "  {}", line(event));
    }
}

fn line(stamped: &Stamped) -> String {
    let Stamped { t_ns, side, event } = stamped;
    let Event { stage, channel, sequence, address, mark, processor, .. } = event;
    let side = match side {
        Side::Device => "device",
        Side::Driver => "driver",
    };
    let cpu = processor.map(|cpu| format!(" cpu {cpu}")).unwrap_or_default();
    let mark = if *mark == Mark::Ok { String::new() } else { format!(" {mark:?}") };
    format!("{t_ns:>8} {side} {stage:<9} ch {channel} #{sequence} {address:#x}{cpu}{mark}")
}
