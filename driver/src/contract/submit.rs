//! What a channel submits: its client's chains, and the interface's own descriptor.

use ioat_stage::sync::atomic::Ordering;

use super::address::PhysAddr;
use super::breach;
use super::client::{Chain, ChannelError, Submitted};
use super::links::Tail;
use super::power::Access;
use super::provider::FirstDescriptor;
use super::shared::Shared;
use super::state::{Call, ChannelState};
use crate::irql::{AtMostDispatch, AtPassive};

impl Shared {
    pub(super) fn submit(
        &self,
        call: Call,
        chain: &Chain<'_>,
        level: &dyn AtMostDispatch,
    ) -> Result<Submitted, ChannelError> {
        breach::at_most_dispatch("Start or Append")?;
        let first = first_of(chain)?;
        let tail = Tail::of(chain, self.version)?;
        let _calls = self.calls.lock();
        self.takes_work()?;
        let counted = self.version.counts_chains();
        self.book.lock().admit(call, chain, counted)?;
        self.renew_context(call, level);
        // Before the doorbell: the report may come before the provider returns.
        let (before, old_tail, submitted) = {
            let mut book = self.book.lock();
            let after = book.admit(call, chain, counted)?;
            let (before, old_tail) = (book.state, book.tail.clone());
            (before, old_tail, book.enter(call, chain, tail, after))
        };
        let link = old_tail.as_ref().filter(|_| call == Call::Append && !counted);
        if let Some(link) = link {
            link.join(Some(first.physical()));
        }
        let context = self.context();
        let result = match call {
            Call::Append => self.provider.append_dma(context, &first, level),
            _ => self.provider.start_dma(context, &first, level),
        };
        result.map_err(|status| {
            if let Some(link) = link {
                link.join(None);
            }
            // After a refused Start nobody knows what the engine does with the old chain.
            let state = match (call, before) {
                (Call::Start, ChannelState::Running | ChannelState::Suspended) => ChannelState::NeedsStart,
                _ => before,
            };
            let sequence = submitted.last_sequence - chain.descriptors.len() as u64;
            self.book.lock().withdraw(sequence, state, old_tail.clone());
            self.pause.ring(&self.settled);
            ChannelError::Provider { call, status }
        })?;
        Ok(submitted)
    }

    fn takes_work(&self) -> Result<(), ChannelError> {
        match self.gate.get() {
            Access::Open => Ok(()),
            Access::Closed => Err(ChannelError::Stopping),
            Access::Draining | Access::Down => Err(ChannelError::PoweredDown),
        }
    }

    /// (ND-A3) Tells a DCA provider its target again, where the engine may have lost it. A context change is a
    /// descriptor, so it goes where a chain may begin: before a Start, or on a channel with nothing outstanding, where
    /// the client's next chain still begins where its last one said. Under the lock of the calls.
    pub(super) fn renew_context(&self, next_call: Call, level: &dyn AtMostDispatch) {
        let (Some(&target), Some(anchor)) = (self.dca_target.get(), &self.anchor) else { return };
        let next = {
            let book = self.book.lock();
            let due = match next_call {
                Call::Start => true,
                _ => book.state == ChannelState::Running && book.outstanding() == 0,
            };
            if !book.context_lost || !due {
                return;
            }
            book.tail.as_ref().map_or(anchor.address().get(), Tail::next)
        };
        match self.provider.start_dma(self.context(), &anchor.write(Some(target), next), level) {
            Ok(()) => {
                self.book.lock().context_lost = false;
                self.context_changes.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => log::warn!("channel {}: its DCA target was not renewed: {status}", self.number),
        }
    }

    /// Waits until no call is in the provider and nothing is outstanding (ND-W1).
    pub(super) fn drain(&self) {
        drop(self.calls.lock());
        loop {
            let seen = self.settled.seen();
            if self.book.lock().outstanding() == 0 {
                return;
            }
            self.pause.wait(&self.settled, seen, None);
        }
    }

    /// (ND-W2) The device is back without its state: a Start of the interface's own, never an Append, makes the
    /// channel ready. Where there was a chain, the next one is joined to it as if nothing had been.
    pub(super) fn power_up(&self, level: &AtPassive) {
        let _calls = self.calls.lock();
        let (state, next) = {
            let book = self.book.lock();
            (book.state, book.tail.as_ref().map(Tail::next))
        };
        if state == ChannelState::Freed {
            return;
        }
        let Some(anchor) = &self.anchor else {
            return self.lose();
        };
        let goes_on = matches!(state, ChannelState::Running | ChannelState::Suspended);
        let end = if self.version.counts_chains() { anchor.address().get() } else { 0 };
        let next = next.filter(|_| goes_on && self.version.counts_chains()).unwrap_or(end);
        let target = self.dca_target.get().copied();
        if let Err(status) = self.provider.start_dma(self.context(), &anchor.write(target, next), level) {
            log::warn!("channel {}: not started after the power-up: {status}", self.number);
            return self.lose();
        }
        let mut book = self.book.lock();
        book.context_lost = false;
        if goes_on {
            book.state = ChannelState::Running;
            book.tail = Some(Tail::at(anchor.location().clone()));
        }
        drop(book);
        self.context_changes.fetch_add(u64::from(target.is_some()), Ordering::Relaxed);
    }

    /// The hardware's state is gone, and the client's next call is Start.
    fn lose(&self) {
        let mut book = self.book.lock();
        book.forget();
        book.state = ChannelState::NeedsStart;
        book.context_lost = true;
        drop(book);
        self.pause.ring(&self.settled);
    }
}

fn first_of(chain: &Chain<'_>) -> Result<FirstDescriptor, ChannelError> {
    let bad = ChannelError::bad_chain(chain);
    let count = u32::try_from(chain.descriptors.len()).map_err(|_| bad)?;
    match chain.descriptors.first() {
        Some(&address) if PhysAddr::from(address) == chain.first.physical() => {
            Ok(FirstDescriptor::new(chain.first.clone(), address, count))
        }
        _ => Err(bad),
    }
}
