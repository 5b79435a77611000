//! The sink for real use: rings that take records without waiting, and a thread that writes them as JSON lines.
//!
//! Whoever emits reads the clock, copies the record into the ring of its channel, and goes on. If there is no room the record
//! is counted, and a `lost` line says so. A full disk or a closed pipe stops nobody either: what could not be written is lost
//! and counted in the same way, and the writer tries again with what comes next.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::record::{self, WORDS, Words};
use super::ring::{Cursor, Pushed, Ring};
use super::{Detail, Event, Executed, Header, Lost, Side, Stamped, Trace, format};
use crate::pause::{Bell, Join, Pause, Task, deadline};
use crate::sync::Mutex;

/// Records of one channel that wait at most; a MiB.
const CAPACITY: usize = 1 << 14;
/// How long records wait for company before they are written.
const COMPANY: Duration = Duration::from_millis(2);
/// How long a record waits at most that nobody asked to be written.
const LONGEST: Duration = Duration::from_millis(100);
/// Bytes that are written at once.
const CHUNK: usize = 1 << 16;
/// How long the end waits for a file that takes nothing: a pipe that nobody reads, a disk that hangs.
const LAST: Duration = Duration::from_secs(2);

/// A trace file, and the thread that writes it. Dropping it writes what is there; its sinks take nothing after that. A file
/// that takes nothing for two seconds then is left, and its thread with it.
pub struct TraceWriter {
    shared: Arc<Shared>,
    thread: Option<Box<dyn Join>>,
}

/// What became of all records so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct TraceCounts {
    /// Their lines were given to the file.
    pub written: u64,
    /// They did not fit, or could not be written.
    pub lost: u64,
}

/// Where one side leaves its events.
pub struct TraceSink {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
}

/// One side's rings; channel `c` uses ring `c` modulo their number.
struct Lane {
    side: Side,
    rings: Box<[Ring<WORDS>]>,
}

struct Shared {
    pause: Arc<dyn Pause>,
    output: Mutex<Output>,
    /// The file to go on with, when what was left before is written.
    next: Mutex<Option<(Box<dyn Write + Send>, Detail)>>,
    lanes: Mutex<Vec<Arc<Lane>>>,
    /// Rung when there is something to write that should not wait.
    bell: Bell,
    /// Nobody wakes the writer but the bell.
    asleep: AtomicBool,
    stop: AtomicBool,
    /// How often somebody asked for everything to be written, and how many of them have it.
    asked: AtomicU64,
    answered: AtomicU64,
    /// Rung when `answered` has changed.
    answer: Bell,
    written: AtomicU64,
    lost: AtomicU64,
}

impl TraceWriter {
    /// Starts a thread that writes to `out`; times are of `pause`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(out: Box<dyn Write + Send>, pause: Arc<dyn Pause>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            pause,
            output: Mutex::new(Output {
                out,
                due: Vec::new(),
                headers: Vec::new(),
                cut: false,
                failing: false,
            }),
            next: Mutex::default(),
            lanes: Mutex::default(),
            bell: Bell::new(),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            answer: Bell::new(),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        let task = Task { name: "trace".to_owned(), cpu: None };
        let thread = shared.pause.spawn(task, Box::new(move || of_thread.work()))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Creates `path` and starts a thread that writes to it.
    ///
    /// # Errors
    /// Whatever creating the file reports, or when the system gives no thread.
    pub fn create(path: &Path, pause: Arc<dyn Pause>) -> io::Result<Self> {
        Self::start(Box::new(std::fs::File::create(path)?), pause)
    }

    /// A place for the events of one side with so many channels. Its header is the first of its lines.
    #[must_use]
    pub fn sink(&self, header: &Header, channels: usize) -> Arc<TraceSink> {
        self.sink_of(header, channels, CAPACITY)
    }

    /// As [`Self::sink`], with room for `capacity` records of each channel.
    #[must_use]
    pub fn sink_of(&self, header: &Header, channels: usize, capacity: usize) -> Arc<TraceSink> {
        let rings = (0..channels.max(1)).map(|_| Ring::new(capacity)).collect();
        let lane = Arc::new(Lane { side: header.side, rings });
        // Before any record of it can be found.
        self.shared.output.lock().head(header.clone());
        self.shared.lanes.lock().push(Arc::clone(&lane));
        // A file without a record has its headers at least.
        self.shared.pause.ring(&self.shared.bell);
        Arc::new(TraceSink { shared: Arc::clone(&self.shared), lane })
    }

    /// Writes what was left so far, then goes on with another file, which begins with the same headers, but for the detail
    /// that is asked for now. Records that come in meanwhile are in one of the two. False if the file did not take its part
    /// within `limit`: then the other one begins when it has.
    #[must_use]
    pub fn redirect(&self, out: Box<dyn Write + Send>, detail: Detail, limit: Duration) -> bool {
        *self.shared.next.lock() = Some((out, detail));
        self.drain_within(limit)
    }

