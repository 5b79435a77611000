//! NDIS interrupt and DPC semantics: stages 7 to 9 of the path.
//!
//! ```text
//! InterruptSource -> ISR thread of a message (isr) -> NdisMQueueDpc (queue) -> worker of a processor (dpc)
//! ```
//!
//! A registration is for one [`NdisVersion`], and gets messages where the device has vectors and the miniport handlers
//! for them, else the device's line (IR-3). The line is masked when it fires, and unmasked by the engine when the last
//! DPC of its batch has ended. [`raw`] has the same in the layout of the headers, for C.
//!
//! A **processor** is one DPC worker; there can be many, in groups of at most 64 ([`ProcessorLayout`]). Kernel DPC
//! objects ([`Kdpc`]) share its queue with the DPCs of interrupts. The join with NetDMA is this library's own: Windows' NetDMA providers
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

pub mod raw;

mod version;

mod handlers;

mod error;

mod message_table;

mod registration;

mod interrupt;

mod service;

pub mod line;

mod msix_table;

mod isr;

mod handle;

mod layout;

mod dpc_objects;

mod fifo;

mod kdpc;

mod kdpc_object;

mod kdpc_importance;

mod kdpc_queue;

mod kdpc_flush;

mod dpc;

mod processor;

mod faults;

mod synchronize;

mod diagnose;

pub(crate) mod lock;

pub use diagnose::DiagnoseError;
pub use error::{InterruptError, NoSuchMessage, WrongInterruptType};
pub use handle::InterruptHandle;
pub use handlers::{
    DpcCall, DpcContext, DpcRequest, InterruptCharacteristics, InterruptType, IsrResult, LineHandlers,
    MessageHandlers, MessageId, Queued, QueuedEx, ReceiveThrottleParameters, Reported,
};
pub use interrupt::{Interrupt, MessageCounts};
pub use kdpc::{
    Kdpc, KdpcCall, KdpcHandle, KdpcRoutine, NoSuchProcessorNumber, ke_initialize_dpc, ke_insert_queue_dpc,
    ke_remove_queue_dpc, ke_set_importance_dpc, ke_set_target_processor_dpc, ke_set_target_processor_dpc_ex,
};
pub use kdpc_flush::ke_flush_queued_dpcs;
pub use kdpc_importance::DpcImportance;
pub use layout::ProcessorLayout;
pub use message_table::{InterruptMode, InterruptPolarity, MessageInfo, MessageInfoTable};
pub use msix_table::{MsixConfig, MsixConfigError, ndis_m_config_msix_table_entry};
pub use processor::{ProcessorCounts, Processors, ProcessorsError, ProcessorsOptions};
pub use registration::ndis_m_register_interrupt_ex;
pub use synchronize::SynchronizeError;
pub use version::{NdisVersion, NotInVersion};
