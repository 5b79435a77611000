//! Work that a fault put off. The core has no clock: it says how much later, and whoever drives it keeps the time.
//!
//! ```text
//! stage -> Agenda (in the function) -> take_postponed (the shell adds its clock) -> carry_out
//! ```
//!
//! What a reset or a new device makes pointless is dropped when its time has come, not looked for before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ioat_stage::sync::Mutex;
use ioat_stage::{Faults, Trace};

use crate::access::Space;
use crate::channel_registers::Outcome;
use crate::command::Command;
use crate::doorbell::Rung;
use crate::function::{Effects, Function};
use crate::memory::{GuestMemory, Lane, Want, access};
use crate::msix;

/// How much the shell may leave here at most; a client that writes for ever must not eat the memory.
const LIMIT: usize = 4096;
/// Bytes of stores that are put off at most, here and with the shell: a second of copies would be gigabytes. What is more
/// than that is stored at once.
const HELD_MOST: u64 = 32 << 20;
/// What is stored under the channel's lock at a time.
const STORE_PIECE: usize = 64 << 10;

/// One piece of work, for later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Postponed {
    /// How much later than now: than when the shell learns of it.
    pub after_ns: u64,
    /// Whose it is; none: the function's.
    pub(crate) channel: Option<u8>,
    /// How many resets its owner had seen: after another one it is dropped.
    pub(crate) resets: u64,
    pub(crate) what: What,
}

/// A channel, as the owner of work that is put off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) channel: u8,
    pub(crate) resets: u64,
}