    /// Returns when everything that was left before is written, or lost.
    pub fn drain(&self) {
        self.shared.answers(self.shared.ask(), None);
    }

    /// As [`Self::drain`], but false if the file did not take it within `limit`.
    #[must_use]
    pub fn drain_within(&self, limit: Duration) -> bool {
        self.shared.answers(self.shared.ask(), Some(limit))
    }

    /// What became of the records. Exact after [`Self::drain`], if nothing was left since.
    #[must_use]
    pub fn counts(&self) -> TraceCounts {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        TraceCounts { written: count(&self.shared.written), lost: count(&self.shared.lost) }
    }
}

impl Drop for TraceWriter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.pause.ring(&self.shared.bell);
        if !self.shared.answers(u64::MAX, Some(LAST)) {
            log::warn!("trace file: it takes nothing, and what is left is lost");
            return;
        }
        if self.thread.take().is_some_and(|thread| !thread.join()) {
            log::error!("the trace's thread panicked");
        }
    }
}

impl TraceSink {
    #[inline]
    fn push(&self, channel: u8, count: usize, record: impl Fn(usize) -> Words) {
        let rings = &self.lane.rings;
        if rings[usize::from(channel) % rings.len()].push(count, record) == Pushed::HalfFull {
            self.shared.pause.ring(&self.shared.bell);
        }
    }
}

impl Trace for TraceSink {
    fn event(&self, event: Event) {
        let t_ns = self.shared.pause.now_ns();
        self.push(event.channel, 1, |_| record::of_event(t_ns, &event));
    }

    fn executed(&self, executed: Executed) {
        self.executed_all(&[executed]);
    }

    fn executed_all(&self, all: &[Executed]) {
        let Some(first) = all.first() else { return };
        let t_ns = self.shared.pause.now_ns();
        self.push(first.channel, all.len(), |index| record::of_executed(t_ns, &all[index]));
    }

    fn detail(&self) -> Detail {
        if self.shared.stop.load(Ordering::Relaxed) { Detail::Off } else { Detail::Stages }
    }

    /// Waits for nothing: the writer is told, if it sleeps.
    fn flush(&self) {
        // Who misses the writer going to sleep is written when it looks by itself.
        if self.shared.asleep.load(Ordering::Relaxed) {
            self.shared.pause.ring(&self.shared.bell);
        }
    }
}

impl Shared {
    /// Asks for everything to be written.
    fn ask(&self) -> u64 {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.pause.ring(&self.bell);
        ticket
    }

    /// Waits until that is done. False if it is not within the limit.
    fn answers(&self, ticket: u64, limit: Option<Duration>) -> bool {
        let until = limit.map(|limit| deadline(&*self.pause, limit));
        loop {
            let seen = self.answer.seen();
            if self.answered.load(Ordering::SeqCst) >= ticket {
                return true;
            }
            if until.is_some_and(|until| self.pause.now_ns() >= until) {
                return false;
            }
            self.pause.wait(&self.answer, seen, until);
        }
    }

    /// The thread.
    fn work(&self) {
        let mut round = Round::default();
        loop {
            let seen = self.bell.seen();
            // All before looking: what was left before them is found.
            let asked = self.asked.load(Ordering::SeqCst);
            let stop = self.stop.load(Ordering::SeqCst);
            let next = self.next.lock().take();
            let some = round.run(self);
            if let Some((out, detail)) = next {
                self.output.lock().redirect(out, detail);
            }
            self.answered.store(if stop { u64::MAX } else { asked }, Ordering::SeqCst);
            self.pause.ring(&self.answer);
            if stop {
                return;
            }
            self.asleep.store(!some, Ordering::Relaxed);
            let until = deadline(&*self.pause, if some { COMPANY } else { LONGEST });
            self.pause.wait(&self.bell, seen, Some(until));
            self.asleep.store(false, Ordering::Relaxed);
        }
    }
}

/// What the writer works with, again and again.
#[derive(Default)]
struct Round {
    cursors: Vec<Vec<Cursor>>,
    records: Vec<(Side, Words)>,
    text: Vec<u8>,
    /// Losses of each side that no line tells of yet.
    untold: [u64; 2],
}

