//! What came of an experiment: one class, the first that fits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The classes, in their order of precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The machine room failed, not the driver: no guest, no device program, disk full. Says nothing; run it again.
    InfraError,
    /// The driver or its kernel died: a panic, BUG, oops, a signal.
    Crash,
    /// It no longer goes on: a deadlock, a lockup, a reset loop, no answer within the limit.
    Hang,
    /// Memory is not what it must be, or a completion is a lie, and nobody said so.
    SilentDataCorruption,
    /// It noticed, said so, and the work is lost or the channel is.
    DetectedFailed,
    /// It noticed, and all the work was done: tried again, recovered by looking.
    DetectedRecovered,
    /// All is well, but it took longer than the limit for that.
    Degraded,
    /// The fault fired, and nothing came of it.
    Masked,
    /// The fault never fired: says nothing, and is never a pass.
    NotActivated,
}

impl Class {
    /// All classes, in their order of precedence.
    pub const ALL: [Self; 9] = [
        Self::InfraError,
        Self::Crash,
        Self::Hang,
        Self::SilentDataCorruption,
        Self::DetectedFailed,
        Self::DetectedRecovered,
        Self::Degraded,
        Self::Masked,
        Self::NotActivated,
    ];

    /// The class's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InfraError => "infra-error",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::SilentDataCorruption => "silent-data-corruption",
            Self::DetectedFailed => "detected-failed",
            Self::DetectedRecovered => "detected-recovered",
            Self::Degraded => "degraded",
            Self::Masked => "masked",
            Self::NotActivated => "not-activated",
        }
    }

    /// A driver must not do that, whatever its device does.
    #[must_use]
    pub const fn is_finding(self) -> bool {
        matches!(self, Self::Crash | Self::Hang | Self::SilentDataCorruption)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_precedence_and_the_words_are_those_of_the_file() {
        for pair in Class::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for class in Class::ALL {
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{class}\""));
        }
    }
}
