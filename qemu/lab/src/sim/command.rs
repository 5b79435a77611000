//! `netdma-lab sim`: its options, its progress, its summary.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Campaign, Outcome, Scenario, report, run};

/// Failing seeds whose whole story is told.
const TOLD: usize = 5;

/// Runs device and driver in one thread with a seed that chooses every interleaving
///
/// Exit codes: 0 every seed was as the scenario expects; 1 findings; 2 usage.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A scenario's file, or the name of a shipped one
    #[arg(default_value = "default", value_name = "SCENARIO")]
    scenario: String,
    /// Seeds, the second one excluded
    #[arg(long, value_name = "A..B", default_value = "0..1000", value_parser = seeds)]
    seeds: Range<u64>,
    /// Threads [default: one per core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Go on after a seed that failed
    #[arg(short, long)]
    keep_going: bool,
    /// Write the events of the one seed to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print rates too
    #[arg(long)]
    bench: bool,
}

/// What is wrong with the command line or the scenario.
#[derive(Debug)]
pub struct Usage(pub String);

/// Runs the command. True if nothing is wrong.
///
/// # Errors
/// When a trace cannot be written, or (as [`Usage`]) when the command line or the scenario makes no sense.
pub fn run_command(arguments: &Arguments) -> anyhow::Result<Result<bool, Usage>> {
    let scenario = match Scenario::load(&arguments.scenario) {
        Ok(scenario) => Arc::new(scenario),
        Err(error) => return Ok(Err(Usage(error.to_string()))),
    };
    let seeds = arguments.seeds.clone();
    let count = seeds.end - seeds.start;
    if let Some(path) = &arguments.trace {
        if count != 1 {
            let text = format!(
                "--trace writes one seed's events, and --seeds {}..{} are {count}",
                seeds.start, seeds.end
            );
            return Ok(Err(Usage(text)));
        }
        write_trace(&scenario, seeds.start, path)?;
    }
    let jobs = arguments.jobs.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let campaign = Campaign { scenario, seeds, jobs, keep_going: arguments.keep_going };
    let bar = bar(count);
    let began = Instant::now();
    let outcome = campaign.run(&|done| bar.inc(done));
    let seconds = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    tell(arguments, &outcome);
    summary(arguments, &campaign, &outcome, seconds);
    Ok(Ok(outcome.is_clean()))
}

fn write_trace(scenario: &Arc<Scenario>, seed: u64, path: &PathBuf) -> anyhow::Result<()> {
    let place = || format!("trace file {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(place)?);
    report::trace(&run(scenario, seed), &mut out).with_context(place)?;
    out.flush().with_context(place)
}

fn bar(count: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds  {per_sec}  {eta} left");
    ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn tell(arguments: &Arguments, outcome: &Outcome) {
    for failed in outcome.failed.iter().take(TOLD) {
        print!("{}", report::failure(failed, &arguments.scenario));
    }
    if outcome.failed.len() > TOLD {
        println!("and {} more seeds", outcome.failed.len() - TOLD);
    }
    if let Some(text) = &outcome.overall {
        println!("{text}");
    }
    if outcome.given_up {
        println!("given up: too many runs could not be ended, and what they hold is lost to this process");
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn summary(arguments: &Arguments, campaign: &Campaign, outcome: &Outcome, seconds: f64) {
    let Outcome { seeds, events, switches, requests, fired, seen, fewest_events, .. } = outcome;
    let rate = *seeds as f64 / seconds;
    println!(
        "{}: {seeds} seeds, {} failed, {events} events in {seconds:.2} s ({rate:.0} scenarios/s on {} threads)",
        campaign.scenario.name,
        outcome.failed.len(),
        campaign.jobs,
    );
    if *fired > 0 {
        println!("a fault fired in {fired} seeds; what the scenario wants found was found in {seen}");
    }
    if *requests > 0 {
        println!("{requests} DPC requests");
    }
    if arguments.bench {
        println!(
            "per seed: {} events (at least {fewest_events}), {} switches, {:.3} ms of virtual time",
            events / seeds.max(&1),
            switches / seeds.max(&1),
            outcome.time_ns as f64 / 1e6 / *seeds as f64,
        );
    }
}

/// `A..B`.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = || "expected A..B with A less than B, for example 0..1000".to_owned();
    let (first, end) = text.split_once("..").ok_or_else(expected)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| expected());
    let (first, end) = (number(first)?, number(end)?);
    if first < end { Ok(first..end) } else { Err(expected()) }
}
