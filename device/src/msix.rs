//! Stage 6 of 9: msix. The channel's interrupt, after its descriptor is done.

use ioat_stage::plant::{Plant, planted};
use ioat_stage::{Action, Event, Faults, Mark, Op, Point, Stage, Trace};

use crate::complete::{Notice, Retired};
use crate::counters::Counters;
use crate::unaffiliated::Unaffiliated;

/// Where interrupts go. Called under locks of the device core: it must not block, nor call back.
pub trait InterruptSink: Send + Sync {
    /// MSI-X is on: the client has given eventfds, whatever the capability's bits say.
    fn message_enabled(&self) -> bool;

    /// Sends the message of a vector: [`Profile::vector_of`](crate::Profile::vector_of) says which is a channel's.
    fn signal(&self, vector: u16);

    /// Sets the level of INTx. Called when it changes; and again while it is asserted, whenever delivery has
    /// [changed](crate::Function::delivery_changed), because a sink that was not listening has not heard of it.
    fn line(&self, asserted: bool);

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
    vector.unaffiliated.set_attention(vector.channel);
    if vector.latch.disabled || !vector.unaffiliated.bus_master() {
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
        vector.unaffiliated.set_attention(vector.channel);
        vector.send(sequence);
    }
}

impl<F: Faults, T: Trace> Vector<'_, F, T> {
    fn send(&mut self, sequence: u64) {
        self.latch.disabled = true;
        self.counters.interrupts_raised += 1;
        let vector = self.unaffiliated.vector_of(self.channel);
        let channel = Some(self.channel);
        let op = Op { channel, sequence, address: self.number(), vector, ..Op::default() };
        self.latch.lost = self.faults.at(Point::Msix, &op) == Some(Action::Drop);
        if self.latch.lost {
            self.event(sequence, Mark::Faulted);
        } else {
            self.unaffiliated.send_message(self.channel);
            self.event(sequence, Mark::Ok);
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
