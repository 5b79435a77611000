//! The trace that can be switched while the device works.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::sync::Mutex;
use ioat_stage::trace::Header;
use ioat_stage::{Detail, Pause, Side, Switch, TraceCounts, TraceSink, TraceWriter};

/// How long a file may take over what was left for it: the control socket waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the device's engine writes its events into.
pub type Sink = Arc<Switch<Arc<TraceSink>>>;

/// A switch, and the writer behind it.
pub struct Tracing {
    switch: Sink,
    state: Mutex<State>,
    pause: Arc<dyn Pause>,
    channels: usize,
}

#[derive(Default)]
struct State {
    /// Kept while the trace is off: the sink, which the switch keeps, is its.
    writer: Option<TraceWriter>,
    now: Option<Now>,
}

/// A trace under way.
#[derive(Clone)]
struct Now {
    file: PathBuf,
    detail: Detail,
    before: TraceCounts,
}

/// Why the trace was not switched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwitchError {
    #[error("a trace to {} is on: trace-off ends it", .0.display())]
    On(PathBuf),
    #[error("no trace is on")]
    Off,
    #[error("{}: takes nothing; the trace is off, and what is left goes there when it does", .0.display())]
    Stalled(PathBuf),
    #[error("{}: not an absolute path: the device's folder need not be yours", .0.display())]
    Relative(PathBuf),
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Tracing {
    /// Off. Times are of `pause`.
    #[must_use]
    pub fn new(pause: Arc<dyn Pause>, channels: usize) -> Self {
        Self { switch: Arc::default(), state: Mutex::default(), pause, channels }
    }

    /// What the engine is to be built with.
    #[must_use]
    pub fn sink(&self) -> Sink {
        Arc::clone(&self.switch)
    }

    /// Begins with a trace to `file`.
    ///
    /// # Errors
    /// When the file cannot be made, or the system gives no thread.
    pub fn begin(&self, file: &Path, detail: Detail) -> io::Result<()> {
        self.connect(Box::new(File::create(file)?), file, detail)
    }

    /// Switches it on.
    pub(crate) fn on(&self, file: &Path, detail: Detail) -> Result<(), SwitchError> {
        if let Some(now) = &self.state.lock().now {
            return Err(SwitchError::On(now.file.clone()));
        }
        if !file.is_absolute() {
            return Err(SwitchError::Relative(file.to_owned()));
        }
        let failed = |source| SwitchError::Io { path: file.to_owned(), source };
        // A FIFO without a reader, or a terminal, must not make the thread wait: not even at opening.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NONBLOCK);
        let out = options.open(file).map_err(failed)?;
        if !out.metadata().map_err(failed)?.is_file() {
            return Err(SwitchError::NotAFile(file.to_owned()));
        }
        out.set_len(0).map_err(failed)?;
        self.connect(Box::new(out), file, detail).map_err(failed)
    }

    /// Switches it off. Everything that happened before is in the file then, or the file has stalled.
    pub(crate) fn off(&self) -> Result<(PathBuf, TraceCounts), SwitchError> {
        let mut state = self.state.lock();
        let Some(Now { file, before, .. }) = state.now.take() else { return Err(SwitchError::Off) };
        self.switch.set(Detail::Off);
        let Some(writer) = &state.writer else { return Err(SwitchError::Off) };
        if !writer.redirect(Box::new(io::sink()), Detail::Off, PATIENCE) {
            return Err(SwitchError::Stalled(file));
        }
        let TraceCounts { written, lost } = writer.counts();
        Ok((file, TraceCounts { written: written - before.written, lost: lost - before.lost }))
    }

    /// File and detail of the trace that is on.
    pub(crate) fn now(&self) -> Option<(PathBuf, Detail)> {
        self.state.lock().now.clone().map(|now| (now.file, now.detail))
    }

    /// Writes what was left so far, at the end of the program.
    pub fn drain(&self) {
        if let Some(writer) = &self.state.lock().writer {
            // What does not go out in time is told by the writer's end.
            let _ = writer.drain_within(PATIENCE);
        }
    }

    fn connect(&self, out: Box<dyn io::Write + Send>, file: &Path, detail: Detail) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(writer) = &state.writer {
            if !writer.redirect(out, detail, PATIENCE) {
                let why = "the file of the trace before takes nothing yet";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        } else {
            let writer = TraceWriter::start(out, Arc::clone(&self.pause))?;
            let program = concat!("vfio-user-ioat ", env!("CARGO_PKG_VERSION"));
            let sink = writer.sink(&Header::new(Side::Device, detail, program), self.channels);
            // There is no other: the writer is made once.
            let _ = self.switch.connect(sink);
            state.writer = Some(writer);
        }
        let before = state.writer.as_ref().map(TraceWriter::counts);
        let before = before.unwrap_or(TraceCounts { written: 0, lost: 0 });
        state.now = Some(Now { file: file.to_owned(), detail, before });
        self.switch.set(detail);
        Ok(())
    }
}
