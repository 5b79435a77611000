//! What is traced: one event per stage, or one record per descriptor.

use crate::stage::Stage;

/// What became of the stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// It did what it should.
    Ok,
    /// A fault rule changed what it did.
    Faulted,
    /// It was refused or held back, as the specification says (an interrupt while disabled, a DPC already queued).
    Held,
    /// It failed; the number is the CHANERR value or the error code of the place.
    Error(u32),
}

/// One stage of one descriptor, as it happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// Which stage.
    pub stage: Stage,
    /// The channel. Of isr, queue and a dpc that reported nothing, which know only their message: its number, as in `vector`,
    /// with generation 0. Where channels share a vector it says nothing of channels.
    pub channel: u8,
    /// How often the channel's chain was started anew; stale work has an older one. Each side counts its own, from 1 on.
    pub generation: u32,
    /// Device: the descriptor's number since the device was reset, from 0, never wrapping. Driver: for its doorbell,
    /// descriptors of the channel so far, those included that this doorbell makes valid (so it is about the numbers below
    /// this one); for a dpc that reported a descriptor, that one's number; for the rest, the run's own count.
    pub sequence: u64,
    /// The address that the stage worked on: the descriptor (fetch, complete, isr, dpc), the destination
    /// (translate, copy), the register (doorbell), the vector (msix), the requested processors (queue).
    pub address: u64,
    /// Bytes moved or covered; for queue, the processors that were scheduled; for doorbell, the value; for isr and dpc,
    /// the processor.
    pub len: u64,
    /// What became of it.
    pub mark: Mark,
    /// The vector or message: of msix, isr, queue and dpc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<u32>,
    /// The processor that it ran on, by its number in the driver's layout: of isr and dpc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<u32>,
}

/// One descriptor that is done or has failed, in one record: what [`Detail::Descriptors`](super::Detail::Descriptors) leaves
/// instead of its stages 2 to 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Executed {
    /// The channel.
    pub channel: u8,
    /// As in [`Event`].
    pub generation: u32,
    /// As in [`Event`].
    pub sequence: u64,
    /// Where the descriptor lies.
    pub descriptor: u64,
    /// Its destination; 0 if it could not be fetched.
    pub address: u64,
    /// Its length; 0 if it could not be fetched.
    pub len: u64,
    /// What became of it.
    pub mark: Mark,
}

/// Who leaves events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The virtual engine.
    Device,
    /// The user-space driver.
    Driver,
}

impl Side {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Driver => "driver",
        }
    }
}
