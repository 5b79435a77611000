//! The timer's thread: keeps the time of what a fault put off. Started only where faults are possible.

use std::collections::BTreeMap;

use ioat_stage::{Faults, Trace};

use super::Shared;
use crate::postponed::Postponed;

/// What is put off, by when it is due; what is due together keeps the order in which it was put off.
#[derive(Default)]
pub(super) struct Timetable {
    entries: BTreeMap<(u64, u64), Postponed>,
    last: u64,
}

/// What there is to do at some time.
enum Due {
    Now(Postponed),
    At(u64),
    Nothing,
}

impl Timetable {
    fn add(&mut self, now_ns: u64, postponed: Postponed) {
        self.last += 1;
        self.entries.insert((now_ns.saturating_add(postponed.after_ns), self.last), postponed);
    }

    fn due(&mut self, now_ns: u64) -> Due {
        match self.entries.first_entry() {
            None => Due::Nothing,
            Some(first) if first.key().0 <= now_ns => Due::Now(first.remove()),
            Some(first) => Due::At(first.key().0),
        }
    }
}

impl<F: Faults, T: Trace> Shared<F, T> {
    /// Gives the timer what the core put off, after every access and step.
    #[inline(always)]
    pub(super) fn settle(&self) {
        if F::ACTIVE && self.function.has_postponed() {
            self.schedule();
        }
    }

    #[cold]
    fn schedule(&self) {
        let now = self.pause.now_ns();
        let mut timetable = self.timetable.lock();
        self.function.take_postponed().into_iter().for_each(|postponed| timetable.add(now, postponed));
        drop(timetable);
        self.pause.ring(&self.timer);
    }
}

pub(super) fn keep_time<F: Faults, T: Trace>(shared: &Shared<F, T>) {
    let mut reader = shared.table.reader();
    while !shared.stopping() {
        let seen = shared.timer.seen();
        let due = shared.timetable.lock().due(shared.pause.now_ns());
        match due {
            Due::Now(postponed) => {
                let memory = reader.pin();
                let effects = shared.function.carry_out(postponed, &memory);
                reader = memory.unpin();
                shared.pause.ring(&shared.released);
                shared.apply(effects);
                shared.settle();
            }
            Due::At(until) => {
                shared.pause.wait(&shared.timer, seen, Some(until));
            }
            Due::Nothing => {
                shared.pause.wait(&shared.timer, seen, None);
            }
        }
    }
}
