//! What becomes of an error: one line on standard error, and an exit code.

use std::io;
use std::process::ExitCode;

use netdma::client::{Error, OpenError};
use netdma::hw::HwError;
use netdma::ioat::IoatError;

/// A verification or an operation failed.
pub(crate) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// The device could not be opened, or is gone.
pub(crate) const DEVICE: u8 = 3;

/// Nothing could be checked; the number that the kernel's own tests skip with.
pub(crate) const NOTHING_RAN: u8 = 4;

/// A command line that makes no sense; the text names what is wrong and the mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A device that was there and does not answer any more.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Gone(pub(crate) String);

/// Everything was skipped; the text names why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NothingRan(pub(crate) String);

/// The exit code of a command.
pub(crate) fn of(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has seen enough.
        Err(error) if closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let mend = if lost(&error) { ": start it again, or look at its log" } else { "" };
            complain(&format!("{error:#}{mend}"));
            ExitCode::from(code(&error))
        }
    }
}

/// One line on standard error.
pub(crate) fn complain(what: &str) {
    eprintln!("netdma: {}", what.replace('\n', " "));
}

fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(of_cause).unwrap_or(FAILED)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if cause.is::<Usage>() {
        return Some(USAGE);
    }
    if cause.is::<NothingRan>() {
        return Some(NOTHING_RAN);
    }
    let gone = cause.downcast_ref().is_some_and(|error| matches!(error, Error::DeviceGone));
    if gone || cause.is::<Gone>() || cause.is::<OpenError>() || cause.is::<IoatError>() {
        return Some(DEVICE);
    }
    match cause.downcast_ref::<HwError>()? {
        HwError::Open(_) | HwError::Gone(_) | HwError::Access { .. } | HwError::Reset(_) => Some(DEVICE),
        HwError::Map { .. } | HwError::Interrupt { .. } => None,
    }
}

/// The device went away at work.
fn lost(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(|error| matches!(error, Error::DeviceGone)))
}

fn closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
