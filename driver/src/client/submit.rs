//! Giving work to the engine, with back-pressure while the ring is full.

use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::driver::CompletionMode;
use super::shared::{Shared, UnderWay, Work, ns, passive};
use super::submission::Ticket;
use crate::contract::{Chain, ChannelError, ChannelState, ControlFlags, NetDmaDescriptor};
use crate::hw::DmaBuffer;
use crate::irql::AtPassive;

impl Shared {
    pub(super) fn submit(&self, mut work: Work, wait: bool) -> Result<Arc<Ticket>, Error> {
        let level = passive()?;
        if work.descriptors.is_empty() {
            let control = ControlFlags::NULL_TRANSFER.0;
            work.descriptors.push(NetDmaDescriptor { size: 1, control, ..NetDmaDescriptor::default() });
        }
        let ticket = Ticket::new();
        let capacity = self.book.lock().ring.capacity();
        let parts = work.descriptors.len().div_ceil(capacity);
        if parts > 1 && !wait {
            return Err(Error::RingFull { wanted: work.descriptors.len(), free: capacity });
        }
        let started = self.open.pause().now_ns();
        for (number, part) in work.descriptors.chunks_mut(capacity).enumerate() {
            let last = number + 1 == parts;
            // The bytes are counted with the last part, and the buffers are kept by every one.
            let bytes = if last { work.bytes } else { 0 };
            let sequence = self.push(part, &work.keep, bytes, &ticket, wait, started, &level)?;
            if last {
                ticket.submitted(sequence);
            }
        }
        Ok(ticket)
    }

    /// Gives one part to the engine as soon as there is room.
    #[expect(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
    pub(super) fn push(
        &self,
        part: &mut [NetDmaDescriptor],
        keep: &[Arc<DmaBuffer>],
        bytes: u64,
        ticket: &Arc<Ticket>,
        wait: bool,
        started: u64,
        level: &AtPassive,
    ) -> Result<u64, Error> {
        mark_last(part, self.completion);
        loop {
            let seen = self.reports.bell.seen();
            self.attend(level);
            {
                let _ops = self.ops.lock();
                self.tame(level)?;
                self.reap();
                let free = self.free_slots();
                if free >= part.len() {
                    return self.hand_over(part, keep, bytes, ticket, level);
                }
                if !wait {
                    return Err(Error::RingFull { wanted: part.len(), free });
                }
            }
            let waited = Duration::from_nanos(self.open.pause().now_ns().saturating_sub(started));
            if waited >= self.open.options.timeout {
                self.give_up(None, waited, level);
                return Err(Error::Timeout { waited });
            }
            self.doze(seen, started.saturating_add(ns(self.open.options.timeout)), level);
        }
    }

    /// Fills slots and rings the doorbell; once more after a recovery, if the channel had failed unnoticed.
    pub(super) fn hand_over(
        &self,
        part: &[NetDmaDescriptor],
        keep: &[Arc<DmaBuffer>],
        bytes: u64,
        ticket: &Arc<Ticket>,
        level: &AtPassive,
    ) -> Result<u64, Error> {
        self.postpone_watch();
        let submitted = match self.give(part, level) {
            Err(ChannelError::Provider { .. }) if self.rescue(level)? => self.give(part, level),
            other => other,
        };
        let submitted = submitted.map_err(|error| self.typed(error))?;
        let under_way = UnderWay {
            last: submitted,
            slots: part.len(),
            bytes,
            keep: keep.to_vec(),
            ticket: ticket.clone(),
        };
        let mut book = self.book.lock();
        book.ring.advance(part.len());
        book.slots += part.len();
        book.under_way.push_back(under_way);
        Ok(submitted)
    }

    pub(super) fn give(&self, part: &[NetDmaDescriptor], level: &AtPassive) -> Result<u64, ChannelError> {
        let book = self.book.lock();
        book.ring.fill(part);
        let chain = book.ring.chain(part.len());
        let (first, descriptors) = (chain.first.clone(), chain.descriptors.to_vec());
        drop(book);
        let chain = Chain { first, descriptors: &descriptors };
        let submitted = match self.net.state() {
            ChannelState::Fresh | ChannelState::NeedsStart => self.net.start(&chain, level),
            _ => self.net.append(&chain, level),
        }?;
        Ok(submitted.last_sequence)
    }
}

/// Each part asks for one completion word and, unless somebody polls, one interrupt, with its last descriptor.
fn mark_last(part: &mut [NetDmaDescriptor], completion: CompletionMode) {
    let word = ControlFlags::STATUS_UPDATE_ON_COMPLETION;
    let flags = match completion {
        CompletionMode::Interrupt => word.with(ControlFlags::INTERRUPT_ON_COMPLETION),
        CompletionMode::Polled => word,
    };
    if let Some(last) = part.last_mut() {
        last.control |= flags.0;
    }
}
