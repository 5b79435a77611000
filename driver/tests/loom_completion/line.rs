//! The line's word: exactly one unmasking for each firing.

use super::*;

/// A line: its source masks it when it fires, and fires only while it is not masked.
struct Line {
    masked: AtomicBool,
    batch: LineBatch,
    queue: Queue,
    unmaskings: AtomicU32,
}

impl Line {
    fn unmask(&self) {
        self.unmaskings.fetch_add(1, Ordering::Relaxed);
        assert!(self.masked.swap(false, Ordering::AcqRel), "the line was unmasked twice");
    }

    fn leave(&self) {
        if self.batch.leave(1) {
            self.unmask();
        }
    }

    fn ask(&self, is_counted_late: bool) {
        if is_counted_late {
            if self.queue.ask(None) {
                self.batch.join(1);
            }
            return;
        }
        self.batch.join(1);
        if !self.queue.ask(None) {
            self.leave();
        }
    }

    /// True if it fired. Its service routine asks for a DPC.
    fn fire(&self, is_counted_late: bool) -> bool {
        let fired = !self.masked.swap(true, Ordering::AcqRel);
        if fired {
            self.batch.fired();
            self.ask(is_counted_late);
            self.leave();
        }
        fired
    }
}

fn line(is_counted_late: bool, bounds: (usize, usize)) {
    explore(if is_counted_late { "line, counted late" } else { "line" }, bounds, move || {
        let line = Arc::new(Line {
            masked: AtomicBool::new(false),
            batch: LineBatch::default(),
            queue: Queue::of_the_driver(),
            unmaskings: AtomicU32::new(0),
        });
        let (source, other) = (line.clone(), line.clone());
        let source = spawn(move || (0..2).map(|_| u32::from(source.fire(is_counted_late))).sum::<u32>());
        // A DPC that is asked for outside any batch.
        let other = spawn(move || other.ask(is_counted_late));
        line.queue.drain(|| line.leave());
        other.join().unwrap();
        let firings = source.join().unwrap();
        line.queue.drain(|| line.leave());
        assert_eq!(line.unmaskings.load(Ordering::Relaxed), firings, "one unmasking for each firing");
        assert!(!line.masked.load(Ordering::Relaxed), "the line stays masked");
    });
}

#[test]
fn a_line_is_unmasked_once_for_each_firing() {
    line(false, (4, 5));
}

#[test]
#[should_panic(expected = "overflow")]
fn a_dpc_counted_into_the_lines_batch_after_queueing_ends_uncounted() {
    line(true, BOUNDS);
}
