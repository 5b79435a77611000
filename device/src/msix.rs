//! Stage 6 of 9: msix. The channel's interrupt, after its descriptor is done.

use ioat_spec::ChannelState;
use ioat_stage::plant::{Plant, planted};
use ioat_stage::{Action, Event, Faults, Mark, Op, Point, Stage, Trace};

use crate::complete::{Notice, Retired};
use crate::counters::Counters;
use crate::postponed::{Owner, What};
use crate::unaffiliated::Unaffiliated;

/// What passes between two messages of a storm, or between a message and its duplicate. An eventfd counts what comes faster
/// than its reader as one.
const STORM_NS: u64 = 10_000;

/// Where interrupts go. Called under locks of the device core: it must not block, nor call back.
pub trait InterruptSink: Send + Sync {
    /// MSI-X is on: the client has given eventfds, whatever the capability's bits say.
    fn message_enabled(&self) -> bool;

    /// Sends the message of a vector: [`Profile::vector_of`](crate::Profile::vector_of) says which is a channel's.
    fn signal(&self, vector: u16);

    /// Sets the level of INTx. Called when it changes; and again while it is asserted, whenever delivery has
    /// [changed](crate::Function::delivery_changed), because a sink that was not listening has not heard of it.
    fn line(&self, asserted: bool);

    /// Raises VFIO's error interrupt, if there is one. Without a say of the function's: only the fault `error` does it.
    fn error(&self) {}

    /// Raises VFIO's request interrupt, if there is one: the fault `request`.
    fn request(&self) {}

    /// The pending-bit array, for a sink that masks vectors and keeps what it held back.
    fn pending(&self) -> u64 {
        0
    }
}

/// CHANCTRL.INT_DIS, and what waits behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Latch {
    /// INT_DIS: an interrupt was sent, and the next one waits for the re-arm.
    pub(crate) disabled: bool,
    /// The sequence of the newest event that waits.
    pending: Option<u64>,
    /// The fault: the message that set INT_DIS was dropped.
    lost: bool,
}

impl Latch {
    /// An event waits.
    pub(crate) fn waits(&self) -> bool {
        self.pending.is_some()
    }

    /// The driver got an interrupt, has not re-armed, and another event waits for it.
    pub(crate) fn holds_back(&self) -> bool {
        self.disabled && !self.lost && self.pending.is_some()
    }
}

/// A channel's way to its vector.
pub(crate) struct Vector<'a, F, T> {
    pub(crate) channel: u8,
    pub(crate) generation: u32,
    pub(crate) state: ChannelState,
    /// Whose work it is, if it is put off.
    pub(crate) owner: Owner,
    pub(crate) latch: &'a mut Latch,
    pub(crate) counters: &'a mut Counters,
    pub(crate) unaffiliated: &'a Unaffiliated,
    pub(crate) faults: &'a mut F,
    pub(crate) trace: &'a T,
}

/// Raises the interrupt of a retired descriptor or of a halt, if it asked for one (3.9). `err_int_en` is
/// CHANCTRL's.
pub(crate) fn offer<F: Faults, T: Trace>(retired: Retired, err_int_en: bool, vector: &mut Vector<'_, F, T>) {
    let due = match retired.notice {
        Notice::Quiet => false,
        Notice::Descriptor => true,
        Notice::Halt => err_int_en,
    };
    if !due {
        return;
    }
    if vector.latch.disabled || !vector.unaffiliated.bus_master() {
        vector.unaffiliated.set_attention(vector.channel);
        let lost = planted(Plant::HeldLost) && vector.latch.disabled;
        vector.latch.pending = (!lost).then_some(retired.sequence);
        vector.counters.interrupts_held += 1;
        vector.event(retired.sequence, Mark::Held);
    } else {
        vector.send(retired.sequence);
    }
}

/// The re-arm: INT_DIS goes, and what waited is sent at once.
pub(crate) fn rearm<F: Faults, T: Trace>(vector: &mut Vector<'_, F, T>) {
    vector.latch.disabled = false;
    deliver_pending(vector);
}

/// Sends what waited, if nothing is in its way any more.
pub(crate) fn deliver_pending<F: Faults, T: Trace>(vector: &mut Vector<'_, F, T>) {
    if vector.latch.disabled || !vector.unaffiliated.bus_master() {
        return;
    }
    if let Some(sequence) = vector.latch.pending.take() {
        vector.send(sequence);
    }
}

/// A message that was late, or comes once more: whatever INT_DIS says.
pub(crate) fn late<F: Faults, T: Trace>(sequence: u64, vector: &mut Vector<'_, F, T>) {
    if vector.unaffiliated.bus_master() {
        vector.deliver(vector.unaffiliated.vector_of(vector.channel));
        vector.event(sequence, Mark::Ok);
    }
}

/// The next message of a storm.
pub(crate) fn storm<F: Faults, T: Trace>(sequence: u64, more: u32, vector: &mut Vector<'_, F, T>) {
    late(sequence, vector);
    if let Some(more) = more.checked_sub(1) {
        vector.put_off(STORM_NS, What::Storm { sequence, more });
    }
}

impl<F: Faults, T: Trace> Vector<'_, F, T> {
    /// Sends an interrupt, past its faults. Where only the line is there, the event in ATTNSTATUS is what they befall.
    fn send(&mut self, sequence: u64) {
        self.latch.disabled = true;
        self.counters.interrupts_raised += 1;
        let own = self.unaffiliated.vector_of(self.channel);
        let op = Op {
            channel: Some(self.channel),
            sequence,
            address: self.number(),
            vector: own,
            state: Some(self.state),
            ..Op::default()
        };
        let verdict = self.faults.at(Point::Msix, &op);
        self.latch.lost = verdict == Some(Action::Drop);
        if self.unaffiliated.messages() {
            // The event happened, whatever becomes of its message.
            self.unaffiliated.set_attention(self.channel);
        }
        match verdict {
            Some(Action::Drop) => {}
            Some(Action::Delay(after_ns)) => self.put_off(after_ns, What::Message { sequence }),
            Some(Action::Duplicate) => {
                self.put_off(STORM_NS, What::Message { sequence });
                self.deliver(own);
            }
            Some(Action::Storm(times)) => {
                if let Some(more) = times.checked_sub(2) {
                    self.put_off(STORM_NS, What::Storm { sequence, more });
                }
                self.deliver(own);
            }
            Some(Action::Vector(other)) => self.deliver(Some(other)),
            _ => self.deliver(own),
        }
        self.event(sequence, if verdict.is_some() { Mark::Faulted } else { Mark::Ok });
    }

    fn put_off(&self, after_ns: u64, what: What) {
        self.unaffiliated.agenda.add(self.owner.later(after_ns, what));
    }

    /// The message of a vector, or the event on the line.
    fn deliver(&self, vector: Option<u16>) {
        if !self.unaffiliated.messages() {
            self.unaffiliated.set_attention(self.channel);
        } else if let Some(vector) = vector {
            self.unaffiliated.send_message_of(vector);
        }
    }

    /// The vector's number; 0 where only the line is there.
    fn number(&self) -> u64 {
        self.unaffiliated.vector_of(self.channel).unwrap_or(0).into()
    }

    fn event(&self, sequence: u64, mark: Mark) {
        self.trace.event(Event {
            stage: Stage::Msix,
            channel: self.channel,
            generation: self.generation,
            sequence,
            address: self.number(),
            len: 0,
            mark,
            vector: Some(u32::from(self.unaffiliated.vector_of(self.channel).unwrap_or(0))),
            processor: None,
        });
    }
}
