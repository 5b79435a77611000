//! `netdma script`: a script on a device, and what became of it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use netdma::script::{self, Outcome, Sink, Summary, Verdict, report};

use super::config::Script;
use super::exit::{Gone, NothingRan, Usage};
use super::session;

/// Runs it.
pub(crate) fn run(config: Script) -> anyhow::Result<()> {
    let Script { file, arguments, session: place, junit, ktap, timeout } = config;
    let name = file.display().to_string();
    let text = fs::read_to_string(&file)
        .map_err(|error| Usage(format!("{name}: cannot read the script: {error}")))?;
    let sink: Box<dyn Sink> = if ktap { Box::new(Comments) } else { Box::new(Plain) };
    let session = session::open(&place, arguments, timeout, sink)?;
    if ktap {
        out(&report::head(&name, session.place()));
    }
    let summary = script::run(&session, &file, &text);
    drop(session);
    if ktap {
        out(&report::results(&summary));
    }
    if let Some(path) = junit {
        write_junit(&path, &name, &summary)?;
    }
    finish(&name, &summary)
}

/// Whoever closed the pipe does not want the rest, but the device must be wound up all the same: so nothing fails here.
fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Lines as they come.
struct Plain;

impl Sink for Plain {
    fn log(&self, text: &str) {
        out(&format!("{text}\n"));
    }

    fn complain(&self, text: &str) {
        eprintln!("netdma: failed: {text}");
    }

    fn warn(&self, text: &str) {
        eprintln!("netdma: warning: {text}");
    }
}

/// Lines as comments among results.
struct Comments;

impl Sink for Comments {
    fn log(&self, text: &str) {
        out(&format!("{}\n", report::comment(text)));
    }

    fn complain(&self, text: &str) {
        eprintln!("netdma: failed: {text}");
    }

    fn warn(&self, text: &str) {
        eprintln!("netdma: warning: {text}");
    }
}

fn write_junit(path: &Path, name: &str, summary: &Summary) -> anyhow::Result<()> {
    let text = report::junit(name, summary);
    fs::write(path, text).with_context(|| format!("--junit {}: cannot write it", path.display()))
}

/// The closing words, and what they are for the exit code.
fn finish(name: &str, summary: &Summary) -> anyhow::Result<()> {
    if summary.warnings > 0 {
        eprintln!(
            "netdma: {name}: {} register writes that the table forbids: --force silences the warnings",
            summary.warnings
        );
    }
    for what in &summary.left {
        eprintln!("netdma: {name}: not undone: {what}");
    }
    match &summary.outcome {
        Outcome::Passed => Ok(()),
        Outcome::Skipped => Err(NothingRan(format!("{name}: {}", skipped(summary))).into()),
        Outcome::NotCompiled(error) => Err(Usage(format!("{name}: {error}")).into()),
        Outcome::Gone(what) => Err(Gone(format!("{name}: {what}")).into()),
        Outcome::Failed => Err(anyhow::anyhow!("{name}: {}", failed(summary))),
    }
}

fn skipped(summary: &Summary) -> String {
    let reasons = summary.cases.iter().filter_map(|case| match &case.verdict {
        Verdict::Skipped(reason) => Some(reason.as_str()),
        _ => None,
    });
    format!("skipped: {}", reasons.collect::<Vec<_>>().join("; "))
}

/// The error that ended it, if one did, and how many of its cases failed.
fn failed(summary: &Summary) -> String {
    let failed = summary.cases.iter().filter(|case| case.verdict == Verdict::Failed).count();
    let count = format!("{failed} of {} cases failed", summary.cases.len());
    match &summary.error {
        Some(error) if summary.cases.len() == 1 => error.to_string(),
        Some(error) => format!("{count}: {error}"),
        None => count,
    }
}
