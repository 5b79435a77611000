//! Stage 1 of 9: doorbell. A write to DMACOUNT makes descriptors valid.

use ioat_spec::register::channel_base;
use ioat_spec::{ChannelRegister, ChannelState};
use ioat_stage::{Access, Action, Event, Faults, Mark, Op, Point, Stage, Trace};

/// A doorbell that was heard: the new DMACOUNT. Only this stage makes one, and only one moves a channel on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) struct Rung(u16);

impl Rung {
    /// DMACOUNT.
    pub(crate) fn count(self) -> u16 {
        self.0
    }
}

/// How a write of DMACOUNT is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Heard {
    Once(Rung),
    /// The fault `duplicate`.
    Twice(Rung),
    /// The fault `delay`: after so many nanoseconds.
    Later(u64, Rung),
    /// The fault `drop`.
    Never,
}

/// The channel whose doorbell it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) channel: u8,
    pub(crate) generation: u32,
    pub(crate) sequence: u64,
    pub(crate) state: ChannelState,
}

/// Hears a write of DMACOUNT.
pub(crate) fn ring<F: Faults, T: Trace>(count: u16, caller: Caller, faults: &mut F, trace: &T) -> Heard {
    let Caller { channel, sequence, state, .. } = caller;
    let op = Op {
        channel: Some(channel),
        sequence,
        address: address(channel),
        len: ChannelRegister::DmaCount.width() as u64,
        access: Some(Access::Write),
        state: Some(state),
        ..Op::default()
    };
    let rung = Rung(count);
    let (heard, mark) = match faults.at(Point::Doorbell, &op) {
        Some(Action::Drop) => (Heard::Never, Mark::Faulted),
        Some(Action::Delay(after_ns)) => (Heard::Later(after_ns, rung), Mark::Faulted),
        Some(Action::Duplicate) => (Heard::Twice(rung), Mark::Faulted),
        Some(Action::Misaddress(delta)) => (Heard::Once(off_by(count, delta)), Mark::Faulted),
        _ => (Heard::Once(rung), Mark::Ok),
    };
    event(count, caller, mark, trace);
    heard
}

/// A doorbell that was late is here.
pub(crate) fn arrived<T: Trace>(rung: Rung, caller: Caller, trace: &T) {
    event(rung.0, caller, Mark::Ok, trace);
}

/// DMACOUNT counts modulo 65536, so only the low bits of the difference count.
fn off_by(count: u16, delta: i64) -> Rung {
    let [a, b, ..] = u64::from(count).wrapping_add_signed(delta).to_le_bytes();
    Rung(u16::from_le_bytes([a, b]))
}

fn address(channel: u8) -> u64 {
    channel_base(channel.into()) + ChannelRegister::DmaCount.offset()
}

fn event<T: Trace>(count: u16, caller: Caller, mark: Mark, trace: &T) {
    let Caller { channel, generation, sequence, .. } = caller;
    trace.event(Event {
        stage: Stage::Doorbell,
        channel,
        generation,
        sequence,
        address: address(channel),
        len: count.into(),
        mark,
        vector: None,
        processor: None,
    });
}
