//! What a channel has finished, or what went wrong on it: the looks at the completion word and their report.

use std::sync::atomic::Ordering;

use ioat_spec::ChanSts;

use super::channel::{Channel, Owner, Phase};
use super::{Fault, IoatError};
use crate::contract::{Completion, CompletionValue, DescriptorAddr, NetDmaInterface, TransferStatus};
use crate::irql::AtDispatch;
use crate::ndis::Reported;

/// What a look at the completion word found.
enum Found {
    /// The channel has no chain: there is nothing to report.
    Nothing,
    /// This is the descriptor processed last.
    Last(Owner, DescriptorAddr, Reported),
    /// No descriptor has been processed yet.
    NoneYet,
    /// The engine stopped by an error.
    Halted(Owner, u32),
    /// The word says what cannot be.
    Bad(Owner, u32, u64),
    /// The registers do not answer.
    Gone(Owner, u32),
}

/// What the service routine learns of a channel.
pub(super) struct Latest {
    pub(super) owner: Owner,
    pub(super) word: CompletionValue,
    /// No DPC has seen it yet, as far as can be told.
    pub(super) news: bool,
}

impl Channel {
    /// Who has the channel and what its completion word says, for the service routine.
    pub(super) fn latest(&self) -> Option<Latest> {
        let state = self.state.lock();
        let owner = state.owner.clone()?;
        let silent = state.chain.as_ref().is_some_and(|chain| chain.interrupts_silently());
        let (seen, running) = (state.seen, state.phase == Phase::Running);
        drop(state);
        // (f) Interrupts without completion words: only CHANSTS tells.
        let status = if silent { self.registers.chansts().ok().map(word) } else { None };
        let word = status.unwrap_or_else(|| owner.completion.load());
        Some(Latest { owner, word, news: silent || running && word.0 != seen })
    }

    /// Reads the completion word anew (ND-I9) and reports the descriptor processed last, or nothing on an error
    /// (ND-I8). Returns what was reported, if anything.
    pub(super) fn report(
        &self,
        interface: &NetDmaInterface,
        level: &AtDispatch,
    ) -> Option<(DescriptorAddr, Reported)> {
        let _reporting = self.reporting.lock();
        let (owner, generation, fault) = match self.look() {
            Found::Nothing | Found::NoneYet => return None,
            Found::Last(owner, last, reported) => {
                interface.net_dma_interrupt_dpc(&owner.handle, Some(last), level);
                return Some((last, reported));
            }
            Found::Halted(owner, generation) => (owner, generation, self.halted_by()),
            Found::Bad(owner, generation, word) => (owner, generation, Fault::BadCompletion { word }),
            Found::Gone(owner, generation) => (owner, generation, Fault::Gone),
        };
        if self.fail(generation, fault) {
            log::debug!("channel {}: {fault}", self.index);
            interface.net_dma_interrupt_dpc(&owner.handle, None, level);
        }
        None
    }

    /// Re-enables the channel's interrupt.
    pub(super) fn rearm(&self) {
        if let Err(error) = self.rearm_registers() {
            log::debug!("channel {}: re-arming: {error}", self.index);
        }
    }

    /// The look after the re-enabling. True if the completion word moved since a DPC looked: a completion that landed
    /// before has raised no interrupt (MT-4).
    pub(super) fn recheck(&self) -> bool {
        let moved = self.moved().is_some();
        // Last, so that who waits for the count finds the interrupt enabled and the look done.
        self.counts.rearms.fetch_add(1, Ordering::Release);
        moved
    }

    /// The completion word, if no DPC has seen it yet.
    pub(super) fn moved(&self) -> Option<u64> {
        let state = self.state.lock();
        let owner = state.owner.as_ref()?;
        let word = owner.completion.load().0;
        (state.phase == Phase::Running && word != state.seen).then_some(word)
    }

    /// Asks the engine itself how it is, for a completion that does not come. A fault that it shows is recorded.
    pub(super) fn examine(&self) -> Option<Fault> {
        let state = self.state.lock();
        let (phase, generation) = (state.phase, state.generation);
        drop(state);
        match phase {
            Phase::Faulted(fault) => return Some(fault),
            Phase::Running => {}
            _ => return None,
        }
        let fault = match self.registers.chansts() {
            Ok(status) if status.state() == Some(ioat_spec::ChannelState::Halted) => {
                // The word is written before CHANSTS: if it is there, the DPC shall judge it.
                if self.moved().is_some() {
                    return None;
                }
                self.halted_by()
            }
            Ok(_) => return None,
            Err(_) => Fault::Gone,
        };
        self.fail(generation, fault).then_some(fault)
    }

    fn look(&self) -> Found {
        let mut state = self.state.lock();
        let Some(owner) = state.owner.clone() else { return Found::Nothing };
        let silent = state.chain.as_ref().is_some_and(|chain| chain.interrupts_silently());
        let generation = state.generation;
        let mut word = owner.completion.load();
        if silent {
            // (f) Interrupts without completion words: only CHANSTS tells.
            drop(state);
            word = match self.registers.chansts() {
                Ok(status) => CompletionValue(status.into_bits()),
                Err(_) => return Found::Gone(owner, generation),
            };
            state = self.state.lock();
        }
        if state.generation != generation || !matches!(state.phase, Phase::Running | Phase::Suspended) {
            return Found::Nothing;
        }
        if !silent {
            state.seen = word.0;
        }
        let suspended = state.phase == Phase::Suspended;
        let Some(chain) = state.chain.as_mut() else { return Found::Nothing };
        let status = match word.decode() {
            Completion::Armed => None,
            Completion::Unknown(word) => return Found::Bad(owner, generation, word),
            Completion::At { status, .. } => Some(status),
        };
        match status {
            None => {}
            Some(TransferStatus::Halted) => return Found::Halted(owner, generation),
            Some(TransferStatus::Suspend) if !suspended => {}
            Some(status) => {
                let completed = word.0 & ChanSts::ADDRESS_MASK;
                if chain.advance(completed, status == TransferStatus::Idle).is_err() {
                    return Found::Bad(owner, generation, word.0);
                }
            }
        }
        // Used only where there is a last one: then at least one is completed.
        let sequence = chain.completed().saturating_sub(1);
        let reported = Reported { channel: self.index, generation, sequence };
        chain.last().map_or(Found::NoneYet, |last| Found::Last(owner, last, reported))
    }

    fn halted_by(&self) -> Fault {
        match self.registers.chanerr() {
            Ok(chanerr) => Fault::Halted { chanerr },
            Err(IoatError::Gone { .. } | IoatError::Hardware(_)) => Fault::Gone,
            Err(error) => {
                log::debug!("channel {}: reading CHANERR: {error}", self.index);
                Fault::Gone
            }
        }
    }
}

fn word(status: ChanSts) -> CompletionValue {
    CompletionValue(status.into_bits())
}
