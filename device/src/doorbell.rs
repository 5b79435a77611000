//! Stage 1 of 9: doorbell. A write to DMACOUNT makes descriptors valid.

use ioat_spec::ChannelRegister;
use ioat_spec::register::channel_base;
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

/// Hears a write of DMACOUNT.
pub(crate) fn ring<F: Faults, T: Trace>(
    count: u16,
    channel: u8,
    generation: u32,
    sequence: u64,
    faults: &mut F,
    trace: &T,
) -> Option<Rung> {
    let address = channel_base(channel.into()) + ChannelRegister::DmaCount.offset();
    let (len, access) = (count.into(), Some(Access::Write));
    let op = Op { channel: Some(channel), sequence, address, len, access, ..Op::default() };
    let lost = faults.at(Point::Doorbell, &op) == Some(Action::Drop);
    let mark = if lost { Mark::Faulted } else { Mark::Ok };
    trace.event(Event {
        stage: Stage::Doorbell,
        channel,
        generation,
        sequence,
        address,
        len: count.into(),
        mark,
        vector: None,
        processor: None,
    });
    (!lost).then_some(Rung(count))
}
