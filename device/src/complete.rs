//! Stage 5 of 9: complete. The completion word, if one was asked for: the only writer of it.
//!
//! A completion is reserved before its data moves ([`reserve`]), and used once, after it ([`retire`]).

mod deviant;

use ioat_spec::{ChanErr, ChanSts, ChannelState};
use ioat_stage::plant::{Plant, planted};
use ioat_stage::{Action, Faults, Mark, Point, Stage};

use crate::copy::Copied;
use crate::fetch::Slot;
use crate::memory::{GuestMemory, Lane, VolatileSlice, Want, access};
use crate::path::{Path, error};
use crate::scribe::Scribe;
use crate::signals::Signals;
use crate::translate::Refused;

/// What is to happen with the completion word of one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Permit {
    /// No word is due, or it is stored already.
    Silent,
    /// Store it.
    Store,
    /// The fault: this becomes of it.
    Deviate(Action),
}

impl Permit {
    /// What is left of it when the data is in place: an early word is stored already.
    pub(crate) fn unless_stored(self) -> Self {
        if self.is_early() { Self::Silent } else { self }
    }

    /// The fault: the word comes before the data.
    #[inline(always)]
    pub(crate) fn is_early(self) -> bool {
        matches!(self, Self::Deviate(Action::Early))
    }
}

/// A descriptor that is done, word included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) struct Retired {
    /// The address that CHANSTS shall name.
    pub(crate) completed: u64,
    pub(crate) sequence: u64,
    pub(crate) notice: Notice,
    /// Where the chain goes on.
    pub(crate) next: u64,
    /// Bytes that it moved.
    pub(crate) len: u64,
}

/// Why an interrupt may follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// None.
    Quiet,
    /// The descriptor has INT_EN.
    Descriptor,
    /// The channel halted; CHANCTRL.ERR_INT_EN decides.
    Halt,
}

/// Reserves the completion of a descriptor: one permit, one use.
#[inline(always)]
pub(crate) fn reserve<M: GuestMemory, F: Faults, T: Scribe>(
    slot: &Slot,
    path: &mut Path<'_, M, F, T>,
) -> Permit {
    // Never at address 0, which nobody has set (3.7).
    if !slot.control.cmpl_wr() || path.terms.chan_cmp == 0 {
        return Permit::Silent;
    }
    match path.ask(Point::Complete, slot.sequence, slot.address, size_of::<u64>() as u64) {
        Some(action) => Permit::Deviate(action),
        None => Permit::Store,
    }
}

