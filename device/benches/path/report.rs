//! The table, and the same as JSON.

use std::fmt::Display;
use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The fewest rounds of a line.
const ROUNDS: u32 = 20;

/// What a ratio has to be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Reported only.
    None,
}

/// One line: a figure, what it is held against, and how the two compare.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) figure: f64,
    /// Its name and its value.
    pub(crate) baseline: (&'static str, f64),
    pub(crate) target: Target,
}

pub(crate) struct Report {
    machine: Value,
    /// How long the rounds of one line go on.
    line_time: Duration,
    lines: Vec<Value>,
}

impl Report {
    pub(crate) fn new(machine: Value, line_time: Duration) -> Self {
        Self { machine, line_time, lines: Vec::new() }
    }

    /// Yields once per round. Many short ones: then some of them are left alone by whatever else runs here.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = u32> + use<> {
        let (begin, line_time) = (Instant::now(), self.line_time);
        (0..).take_while(move |&round| round < ROUNDS || begin.elapsed() < line_time)
    }

    pub(crate) fn heading(&self) {
        let field = |name: &str| self.machine[name].as_str().unwrap_or_default().to_owned();
        println!(
            "machine: {}, {} processors; load average at start: {}",
            field("cpu"),
            self.machine["processors"],
            field("load")
        );
        println!(
            "ratio = figure / baseline; both are the best of rounds that took turns, or their median where it says so\n"
        );
        row("", "figure", "", "baseline", "ratio", "target", "");
    }

    /// Prints a line at once, so that there is something to see while the next one is measured.
    pub(crate) fn add(&mut self, line: Line) {
        let Line { name, unit, figure, baseline: (baseline_name, baseline), target } = line;
        let ratio = figure / baseline;
        let (wanted, met) = match target {
            Target::AtLeast(limit) => (format!(">= {limit}"), Some(ratio >= limit)),
            Target::AtMost(limit) => (format!("<= {limit}"), Some(ratio <= limit)),
            Target::None => ("-".to_owned(), None),
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let ratio_text = if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.1}") };
        let baseline_text = format!("{baseline:.1} {baseline_name}");
        row(&name, format!("{figure:.1}"), unit, &baseline_text, &ratio_text, &wanted, verdict);
        self.lines.push(json!({
            "name": name,
            "unit": unit,
            "figure": figure,
            "baseline": { "name": baseline_name, "value": baseline },
            "ratio": ratio,
            "target": wanted,
            "met": met,
        }));
    }

    /// Says something about the last line.
    pub(crate) fn note(&mut self, key: &str, value: Value, text: &str) {
        println!("    {text}");
        if let Some(line) = self.lines.last_mut() {
            line[key] = value;
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "machine": self.machine, "lines": self.lines })
    }
}

fn row(
    name: impl Display,
    figure: impl Display,
    unit: impl Display,
    baseline: impl Display,
    ratio: impl Display,
    target: impl Display,
    verdict: impl Display,
) {
    println!("{name:<52} {figure:>9} {unit:<8} {baseline:<28} {ratio:>6}  {target:<7} {verdict}");
}

/// What the numbers were measured on.
pub(crate) fn machine() -> Value {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "processors": available_parallelism().map_or(1, usize::from),
        "load": load.split(' ').take(3).collect::<Vec<_>>().join(" "),
    })
}
