//! What the device costs: each figure next to a baseline of the same run, on the same memory, in turns.
//!
//! `cargo bench -p vfio-user-ioat` prints the table; with `-- --json`, one line for programs after it. A figure and its
//! baseline take turns, and of each the best round counts: other load on the machine makes rounds slower, never faster.

mod bare;
mod bulk;
mod latency;
mod memory;
mod queue;
mod report;
mod small;

use report::{Report, machine};

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut report = Report::new(machine());
    report.heading();
    bulk::measure(&mut report);
    small::measure(&mut report);
    latency::measure(&mut report);
    if json {
        println!("{}", report.json());
    }
}
