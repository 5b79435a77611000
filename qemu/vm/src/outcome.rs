//! How a run ended, and the exit code that says so.

use crate::error::VmError;
use crate::machine::Output;

/// How a command in a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command ended with this status.
    Exited(i32),
    /// The time limit came first.
    TimedOut,
    /// No guest, or one that could not serve: the line says why.
    HarnessFailed(String),
    /// The guest stopped without a goodbye.
    Panicked {
        /// The end of its console.
        console_tail: String,
    },
    /// A signal asked this process to stop.
    Stopped(i32),
}

impl Outcome {
    /// The time limit.
    pub const TIMED_OUT: i32 = 124;
    /// The harness failed.
    pub const HARNESS_FAILED: i32 = 125;
    /// The guest panicked.
    pub const PANICKED: i32 = 134;

    /// The program's exit code.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Exited(status) => *status,
            Self::TimedOut => Self::TIMED_OUT,
            Self::HarnessFailed(_) => Self::HARNESS_FAILED,
            Self::Panicked { .. } => Self::PANICKED,
            Self::Stopped(signal) => 128 + signal,
        }
    }
}

impl From<&Result<Output, VmError>> for Outcome {
    fn from(result: &Result<Output, VmError>) -> Self {
        match result {
            Ok(output) => Self::Exited(output.status),
            Err(error) => Self::from(error),
        }
    }
}

impl From<&VmError> for Outcome {
    fn from(error: &VmError) -> Self {
        match error {
            VmError::TimedOut { .. } => Self::TimedOut,
            VmError::Stopped(signal) => Self::Stopped(*signal),
            VmError::Panicked { console_tail } => Self::Panicked { console_tail: console_tail.clone() },
            other => Self::HarnessFailed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_exit_code() {
        let code = |error| Outcome::from(&error).exit_code();
        assert_eq!(code(VmError::TimedOut { limit_s: 1, doing: "booting".into() }), 124);
        assert_eq!(code(VmError::TooManyDevices(99)), 125);
        assert_eq!(code(VmError::Panicked { console_tail: String::new() }), 134);
        assert_eq!(code(VmError::Stopped(2)), 130);
        let ended = |status| Ok(Output { status, ..Output::default() });
        assert_eq!(Outcome::from(&ended(0)).exit_code(), 0);
        assert_eq!(Outcome::from(&ended(3)).exit_code(), 3);
    }
}
