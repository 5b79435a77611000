//! `netdma-lab experiment plan`: a table, or JSON lines.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::choose::{Only, Selection};
use super::{Plan, Planned};
use crate::experiments::campaign::Campaign;
use crate::experiments::exit::{Exit, Trouble};
use crate::experiments::place;
use crate::experiments::shard::Shard;

/// Prints the experiments of a campaign, after its golden runs
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The campaign's file
    #[arg(value_name = "CAMPAIGN")]
    campaign: PathBuf,
    /// Only how many there are
    #[arg(long)]
    count: bool,
    /// One JSON object a line
    #[arg(long, conflicts_with = "count")]
    json: bool,
    /// Only those of shard I of N; the first is 1/N
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Only those with a fault of this class, at this point, with this action; * is any
    #[arg(long, value_name = "CLASS/POINT/ACTION")]
    only: Option<Only>,
    /// Only those with this text in their id, their rules or their set's name
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    seed: u64,
    origin: &'a str,
    rules: Vec<String>,
}

impl<'a> Line<'a> {
    fn new(planned: &'a Planned) -> Self {
        Self {
            id: &planned.experiment.id.0,
            seed: planned.experiment.seed,
            origin: &planned.origin,
            rules: planned.experiment.rules.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When the campaign makes no sense, its workload fails without a fault, or the place cannot be had.
pub fn run(arguments: &Arguments) -> Result<Exit, Trouble> {
    let campaign = Campaign::load(&arguments.campaign)?;
    let plan = Plan::make(&campaign, place::open(&campaign)?.as_mut())?;
    let selection = Selection { only: arguments.only.clone(), filter: arguments.filter.clone() };
    let shard = arguments.shard.unwrap_or(Shard::WHOLE);
    let chosen = plan.experiments.iter().filter(|it| shard.has(&it.experiment.id) && selection.has(it));
    let chosen: Vec<_> = chosen.collect();
    let mut out = io::stdout().lock();
    let told = if arguments.count {
        writeln!(out, "{}", chosen.len())
    } else if arguments.json {
        chosen.iter().try_for_each(|it| writeln!(out, "{}", serde_json::to_string(&Line::new(it))?))
    } else {
        table(&mut out, &plan, &chosen)
    };
    match told {
        // Whoever closed the pipe does not want the rest.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Trouble::Infra(anyhow::Error::new(error).context("standard output")))
        }
        _ => Ok(if chosen.is_empty() { Exit::Skipped } else { Exit::Clean }),
    }
}

fn table(out: &mut impl Write, plan: &Plan, chosen: &[&Planned]) -> io::Result<()> {
    writeln!(out, "{:<12}  {:>6}  {:<8}  rules", "id", "seed", "from")?;
    for it in chosen {
        let Line { id, seed, origin, rules } = Line::new(it);
        writeln!(out, "{id:<12}  {seed:>6}  {origin:<8}  {}", rules.join("; "))?;
    }
    writeln!(out, "{} experiments of {}", chosen.len(), plan.experiments.len())?;
    if !plan.left_out.is_empty() {
        writeln!(out, "left out:")?;
        plan.left_out.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}
