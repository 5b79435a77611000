//! What the device costs: each figure next to a baseline of the same run, on the same memory, in turns.
//!
//! `cargo bench -p vfio-user-ioat` prints the table; with `-- --json`, one line for programs after it, with `-- --brief` a
//! short look. A figure and its
//! baseline take turns, and of each the best round counts: other load on the machine makes rounds slower, never faster.

mod bare;
mod bulk;
mod faults;
mod latency;
mod memory;
mod queue;
mod report;
mod small;
mod tracing;

use std::time::Duration;

use report::{Report, machine};

/// Adds a group of lines to the report.
type Measure = fn(&mut Report);

fn main() {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    let line_time = if given("--brief") { Duration::from_millis(300) } else { Duration::from_millis(2500) };
    let mut report = Report::new(machine(), line_time);
    report.heading();
    // For a profiler: `-- --only small`.
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let groups: [(&str, Measure); 5] = [
        ("bulk", bulk::measure),
        ("small", small::measure),
        ("tracing", tracing::measure),
        ("faults", faults::measure),
        ("latency", latency::measure),
    ];
    for (name, measure) in groups {
        if only.as_deref().is_none_or(|only| only == name) {
            measure(&mut report);
        }
    }
    if given("--json") {
        println!("{}", report.json());
    }
}