impl Owner {
    /// Work of this channel, until later or its next reset.
    pub(crate) fn later(self, after_ns: u64, what: What) -> Postponed {
        Postponed { after_ns, channel: Some(self.channel), resets: self.resets, what }
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A store to the client's memory, as far as it is mapped by then.
    Store {
        /// Where.
        iova: u64,
        /// What.
        bytes: Box<[u8]>,
    },
    /// A message, or the event of the line.
    Message {
        /// The descriptor's number, for the trace.
        sequence: u64,
    },
    /// One message of a storm, with so many more to come.
    Storm {
        /// As above.
        sequence: u64,
        /// How many more.
        more: u32,
    },
    /// A doorbell.
    Doorbell(Rung),
    /// A channel command.
    Command(Command),
    /// CHANCMD.RESET.
    Reset,
    /// A register write.
    Write {
        /// Which space.
        space: Space,
        /// Where.
        offset: u64,
        /// What.
        bytes: Box<[u8]>,
    },
    /// The write that waits under this ticket for another one.
    Held(u64),
    /// The device is back on the bus, as after power-on.
    Return,
}

/// What is put off, and not yet taken by the shell. Its lock is the last of all.
#[derive(Default)]
pub(crate) struct Agenda {
    work: Mutex<Vec<Postponed>>,
    /// There is some. Looked at after every access and step, where faults are possible at all.
    some: AtomicBool,
    /// Bytes of the stores that are put off, here and with the shell.
    held: AtomicU64,
    /// It was said that stores are not put off any more.
    full: AtomicBool,
}

impl What {
    /// Bytes of memory that it holds until its time has come.
    fn held(&self) -> u64 {
        match self {
            Self::Store { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }
}

impl Agenda {
    /// Whether a store is still put off; then its bytes count. Else it is to be done at once.
    fn takes(&self, what: &What) -> bool {
        let more = what.held();
        let within = |held: u64| (held + more <= HELD_MOST || more == 0).then_some(held + more);
        if self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok() {
            return true;
        }
        if !self.full.swap(true, Ordering::Relaxed) {
            log::warn!("stores of {HELD_MOST} bytes are put off: those beyond that are done at once");
        }
        false
    }

    /// Its time has come, or it is dropped.
    fn let_go(&self, what: &What) {
        self.held.fetch_sub(what.held(), Ordering::Relaxed);
    }

    /// Puts work on it.
    pub(crate) fn add(&self, postponed: Postponed) {
        let mut work = self.work.lock();
        if work.len() == LIMIT {
            log::warn!("more than {LIMIT} operations are put off: this one is lost");
            self.let_go(&postponed.what);
            return;
        }
        work.push(postponed);
        self.some.store(true, Ordering::Release);
    }

    /// Something was put off since it was last taken.
    pub(crate) fn has_some(&self) -> bool {
        self.some.load(Ordering::Acquire)
    }

    /// All of it, in the order of putting off.
    pub(crate) fn take(&self) -> Vec<Postponed> {
        let mut work = self.work.lock();
        self.some.store(false, Ordering::Release);
        std::mem::take(&mut *work)
    }
}

impl<F: Faults, T: Trace> Function<F, T> {
    /// Faults have put work off since it was last [taken](Self::take_postponed). To be asked after every access and step.
    pub fn has_postponed(&self) -> bool {
        self.unaffiliated.agenda.has_some()
    }

    /// What faults put off, for whoever has a clock.
    pub fn take_postponed(&self) -> Vec<Postponed> {
        self.unaffiliated.agenda.take()
    }

    /// Puts work off until later, or the next reset of its owner.
    pub(crate) fn put_off(&self, channel: Option<u8>, after_ns: u64, what: What) {
        match channel {
            Some(channel) => {
                let postponed = self.channels[usize::from(channel)].lock().later(after_ns, what);
                self.unaffiliated.agenda.add(postponed);
            }
            None => self.unaffiliated.postpone(after_ns, what),
        }
    }

    /// Puts off what a step of this channel had come later. Under the channel's lock, as a late store is done.
    pub(crate) fn put_off_of<M: GuestMemory>(&self, owner: Owner, after_ns: u64, what: What, memory: &M) {
        if self.unaffiliated.agenda.takes(&what) {
            self.unaffiliated.agenda.add(owner.later(after_ns, what));
        } else if let What::Store { iova, bytes } = what {
            store(memory, iova, &bytes);
        }
    }

    /// Does what was put off, now that its time has come; nothing if its owner was reset in between, or the device is gone.
    /// No fault is asked about it again.
    pub fn carry_out<M: GuestMemory>(&self, postponed: Postponed, memory: &M) -> Effects {
        let Postponed { channel, resets, what, .. } = postponed;
        self.unaffiliated.agenda.let_go(&what);
        if let What::Held(ticket) = what {
            return self.release_held(ticket, self.resets_of(channel) != resets);
        }
        if self.resets_of(channel) != resets {
            return Effects::default();
        }
        match (what, channel) {
            (What::Return, _) => self.put_back(),
            (What::Write { space, offset, bytes }, _) => self.write_through(space, offset, &bytes),
            (What::Store { iova, bytes }, Some(channel)) => {
                self.store_late(channel, resets, memory, iova, &bytes);
                Effects::default()
            }
            (what, Some(channel)) => self.do_late(channel, resets, what),
            (_, None) => Effects::default(),
        }
    }

    fn resets_of(&self, channel: Option<u8>) -> u64 {
        match channel {
            Some(channel) => self.channels[usize::from(channel)].lock().counters.resets,
            None => self.unaffiliated.resets(),
        }
    }

    /// What is done under the channel's lock, so that no reset comes in between.
    fn do_late(&self, number: u8, resets: u64, what: What) -> Effects {
        let mut channel = self.channels[usize::from(number)].lock();
        if channel.counters.resets != resets {
            return Effects::default();
        }
        let outcome = match what {
            What::Message { sequence } => {
                msix::late(sequence, &mut channel.vector(&self.unaffiliated, self.trace()));
                Outcome::default()
            }
            What::Storm { sequence, more } => {
                msix::storm(sequence, more, &mut channel.vector(&self.unaffiliated, self.trace()));
                Outcome::default()
            }
            What::Doorbell(rung) => channel.hear_late(rung, &self.unaffiliated, self.trace()),
            What::Command(command) => {
                let reaction = channel.obey(command, &self.unaffiliated);
                channel.settle(reaction, &self.unaffiliated, self.trace())
            }
            What::Reset => channel.reset_now(&self.unaffiliated),
            What::Store { .. } | What::Write { .. } | What::Held(_) | What::Return => Outcome::default(),
        };
        channel.observe();
        let mut effects = Effects::default();
        effects.note(number.into(), outcome);
        effects
    }

    /// In pieces, each under the channel's lock: what a reset has answered, no store follows.
    fn store_late<M: GuestMemory>(&self, number: u8, resets: u64, memory: &M, iova: u64, bytes: &[u8]) {
        let mut at = iova;
        for piece in bytes.chunks(STORE_PIECE) {
            let channel = self.channels[usize::from(number)].lock();
            if channel.counters.resets != resets || !self.unaffiliated.bus_master() || self.is_gone() {
                return;
            }
            store(memory, at, piece);
            at = at.wrapping_add(piece.len() as u64);
        }
    }
}

/// Stores as much as is mapped, in address order: what is not is not the device's to write.
pub(crate) fn store<M: GuestMemory>(memory: &M, iova: u64, bytes: &[u8]) {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        let at = iova.wrapping_add(done as u64);
        let Ok(slice) = memory.resolve(Lane::Destination, at, rest.len() as u64, Want::Write) else { return };
        let len = slice.len().min(rest.len());
        let whole_word = <[u8; 8]>::try_from(rest).ok().filter(|_| done == 0 && len == 8);
        // A completion word goes in one piece, as it would have in time.
        let stored =
            whole_word.is_some_and(|word| access::store_u64(&slice, u64::from_le_bytes(word)).is_ok());
        if !stored {
            slice.copy_from(&rest[..len]);
        }
        done += len;
    }
}
