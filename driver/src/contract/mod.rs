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

mod provider;

mod state;

mod client;

mod channel;

mod interface;

pub use address::{DescriptorAddr, DmaLocation, LocationError, PhysAddr};
pub use channel::{NetDmaChannel, NetDmaChannelHandle};
pub use client::{Chain, ChannelCounts, ChannelError, Completed, NetDmaClient, Submitted};
pub use completion::{Completion, CompletionLocation, CompletionValue, TransferStatus};
pub use cpu::{CpuNumber, CpuSet32, GroupAffinity, ProcessorNumber};
pub use descriptor::{ControlFlags, NetDmaDescriptor, OpType};
pub use interface::{
    AllocateError, ChannelRequest, NetDmaInterface, ProviderHandle, ProviderId, RegisterError, Registered,
    StartError, Started,
};
pub use provider::{
    AbortDma, ChannelCpuAffinity, ChannelParameters, FirstDescriptor, NetDmaProvider, NetDmaVersion,
    ProviderAttributes, ProviderChannelContext, ProviderCharacteristics, ResetChannel, SuspendResume,
};
pub use state::{Call, ChannelState, Refused};
pub use status::{NetDmaStatus, NtStatus};
