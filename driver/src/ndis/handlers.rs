//! What a miniport supplies when it registers its interrupt, and the values that pass to and fro.
//!
//! `&self` of a handler stands for MiniportInterruptContext (DP-1). The disable and enable handlers are for
//! diagnostics (EN-1).

use std::fmt;
use std::sync::Arc;

use super::version::NdisVersion;
use crate::contract::{CpuSet32, GroupAffinity};
use crate::irql::{AtDirql, AtDispatch};

/// Which message of an interrupt: an index into its message table, checked when it is made (QD-6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId(pub(super) u32);

impl MessageId {
    /// What a line interrupt says.
    pub const LINE: Self = Self(0);

    /// The number: entry of the table, and vector of the device.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// MiniportDpcContext: a word of the driver's own, such as a channel's index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "MiniportDpcContext")]
pub struct DpcContext(pub u64);

/// What an ISR asks for (IS-3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DpcRequest {
    /// Nothing.
    None,
    /// One DPC on the processor where the ISR ran (IS-4).
    #[doc(alias = "QueueDefaultInterruptDpc")]
    DefaultCpu,
    /// One DPC on each of these, without context (DP-2).
    #[doc(alias = "TargetProcessors")]
    Cpus(CpuSet32),
}

/// What an ISR says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IsrResult {
    /// Our device interrupted. DPCs are queued as asked for either way (IS-2).
    pub claimed: bool,
    /// The DPCs.
    pub dpc: DpcRequest,
    /// For the trace alone: the descriptor that the ISR saw completed, 0 if none.
    pub address: u64,
}

/// What `NdisMQueueDpc` did. A processor that was asked for and not scheduled is no error: its queued DPC will
/// see the work, if the work was published before the call (QD-15).
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queued {
    /// What was asked for.
    pub requested: CpuSet32,
    /// What this call queued (QD-2).
    pub scheduled: CpuSet32,
}

impl Queued {
    /// Asked for and not scheduled: already queued there (QD-3), or no such processor (QD-8).
    #[must_use]
    pub const fn refused(self) -> CpuSet32 {
        self.requested.without(self.scheduled)
    }
}

/// What `NdisMQueueDpcEx` did; as [`Queued`], inside the group that was asked for.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuedEx {
    /// What was asked for.
    pub requested: GroupAffinity,
    /// What this call queued, in the same group.
    pub scheduled: u64,
}

/// NDIS_RECEIVE_THROTTLE_PARAMETERS (NDIS 6.20). A provider has no receives and leaves it alone (TH-4); before 6.20 it
/// is a reserved word that nobody looks at (DP-3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "NDIS_RECEIVE_THROTTLE_PARAMETERS")]
pub struct ReceiveThrottleParameters {
    /// In: the most buffers to indicate in this run; [`Self::INDICATE_ALL`] for no cap (TH-1).
    pub max_nbls_to_indicate: u32,
    /// Out: more are left. The routine is called again, and must not re-enable its interrupt (TH-2). Without a cap it
    /// stays false (TH-3).
    pub more_nbls_pending: bool,
}

impl ReceiveThrottleParameters {
    /// No cap.
    #[doc(alias = "NDIS_INDICATE_ALL_NBLS")]
    pub const INDICATE_ALL: u32 = u32::MAX;
}

/// One run of a DPC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DpcCall {
    /// The message that it was queued for; [`MessageId::LINE`] for a line interrupt.
    pub message: MessageId,
    /// What `queue_dpc` was given; none when an ISR's result queued it (DP-2).
    pub context: Option<DpcContext>,
    /// The processor it runs on.
    pub processor: u32,
    /// In and out (TH-1, TH-2).
    pub throttle: ReceiveThrottleParameters,
    /// Out, for the trace alone: the descriptor that the routine reported, 0 if none.
    pub address: u64,
    /// Out, for the trace alone: which one that was, where the routine knows it.
    pub reported: Option<Reported>,
}

/// A descriptor that a DPC reported as completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reported {
    /// Its channel.
    pub channel: u8,
    /// Which chain of the channel, as the driver counts them.
    pub generation: u32,
    /// Its number among the descriptors of the channel, from 0.
    pub sequence: u64,
}

/// Handlers of a line interrupt. Always required, for the system may grant no message (IR-3).
pub trait LineHandlers: Send + Sync {
    /// `MiniportInterrupt`.
    #[doc(alias = "MiniportInterrupt")]
    fn interrupt(&self, level: &AtDirql) -> IsrResult;

    /// `MiniportInterruptDPC`.
    #[doc(alias = "MiniportInterruptDPC")]
    fn interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch);

    /// `MiniportDisableInterruptEx`.
    #[doc(alias = "MiniportDisableInterruptEx")]
    fn disable_interrupt(&self, level: &AtDirql);

    /// `MiniportEnableInterruptEx`.
    #[doc(alias = "MiniportEnableInterruptEx")]
    fn enable_interrupt(&self, level: &AtDirql);

    /// The channel that the line serves, if it is one alone: what fault rules match on, and nothing else asks.
    fn sole_channel(&self) -> Option<u8> {
        None
    }
}

/// Handlers of message interrupts (MSI-X).
pub trait MessageHandlers: Send + Sync {
    /// `MiniportMessageInterrupt`.
    #[doc(alias = "MiniportMessageInterrupt")]
    fn message_interrupt(&self, message: MessageId, level: &AtDirql) -> IsrResult;

    /// `MiniportMessageInterruptDPC`; the message is in `call`.
    #[doc(alias = "MiniportMessageInterruptDPC")]
    fn message_interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch);

    /// `MiniportDisableMessageInterrupt`.
    #[doc(alias = "MiniportDisableMessageInterrupt")]
    fn disable_message_interrupt(&self, message: MessageId, level: &AtDirql);

    /// `MiniportEnableMessageInterrupt`.
    #[doc(alias = "MiniportEnableMessageInterrupt")]
    fn enable_message_interrupt(&self, message: MessageId, level: &AtDirql);

    /// The channel that the message serves, if it is one alone: what fault rules match on, and nothing else asks.
    fn sole_channel(&self, _: MessageId) -> Option<u8> {
        None
    }
}

/// What is registered.
#[derive(Clone)]
#[doc(alias = "NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS")]
pub struct InterruptCharacteristics {
    /// The version of the interface that the miniport is written for.
    pub version: NdisVersion,
    /// The line handlers.
    pub line: Arc<dyn LineHandlers>,
    /// The message handlers; none stands for MsiSupported FALSE.
    pub message: Option<Arc<dyn MessageHandlers>>,
    /// All messages' ISRs exclude each other (SY-5).
    #[doc(alias = "MsiSyncWithAllMessages")]
    pub msi_sync_with_all_messages: bool,
    /// The processor for each message's ISR; message `i` without an entry goes to processor `i` modulo their number.
    pub affinity: Vec<u32>,
}

/// What the system granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InterruptType {
    /// NDIS_CONNECT_LINE_BASED.
    #[doc(alias = "NDIS_CONNECT_LINE_BASED")]
    LineBased = 1,
    /// NDIS_CONNECT_MESSAGE_BASED.
    #[doc(alias = "NDIS_CONNECT_MESSAGE_BASED")]
    MessageBased = 2,
}

impl fmt::Display for InterruptType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineBased => "line-based",
            Self::MessageBased => "message-based",
        })
    }
}
