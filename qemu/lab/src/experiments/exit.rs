//! How a verb of `experiment` or `try` ends: exit codes that shards, CI and schedulers can rely on.

use super::campaign::CampaignError;
use super::place::Infra;

/// How it went. A finding must not look like a machine that failed, nor the other way round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Nothing found, or nothing new.
    Clean = 0,
    /// Findings that the campaign does not know.
    Findings = 1,
    /// The command line, or a file of the user's, makes no sense.
    Usage = 2,
    /// The machine room failed; what was done is kept, and can be resumed.
    Infra = 3,
    /// Nothing to run here.
    Skipped = 4,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Why a verb ended without a result, in one line.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// As [`Exit::Usage`].
    #[error("{0}")]
    Usage(String),
    /// As [`Exit::Infra`].
    #[error("{0:#}")]
    Infra(anyhow::Error),
    /// As [`Exit::Skipped`].
    #[error("skipped: {0}")]
    Skipped(String),
}

impl Trouble {
    /// Its exit.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Infra(_) => Exit::Infra,
            Self::Skipped(_) => Exit::Skipped,
        }
    }
}

impl From<CampaignError> for Trouble {
    fn from(error: CampaignError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Infra> for Trouble {
    fn from(Infra(error): Infra) -> Self {
        Self::Infra(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Infra(error)
    }
}
