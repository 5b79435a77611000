//! Trace events: one per stage, and the sinks that take them.
//!
//! The code that emits has no clock: the sink stamps the time.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use crate::pause::Pause;
use crate::stage::Stage;
use crate::sync::Mutex;

/// What became of the stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// It did what it should.
    Ok,
    /// A fault rule changed what it did.
    Faulted,
    /// It was refused or held back, as the specification says (an interrupt while disabled, a DPC already queued).
    Held,
    /// It failed; the number is the CHANERR value or the error code of the place.
    Error(u32),
}

/// One stage of one descriptor, as it happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// Which stage.
    pub stage: Stage,
    /// The channel; for driver stages of an interrupt without a channel, the message.
    pub channel: u8,
    /// How often the channel's chain was started anew; stale work has an older one.
    pub generation: u32,
    /// Descriptors of the channel since the device was reset, never wrapping; for driver stages, the run's own count.
    pub sequence: u64,
    /// The address that the stage worked on: the descriptor (fetch, complete, isr, dpc), the destination
    /// (translate, copy), the register (doorbell), the vector (msix), the requested processors (queue).
    pub address: u64,
    /// Bytes moved or covered; for queue, the processors that were scheduled; for doorbell, the value; for isr and dpc,
    /// the processor.
    pub len: u64,
    /// What became of it.
    pub mark: Mark,
    /// The vector or message: of msix, isr, queue and dpc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<u32>,
    /// The processor that it ran on, by its number in the driver's layout: of isr and dpc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<u32>,
}

/// One descriptor that is done, in one record: what [`Detail::Descriptors`] leaves instead of its stages 2 to 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Executed {
    /// The channel.
    pub channel: u8,
    /// As in [`Event`].
    pub generation: u32,
    /// As in [`Event`].
    pub sequence: u64,
    /// Where the descriptor lies.
    pub descriptor: u64,
    /// Its destination.
    pub address: u64,
    /// Bytes moved.
    pub len: u64,
    /// What became of it.
    pub mark: Mark,
}

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

/// Takes events.
pub trait Trace: Send + Sync {
    /// Takes one event, and stamps it.
    fn event(&self, event: Event);

    /// Takes one descriptor's record, and stamps it. Called instead of [`Self::event`] for stages 2 to 5 when
    /// [`Self::detail`] says so.
    fn executed(&self, _: Executed) {}

    /// How much this sink wants. It may change at any time; a step of the engine looks once, when it begins.
    fn detail(&self) -> Detail {
        Detail::Stages
    }

    /// Writes out what is buffered. Called when a channel or worker goes idle.
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

    fn detail(&self) -> Detail {
        self.as_ref().map_or(Detail::Off, Trace::detail)
    }

    fn flush(&self) {
        if let Some(sink) = self {
            sink.flush();
        }
    }
}

/// Keeps the newest events in memory.
pub struct Recorder {
    events: Mutex<VecDeque<Event>>,
    capacity: usize,
}

impl Recorder {
    /// A recorder of the newest `capacity` events.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { events: Mutex::new(VecDeque::new()), capacity })
    }

    /// The events kept so far, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().iter().copied().collect()
    }
}

impl Trace for Recorder {
    fn event(&self, event: Event) {
        let mut events = self.events.lock();
        if events.len() == self.capacity {
            events.pop_front();
        }
        events.push_back(event);
    }
}

/// Who wrote a trace file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The virtual engine.
    Device,
    /// The user-space driver.
    Driver,
}

#[derive(serde::Serialize)]
struct Line {
    t_ns: u64,
    side: Side,
    #[serde(flatten)]
    event: Event,
}

/// Writes one JSON object per line: `t_ns` (the clock of [`Pause::now_ns`]), `side`, and the event's fields.
pub struct JsonLines {
    out: Mutex<BufWriter<Box<dyn Write + Send>>>,
    clock: Arc<dyn Pause>,
    side: Side,
}

impl JsonLines {
    /// Writes to `out`, stamping with `clock`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, clock: Arc<dyn Pause>, side: Side) -> Arc<Self> {
        Arc::new(Self { out: Mutex::new(BufWriter::with_capacity(1 << 16, out)), clock, side })
    }

    /// Creates `path` and writes to it.
    ///
    /// # Errors
    /// Whatever creating the file reports.
    pub fn create(path: &std::path::Path, clock: Arc<dyn Pause>, side: Side) -> io::Result<Arc<Self>> {
        Ok(Self::new(Box::new(std::fs::File::create(path)?), clock, side))
    }
}

impl Trace for JsonLines {
    fn event(&self, event: Event) {
        let mut out = self.out.lock();
        // The stamp is taken under the lock, so that lines are in the order of their times.
        let line = Line { t_ns: self.clock.now_ns(), side: self.side, event };
        // A full disk must not stop the device: the trace ends, the data path goes on.
        if let Err(error) = serde_json::to_writer(&mut *out, &line)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
        {
            log::debug!("trace event lost: {error}");
        }
    }

    fn flush(&self) {
        if let Err(error) = self.out.lock().flush() {
            log::warn!("trace file: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pause::ThreadPause;

    fn event(sequence: u64) -> Event {
        Event {
            stage: Stage::Copy,
            channel: 1,
            generation: 2,
            sequence,
            address: 0x1000,
            len: 64,
            mark: Mark::Ok,
            vector: None,
            processor: None,
        }
    }

    #[test]
    fn the_recorder_keeps_the_newest() {
        let recorder = Recorder::new(2);
        (0..3).for_each(|n| recorder.event(event(n)));
        assert_eq!(recorder.events().iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_json_line_carries_every_field() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sink = JsonLines::create(file.path(), Arc::new(ThreadPause::new()), Side::Device).unwrap();
        sink.event(Event { mark: Mark::Error(8), ..event(7) });
        sink.flush();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert!(line["t_ns"].as_u64().unwrap() > 0);
        assert_eq!(line["side"], "device");
        assert_eq!(line["stage"], "copy");
        assert_eq!((line["channel"].as_u64(), line["generation"].as_u64()), (Some(1), Some(2)));
        assert_eq!((line["sequence"].as_u64(), line["len"].as_u64()), (Some(7), Some(64)));
        assert_eq!(line["address"].as_u64(), Some(0x1000));
        assert_eq!(line["mark"]["error"].as_u64(), Some(8));
    }
}
