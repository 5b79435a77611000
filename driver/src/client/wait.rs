//! Waiting for the DPC's report, and looking out for one that does not come.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ioat_stage::Wake;
use ioat_stage::pause::deadline;

use super::Error;
use super::driver::CompletionMode;
use super::shared::{Shared, passive};
use super::submission::Ticket;
use crate::ioat::Glance;
use crate::irql::AtPassive;

impl Shared {
    pub(super) fn poll(&self, ticket: &Ticket) -> Option<Result<(), Error>> {
        if let Some(level) = AtPassive::claim() {
            if self.completion == CompletionMode::Polled {
                self.open.provider.poll(self.context, &level);
            }
            self.attend(&level);
            let open = ticket.outcome(self.reports.done()).is_none();
            if open && self.open.pause().now_ns() >= self.watch.lock().next_ns {
                self.watch(&level);
                self.attend(&level);
            }
        }
        ticket.outcome(self.reports.done())
    }

    pub(super) fn wait(&self, ticket: &Arc<Ticket>, timeout: Duration) -> Result<(), Error> {
        let level = passive()?;
        let started = self.open.pause().now_ns();
        let until = deadline(self.open.pause(), timeout);
        loop {
            let seen = self.reports.bell.seen();
            self.attend(&level);
            if let Some(outcome) = ticket.outcome(self.reports.done()) {
                self.reap();
                return outcome;
            }
            let now = self.open.pause().now_ns();
            if now >= until {
                let waited = Duration::from_nanos(now.saturating_sub(started));
                self.give_up(Some(ticket), waited, &level);
                return ticket.outcome(self.reports.done()).unwrap_or(Err(Error::Timeout { waited }));
            }
            self.doze(seen, until, &level);
        }
    }

    /// Sleeps until something is reported, but not past `until`, and not without looking from time to time.
    pub(super) fn doze(&self, seen: u32, until: u64, level: &AtPassive) {
        if self.completion == CompletionMode::Polled && self.look_often(seen, until, level) {
            return;
        }
        let look = deadline(self.open.pause(), self.open.options.watchdog);
        if self.open.pause().wait(&self.reports.bell, seen, Some(until.min(look))) == Wake::TimedOut {
            self.watch(level);
        }
    }

    /// Looks at the completion word again and again; true if something was reported or `until` has come. False after a
    /// while: then the engine is asked how it is.
    fn look_often(&self, seen: u32, until: u64, level: &AtPassive) -> bool {
        let pause = self.open.pause();
        let ask = deadline(pause, self.open.options.watchdog).min(until);
        loop {
            self.open.provider.poll(self.context, level);
            if self.reports.bell.seen() != seen || pause.now_ns() >= until {
                return true;
            }
            if pause.now_ns() >= ask {
                self.watch(level);
                return true;
            }
            pause.relax();
            pause.point();
        }
    }

    /// Looks whether something happened that no interrupt told of.
    pub(super) fn watch(&self, level: &AtPassive) {
        self.postpone_watch();
        match self.open.provider.glance(self.context, level) {
            Glance::Nothing => self.watch.lock().word = None,
            Glance::Fault(_) => self.reports.raise_attention(),
            Glance::Unseen(word) => {
                // An interrupt may be on its way; it is lost when a whole interval brought none.
                let before = self.watch.lock().word.replace(word);
                if before == Some(word) {
                    self.watch.lock().word = None;
                    if self.open.provider.queue_lost_dpc(self.context, level) {
                        self.counts.lost_interrupts.fetch_add(1, Ordering::Relaxed);
                        log::debug!("channel {}: an interrupt was lost", self.context.0);
                    }
                }
            }
        }
    }

    pub(super) fn postpone_watch(&self) {
        self.watch.lock().next_ns = deadline(self.open.pause(), self.open.options.watchdog);
    }
}
