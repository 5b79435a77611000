//! Why a request has no answer, and what ends a connection.

use std::io;
use std::time::Duration;

use super::wire::{Command, Header};

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The server answered with an error; the connection goes on.
    #[error("the device refused {command}: {}", io::Error::from_raw_os_error(*errno))]
    Refused { command: Command, errno: i32 },
    /// There is no connection any more.
    #[error(transparent)]
    Dead(#[from] Death),
}

/// What ended the connection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Death {
    #[error("the device closed its socket")]
    Closed,
    #[error("no reply to {command} within {} s", timeout.as_secs_f32())]
    Silent { command: Command, timeout: Duration },
    #[error("the reply to {command} breaks the protocol: {what}")]
    Malformed { command: Command, what: String },
    #[error("socket: {0}")]
    System(String),
}

impl From<io::Error> for Death {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::System(error.to_string()),
        }
    }
}

/// The errno of an error reply. One that is none (0 would mean success to whoever reads it) counts as EINVAL.
pub(super) fn errno(header: &Header) -> i32 {
    i32::try_from(header.errno.get()).ok().filter(|errno| (1..=4095).contains(errno)).unwrap_or(libc::EINVAL)
}
