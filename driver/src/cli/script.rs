//! `netdma script`: a script on a device, and what became of it.

use std::fs;

use netdma::script::{self, Outcome, Sink, Summary};

use super::config::Script;
use super::exit::{Gone, NothingRan, Usage};
use super::session;

/// Runs it.
pub(crate) fn run(config: Script) -> anyhow::Result<()> {
    let Script { file, arguments, session: place, timeout, .. } = config;
    let text = fs::read_to_string(&file)
        .map_err(|error| Usage(format!("{}: cannot read the script: {error}", file.display())))?;
    let session = session::open(&place, arguments, timeout, Box::new(Plain))?;
    let summary = script::run(&session, &file, &text);
    drop(session);
    finish(&file.display().to_string(), &summary)
}

/// Lines as they come.
struct Plain;

impl Sink for Plain {
    fn log(&self, text: &str) {
        println!("{text}");
    }

    fn complain(&self, text: &str) {
        eprintln!("netdma: failed: {text}");
    }

    fn warn(&self, text: &str) {
        eprintln!("netdma: warning: {text}");
    }
}

/// The closing words, and what they are for the exit code.
fn finish(file: &str, summary: &Summary) -> anyhow::Result<()> {
    match &summary.outcome {
        Outcome::Passed => Ok(()),
        Outcome::Skipped => Err(NothingRan(format!("{file}: skipped")).into()),
        Outcome::NotCompiled(error) => Err(Usage(format!("{file}: {error}")).into()),
        Outcome::Gone(what) => Err(Gone(format!("{file}: {what}")).into()),
        Outcome::Failed => {
            let said = summary.error.as_ref().map_or("failed".to_owned(), ToString::to_string);
            Err(anyhow::anyhow!("{file}: {said}"))
        }
    }
}
