//! What a selftest found, for people's tables and for programs (`--json`): the lab reads these fields.

use std::fmt::Write as _;

use ioat_stage::Placement;
use netdma::hw::Routed;
use netdma::ndis::InterruptType;

use super::sizes;
use super::table::{Align, Table};

/// A whole selftest.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Report {
    /// The device's name.
    pub(crate) device: String,
    /// On what it ran, as on the command line.
    pub(crate) on: String,
    /// Of the data; `--seed` repeats it.
    pub(crate) seed: u64,
    /// Which kind of interrupt was used.
    pub(crate) interrupt_kind: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) processors: Vec<Processor>,
    pub(crate) vectors: Vec<Vector>,
    /// Of the device in this process; other devices' own logs say it.
    pub(crate) faults_fired: Vec<FaultFired>,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// One step.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) passed: bool,
    /// Not run, with the reason in `detail`; it counts neither as passed nor as failed.
    pub(crate) skipped: bool,
    pub(crate) channels: usize,
    /// Moved and verified.
    pub(crate) bytes: u64,
    pub(crate) descriptors: u64,
    pub(crate) interrupts: u64,
    /// Lost interrupts whose completion was found all the same.
    pub(crate) recovered: u64,
    pub(crate) ms: f64,
    pub(crate) detail: String,
}

/// What one processor did.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Processor {
    pub(crate) number: usize,
    pub(crate) placement: String,
    pub(crate) dpcs: u64,
    pub(crate) queued: u64,
    pub(crate) refused: u64,
}

/// Where one vector goes; a line is vector 0.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Vector {
    pub(crate) vector: u32,
    /// The processor of its service routine.
    pub(crate) processor: Option<u32>,
    pub(crate) interrupts: u64,
    pub(crate) routed: String,
}

/// A fault that was injected.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct FaultFired {
    pub(crate) rule: String,
    pub(crate) channel: Option<u8>,
    /// Which of the operations that the rule counts.
    pub(crate) nth: u64,
    /// Which of its channel's operations at this point.
    pub(crate) channel_nth: u64,
}

/// Where a vector goes, in words.
pub(crate) fn routing(routed: &Routed) -> String {
    match routed {
        Routed::Kernel(cpu) => format!("IRQ affinity set to CPU {cpu}"),
        Routed::NotPermitted(why) => format!("IRQ affinity not set: {why}"),
        Routed::NotApplicable => "no kernel interrupt behind it".into(),
    }
}

/// The kind of interrupt, in words.
pub(crate) fn kind(granted: Option<InterruptType>) -> &'static str {
    match granted {
        Some(InterruptType::MessageBased) => "MSI-X",
        Some(InterruptType::LineBased) => "INTx",
        None => "none",
    }
}

/// Where a worker runs, in words.
pub(crate) fn placement(placement: Placement) -> String {
    match placement {
        Placement::Pinned(cpu) => format!("pinned to CPU {cpu}"),
        Placement::Anywhere => "not pinned".into(),
        Placement::Refused(cpu, libc::EINVAL) => format!("not pinned: CPU {cpu} is not there or not ours"),
        Placement::Refused(cpu, errno) => format!("not pinned: CPU {cpu} refused, errno {errno}"),
    }
}

impl Report {
    /// The tables and the closing line.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("\n{}\n{}", self.steps_table(), self.processors_table());
        // Writing to a String cannot fail.
        let _ = write!(text, "\ninterrupts: {}\n{}", self.interrupt_kind, self.vectors_table());
        if !self.faults_fired.is_empty() {
            let _ = write!(text, "\n{}", self.faults_table());
        }
        let _ = writeln!(
            text,
            "
{} passed, {} failed",
            self.passed, self.failed
        );
        text
    }

    fn steps_table(&self) -> Table {
        let right = |name| (name, Align::Right);
        let mut table = Table::new(&[
            ("step", Align::Left),
            right("channels"),
            right("verified"),
            right("descriptors"),
            right("interrupts"),
            right("ms"),
            ("result", Align::Left),
        ]);
        for step in &self.steps {
            table.row([
                step.name.into(),
                step.channels.to_string(),
                sizes::show(step.bytes),
                step.descriptors.to_string(),
                step.interrupts.to_string(),
                format!("{:.1}", step.ms),
                step.result(),
            ]);
        }
        table
    }

    fn processors_table(&self) -> Table {
        let right = |name| (name, Align::Right);
        let mut table = Table::new(&[
            right("processor"),
            right("DPCs"),
            right("queued"),
            right("refused"),
            ("placement", Align::Left),
        ]);
        for Processor { number, placement, dpcs, queued, refused } in &self.processors {
            table.row([
                number.to_string(),
                dpcs.to_string(),
                queued.to_string(),
                refused.to_string(),
                placement.clone(),
            ]);
        }
        table
    }

    fn vectors_table(&self) -> Table {
        let columns = [
            ("vector", Align::Right),
            ("interrupts", Align::Right),
            ("ISR on", Align::Right),
            ("routing", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for Vector { vector, processor, interrupts, routed } in &self.vectors {
            let processor = processor.map_or("any".to_owned(), |processor| processor.to_string());
            table.row([vector.to_string(), interrupts.to_string(), processor, routed.clone()]);
        }
        table
    }

    fn faults_table(&self) -> Table {
        let columns = [("fault fired", Align::Left), ("channel", Align::Right), ("operation", Align::Right)];
        let mut table = Table::new(&columns);
        for FaultFired { rule, channel, nth, .. } in &self.faults_fired {
            let channel = channel.map_or("none".to_owned(), |channel| channel.to_string());
            table.row([rule.clone(), channel, nth.to_string()]);
        }
        table
    }
}

impl Step {
    /// The result in words: `ok`, `FAILED`, `skipped`, and the detail.
    pub(crate) fn result(&self) -> String {
        let word = match (self.skipped, self.passed) {
            (true, _) => "skipped",
            (false, true) => "ok",
            (false, false) => "FAILED",
        };
        if self.detail.is_empty() { word.into() } else { format!("{word}: {}", self.detail) }
    }
}
