//! Why a script came to no good end, in words for people.

use std::fmt;

use rhai::{Dynamic, EvalAltResult, ParseError, Position};

use super::failure::End;
use super::judge::Complaint;

/// Why a script, or a line of the shell, came to no good end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptError {
    /// What went wrong, in one line.
    pub text: String,
    /// Where; none if that is not known.
    pub line: Option<usize>,
    /// The column there.
    pub column: Option<usize>,
    /// The functions around it, the innermost first: name and the line of the call.
    pub chain: Vec<(String, Option<usize>)>,
    /// What kind of end it is.
    pub kind: ErrorKind,
}

/// What kind of end an error is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// It cannot be understood; nothing ran.
    Syntax,
    /// It ran, and failed.
    Failed,
    /// `skip(reason)`.
    Skipped(String),
    /// Its time was over, or a signal came.
    Ended,
    /// A function of ours panicked: a bug of this program.
    Panicked,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: {}", self.text)?,
            (Some(line), None) => write!(f, "line {line}: {}", self.text)?,
            _ => f.write_str(&self.text)?,
        }
        for (name, line) in &self.chain {
            match line {
                Some(line) => write!(f, "\n  in {name}, called at line {line}")?,
                None => write!(f, "\n  in {name}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ScriptError {}

impl ScriptError {
    /// For a report, which has one text: the way to the place is part of it.
    pub(super) fn complaint(&self) -> Complaint {
        let way = self.chain.iter().map(|(name, line)| match line {
            Some(line) => format!("; in {name}, called at line {line}"),
            None => format!("; in {name}"),
        });
        let text = format!("{}{}", self.text, way.collect::<String>());
        Complaint { line: self.line, column: self.column, text }
    }
}

/// What does not compile.
pub(super) fn of_syntax(error: &ParseError) -> ScriptError {
    let (line, column) = (error.position().line(), error.position().position());
    ScriptError {
        text: error.err_type().to_string(),
        line,
        column,
        chain: Vec::new(),
        kind: ErrorKind::Syntax,
    }
}

/// What was thrown; `exit(value)` is no error.
pub(super) fn of_thrown(error: EvalAltResult) -> Result<Dynamic, ScriptError> {
    if let EvalAltResult::Exit(value, _) = error {
        return Ok(value);
    }
    Err(explained(error))
}

/// An error with the place where it began, and the way there.
pub(super) fn explained(mut error: EvalAltResult) -> ScriptError {
    let end = End::of(&error);
    let mut chain = Vec::new();
    let mut position = error.position();
    while let EvalAltResult::ErrorInFunctionCall(name, _, inner, at) = error {
        chain.insert(0, (called(name), at.line()));
        position = if inner.position() == Position::NONE { at } else { inner.position() };
        error = *inner;
    }
    let (text, kind) = match end {
        Some(end) => (end.says(), kind_of(end)),
        None => (said(error), ErrorKind::Failed),
    };
    ScriptError { text, line: position.line(), column: position.position(), chain, kind }
}

/// Closures have made-up names.
fn called(name: String) -> String {
    if name.starts_with("anon$") { "a closure".into() } else { format!("{name}()") }
}

fn kind_of(end: End) -> ErrorKind {
    match end {
        End::Skipped(reason) => ErrorKind::Skipped(reason),
        End::TimedOut(_) | End::Interrupted => ErrorKind::Ended,
    }
}

/// The error without its position, which is told apart, and without "Runtime error" before our own words.
fn said(mut error: EvalAltResult) -> String {
    // It is told apart.
    let _ = error.take_position();
    match error {
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        error => error.to_string(),
    }
}

/// A bug of ours.
pub(super) fn of_panic(panic: &(dyn std::any::Any + Send)) -> ScriptError {
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    let text = format!("a function of this program panicked, which is a bug of it: {said}");
    ScriptError { text, line: None, column: None, chain: Vec::new(), kind: ErrorKind::Panicked }
}

/// A value as it is printed.
pub(super) fn shown(value: &Dynamic) -> String {
    match value.read_lock::<rhai::ImmutableString>() {
        Some(text) => text.to_string(),
        None => value.to_string(),
    }
}
