//! A whole script: compiled, run, wound up, and judged.

use std::path::Path;
use std::rc::Rc;

use super::error::ErrorKind;
use super::judge::{Case, Verdict};
use super::{Evaluator, ScriptError, Session};

/// What became of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All of it was as it should be.
    Passed,
    /// Something was not.
    Failed,
    /// Nothing was tried: everything was skipped.
    Skipped,
    /// It does not compile, and nothing ran.
    NotCompiled(ScriptError),
    /// The device went away, with the words for it.
    Gone(String),
}

/// All that is to be said of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// What became of it.
    pub outcome: Outcome,
    /// Its cases; one of the script's name where it has none.
    pub cases: Vec<Case>,
    /// The error that ended it, if one did.
    pub error: Option<ScriptError>,
    /// Writes that the register table forbids.
    pub warnings: u64,
    /// What could not be undone.
    pub left: Vec<String>,
    /// How long all of it took.
    pub duration_ns: u64,
}

/// Runs the script `text` of the file `path` on `session`, and winds the session up.
pub fn run(session: &Rc<Session>, path: &Path, text: &str) -> Summary {
    let clock = session.device.pause.clone();
    let since = clock.now_ns();
    let mut evaluator = Evaluator::with_folder(session.clone(), path.parent());
    let error = match evaluator.compile(text) {
        Err(error) => Some(error),
        Ok(ast) => evaluator.eval(&ast).err(),
    };
    // Before the script's values go: its buffers are unmapped when nothing can reach them any more.
    let left = session.wind_up();
    drop(evaluator);
    let duration_ns = clock.now_ns().saturating_sub(since);
    let name = path.file_name().map_or_else(|| "script".into(), |name| name.to_string_lossy());
    let cases = cases(session, &name, error.as_ref(), duration_ns);
    let outcome = outcome(session, error.as_ref(), &cases, &left);
    Summary { outcome, cases, error, warnings: session.warnings(), left, duration_ns }
}

/// The script's cases. What happened outside of them is a case of the script's own name, where anything did.
fn cases(session: &Session, name: &str, error: Option<&ScriptError>, duration_ns: u64) -> Vec<Case> {
    let mut cases = session.judge.cases();
    let (mut complaints, checks) = session.judge.outside();
    let skipped = match error.map(|error| &error.kind) {
        Some(ErrorKind::Skipped(reason)) => Some(reason.clone()),
        _ => None,
    };
    if let Some(error) = error.filter(|_| skipped.is_none()) {
        complaints.push(error.complaint());
    }
    if cases.is_empty() || !complaints.is_empty() || checks > 0 || skipped.is_some() {
        let verdict = match (complaints.is_empty(), skipped) {
            (false, _) => Verdict::Failed,
            (true, Some(reason)) => Verdict::Skipped(reason),
            (true, None) => Verdict::Passed,
        };
        cases.push(Case { name: name.to_owned(), verdict, complaints, checks, duration_ns });
    }
    cases
}

fn outcome(session: &Session, error: Option<&ScriptError>, cases: &[Case], left: &[String]) -> Outcome {
    if let Some(error) = error.filter(|error| error.kind == ErrorKind::Syntax) {
        return Outcome::NotCompiled(error.clone());
    }
    if let Some(gone) = session.gone.borrow().clone() {
        return Outcome::Gone(gone);
    }
    if cases.iter().any(|case| case.verdict == Verdict::Failed) || !left.is_empty() {
        return Outcome::Failed;
    }
    let skipped = |case: &Case| matches!(case.verdict, Verdict::Skipped(_));
    if cases.iter().all(skipped) { Outcome::Skipped } else { Outcome::Passed }
}
