//! How much of a run its trace is told: a type for each [`Detail`](ioat_stage::Detail), so that each has a loop of its own.
//!
//! A step looks at the trace once, and takes one of these. With [`Unheard`] stages 2 to 5 are compiled as if there were no
//! trace. Which loop a stage is compiled into matters: one with two callers is not inlined into the usual loop any more.

use std::cell::{Cell, RefCell};

use ioat_stage::{Event, Executed, Mark, Trace};

/// Takes down what stages 2 to 5 of a run do.
pub(crate) trait Scribe {
    /// A stage of a descriptor.
    fn event(&self, event: Event);

    /// A descriptor that is done or has failed.
    fn executed(&self, executed: Executed);
}

/// Off: nobody listens.
pub(crate) struct Unheard;

impl Scribe for Unheard {
    #[inline(always)]
    fn event(&self, _: Event) {}

    #[inline(always)]
    fn executed(&self, _: Executed) {}
}

/// Every stage goes to the trace at once.
pub(crate) struct EachStage<'a, T>(pub(crate) &'a T);

impl<T: Trace> Scribe for EachStage<'_, T> {
    #[inline]
    fn event(&self, event: Event) {
        self.0.event(event);
    }

    #[inline(always)]
    fn executed(&self, _: Executed) {}
}

/// Descriptors in a page, and bytes: what is given to the trace at once, and so has one time. A descriptor of 4 KiB has its own.
const PAGE: usize = 16;
const PAGE_BYTES: u64 = 4096;

/// One record per descriptor. Small ones are given to the trace together: the clock alone costs more than a 64-byte copy.
pub(crate) struct Ledger<'a, T: Trace> {
    trace: &'a T,
    page: RefCell<Page>,
    /// What a stage of the present descriptor said, if it was not "ok".
    mark: Cell<Mark>,
}

struct Page {
    lines: [Executed; PAGE],
    count: usize,
    bytes: u64,
}

impl<'a, T: Trace> Ledger<'a, T> {
    pub(crate) fn new(trace: &'a T) -> Self {
        const BLANK: Executed = Executed {
            channel: 0,
            generation: 0,
            sequence: 0,
            descriptor: 0,
            address: 0,
            len: 0,
            mark: Mark::Ok,
        };
        let page = Page { lines: [BLANK; PAGE], count: 0, bytes: 0 };
        Self { trace, page: RefCell::new(page), mark: Cell::new(Mark::Ok) }
    }
}

impl<T: Trace> Scribe for Ledger<'_, T> {
    #[inline(always)]
    fn event(&self, event: Event) {
        if event.mark != Mark::Ok {
            self.mark.set(event.mark);
        }
    }

    #[inline(always)]
    fn executed(&self, executed: Executed) {
        let mark = match self.mark.get() {
            Mark::Ok => executed.mark,
            said => {
                self.mark.set(Mark::Ok);
                said
            }
        };
        let mut page = self.page.borrow_mut();
        let count = page.count;
        page.lines[count % PAGE] = Executed { mark, ..executed };
        page.count = count + 1;
        page.bytes += executed.len;
        if page.count == PAGE || page.bytes >= PAGE_BYTES {
            page.turn(self.trace);
        }
    }
}

impl Page {
    #[inline(never)]
    fn turn<T: Trace>(&mut self, trace: &T) {
        trace.executed_all(&self.lines[..self.count]);
        (self.count, self.bytes) = (0, 0);
    }
}

/// The last page of a step: before its interrupt, and before software may see its status.
impl<T: Trace> Drop for Ledger<'_, T> {
    fn drop(&mut self) {
        self.page.get_mut().turn(self.trace);
    }
}

/// A watched run's scribe. A type of its own, so that the stages are compiled apart for watched runs: they would take four
/// times as long for the others.
pub(crate) struct Overheard<'a, S>(pub(crate) &'a S);

impl<S: Scribe> Scribe for Overheard<'_, S> {
    #[inline]
    fn event(&self, event: Event) {
        self.0.event(event);
    }

    #[inline]
    fn executed(&self, executed: Executed) {
        self.0.executed(executed);
    }
}
