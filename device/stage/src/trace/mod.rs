//! Trace events: one per stage or one record per descriptor, and the sinks that take them.
//!
//! The code that emits has no clock: the sink stamps the time. Sinks: [`NoTrace`] (compiles away), [`Recorder`] (memory),
//! [`JsonLines`] (a file, every line, and whoever emits waits for it), and for real use [`TraceWriter`] (a file, written by a
//! thread of its own; whoever emits never waits, and what does not fit is counted). [`Switch`] turns any of them on and off.

use std::sync::Arc;

mod event;

mod line;

mod format;

mod recorder;

mod json_lines;

mod switch;

mod record;

mod ring;

mod writer;

pub use event::{Event, Executed, Mark, Side};
pub use json_lines::JsonLines;
pub use line::{Clock, Header, Line, Lost, Stamped};
pub use recorder::Recorder;
pub use switch::Switch;
pub use writer::{TraceCounts, TraceSink, TraceWriter};

/// How much a sink wants to be told.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Nothing. Whoever emits looks once per step, and not again.
    #[default]
    Off,
    /// One record per descriptor ([`Trace::executed`]), and the events of doorbells, messages and the driver's stages.
    Descriptors,
    /// Every stage of every descriptor.
    Stages,
}

impl Detail {
    /// All of them, from little to much.
    pub const ALL: [Self; 3] = [Self::Off, Self::Descriptors, Self::Stages];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Descriptors => "descriptors",
            Self::Stages => "stages",
        }
    }
}

/// A word that is no [`Detail`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown trace detail '{0}': expected off, descriptors or stages")]
pub struct UnknownDetail(pub String);

impl std::str::FromStr for Detail {
    type Err = UnknownDetail;

    fn from_str(word: &str) -> Result<Self, UnknownDetail> {
        let named = Self::ALL.into_iter().find(|detail| detail.name() == word);
        named.ok_or_else(|| UnknownDetail(word.to_owned()))
    }
}

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Takes events.
pub trait Trace: Send + Sync {
    /// Takes one event, and stamps it.
    fn event(&self, event: Event);

    /// Takes one descriptor's record, and stamps it. Called instead of [`Self::event`] for stages 2 to 5 when
    /// [`Self::detail`] says so.
    fn executed(&self, _: Executed) {}

    /// Takes the records of small descriptors that one channel executed one after the other, oldest first. A sink may give
    /// them one stamp: the time of this call, by which all of them are done.
    fn executed_all(&self, all: &[Executed]) {
        all.iter().for_each(|one| self.executed(*one));
    }

    /// How much this sink wants. It may change at any time; a step of the engine looks once, when it begins.
    fn detail(&self) -> Detail {
        Detail::Stages
    }

    /// Has what is buffered written out. Called when a channel or worker goes idle.
    fn flush(&self) {}
}

/// Takes nothing, and compiles away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    #[inline(always)]
    fn event(&self, _: Event) {}

    #[inline(always)]
    fn detail(&self) -> Detail {
        Detail::Off
    }
}

impl<T: Trace + ?Sized> Trace for Arc<T> {
    fn event(&self, event: Event) {
        (**self).event(event);
    }

    fn executed(&self, executed: Executed) {
        (**self).executed(executed);
    }

    fn executed_all(&self, all: &[Executed]) {
        (**self).executed_all(all);
    }

    fn detail(&self) -> Detail {
        (**self).detail()
    }

    fn flush(&self) {
        (**self).flush();
    }
}

/// No sink given takes nothing.
impl<T: Trace> Trace for Option<T> {
    fn event(&self, event: Event) {
        if let Some(sink) = self {
            sink.event(event);
        }
    }

    fn executed(&self, executed: Executed) {
        if let Some(sink) = self {
            sink.executed(executed);
        }
    }

    fn executed_all(&self, all: &[Executed]) {
        if let Some(sink) = self {
            sink.executed_all(all);
        }
    }

    fn detail(&self) -> Detail {
        self.as_ref().map_or(Detail::Off, Trace::detail)
    }

    fn flush(&self) {
        if let Some(sink) = self {
            sink.flush();
        }
    }
}
