//! What the writer promises: exact counts, whole lines, and nobody who waits for it.

use std::sync::mpsc;

use super::*;
use crate::pause::ThreadPause;
use crate::stage::Stage;
use crate::trace::{Line, Mark};

/// A file in memory that takes so many bytes more, and can be looked at.
#[derive(Clone)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Disk {
    fn with_room(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), bytes))))
    }

    fn grow(&self, bytes: usize) {
        self.0.lock().1 += bytes;
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().0.clone()).unwrap()
    }

    fn lines(&self) -> Vec<Line> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Disk {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock();
        let taken = data.len().min(disk.1);
        if taken == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        disk.0.extend_from_slice(&data[..taken]);
        disk.1 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose other end neither reads nor goes away until it is told.
struct Stuck(mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // An error says that the other side is gone: then it takes everything.
        let _ = self.0.recv();
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn writer(out: impl Write + Send + 'static) -> TraceWriter {
    TraceWriter::start(Box::new(out), Arc::new(ThreadPause::new())).unwrap()
}

fn header(side: Side) -> Header {
    Header::new(side, Detail::Stages, "a test")
}

fn event(channel: u8, sequence: u64) -> Event {
    let (stage, mark) = (Stage::Copy, Mark::Ok);
    Event { stage, channel, generation: 1, sequence, address: 2, len: 3, mark, vector: None, processor: None }
}

fn executed(sequence: u64) -> Executed {
    Executed { channel: 0, generation: 1, sequence, descriptor: 64, address: 2, len: 3, mark: Mark::Ok }
}

fn lost(lines: &[Line]) -> u64 {
    lines.iter().map(|line| if let Line::Lost(lost) = line { lost.what.lost } else { 0 }).sum()
}

#[test]
fn both_sides_have_a_header_before_their_first_line_and_every_record_is_there() {
    let disk = Disk::with_room(usize::MAX);
    let writer = writer(disk.clone());
    let device = writer.sink(&header(Side::Device), 2);
    device.event(event(0, 7));
    let driver = writer.sink(&header(Side::Driver), 1);
    driver.event(event(1, 8));
    device.executed_all(&[executed(1), executed(2)]);
    writer.drain();
    assert_eq!(writer.counts(), TraceCounts { written: 4, lost: 0 });
    for side in [Side::Device, Side::Driver] {
        let of_side: Vec<Line> = disk
            .lines()
            .into_iter()
            .filter(|line| match line {
                Line::Header(header) => header.side == side,
                Line::Event(event) => event.side == side,
                Line::Executed(executed) => executed.side == side,
                Line::Lost(lost) => lost.side == side,
            })
            .collect();
        assert_eq!(of_side[0], Line::Header(header(side)));
        assert_eq!(of_side.len(), if side == Side::Device { 4 } else { 2 });
    }
}

#[test]
fn nobody_waits_for_a_pipe_that_is_not_read_and_what_was_produced_is_written_or_lost() {
    const EVENTS: u64 = 10_000;
    let (go_on, stuck) = mpsc::channel();
    let writer = writer(Stuck(stuck));
    let sink = writer.sink_of(&header(Side::Device), 1, 64);
    // The writer holds on to its first chunk meanwhile: the header, and what came while it made it.
    (0..EVENTS).for_each(|sequence| sink.event(event(0, sequence)));
    drop(go_on);
    writer.drain();
    let TraceCounts { written, lost } = writer.counts();
    assert_eq!(written + lost, EVENTS);
    assert!(written < EVENTS / 2 && lost > EVENTS / 2, "{written} {lost}");
}

#[test]
fn a_file_that_takes_nothing_holds_up_neither_another_file_nor_the_end() {
    let (go_on, stuck) = mpsc::channel();
    let (second, short) = (Disk::with_room(usize::MAX), Duration::from_millis(10));
    let first = writer(Stuck(stuck));
    let sink = first.sink(&header(Side::Device), 1);
    sink.event(event(0, 1));
    assert!(!first.drain_within(short));
    assert!(!first.redirect(Box::new(second.clone()), Detail::Descriptors, short));
    assert!(second.lines().is_empty());
    drop(go_on);
    first.drain();
    sink.event(event(0, 2));
    first.drain();
    assert!(matches!(&second.lines()[..], [Line::Header(_), Line::Event(event)] if event.what.sequence == 2));

    let (_never, stuck) = mpsc::channel();
    let writer = writer(Stuck(stuck));
    let _ = writer.sink(&header(Side::Device), 1);
    drop(writer);
}

#[test]
fn the_lines_of_a_file_say_how_many_are_missing() {
    const EVENTS: u64 = 200_000;
    let disk = Disk::with_room(usize::MAX);
    let writer = writer(disk.clone());
    let sink = writer.sink_of(&header(Side::Device), 1, 16);
    (0..EVENTS).for_each(|sequence| sink.event(event(0, sequence)));
    writer.drain();
    let lines = disk.lines();
    let events = lines.iter().filter(|line| matches!(line, Line::Event(_))).count() as u64;
    assert_eq!(TraceCounts { written: events, lost: lost(&lines) }, writer.counts());
    assert_eq!(events + lost(&lines), EVENTS);
}

#[test]
fn a_full_disk_loses_and_counts_and_goes_on_with_whole_lines_when_there_is_room() {
    // Room for the header and one and a half lines.
    let disk = Disk::with_room(header(Side::Device).line().len() + 180);
    let writer = writer(disk.clone());
    let sink = writer.sink(&header(Side::Device), 1);
    (0..10).for_each(|sequence| sink.event(event(0, sequence)));
    writer.drain();
    assert_eq!(writer.counts(), TraceCounts { written: 1, lost: 9 });
    disk.grow(1 << 20);
    sink.event(event(0, 10));
    writer.drain();
    assert_eq!(writer.counts(), TraceCounts { written: 2, lost: 9 });
    let text = disk.text();
    let lines: Vec<_> = text.lines().map(serde_json::from_str::<Line>).collect();
    // The one that the full disk cut stands alone.
    assert_eq!(lines.iter().filter(|line| line.is_err()).count(), 1, "{text}");
    let whole: Vec<Line> = lines.into_iter().flatten().collect();
    assert_eq!(lost(&whole), 9);
    assert!(matches!(&whole[..], [Line::Header(_), Line::Event(_), Line::Event(_), Line::Lost(_)]), "{text}");
}

#[test]
fn a_disk_that_is_full_from_the_beginning_gets_its_header_later() {
    let disk = Disk::with_room(5);
    let writer = writer(disk.clone());
    let sink = writer.sink(&header(Side::Driver), 1);
    sink.event(event(0, 1));
    writer.drain();
    disk.grow(1 << 20);
    sink.event(event(0, 2));
    writer.drain();
    let text = disk.text();
    let whole: Vec<Line> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(matches!(&whole[..], [Line::Header(_), Line::Event(_), Line::Lost(_)]), "{text}");
    assert_eq!(writer.counts(), TraceCounts { written: 1, lost: 1 });
}

#[test]
fn a_redirected_trace_begins_with_its_headers_again_and_the_detail_of_now() {
    let (first, second) = (Disk::with_room(usize::MAX), Disk::with_room(usize::MAX));
    let writer = writer(first.clone());
    let sink = writer.sink(&header(Side::Device), 1);
    sink.event(event(0, 1));
    assert!(writer.redirect(Box::new(second.clone()), Detail::Descriptors, Duration::from_secs(20)));
    sink.event(event(0, 2));
    writer.drain();
    for (disk, sequence, detail) in [(first, 1, Detail::Stages), (second, 2, Detail::Descriptors)] {
        let lines = disk.lines();
        let [Line::Header(header), Line::Event(event)] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((header.detail, event.what.sequence), (detail, sequence));
    }
}

#[test]
fn what_is_there_when_it_ends_is_written_and_nothing_is_taken_after_that() {
    let disk = Disk::with_room(usize::MAX);
    let writer = writer(disk.clone());
    let sink = writer.sink(&header(Side::Device), 1);
    (0..100).for_each(|sequence| sink.event(event(0, sequence)));
    drop(writer);
    assert_eq!(disk.lines().len(), 101);
    assert_eq!(sink.detail(), Detail::Off);
}

#[test]
fn an_idle_channel_has_its_events_written_without_a_drain() {
    let disk = Disk::with_room(usize::MAX);
    let writer = writer(disk.clone());
    let sink = writer.sink(&header(Side::Device), 1);
    sink.event(event(0, 1));
    sink.flush();
    let pause = ThreadPause::new();
    let until = deadline(&pause, Duration::from_secs(5));
    while disk.lines().len() < 2 {
        assert!(pause.now_ns() < until, "nothing was written");
        pause.sleep(Duration::from_millis(1));
    }
}
