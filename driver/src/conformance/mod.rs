//! The conformance suite: every numbered statement of the contract as one check, and every choice of ours where the
//! documents are silent as another.
//!
//! A check needs nothing but the library, or an engine; where that engine is, a [`Place`] knows. The program runs them
//! (`netdma conformance`), and so do this crate's tests, one test for each check and named like it.

mod bench;

#[cfg(feature = "sim")]
mod in_process;

mod assembly;

mod work;

mod scripted_source;

mod recording;

mod completion;

mod interrupt;

mod isr;

mod synchronize;

mod throttle;

mod line;

mod queue;

mod processor;

mod kdpc;

mod importance;

pub use bench::{Bench, NotPassed, Place, Unavailable, Verdict, Wanted};
#[cfg(feature = "sim")]
pub use in_process::InProcess;

/// Where a statement comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A page or a published header says it.
    Documented,
    /// It follows from what they say.
    Inferred,
    /// They are silent: it is this library's choice.
    Choice,
}

/// What a check needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Needs {
    /// The library: its types, the interface, the DPC engine with a provider or an interrupt source of the check's own.
    Library,
    /// An engine, wherever it is.
    Engine,
}

/// One statement and its check.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Its number in the contract (`C-QD-05`), or, for a choice, the clause that leaves it open (`L-QD-8`).
    pub id: &'static str,
    /// The name of its check, and of its test.
    pub test: &'static str,
    /// Where it comes from.
    pub status: Status,
    /// The documents that it is from.
    pub source: &'static str,
    /// What it says.
    pub says: &'static str,
    /// What its check needs.
    pub needs: Needs,
    /// Its check.
    pub check: fn(&Bench<'_>) -> Verdict,
}

/// `statement!(ID, check, Status, Needs, source, says)`.
macro_rules! statement {
    ($id:literal, $check:ident, $status:ident, $needs:ident, $source:literal, $says:literal $(,)?) => {
        $crate::conformance::Statement {
            id: $id,
            test: stringify!($check),
            status: $crate::conformance::Status::$status,
            source: $source,
            says: $says,
            needs: $crate::conformance::Needs::$needs,
            check: $check,
        }
    };
}

/// `ensure!(condition, "what was expected, {and} found")`: the check has failed if the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::conformance::NotPassed::Failed(format!($($what)+)));
        }
    };
}

/// `ensure_eq!(found, expected, "of what")`: the check has failed if the two differ.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($what:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => ensure!(
                found == expected,
                "{}: expected {expected:?}, found {found:?}",
                format_args!($($what)+)
            ),
        }
    };
}

use {ensure, ensure_eq, statement};

/// Every statement, in the contract's order, then the choices.
pub fn statements() -> impl Iterator<Item = &'static Statement> {
    [
        completion::STATEMENTS,
        interrupt::STATEMENTS,
        isr::STATEMENTS,
        synchronize::STATEMENTS,
        throttle::STATEMENTS,
        queue::STATEMENTS,
        kdpc::STATEMENTS,
        interrupt::CHOICES,
        isr::CHOICES,
        line::CHOICES,
        throttle::CHOICES,
        processor::CHOICES,
        importance::CHOICES,
    ]
    .into_iter()
    .flatten()
}
