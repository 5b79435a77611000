//! NetDMA: the words of the provider contract, and the interface in the middle.
//!
//! Numbers like `ND-I7` are clauses of the contract; a doc alias gives the Windows name. The interface stands
//! between a [`NetDmaProvider`] (one engine) and its [`NetDmaClient`]s, as NetDMA does in Windows; its client
//! side is this library's own, for Windows never documented one.

mod status;

mod address;

mod cpu;

mod descriptor;

mod completion;

mod version;

mod provider;

mod register;

mod state;

mod breach;

mod client;

mod power;

mod anchor;

mod links;

mod book;

mod channel;

mod shared;

mod submit;

mod allocate;

mod handle;

mod interface;

pub mod raw;

pub use address::{DescriptorAddr, DmaLocation, LocationError, PhysAddr};
pub use allocate::{AllocateError, ChannelRequest, Mask};
pub use anchor::AnchorSlot;
pub use breach::IrqlBreach;
pub use channel::{NetDmaChannel, NetDmaChannelHandle};
pub use client::{Chain, ChannelCounts, ChannelError, Completed, NetDmaClient, Submitted};
pub use completion::{Completion, CompletionLocation, CompletionValue, TransferStatus};
pub use cpu::{CpuNumber, CpuSet32, GroupAffinity, ProcessorNumber};
pub use descriptor::{ControlFlags, DcaContext, NetDmaDescriptor, OpType};
pub use handle::{ProviderHandle, Registered, Started, StopStuck};
pub use interface::{InterfaceOptions, NetDmaInterface, ProviderId};
pub use power::{PnPEvent, PnpNotificationCode, PowerError};
pub use provider::{
    AbortDma, ChannelCpuAffinity, ChannelParameters, FirstDescriptor, NetDmaProvider, ProviderAttributes,
    ProviderChannelContext, ProviderCharacteristics, ResetChannel, SetDmaChannelCpuAffinity, SuspendResume,
};
pub use register::{RegisterError, StartError};
pub use state::{Call, ChannelState, Refused};
pub use status::{NetDmaStatus, NtStatus};
pub use version::{CharacteristicsFlags, InterfaceRevision, NetDmaVersion};
