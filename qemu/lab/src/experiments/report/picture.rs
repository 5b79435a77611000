//! A finding's events as a picture: a lane for each stage, time from left to right, the fault marked.

use std::fmt::Write as _;

use serde_json::Value;

use super::junit::escaped;

/// Lanes, in the order of the path; events of no stage of these are left out.
const LANES: [&str; 9] =
    ["doorbell", "fetch", "translate", "copy", "complete", "msix", "isr", "queue", "dpc"];
const WIDTH: f64 = 760.0;
const LANE: f64 = 18.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 6.0;

/// An event that can be drawn.
struct Shown<'a> {
    t_ns: f64,
    lane: usize,
    mark: &'a str,
    says: String,
}

/// The picture, as an SVG element; empty where there is nothing to draw.
pub(super) fn picture(events: &[Value]) -> String {
    let shown: Vec<Shown<'_>> = events.iter().filter_map(shown).collect();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return String::new() };
    let (begin, span) = (first.t_ns, (last.t_ns - first.t_ns).max(1.0));
    let height = TOP + LANE * 9.0 + 22.0;
    let mut svg = format!(
        "<svg class=\"way\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{} events of the stages, the fault marked\">",
        LEFT + WIDTH + 20.0,
        shown.len()
    );
    let row = |lane: usize| TOP + LANE * u32::try_from(lane).map_or(0.0, f64::from) + LANE / 2.0;
    // Writing to a String does not fail.
    for (lane, name) in LANES.iter().enumerate() {
        let y = row(lane);
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" class=\"lane\">{name}</text><line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>",
            LEFT - 8.0,
            y + 4.0,
            LEFT + WIDTH
        );
    }
    for event in &shown {
        let (x, y) = (LEFT + WIDTH * (event.t_ns - begin) / span, row(event.lane));
        let title = escaped(&event.says);
        let _ = match event.mark {
            "faulted" => {
                write!(
                    svg,
                    "<g class=\"faulted\"><path d=\"M{x:.1} {y} m-6 -6 l12 12 m0 -12 l-12 12\"/><title>{title}</title></g>"
                )
            }
            mark => write!(
                svg,
                "<circle class=\"{mark}\" cx=\"{x:.1}\" cy=\"{y}\" r=\"4\"><title>{title}</title></circle>"
            ),
        };
    }
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\">{}</text><text x=\"{}\" y=\"{}\" class=\"end\">+{}</text></svg>",
        height - 6.0,
        time(begin),
        LEFT + WIDTH,
        height - 6.0,
        time(span)
    );
    svg
}

fn shown(event: &Value) -> Option<Shown<'_>> {
    let stage = event["stage"].as_str()?;
    let lane = LANES.iter().position(|name| *name == stage)?;
    let t_ns = event["t_ns"].as_f64()?;
    let mark = match &event["mark"] {
        Value::String(word) if word == "ok" => "ok",
        Value::String(word) if word == "held" => "held",
        Value::String(word) if word == "faulted" => "faulted",
        _ => "error",
    };
    let number = |name: &str| event[name].as_u64().unwrap_or(0);
    let says = format!(
        "{stage} at {}, channel {}, sequence {}, address {:#x}, len {}: {}",
        time(t_ns),
        number("channel"),
        number("sequence"),
        number("address"),
        number("len"),
        event["mark"]
    );
    Some(Shown { t_ns, lane, mark, says })
}

/// A time with a unit that fits.
pub(super) fn time(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us")];
    match units.into_iter().find(|(scale, _)| ns >= *scale) {
        Some((scale, unit)) => format!("{:.1} {unit}", ns / scale),
        None => format!("{ns:.0} ns"),
    }
}
