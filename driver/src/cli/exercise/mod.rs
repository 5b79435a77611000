//! `netdma exercise`: a workload with an oracle of its own, and facts instead of a verdict.

pub(crate) mod args;

mod facts;

mod workload;

mod oracle;

mod task;

mod watch;

mod round;

mod serve;

use std::io::{self, Write};

use anyhow::{Context, bail};

use self::args::Exercise;
use self::facts::{Facts, Fired, Found};
use self::round::Rounds;
use self::watch::Watch;
use super::exit::Gone;
use super::on::{self, Opened};

/// Runs it.
pub(crate) fn run(config: &Exercise) -> anyhow::Result<()> {
    panics_end_the_program();
    let opened = on::open(&config.on, None)?;
    let found = Found::default();
    let json = config.json || config.serve;
    let watch = Watch::start(found.clone(), move |facts| drop(say(facts, json)));
    let mut rounds = Rounds::new(config, &opened, found, watch);
    if config.serve {
        return serve::run(config, &opened, &mut rounds);
    }
    once(config, &opened, &mut rounds)
}

/// One round.
fn once(config: &Exercise, opened: &Opened, rounds: &mut Rounds<'_>) -> anyhow::Result<()> {
    if !config.json {
        println!("exercise on {}: seed {}", opened.device.name, config.workload.seed);
    }
    let mut facts = rounds.run(config.workload.clone())?;
    disarm(opened);
    facts.fired = opened.fired().iter().map(Fired::from).collect();
    facts.extend(rounds.end());
    say(&facts, config.json)?;
    match facts.first_failure() {
        None => Ok(()),
        Some(text) if facts.hangs.is_empty() && text.ends_with("the device is gone") => {
            Err(Gone(format!("exercise: {text}")).into())
        }
        Some(text) => bail!("exercise: {text}"),
    }
}

/// Whether the driver works on is judged without the fault. Rules in another process are not ours: whoever armed them there
/// disarms them between `run` and `end`.
fn disarm(opened: &Opened) {
    for armed in opened.faults.rules() {
        opened.faults.disarm(armed.id);
    }
}

/// The facts, as the last line of the output or in words.
fn say(facts: &Facts, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(facts).context("writing the facts")?)?;
    } else {
        let ms = facts.took_ns / 1_000_000;
        let verdict = if facts.first_failure().is_some() { "failed" } else { "all as it must be" };
        writeln!(out, "{}{verdict}, {ms} ms", facts.text())?;
    }
    Ok(out.flush()?)
}

/// A panic in a thread of the driver's is the end of the program, by a signal that whoever watches it sees.
fn panics_end_the_program() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        std::process::abort();
    }));
}
