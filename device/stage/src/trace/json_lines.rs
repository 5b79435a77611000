//! The sink that writes every line itself: nothing is lost, and whoever emits waits for the file.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::{Event, Executed, Header, Side, Stamped, Trace, format};
use crate::pause::Pause;
use crate::sync::Mutex;

/// Writes a header, and one JSON object per line: `t_ns` (the clock of [`Pause::now_ns`]), `side`, and the fields of the
/// event or of the record.
pub struct JsonLines {
    inner: Mutex<Inner>,
    clock: Arc<dyn Pause>,
    side: Side,
}

struct Inner {
    out: BufWriter<Box<dyn Write + Send>>,
    line: Vec<u8>,
}

impl JsonLines {
    /// Writes to `out`, stamping with `clock`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, clock: Arc<dyn Pause>, header: &Header) -> Arc<Self> {
        let mut inner = Inner { out: BufWriter::with_capacity(1 << 16, out), line: header.line().into_bytes() };
        inner.write_line();
        Arc::new(Self { inner: Mutex::new(inner), clock, side: header.side })
    }

    /// Creates `path` and writes to it.
    ///
    /// # Errors
    /// Whatever creating the file reports.
    pub fn create(path: &Path, clock: Arc<dyn Pause>, header: &Header) -> io::Result<Arc<Self>> {
        Ok(Self::new(Box::new(std::fs::File::create(path)?), clock, header))
    }

    fn write<E>(&self, what: E, format: impl Fn(&mut Vec<u8>, &Stamped<E>)) {
        let mut inner = self.inner.lock();
        // The stamp is taken under the lock, so that lines are in the order of their times.
        let line = Stamped { t_ns: self.clock.now_ns(), side: self.side, what };
        inner.line.clear();
        format(&mut inner.line, &line);
        inner.write_line();
    }
}

impl Inner {
    /// A full disk must not stop the device: the trace ends, the data path goes on.
    fn write_line(&mut self) {
        if let Err(error) = self.out.write_all(&self.line) {
            log::debug!("trace event lost: {error}");
        }
    }
}

impl Trace for JsonLines {
    fn event(&self, event: Event) {
        self.write(event, format::event);
    }

    fn executed(&self, executed: Executed) {
        self.write(executed, format::executed);
    }

    fn flush(&self) {
        if let Err(error) = self.inner.lock().out.flush() {
            log::warn!("trace file: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pause::ThreadPause;
    use crate::stage::Stage;
    use crate::trace::{Detail, Mark};

    #[test]
    fn a_json_line_carries_every_field_and_the_header_comes_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let header = Header::new(Side::Device, Detail::Stages, "a test");
        let sink = JsonLines::create(file.path(), Arc::new(ThreadPause::new()), &header).unwrap();
        sink.event(Event {
            stage: Stage::Copy,
            channel: 1,
            generation: 2,
            sequence: 7,
            address: 0x1000,
            len: 64,
            mark: Mark::Error(8),
            vector: None,
            processor: Some(3),
        });
        sink.flush();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["trace"], &lines[0]["detail"]), (&"netdma".into(), &"stages".into()));
        let line = &lines[1];
        assert!(line["t_ns"].as_u64().unwrap() > 0);
        assert_eq!(line["side"], "device");
        assert_eq!(line["stage"], "copy");
        assert_eq!((line["channel"].as_u64(), line["generation"].as_u64()), (Some(1), Some(2)));
        assert_eq!((line["sequence"].as_u64(), line["len"].as_u64()), (Some(7), Some(64)));
        assert_eq!(line["address"].as_u64(), Some(0x1000));
        assert_eq!(line["mark"]["error"].as_u64(), Some(8));
        assert_eq!((line.get("vector"), line["processor"].as_u64()), (None, Some(3)));
    }
}
