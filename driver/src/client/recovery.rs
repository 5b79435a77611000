//! When the engine does not do its part: the channel is reset, what was pending has failed, new work goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Error;
use super::shared::Shared;
use super::submission::Ticket;
use crate::contract::DescriptorAddr;
use crate::irql::AtPassive;

impl Shared {
    /// Deals with what the DPC or the look-out found wrong.
    pub(super) fn attend(&self, level: &AtPassive) {
        if !self.reports.wants_attention() {
            return;
        }
        let _ops = self.ops.lock();
        if self.reports.take_attention() {
            // An error of the reset shows itself again to the next submission.
            let _ = self.rescue(level);
        }
    }

    /// If the channel has failed: resets it and fails all that is pending. True if it had, and works again.
    /// Under the lock of the commands.
    pub(super) fn rescue(&self, level: &AtPassive) -> Result<bool, Error> {
        let Some(fault) = self.open.provider.diagnose(self.context) else { return Ok(false) };
        self.recover(&|_| fault.into(), level)?;
        Ok(true)
    }

    /// Nothing came in time: the channel is reset. `late` gets the time-out, everything else was just behind it.
    pub(super) fn give_up(&self, late: Option<&Arc<Ticket>>, waited: Duration, level: &AtPassive) {
        let _ops = self.ops.lock();
        if late.is_some_and(|ticket| ticket.outcome(self.reports.done()).is_some()) {
            return;
        }
        let error = |ticket: &Arc<Ticket>| match late {
            Some(late) if Arc::ptr_eq(late, ticket) => Error::Timeout { waited },
            _ => Error::Aborted,
        };
        if let Err(error) = self.recover(&error, level) {
            log::warn!("channel {}: it timed out and could not be reset: {error}", self.context.0);
        }
    }

    pub(super) fn recover(
        &self,
        error: &dyn Fn(&Arc<Ticket>) -> Error,
        level: &AtPassive,
    ) -> Result<(), Error> {
        self.counts.recoveries.fetch_add(1, Ordering::Relaxed);
        let reached = self.reached(level);
        let reset = self.net.reset(level).map_err(|error| self.typed(error));
        self.settle(reset, reached, error)
    }

    /// The descriptor that the engine says it processed last, before a reset makes it forget.
    pub(super) fn reached(&self, level: &AtPassive) -> Option<DescriptorAddr> {
        self.open.provider.reached(self.context, level)
    }

    /// After the engine was stopped, or could not be: what is not finished has failed. `reached` tells how much of it was
    /// done all the same.
    pub(super) fn settle(
        &self,
        stopped: Result<(), Error>,
        reached: Option<DescriptorAddr>,
        error: &dyn Fn(&Arc<Ticket>) -> Error,
    ) -> Result<(), Error> {
        // No report comes any more: the reset has waited for the last one.
        let done = self.reports.done();
        let mut book = self.book.lock();
        let processed = book.processed(reached);
        let under_way = std::mem::take(&mut book.under_way);
        book.slots = 0;
        let mut released = Vec::new();
        for work in under_way {
            if work.last > done {
                let first = work.last - work.slots as u64;
                let finished = processed.max(done).saturating_sub(first);
                work.ticket.progressed(usize::try_from(finished).unwrap_or(usize::MAX).min(work.slots));
                work.ticket.fail(error(&work.ticket));
                self.counts.errors.fetch_add(1, Ordering::Relaxed);
            } else {
                work.ticket.progressed(work.slots);
                self.count(&work);
            }
            released.extend(work.keep);
        }
        match &stopped {
            Ok(()) => released.append(&mut book.undead),
            // It may still write: what it may write stays.
            Err(_) => book.undead.append(&mut released),
        }
        drop(book);
        self.wild.store(stopped.is_err(), Ordering::Release);
        self.open.pause().ring(&self.reports.bell);
        stopped
    }

    /// Before anything is given to an engine that could not be stopped: stop it.
    pub(super) fn tame(&self, level: &AtPassive) -> Result<(), Error> {
        if self.wild.load(Ordering::Acquire) { self.recover(&|_| Error::Aborted, level) } else { Ok(()) }
    }
}
