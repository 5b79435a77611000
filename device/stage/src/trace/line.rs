//! The lines of a trace file, as programs read and write them. `format` writes the same lines faster.

use super::{Detail, Event, Executed, Side};

/// Which clock the times of a file are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The machine's monotonic clock: two programs of one machine compare.
    Monotonic,
    /// The simulator's.
    Virtual,
}

/// The first line of a side.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Header {
    /// Always [`Header::TRACE`].
    pub trace: String,
    /// Of the format: [`Header::VERSION`].
    pub version: u32,
    /// Whose events follow.
    pub side: Side,
    /// Of their times.
    pub clock: Clock,
    /// What was asked for when the trace began; a switch may change it at any time.
    pub detail: Detail,
    /// Name and version of the program.
    pub program: String,
    /// Its process; none in the simulator, whose files are the same in every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

impl Header {
    /// What a header says first.
    pub const TRACE: &'static str = "netdma";
    /// The format's version.
    pub const VERSION: u32 = 1;

    /// The header of one side of this process. `program` is its name and version.
    #[must_use]
    pub fn new(side: Side, detail: Detail, program: &str) -> Self {
        Self {
            trace: Self::TRACE.to_owned(),
            version: Self::VERSION,
            side,
            clock: Clock::Monotonic,
            detail,
            program: program.to_owned(),
            pid: Some(std::process::id()),
        }
    }

    /// The header of one side of a simulation.
    #[must_use]
    pub fn simulated(side: Side, detail: Detail, program: &str) -> Self {
        Self { clock: Clock::Virtual, pid: None, ..Self::new(side, detail, program) }
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        // Strings and numbers: nothing of it can fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// Something that one side did, with its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Stamped<E> {
    /// Nanoseconds of the header's clock. Of an [`Executed`], when it was done at the latest: small descriptors are stamped
    /// together, at most 16 of them or 4 KiB.
    pub t_ns: u64,
    /// Who.
    pub side: Side,
    /// What.
    #[serde(flatten)]
    pub what: E,
}

/// So many records did not fit, or could not be written, before this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Lost {
    /// How many.
    pub lost: u64,
}

/// Any line: `serde_json::from_str::<Line>`. Lines are about in the order of their times, not exactly.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Who writes.
    Header(Header),
    /// A stage.
    Event(Stamped<Event>),
    /// A descriptor.
    Executed(Stamped<Executed>),
    /// A gap.
    Lost(Stamped<Lost>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Mark;

    #[test]
    fn every_kind_of_line_is_read_as_what_it_was_written() {
        let executed =
            Executed { channel: 1, generation: 2, sequence: 3, descriptor: 64, address: 5, len: 6, mark: Mark::Error(8) };
        let lines = [
            Line::Header(Header::new(Side::Device, Detail::Stages, "vfio-user-ioat 0.1.0")),
            Line::Header(Header::simulated(Side::Driver, Detail::Descriptors, "netdma-lab")),
            Line::Executed(Stamped { t_ns: 1, side: Side::Device, what: executed }),
            Line::Lost(Stamped { t_ns: 1, side: Side::Driver, what: Lost { lost: u64::MAX } }),
        ];
        for line in lines {
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }

    #[test]
    fn a_line_of_a_file_without_header_and_without_the_newer_fields_is_an_event() {
        let text = r#"{"t_ns":1,"side":"driver","stage":"dpc","channel":0,"generation":0,"sequence":1,"address":2,"len":0,"mark":"held"}"#;
        let Line::Event(Stamped { what, .. }) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        assert_eq!((what.mark, what.vector, what.processor), (Mark::Held, None, None));
    }
}
