//! One line of a trace file, taken apart and put together.

use std::io::{self, Write};

use ioat_stage::trace::{Header as FirstLine, Lost, Stamped};
use ioat_stage::{Detail, Event, Executed, Mark, Side, Stage};
use serde::{Deserialize, Serialize};

/// The version of the format that this program reads and writes: the one that is written at work.
pub const VERSION: u32 = FirstLine::VERSION;

/// What stood in the first line of a side, or what `trace merge` put there.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Header {
    /// Whose events follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// `monotonic`, `virtual`, or `merged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// How much was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// The program and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
    /// After a merge: what was added to this side's first time, in ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_ns: Option<i64>,
    /// After a merge: how much faster the other clock runs, in parts per million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_ppm: Option<f64>,
    /// After a merge: by how much a time of this side may be wrong against the other's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ns: Option<u64>,
}

/// What a line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A stage.
    Event(Event),
    /// A descriptor that is done.
    Executed(Executed),
    /// So many records did not fit before this time.
    Lost(u64),
}

/// One line that is not a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// When, by the side's clock.
    pub t_ns: u64,
    /// Whose.
    pub side: Side,
    /// What.
    pub what: What,
}

impl Record {
    /// The event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Event> {
        match &self.what {
            What::Event(event) => Some(event),
            What::Executed(_) | What::Lost(_) => None,
        }
    }

    /// The channel, which a loss has not, nor a service routine: it serves a message, of several channels perhaps.
    #[must_use]
    pub fn channel(&self) -> Option<u8> {
        match &self.what {
            What::Event(Event { stage: Stage::Isr | Stage::Queue, .. }) => None,
            What::Event(event) => Some(event.channel),
            What::Executed(done) => Some(done.channel),
            What::Lost(_) => None,
        }
    }

    /// What became of it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        match &self.what {
            What::Event(event) => event.mark,
            What::Executed(done) => done.mark,
            What::Lost(_) => Mark::Ok,
        }
    }

    /// Whether it is this stage of this side.
    #[must_use]
    pub fn is(&self, side: Side, stage: Stage) -> bool {
        self.side == side && self.event().is_some_and(|event| event.stage == stage)
    }
}

/// Every field that a line may have.
#[derive(Deserialize)]
pub(super) struct Line {
    trace: Option<String>,
    version: Option<u32>,
    t_ns: Option<u64>,
    side: Option<Side>,
    stage: Option<Stage>,
    channel: Option<u8>,
    generation: Option<u32>,
    sequence: Option<u64>,
    descriptor: Option<u64>,
    address: Option<u64>,
    len: Option<u64>,
    mark: Option<Mark>,
    vector: Option<u32>,
    processor: Option<u32>,
    lost: Option<u64>,
}

/// What a line turned out to be.
pub(super) enum Parsed {
    Header,
    Record(Record),
}

impl Line {
    /// Makes sense of the fields; the error says which one is missing or wrong.
    pub(super) fn parse(self) -> Result<Parsed, String> {
        if let Some(kind) = &self.trace {
            if kind != FirstLine::TRACE {
                return Err(format!("a trace of `{kind}`, expected `{}`", FirstLine::TRACE));
            }
            return match self.version {
                Some(VERSION) => Ok(Parsed::Header),
                Some(other) => Err(format!("a header of version {other}, expected {VERSION}")),
                None => Err(format!("a header without `version`, expected {VERSION}")),
            };
        }
        let t_ns = need(self.t_ns, "t_ns", "a record")?;
        let side = need(self.side, "side", "a record")?;
        let what = match (self.lost, self.stage, self.descriptor) {
            (Some(lost), ..) => What::Lost(lost),
            (None, Some(stage), _) => What::Event(self.into_event(stage)?),
            (None, None, Some(descriptor)) => What::Executed(self.into_executed(descriptor)?),
            (None, None, None) => {
                return Err(
                    "expected `stage` (an event), `descriptor` (a descriptor that is done) or `lost`".into(),
                );
            }
        };
        Ok(Parsed::Record(Record { t_ns, side, what }))
    }

    fn into_event(self, stage: Stage) -> Result<Event, String> {
        let of = "an event";
        Ok(Event {
            stage,
            channel: need(self.channel, "channel", of)?,
            generation: need(self.generation, "generation", of)?,
            sequence: need(self.sequence, "sequence", of)?,
            address: need(self.address, "address", of)?,
            len: need(self.len, "len", of)?,
            mark: need(self.mark, "mark", of)?,
            vector: self.vector,
            processor: self.processor,
        })
    }

    fn into_executed(self, descriptor: u64) -> Result<Executed, String> {
        let of = "a descriptor's record";
        Ok(Executed {
            descriptor,
            channel: need(self.channel, "channel", of)?,
            generation: need(self.generation, "generation", of)?,
            sequence: need(self.sequence, "sequence", of)?,
            address: need(self.address, "address", of)?,
            len: need(self.len, "len", of)?,
            mark: need(self.mark, "mark", of)?,
        })
    }
}

fn need<T>(field: Option<T>, name: &str, of: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("expected {of} with the field `{name}`"))
}

#[derive(Serialize)]
struct First<'a> {
    trace: &'static str,
    version: u32,
    #[serde(flatten)]
    header: &'a Header,
}

/// Writes headers and records as JSON lines, as [`read`](fn@super::read) reads them.
///
/// # Errors
/// What writing to `out` reports.
pub fn write(headers: &[Header], records: &[Record], out: &mut dyn Write) -> io::Result<()> {
    for header in headers {
        line(&First { trace: FirstLine::TRACE, version: VERSION, header }, out)?;
    }
    for Record { t_ns, side, what } in records {
        let (t_ns, side) = (*t_ns, *side);
        match *what {
            What::Event(what) => line(&Stamped { t_ns, side, what }, out)?,
            What::Executed(what) => line(&Stamped { t_ns, side, what }, out)?,
            What::Lost(lost) => line(&Stamped { t_ns, side, what: Lost { lost } }, out)?,
        }
    }
    Ok(())
}

fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
