//! `--serve`: one request a line, one line of facts for each, on one open device.

use std::io::{self, BufRead, Write};

use anyhow::Context;
use serde_json::json;

use super::args::Exercise;
use super::round::Rounds;
use super::workload::{Act, Request};
use super::{Facts, disarm, say};
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
    let mut facts = rounds.run(config.workload.with(&request)?).map_err(|error| error.to_string())?;
    if request.act == Act::Both {
        disarm(opened);
        facts.extend(rounds.end());
    }
    Ok(facts)
}

fn answer(line: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