impl Round {
    /// Writes what is in the rings. True if there was something.
    fn run(&mut self, shared: &Shared) -> bool {
        // Before the rings are looked at: a sink's header is due before its first record is found.
        self.collect(&shared.lanes.lock(), &shared.lost);
        let mut output = shared.output.lock();
        // Of several channels; each one's own are in order, or nearly so. The sort is good at that.
        self.records.sort_by_key(|(_, words)| record::time(words));
        let mut rest = &self.records[..];
        while !rest.is_empty() {
            self.text.clear();
            let fits = rest.iter().take_while(|(side, words)| {
                let room = self.text.len() < CHUNK;
                if room {
                    record::write(&mut self.text, *side, words);
                }
                room
            });
            let (chunk, later) = rest.split_at(fits.count());
            let written = output.write(&self.text);
            shared.written.fetch_add(written as u64, Ordering::Relaxed);
            for (side, _) in &chunk[written.min(chunk.len())..] {
                self.untold[*side as usize] += 1;
                shared.lost.fetch_add(1, Ordering::Relaxed);
            }
            rest = later;
        }
        let some = !self.records.is_empty();
        self.records.clear();
        self.tell(&mut output, &*shared.pause);
        output.write(&[]);
        some
    }

    /// Takes what every ring holds now.
    fn collect(&mut self, lanes: &[Arc<Lane>], lost: &AtomicU64) {
        self.cursors.resize_with(lanes.len(), Vec::new);
        for (lane, cursors) in lanes.iter().zip(&mut self.cursors) {
            cursors.resize_with(lane.rings.len(), Cursor::default);
            for (ring, cursor) in lane.rings.iter().zip(cursors) {
                let most = usize::try_from(ring.capacity()).unwrap_or(usize::MAX);
                let taken = std::iter::from_fn(|| ring.pop(cursor)).take(most);
                self.records.extend(taken.map(|words| (lane.side, words)));
                let gone = ring.take_lost();
                self.untold[lane.side as usize] += gone;
                lost.fetch_add(gone, Ordering::Relaxed);
            }
        }
    }

    /// Writes the lines of what was lost. What cannot be told now is told later.
    fn tell(&mut self, output: &mut Output, pause: &dyn Pause) {
        for side in [Side::Device, Side::Driver] {
            let lost = self.untold[side as usize];
            if lost > 0 {
                self.text.clear();
                format::lost(&mut self.text, &Stamped { t_ns: pause.now_ns(), side, what: Lost { lost } });
                if output.write(&self.text) == 1 {
                    self.untold[side as usize] = 0;
                }
            }
        }
    }
}

/// The file.
struct Output {
    out: Box<dyn Write + Send>,
    /// Headers to be written before anything else.
    due: Vec<u8>,
    headers: Vec<Header>,
    /// The last line was not written to its end.
    cut: bool,
    /// The last attempt failed.
    failing: bool,
}

impl Output {
    fn head(&mut self, header: Header) {
        self.due.extend_from_slice(header.line().as_bytes());
        self.headers.push(header);
    }

    fn redirect(&mut self, out: Box<dyn Write + Send>, detail: Detail) {
        self.out = out;
        self.headers.iter_mut().for_each(|header| header.detail = detail);
        self.due = self.headers.iter().map(Header::line).collect::<String>().into_bytes();
        (self.cut, self.failing) = (false, false);
        // A file without a record has its headers at least.
        self.write(&[]);
    }

    /// Writes lines, after the headers that are due; says how many of them are in the file to their end.
    fn write(&mut self, lines: &[u8]) -> usize {
        let due = std::mem::take(&mut self.due);
        let (at, result) = self.put(&due);
        if let Err(error) = result {
            // A header is a line that is not lost: it is tried again from its beginning.
            let whole = due[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.due = due[whole..].to_vec();
            self.failed(&error);
            return 0;
        }
        let (at, result) = self.put(lines);
        match result {
            Ok(()) => self.failing &= lines.is_empty(),
            Err(error) => self.failed(&error),
        }
        lines[..at].iter().filter(|byte| **byte == b'\n').count()
    }

    /// How many bytes were taken, and what ended it. The rest of a line that was cut before is given up; what follows it is
    /// a line of its own.
    fn put(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        if self.cut && !bytes.is_empty() {
            if let (0, Err(error)) = self.pass(b"\n") {
                return (0, Err(error));
            }
            self.cut = false;
        }
        let (at, result) = self.pass(bytes);
        self.cut |= at > 0 && result.is_err() && bytes[at - 1] != b'\n';
        (at, result)
    }

    fn pass(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut at = 0;
        while at < bytes.len() {
            match self.out.write(&bytes[at..]) {
                Ok(0) => return (at, Err(io::ErrorKind::WriteZero.into())),
                Ok(taken) => at += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (at, Err(error)),
            }
        }
        (at, Ok(()))
    }

    /// Says so once, until it is mended.
    fn failed(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            log::warn!("trace file: {error}; what cannot be written is lost and counted");
        }
    }
}

#[cfg(test)]
mod tests;
