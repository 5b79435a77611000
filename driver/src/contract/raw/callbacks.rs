//! The callbacks' C types (contract 1.8). Contexts and handles are opaque pointers; a PHYSICAL_ADDRESS is a 64-bit word
//! by value.

use std::ffi::c_void;

use super::{NetDmaChannelCpuAffinity, NetDmaChannelParameters, RawDescriptor};

/// An NTSTATUS, as C returns it.
type Status = i32;

/// ProviderSetDmaChannelCpuAffinity: provider context, entries, and their size in bytes (ND-P1).
#[doc(alias = "DMA_CHANNELS_CPU_AFFINITY_HANDLER")]
pub type DmaChannelsCpuAffinityHandler =
    unsafe extern "C" fn(*mut c_void, *const NetDmaChannelCpuAffinity, u32) -> Status;

/// ProviderAllocateDmaChannel: provider context, parameters (in and out), channel handle, channel context (out).
#[doc(alias = "DMA_CHANNEL_ALLOCATE_HANDLER")]
pub type DmaChannelAllocateHandler =
    unsafe extern "C" fn(*mut c_void, *mut NetDmaChannelParameters, *mut c_void, *mut *mut c_void) -> Status;

/// ProviderFreeDmaChannel: channel context.
#[doc(alias = "DMA_CHANNEL_FREE_HANDLER")]
pub type DmaChannelFreeHandler = unsafe extern "C" fn(*mut c_void);

/// ProviderStartDma: channel context, first descriptor in both views, count.
#[doc(alias = "DMA_START_HANDLER")]
pub type DmaStartHandler = unsafe extern "C" fn(*mut c_void, *mut RawDescriptor, u64, u32) -> Status;

/// ProviderAppendDma: as [`DmaStartHandler`].
#[doc(alias = "DMA_APPEND_HANDLER")]
pub type DmaAppendHandler = unsafe extern "C" fn(*mut c_void, *mut RawDescriptor, u64, u32) -> Status;

/// ProviderSuspendDma: channel context, and where the address of the descriptor processed last goes. The headers have one
/// more indirection there; the pages describe a plain variable, which this is (conflict X3).
#[doc(alias = "DMA_SUSPEND_HANDLER")]
pub type DmaSuspendHandler = unsafe extern "C" fn(*mut c_void, *mut u64) -> Status;

/// ProviderResumeDma: channel context.
#[doc(alias = "DMA_RESUME_HANDLER")]
pub type DmaResumeHandler = unsafe extern "C" fn(*mut c_void) -> Status;

/// ProviderAbortDma: channel context.
#[doc(alias = "DMA_ABORT_HANDLER")]
pub type DmaAbortHandler = unsafe extern "C" fn(*mut c_void) -> Status;

/// ProviderResetChannel: channel context.
#[doc(alias = "DMA_RESET_HANDLER")]
pub type DmaResetHandler = unsafe extern "C" fn(*mut c_void) -> Status;
