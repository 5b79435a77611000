//! The structures of the contract as C lays them out (contract 1.4, 1.5), their checks, and the way to and from the typed
//! ones.
//!
//! Fields have the contract's names in Rust case; a doc alias gives the structure's Windows name. On a 64-bit target the
//! structures here are the real ones; [`model32`] has the same with 32-bit pointers, to show the other layout.
//!
//! A structure that came from outside is worth nothing until its `check` has said yes; [`RawError`] then names the field,
//! what it held, what was expected, and the clause. Nothing here follows a pointer: who holds the memory does.

mod callbacks;

mod channel;

mod characteristics;

mod descriptor;

mod error;

pub mod model32;

mod notification;

mod provider;

pub use callbacks::{
    DmaAbortHandler, DmaAppendHandler, DmaChannelAllocateHandler, DmaChannelFreeHandler,
    DmaChannelsCpuAffinityHandler, DmaResetHandler, DmaResumeHandler, DmaStartHandler, DmaSuspendHandler,
};
pub use channel::{
    CheckedChannelParameters, NET_DMA_CHANNEL_REVISION_1, NET_DMA_CHANNEL_REVISION_2,
    NetDmaChannelCpuAffinity, NetDmaChannelParameters, NetDmaChannelParametersRevision1, RawGroupAffinity,
};
pub use characteristics::{
    Callbacks, CheckedCharacteristics, NetDmaProviderCharacteristics, NetDmaProviderCharacteristicsV1,
    UnicodeString,
};
pub use descriptor::RawDescriptor;
pub use error::RawError;
pub use notification::{NET_DMA_PNP_NOTIFICATION_REVISION_1, NetDmaPnpNotification};
pub use provider::{NET_DMA_PROVIDER_REVISION_1, NET_DMA_PROVIDER_REVISION_2, NetDmaProviderAttributes};
