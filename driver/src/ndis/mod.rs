//! NDIS interrupt and DPC semantics: stages 7 to 9 of the path.
//!
//! ```text
//! InterruptSource -> ISR thread of a message (isr) -> NdisMQueueDpc (queue) -> worker of a processor (dpc)
//! ```
//!
//! A **processor** is one DPC worker. The join with NetDMA is this library's own: Windows' NetDMA providers
//! used plain kernel DPCs (contract 3.1).
//!
//! # How a provider loses no completion (MT-4)
//!
//! 1. In the ISR: make the completion visible (the engine has, the ISR loads it with acquire), mask the
//!    message, and only then ask for a DPC. A refused request is fine: the queued DPC will see the work,
//!    because refusing and taking off the queue are read-modify-writes of one word (see [`queue`]).
//! 2. In the DPC: read the completion value again, report it, unmask, and then **look once more**. If it moved
//!    between the read and the unmasking, no interrupt came for it: ask for a DPC, from inside the DPC.

pub mod queue;

mod handlers;

mod interrupt;

mod isr;

mod dpc;

mod processor;

mod synchronize;

pub(crate) mod lock;

pub use handlers::{
    DpcCall, DpcContext, DpcRequest, InterruptCharacteristics, InterruptType, IsrResult, LineHandlers,
    MessageHandlers, MessageId, Queued, QueuedEx, ReceiveThrottleParameters,
};
pub use interrupt::{
    Interrupt, InterruptError, InterruptHandle, InterruptMode, MessageCounts, MessageInfo, MessageInfoTable,
    NoSuchMessage, ndis_m_register_interrupt_ex,
};
pub use processor::{ProcessorCounts, Processors, ProcessorsError};
pub use synchronize::Deregistered;
