//! `netdma-lab trace`: convert, merge, stats.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use ioat_stage::Side;

use super::merge::{MAX_DRIFT_PPM, Merged, merge};
use super::stats::{Stats, human, stats};
use super::{Trace, chrome, link, read, record};
use crate::table::Table;

/// Contradicting pairs that are shown.
const SHOWN: usize = 5;

/// What to do with traces.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write traces in another format: for ui.perfetto.dev, or sorted JSON lines
    Convert {
        /// Traces of one side or of both, on one clock
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where to, and how
        #[command(flatten)]
        output: Output,
    },
    /// Put the device's and the driver's trace of two machines on one clock, and say how well they fit
    Merge {
        /// The device's trace
        device: PathBuf,
        /// The driver's trace, of a guest or another host
        driver: PathBuf,
        /// The most that the clocks may drift apart, in parts per million
        #[arg(long, value_name = "PPM", default_value_t = MAX_DRIFT_PPM)]
        max_drift_ppm: u32,
        /// Where to, and how
        #[command(flatten)]
        output: Output,
    },
    /// Say how long each stage takes
    Stats {
        /// Traces of one side or of both, on one clock
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only this channel
        #[arg(long, value_name = "N")]
        channel: Option<u8>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Where the result goes.
#[derive(Args, Debug)]
pub struct Output {
    /// `perfetto` is the Chrome trace event format
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// The file to write
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

/// A format of traces.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Format {
    Jsonl,
    Perfetto,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with an input, or that the output cannot be written.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Convert { files, output } => {
            let trace = load(files)?;
            output.write(&trace, files)?;
            println!(
                "{}: {} records of {}",
                output.output.display(),
                trace.records.len(),
                trace.files.join(", ")
            );
        }
        Command::Merge { device, driver, max_drift_ppm, output } => {
            let mut trace = both(device, driver)?;
            let merged = merge(&mut trace, *max_drift_ppm).context("the clocks cannot be fitted")?;
            output.write(&trace, &[device, driver])?;
            print!("{}", merge_words(&merged));
        }
        Command::Stats { files, channel, json } => {
            let trace = load(files)?;
            let linked = link(&trace.records);
            let stats = stats(&trace, &linked, *channel);
            match json {
                true => println!("{}", serde_json::to_string(&stats)?),
                false => print!("{}", stats_words(&stats)),
            }
        }
    }
    Ok(())
}

/// Reads traces, and says what is odd about them.
///
/// # Errors
/// The first file that is none.
pub fn load(files: &[impl AsRef<Path>]) -> Result<Trace> {
    let trace = read(files)?;
    trace.warnings.iter().for_each(|warning| eprintln!("netdma-lab: warning: {warning}"));
    if trace.lost() > 0 {
        eprintln!("netdma-lab: warning: {} records were lost while this was recorded", trace.lost());
    }
    Ok(trace)
}

/// One side's file and the other's.
fn both(device: &Path, driver: &Path) -> Result<Trace> {
    let trace = load(&[device, driver])?;
    for (path, own, other) in [(device, "device", Side::Driver), (driver, "driver", Side::Device)] {
        let wrong = read(&[path])?.has(other);
        ensure!(!wrong, "{}: holds events of the other side, expected only the {own}'s", path.display());
    }
    Ok(trace)
}

impl Output {
    fn write(&self, trace: &Trace, inputs: &[impl AsRef<Path>]) -> Result<()> {
        let mut bytes = Vec::new();
        match self.format {
            Format::Jsonl => record::write(&trace.headers, &trace.records, &mut bytes)?,
            Format::Perfetto => chrome::write(trace, &link(&trace.records), &mut bytes)?,
        }
        put(&self.output, &bytes, inputs)
    }
}

/// Writes a result, but never over what it was made from.
///
/// # Errors
/// That, or what writing reports.
pub fn put(output: &Path, bytes: &[u8], inputs: &[impl AsRef<Path>]) -> Result<()> {
    let same = |input: &Path| matches!((fs::canonicalize(input), fs::canonicalize(output)), (Ok(a), Ok(b)) if a == b);
    let input = inputs.iter().map(AsRef::as_ref).find(|input| same(input));
    ensure!(input.is_none(), "{}: is the trace that is read; expected another output file", output.display());
    fs::write(output, bytes).with_context(|| format!("{}: cannot be written", output.display()))
}

fn merge_words(merged: &Merged) -> String {
    let Merged { doorbells, interrupts, offset_ns, drift_ppm, error_ns, impossible } = merged;
    let mut text = format!(
        "pairs: {doorbells} doorbells, {interrupts} interrupts\n\
         offset: {offset_ns} ns are added to the driver's first time\n\
         drift: {drift_ppm:.3} ppm\n\
         error: at most {error_ns} ns ({})\n\
         impossible: {} pairs, left out\n",
        human(*error_ns),
        impossible.len(),
    );
    for pair in impossible.iter().take(SHOWN) {
        let of = if pair.pair == "doorbell" { "channel" } else { "vector" };
        text += &format!(
            "  {} of {of} {}: device at {} ns, driver at {} ns\n",
            pair.pair, pair.number, pair.device_ns, pair.driver_ns
        );
    }
    if impossible.len() > SHOWN {
        text += &format!("  and {} more\n", impossible.len() - SHOWN);
    }
    text
}

fn stats_words(stats: &Stats) -> String {
    let mut text = format!(
        "{} records, {} descriptors, {} bytes in {}: {} faulted, {} errors, {} held, {} lost\n\n",
        stats.records,
        stats.descriptors,
        stats.bytes,
        human(stats.span_ns),
        stats.faulted,
        stats.errors,
        stats.held,
        stats.lost
    );
    let mut stages = Table::new(&["stage", "count", "p50", "p90", "p99", "max"]);
    for row in &stats.stages {
        let [p50, p90, p99, max] = [row.p50_ns, row.p90_ns, row.p99_ns, row.max_ns].map(human);
        stages.row([row.stage.to_owned(), row.count.to_string(), p50, p90, p99, max]);
    }
    text += &stages.to_string();
    if !stats.links.is_empty() {
        let mut links = Table::new(&["events of", "recorded", "in a descriptor's life", "alone"]);
        for link in &stats.links {
            let side = if link.side == Side::Device { "device" } else { "driver" };
            let alone = link.events - link.linked;
            links.row([
                format!("{side} {}", link.stage),
                link.events.to_string(),
                link.linked.to_string(),
                alone.to_string(),
            ]);
        }
        text += &format!("\n{links}");
    }
    if let Some(error) = stats.clock_error_ns {
        text += &format!("\nthe driver's times may be wrong by {} against the device's\n", human(error));
    }
    text
}
