//! Stage 1 of 9 from the driver's side: doorbell. The write of DMACOUNT, and its event.

use std::sync::Arc;

use ioat_spec::ChannelRegister;
use ioat_spec::register::channel_base;
use ioat_stage::{Detail, Event, Mark, Stage, Trace};

use super::IoatError;
use super::registers::ChannelRegisters;

/// DMACOUNT as it is to be, and what it means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doorbell {
    pub(super) count: u16,
    /// Which chain.
    pub(super) generation: u32,
    /// Descriptors of the channel so far, with those that it makes valid.
    pub(super) given: u64,
}

/// Rings a channel's doorbell.
pub(super) struct Ringer {
    channel: u8,
    registers: ChannelRegisters,
    trace: Arc<dyn Trace>,
}

impl Ringer {
    pub(super) fn new(channel: u8, registers: ChannelRegisters, trace: Arc<dyn Trace>) -> Self {
        Self { channel, registers, trace }
    }

    /// Writes DMACOUNT. The event comes first: the engine may be done before the write returns.
    pub(super) fn ring(&self, doorbell: Doorbell) -> Result<(), IoatError> {
        if self.trace.detail() != Detail::Off {
            self.trace.event(self.event(doorbell));
        }
        self.registers.set_dmacount(doorbell.count)
    }

    fn event(&self, Doorbell { count, generation, given }: Doorbell) -> Event {
        Event {
            stage: Stage::Doorbell,
            channel: self.channel,
            generation,
            sequence: given,
            address: channel_base(self.channel.into()) + ChannelRegister::DmaCount.offset(),
            len: count.into(),
            mark: Mark::Ok,
            vector: None,
            processor: None,
        }
    }
}
