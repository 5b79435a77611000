//! The message table: what was granted, for the driver to read.

use ioat_stage::Placement;

use super::handlers::MessageId;
use crate::contract::{GroupAffinity, PhysAddr};
use crate::hw::Routed;
use crate::irql::Irql;

/// How an interrupt is signalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "KINTERRUPT_MODE")]
pub enum InterruptMode {
    /// A level.
    LevelSensitive = 0,
    /// An edge, as every message is.
    Latched = 1,
}

/// Which way an interrupt is signalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "KINTERRUPT_POLARITY")]
pub enum InterruptPolarity {
    /// Not known.
    Unknown = 0,
    /// By a high level or a rising edge; a message counts as this.
    ActiveHigh = 1,
    /// By a low level or a falling edge.
    ActiveLow = 2,
    /// By both edges.
    Both = 3,
}

/// IO_INTERRUPT_MESSAGE_INFO: entry `i` is message `i`. It is dead after deregistration (IR-6), so it is lent.
#[derive(Clone, Debug)]
#[doc(alias = "IO_INTERRUPT_MESSAGE_INFO")]
pub struct MessageInfoTable {
    /// The level of every service routine.
    pub unified_irql: Irql,
    /// The entries; their number is MessageCount.
    #[doc(alias = "MessageCount")]
    pub messages: Vec<MessageInfo>,
}

/// IO_INTERRUPT_MESSAGE_INFO_ENTRY. Address, data and vector are 0: VFIO keeps them in the kernel, which alone may
/// write them. The rest is what is.
#[derive(Clone, Debug)]
#[doc(alias = "IO_INTERRUPT_MESSAGE_INFO_ENTRY")]
pub struct MessageInfo {
    /// The message.
    pub message: MessageId,
    /// Where the device writes; 0, for VFIO hides it.
    pub message_address: PhysAddr,
    /// What the device writes; 0, for VFIO hides it.
    pub message_data: u32,
    /// The system's vector; 0, for VFIO hides it.
    pub vector: u32,
    /// The processor of its service routine.
    pub target_processor_set: GroupAffinity,
    /// The level of its service routine.
    pub irql: Irql,
    /// How it is signalled.
    pub mode: InterruptMode,
    /// Which way.
    pub polarity: InterruptPolarity,
    /// Where its service thread runs.
    pub placement: Placement,
    /// Where the kernel delivers it.
    pub routed: Routed,
}

impl MessageInfo {
    /// The processor of its service routine, by number.
    #[must_use]
    pub fn processor(&self) -> u32 {
        let GroupAffinity { mask, group } = self.target_processor_set;
        u32::from(group) * u64::BITS + mask.trailing_zeros()
    }

    /// The entry of `message`, which is served on `target_processor_set`.
    pub(super) fn new(
        message: MessageId,
        target_processor_set: GroupAffinity,
        placement: Placement,
        routed: Routed,
    ) -> Self {
        Self {
            message,
            message_address: PhysAddr(0),
            message_data: 0,
            vector: 0,
            target_processor_set,
            irql: Irql::Device,
            mode: InterruptMode::Latched,
            polarity: InterruptPolarity::ActiveHigh,
            placement,
            routed,
        }
    }
}
