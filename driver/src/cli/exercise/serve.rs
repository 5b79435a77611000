//! `--serve`: one request a line, one line of facts for each, on one open device.

use std::io::{self, BufRead, Write};

use anyhow::Context;
use ioat_stage::{FaultBook, Point, Rule, RuleError};
use serde_json::{Value, json};

use super::args::Exercise;
use super::facts::Fired;
use super::round::Rounds;
use super::workload::{Act, Request};
use super::{Facts, say};
use crate::cli::on::Opened;

/// A line longer than this is no request of ours.
const LINE_MAX: u64 = 64 << 10;

/// Serves until the input ends.
pub(crate) fn run(config: &Exercise, opened: &Opened, rounds: &mut Rounds<'_>) -> anyhow::Result<()> {
    // Nobody needs to guess when rules may be armed: what opening costs is over when this line comes.
    answer(&json!({ "ready": opened.device.name, "channels": rounds.probe()? }))?;
    let mut input = io::stdin().lock();
    loop {
        let mut line = String::new();
        let read = io::Read::take(&mut input, LINE_MAX).read_line(&mut line).context("reading a request")?;
        if read == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            continue;
        }
        match carry_out(config, opened, rounds, &line) {
            Ok(facts) => say(&facts, true)?,
            Err(why) => answer(&json!({ "error": why }))?,
        }
    }
}

fn carry_out(
    config: &Exercise,
    opened: &Opened,
    rounds: &mut Rounds<'_>,
    line: &str,
) -> Result<Facts, String> {
    let request: Request = serde_json::from_str(line).map_err(|error| format!("no request: {error}"))?;
    if request.act == Act::End {
        return Ok(rounds.end());
    }
    let workload = config.workload.with(&request)?;
    let rules: Vec<Rule> =
        request.faults.iter().map(|rule| rule.parse()).collect::<Result<_, RuleError>>().map_err(text)?;
    let faults = &opened.faults;
    // On the command line's rules the first round begins: they are for a single one.
    if !request.faults.is_empty() || request.census {
        faults.clear();
        faults.census(request.census);
        for rule in rules {
            faults.arm(rule);
        }
    }
    let mut facts = rounds.run(workload).map_err(text)?;
    facts.fired = faults.fired().iter().map(Fired::from).collect();
    if request.census {
        facts.device.insert("census".to_owned(), census(faults));
        faults.census(false);
    }
    faults.clear();
    if request.act == Act::Both {
        facts.extend(rounds.end());
    }
    Ok(facts)
}

/// `[{point, channel, count}]`.
fn census(faults: &FaultBook) -> Value {
    let row = |((point, channel), count): ((Point, Option<u8>), u64)| json!({ "point": point.name(), "channel": channel, "count": count });
    faults.operations().into_iter().map(row).collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn answer(line: &Value) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
