//! What a channel's engine has, in chain order: descriptors submitted and not reported.

use std::collections::VecDeque;

use super::address::DescriptorAddr;
use super::client::{Chain, ChannelError, Completed, Submitted};
use super::links::Tail;
use super::state::{Call, ChannelState, Refused, Step};

/// What is pending. Its memory is allocated once.
pub(super) struct Book {
    pub(super) state: ChannelState,
    pending: VecDeque<DescriptorAddr>,
    capacity: usize,
    /// The number of the last one submitted.
    submitted: u64,
    /// Where the next chain is joined; none before the first, or after its list was dropped.
    pub(super) tail: Option<Tail>,
    /// The engine may have lost its DCA target (ND-A3).
    pub(super) context_lost: bool,
}

impl Book {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: ChannelState::Fresh,
            pending: VecDeque::with_capacity(capacity),
            capacity,
            submitted: 0,
            tail: None,
            context_lost: false,
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Finishes everything up to and including `last` (ND-C7), once (ND-I10).
    pub(super) fn complete(&mut self, last: DescriptorAddr) -> Option<Completed> {
        let position = self.pending.iter().position(|&pending| pending == last)?;
        let sequence = self.submitted - self.pending.len() as u64 + position as u64 + 1;
        self.pending.drain(..=position);
        Some(Completed { last, sequence, count: position as u64 + 1 })
    }

    /// Whether `call` may submit `chain`; gives the state that it leads to.
    pub(super) fn admit(
        &self,
        call: Call,
        chain: &Chain<'_>,
        counted: bool,
    ) -> Result<ChannelState, ChannelError> {
        let before = self.state;
        let Step::Forward(after) = before.step(call)? else {
            return Err(Refused { call, state: before }.into());
        };
        let outstanding = if call == Call::Start { 0 } else { self.pending.len() };
        if chain.descriptors.len() > self.capacity - outstanding {
            let (wanted, capacity) = (chain.descriptors.len(), self.capacity);
            return Err(ChannelError::Full { wanted, outstanding, capacity });
        }
        match call {
            Call::Start => self.apart(chain)?,
            _ if counted => self.continues(chain)?,
            _ => {}
        }
        Ok(after)
    }

    /// (ND-P9) A counted chain begins where the one before said.
    fn continues(&self, chain: &Chain<'_>) -> Result<(), ChannelError> {
        match (&self.tail, chain.descriptors.first()) {
            (Some(tail), Some(&found)) if tail.next() != found.get() => {
                Err(ChannelError::NotNext { found, expected: tail.next() })
            }
            _ => Ok(()),
        }
    }

    /// (1.10) A Start must not use what the old list still has: a report of the old one, already on its way when the
    /// Start came, would finish the new one too early.
    fn apart(&self, chain: &Chain<'_>) -> Result<(), ChannelError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut under_way: Vec<_> = self.pending.iter().copied().collect();
        under_way.sort_unstable();
        match chain.descriptors.iter().find(|address| under_way.binary_search(address).is_ok()) {
            Some(&address) => Err(ChannelError::UnderWay { address }),
            None => Ok(()),
        }
    }

    /// Enters a chain that was admitted. What a Start drops is never reported (ND-P5).
    pub(super) fn enter(
        &mut self,
        call: Call,
        chain: &Chain<'_>,
        tail: Tail,
        after: ChannelState,
    ) -> Submitted {
        let forgotten = if call == Call::Start { self.pending.len() as u64 } else { 0 };
        if forgotten > 0 {
            self.pending.clear();
        }
        self.pending.extend(chain.descriptors);
        self.submitted += chain.descriptors.len() as u64;
        self.state = after;
        self.tail = Some(tail);
        Submitted { last_sequence: self.submitted, forgotten }
    }

    /// Takes the newest off again, after a refused submission: those numbered above `sequence`. A provider that refuses
    /// may have let the engine begin, and a report may have come: a number that was reported is never given again.
    pub(super) fn withdraw(&mut self, sequence: u64, state: ChannelState, tail: Option<Tail>) {
        let newer = usize::try_from(self.submitted - sequence).unwrap_or(usize::MAX);
        let reported = self.submitted - self.pending.len() as u64;
        self.pending.truncate(self.pending.len().saturating_sub(newer));
        self.submitted = sequence.max(reported);
        self.state = state;
        self.tail = tail;
    }

    /// The list is dropped: nothing of it is reported any more.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
        self.tail = None;
    }
}
