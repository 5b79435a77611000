//! What a function throws. Rhai adds the line and column of the call.

use rhai::{Dynamic, EvalAltResult, Position};

use super::Session;
use crate::hw::HwError;

/// What every function of the API fails with.
pub(super) type Failure = Box<EvalAltResult>;

/// An error that a script can catch.
pub(super) fn failed(text: impl Into<String>) -> Failure {
    Box::new(EvalAltResult::ErrorRuntime(text.into().into(), Position::NONE))
}

/// The same error, of this thing.
pub(super) fn about(thing: &str, error: EvalAltResult) -> Failure {
    match error {
        EvalAltResult::ErrorRuntime(what, _) => failed(format!("{thing}: {what}")),
        other => failed(format!("{thing}: {other}")),
    }
}

/// An error of the hardware. A device that is gone is remembered, for then the script has not failed: it could not run.
pub(super) fn of_hw(session: &Session, error: &HwError) -> Failure {
    if let HwError::Gone(_) = error {
        session.gone.replace(Some(error.to_string()));
    }
    failed(error.to_string())
}

/// Why a script ends where `catch` must not stop it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// `skip(reason)`.
    Skipped(String),
    /// The time that the command line gave is over.
    TimedOut(u64),
    /// Somebody pressed Ctrl-C, or a SIGTERM came.
    Interrupted,
}

impl End {
    /// As an error that no `catch` sees.
    pub(super) fn thrown(self) -> Failure {
        Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(self), Position::NONE))
    }

    /// What it is, of an error.
    pub(super) fn of(error: &EvalAltResult) -> Option<Self> {
        match error {
            EvalAltResult::ErrorTerminated(token, _) => token.clone().try_cast(),
            EvalAltResult::ErrorInFunctionCall(_, _, inner, _)
            | EvalAltResult::ErrorInModule(_, inner, _) => Self::of(inner),
            _ => None,
        }
    }

    /// In words.
    pub(super) fn says(&self) -> String {
        match self {
            Self::Skipped(reason) => format!("skipped: {reason}"),
            Self::TimedOut(ms) => format!("the script was not done after {ms} ms (--timeout-ms)"),
            Self::Interrupted => "interrupted by a signal".into(),
        }
    }
}
