//! What a script has found out so far: its cases, and what was not as it should be.

use std::cell::RefCell;
use std::fmt;

use ioat_stage::pause::SharedPause;
use rhai::Position;

/// What became of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything was as it should be.
    Passed,
    /// Something was not.
    Failed,
    /// It was not tried, with the reason.
    Skipped(String),
}

/// Something that was not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// Where in the script; none if that is not known.
    pub line: Option<usize>,
    /// The column there.
    pub column: Option<usize>,
    /// What was expected and what was found.
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: {}", self.text),
            (Some(line), None) => write!(f, "line {line}: {}", self.text),
            _ => f.write_str(&self.text),
        }
    }
}

impl Complaint {
    pub(super) fn new(position: Position, text: impl Into<String>) -> Self {
        Self { line: position.line(), column: position.position(), text: text.into() }
    }
}

/// One test case of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What was not as it should be, in order.
    pub complaints: Vec<Complaint>,
    /// Assertions and expectations that were looked at.
    pub checks: u64,
    /// How long it took.
    pub duration_ns: u64,
}

/// What is being tried.
struct Open {
    name: String,
    complaints: Vec<Complaint>,
    checks: u64,
    since_ns: u64,
}

#[derive(Default)]
struct Books {
    /// The case under way, and those around it: a case may have cases in it, whose complaints are its own too.
    open: Vec<Open>,
    done: Vec<Case>,
    /// Complaints outside any case.
    outside: Vec<Complaint>,
    checks_outside: u64,
}

/// Keeps the cases and complaints of one script.
pub(super) struct Judge {
    books: RefCell<Books>,
    clock: SharedPause,
}

impl Judge {
    pub(super) fn new(clock: SharedPause) -> Self {
        Self { books: RefCell::default(), clock }
    }

    /// Something was looked at.
    pub(super) fn check(&self) {
        let mut books = self.books.borrow_mut();
        match books.open.last_mut() {
            Some(open) => open.checks += 1,
            None => books.checks_outside += 1,
        }
    }

    /// It was not as it should be, and the script goes on.
    pub(super) fn complain(&self, complaint: Complaint) {
        let mut books = self.books.borrow_mut();
        match books.open.last_mut() {
            Some(open) => open.complaints.push(complaint),
            None => books.outside.push(complaint),
        }
    }

    /// A case begins.
    pub(super) fn begin(&self, name: &str) {
        let open =
            Open { name: name.to_owned(), complaints: Vec::new(), checks: 0, since_ns: self.clock.now_ns() };
        self.books.borrow_mut().open.push(open);
    }

    /// The case that began last ends: skipped for a reason, or as its complaints say. Whether it did not fail.
    pub(super) fn end(&self, skipped: Option<String>) -> bool {
        let mut books = self.books.borrow_mut();
        let Some(Open { name, complaints, checks, since_ns }) = books.open.pop() else { return true };
        let verdict = match (complaints.is_empty(), skipped) {
            (false, _) => Verdict::Failed,
            (true, Some(reason)) => Verdict::Skipped(reason),
            (true, None) => Verdict::Passed,
        };
        let name = match books.open.last() {
            Some(around) => format!("{}: {name}", around.name),
            None => name,
        };
        let duration_ns = self.clock.now_ns().saturating_sub(since_ns);
        let good = verdict != Verdict::Failed;
        books.done.push(Case { name, verdict, complaints, checks, duration_ns });
        good
    }

    /// The cases that are done.
    pub(super) fn cases(&self) -> Vec<Case> {
        self.books.borrow().done.clone()
    }

    /// The complaints outside any case, and how much was looked at there.
    pub(super) fn outside(&self) -> (Vec<Complaint>, u64) {
        let books = self.books.borrow();
        (books.outside.clone(), books.checks_outside)
    }
}
