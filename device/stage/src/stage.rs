//! The nine stages, in the order of the data path.

use std::fmt;

/// One stage of a descriptor's way from the doorbell to the report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Software made descriptors valid.
    Doorbell,
    /// The engine reads a descriptor.
    Fetch,
    /// Its addresses become host ranges.
    Translate,
    /// Its data moves.
    Copy,
    /// Its completion word is stored, if it asked for one.
    Complete,
    /// Its interrupt is raised, if it asked for one.
    Msix,
    /// The driver's interrupt service routine runs.
    Isr,
    /// DPCs are queued on processors.
    Queue,
    /// A DPC runs and reports the last completed descriptor.
    Dpc,
}

impl Stage {
    /// All nine, in path order.
    pub const ALL: [Self; 9] = [
        Self::Doorbell,
        Self::Fetch,
        Self::Translate,
        Self::Copy,
        Self::Complete,
        Self::Msix,
        Self::Isr,
        Self::Queue,
        Self::Dpc,
    ];

    /// The stage's one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Doorbell => "doorbell",
            Self::Fetch => "fetch",
            Self::Translate => "translate",
            Self::Copy => "copy",
            Self::Complete => "complete",
            Self::Msix => "msix",
            Self::Isr => "isr",
            Self::Queue => "queue",
            Self::Dpc => "dpc",
        }
    }

    /// Its place on the path, 1 to 9.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_in_order_and_serialises_as_its_words() {
        for (index, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(usize::from(stage.number()), index + 1);
            assert_eq!(serde_json::to_string(stage).unwrap(), format!("\"{stage}\""));
        }
    }
}