/// Stores the word of a descriptor whose data is in place. `done` counts the slots before it.
#[inline(always)]
pub(crate) fn retire<M: GuestMemory, F: Faults, T: Scribe>(
    copied: Copied,
    permit: Permit,
    done: u16,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Result<Retired, Refused> {
    let slot = copied.slot;
    match report(&slot, permit, done, signals, path) {
        Ok(()) => Ok(retired(&slot)),
        Err(chanerr) => {
            let unmasked = chanerr.without(path.terms.chan_err_msk);
            // Masked: counts as done, without its word (5.1). A fault may halt without any bit: no mask hides that.
            let masked = unmasked.is_empty() && !chanerr.is_empty();
            if masked { Ok(retired(&slot)) } else { Err(Refused { slot, chanerr: unmasked }) }
        }
    }
}

/// The fault `early`: the word, and all that follows it, before the data.
#[cold]
pub(crate) fn retire_early<M: GuestMemory, F: Faults, T: Scribe>(
    slot: &Slot,
    done: u16,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Result<Retired, Refused> {
    match report(slot, Permit::Deviate(Action::Early), done, signals, path) {
        Ok(()) => Ok(retired(slot)),
        Err(chanerr) => Err(Refused { slot: *slot, chanerr }),
    }
}

/// The halt of a channel: its word, if ERR_CMP_EN asks for one, names the last good descriptor (3.7).
#[cold]
pub(crate) fn halt<M: GuestMemory, F: Faults, T: Scribe>(
    completed: u64,
    sequence: u64,
    path: &mut Path<'_, M, F, T>,
) -> Retired {
    if path.terms.err_cmp_en && path.terms.chan_cmp != 0 {
        let len = size_of::<u64>() as u64;
        let verdict = path.ask_in(ChannelState::Halted, Point::Complete, sequence, completed, len);
        let permit = verdict.map_or(Permit::Store, Permit::Deviate);
        // A word that cannot be stored is no second error: exactly one bit per fault (5.1).
        let _ = store(completed, ChannelState::Halted, permit, sequence, path);
    }
    halted(completed, sequence)
}

/// The halt of a channel by a register write, which cannot reach memory.
pub(crate) fn halted(completed: u64, sequence: u64) -> Retired {
    Retired { completed, sequence, notice: Notice::Halt, next: 0, len: 0 }
}

#[inline(always)]
fn report<M: GuestMemory, F: Faults, T: Scribe>(
    slot: &Slot,
    permit: Permit,
    done: u16,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Result<(), ChanErr> {
    if permit == Permit::Silent {
        return Ok(());
    }
    // A file behind some map shrank under the device: what was copied is not the guest's data.
    if path.memory.poisoned() {
        return Err(ChanErr::DMA_INTEGRITY);
    }
    // Idle only if nothing is left at this moment: DMACOUNT may have grown since the run began.
    let exhausted = done.wrapping_add(1) == signals.look().count();
    let state = if exhausted { ChannelState::Idle } else { ChannelState::Active };
    store(slot.address, state, permit, slot.sequence, path)
}

/// Stores the word, in one piece, after everything that this run wrote before.
#[inline(always)]
fn store<M: GuestMemory, F: Faults, T: Scribe>(
    completed: u64,
    state: ChannelState,
    permit: Permit,
    sequence: u64,
    path: &mut Path<'_, M, F, T>,
) -> Result<(), ChanErr> {
    let word = ChanSts::new(completed, state);
    let stored = match permit {
        Permit::Deviate(action) => deviant::store_as(action, word, path),
        Permit::Store | Permit::Silent => {
            let bits = word.into_bits();
            store_word(path.terms.chan_cmp, bits, path.memory).map(|()| Some(bits))
        }
    };
    if let (Ok(Some(bits)), Some(deviation)) = (stored, path.deviation()) {
        deviation.stored = Some(bits);
    }
    let mark = match (stored, permit) {
        (_, Permit::Deviate(_)) => Mark::Faulted,
        (Err(chanerr), _) => error(chanerr),
        (Ok(_), _) => Mark::Ok,
    };
    path.event(Stage::Complete, sequence, completed, size_of::<u64>() as u64, mark);
    stored.map(|_| ())
}

#[inline(always)]
fn store_word<M: GuestMemory>(chan_cmp: u64, bits: u64, memory: &M) -> Result<(), ChanErr> {
    let slice = locate(chan_cmp, memory)?;
    if planted(Plant::InterruptBeforeWord) {
        late::put_off(chan_cmp, bits);
        return Ok(());
    }
    access::store_u64(&slice, bits).map_err(|_| ChanErr::COMPLETION_ADDRESS)
}

/// The word's place in host memory.
#[inline(always)]
fn locate<M: GuestMemory>(chan_cmp: u64, memory: &M) -> Result<VolatileSlice<'_>, ChanErr> {
    let len = size_of::<u64>() as u64;
    if chan_cmp % len != 0 {
        return Err(ChanErr::COMPLETION_ADDRESS);
    }
    let resolved = memory.resolve(Lane::Completion, chan_cmp, len, Want::Write);
    resolved.map_err(|_| ChanErr::COMPLETION_ADDRESS)
}

#[inline(always)]
fn retired(slot: &Slot) -> Retired {
    let notice = if slot.control.int_en() { Notice::Descriptor } else { Notice::Quiet };
    Retired {
        completed: slot.address,
        sequence: slot.sequence,
        notice,
        next: slot.next,
        len: slot.size.into(),
    }
}

/// The planted bug [`Plant::InterruptBeforeWord`]: words that are stored only after their step was finished.
pub(crate) mod late {
    use std::cell::RefCell;

    use crate::memory::{GuestMemory, Lane, Want, access};

    thread_local! {
        static WORDS: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn put_off(chan_cmp: u64, word: u64) {
        WORDS.with_borrow_mut(|words| {
            words.retain(|(at, _)| *at != chan_cmp);
            words.push((chan_cmp, word));
        });
    }

    /// Stores what was put off: by whichever channel comes first, which is late enough for a bug.
    pub(crate) fn store(memory: &impl GuestMemory) {
        for (chan_cmp, word) in WORDS.take() {
            if let Ok(slice) = memory.resolve(Lane::Completion, chan_cmp, 8, Want::Write) {
                // An address that has gone meanwhile loses its word.
                let _ = access::store_u64(&slice, word);
            }
        }
    }
}
