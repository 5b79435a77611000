//! The verb: what is to be made smaller, how long to search, and what is said of it.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::search::{Minimum, Search, SearchError};
use super::{Minimised, minimise, minimise_seed};
use crate::experiments::exit::{Exit, Trouble};
use crate::experiments::replay::which::Which;
use crate::sim::Scenario;

/// Looks for the smallest experiment that still fails
///
/// Leaves out rules, then workload, then depth; writes what is left as a file, with the one command that runs it, and proves
/// that it fails alone and that nothing more can be left out. In the simulator it also shows the shortest failing schedule
/// beside the nearest one that passes. Exit codes: 0 it does not fail; 1 it fails, and here is the smallest; 2 usage; 3 the
/// machine room failed.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("meant").required(true).args(["what", "scenario"]))]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Instead: a scenario of `netdma-lab sim`, with its --seed, judged by its own expectations
    #[arg(long, value_name = "SCENARIO", requires = "seed", conflicts_with_all = ["campaign", "fault"])]
    scenario: Option<String>,
    /// The most runs of the search, and as many again for the schedule
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Simulator: seeds that are tried for each smaller workload, beside its own: 0..N
    #[arg(long, value_name = "N", default_value_t = 16)]
    seeds: u64,
    /// Elsewhere: how often a candidate must pass to be believed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Write the smallest to this file [default: minimal-ID.toml]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// [`Trouble`].
pub fn run(arguments: &Arguments) -> Result<Exit, Trouble> {
    let bar = bar(arguments.runs);
    let progress = |runs: u64, says: &str| {
        bar.set_position(runs);
        bar.set_message(says.to_owned());
    };
    let search = Search { runs: arguments.runs, seeds: arguments.seeds, progress: &progress };
    let (name, minimised) = match &arguments.scenario {
        Some(name) => of_scenario(name, arguments.which.seed.unwrap_or(0), &search)?,
        None => {
            let meant = arguments.which.find()?;
            (meant.experiment.id.to_string(), minimise(&meant, &search, arguments.times))
        }
    };
    bar.finish_and_clear();
    let minimised = match minimised {
        Ok(minimised) => minimised,
        Err(error @ SearchError::Passes) => {
            println!("{error}");
            return Ok(Exit::Clean);
        }
        Err(SearchError::Infra(infra)) => return Err(infra.into()),
    };
    let file = arguments.output.clone().unwrap_or_else(|| format!("minimal-{name}.toml").into());
    std::fs::write(&file, &minimised.file).with_context(|| file.display().to_string())?;
    let again = minimised.command.replace("{file}", &file.display().to_string());
    print!("{}\n{}", text(&minimised, &again), minimised.schedules());
    Ok(Exit::Findings)
}

type Named = (String, Result<Minimised, SearchError>);

fn of_scenario(name: &str, seed: u64, search: &Search<'_>) -> Result<Named, Trouble> {
    let scenario = Scenario::load(name).map_err(|error| Trouble::Usage(error.to_string()))?;
    let minimised = minimise_seed(&scenario, seed, search);
    Ok((format!("{}-{seed}", scenario.name), minimised))
}

/// What is said of the smallest.
fn text(minimised: &Minimised, again: &str) -> String {
    let Minimum { symptom, steps, runs, fails_alone, is_minimal, tried_for_proof, .. } = &minimised.minimum;
    let mut text = format!("{symptom}\n{} steps in {runs} runs:\n", steps.len());
    text.extend(steps.iter().map(|step| format!("  {step}\n")));
    text += match fails_alone {
        true => "the smallest fails alone: run afresh, it failed in the same way\n",
        false => "run afresh, the smallest did NOT fail in the same way: what it depends on is not in its file\n",
    };
    text += &match is_minimal {
        true => format!("nothing more can be left out: {tried_for_proof} further steps were tried, and none fails so\n"),
        false => "the limit on runs came first: it may be smaller still, with more --runs\n".to_owned(),
    };
    text += &format!("\n{}\nagain: {again}\n", minimised.file.trim_end());
    text
}

fn bar(runs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos} runs, at most {len}  {per_sec}  {msg}");
    ProgressBar::new(runs).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
