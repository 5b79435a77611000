//! `netdma_host.h`: what the host is told and what it answers.

use std::ffi::c_char;

use crate::wdm_types::{PVOID, UCHAR, ULONG, ULONG64, USHORT};

/// An open device. It is also the PhysicalDeviceObject of a provider and the MiniportAdapterHandle of an interrupt.
pub type NETDMA_HOST = PVOID;

/// NETDMA_HOST_OPTIONS.Channels and Vectors: what the profile has.
pub const NETDMA_HOST_DEFAULT: USHORT = 0xFFFF;
/// NETDMA_HOST_OPTIONS.NetDmaRevision: Windows Vista's interface, 1.0.
pub const NETDMA_HOST_VISTA: UCHAR = 0;
/// NETDMA_HOST_OPTIONS.NetDmaRevision: Vista SP1's interface, 2.0.
pub const NETDMA_HOST_VISTA_SP1: UCHAR = 1;
/// NETDMA_HOST_OPTIONS.NetDmaRevision: Windows 7's interface, 2.0 with processor groups.
pub const NETDMA_HOST_WINDOWS_7: UCHAR = 2;

/// How to open a device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NETDMA_HOST_OPTIONS {
    /// sizeof.
    pub Size: ULONG,
    /// DPC workers, 1 to 32.
    pub Processors: ULONG,
    /// The version of NDIS that interrupts register for: 6.0, 6.1 or 6.20.
    pub NdisMajorVersion: UCHAR,
    /// The same.
    pub NdisMinorVersion: UCHAR,
    /// NETDMA_HOST_VISTA and so on.
    pub NetDmaRevision: UCHAR,
    /// Zero.
    pub Reserved: UCHAR,
    /// Of the device in this process: its channels, or NETDMA_HOST_DEFAULT.
    pub Channels: USHORT,
    /// Of the device in this process: its message vectors, 0 for a line, or NETDMA_HOST_DEFAULT.
    pub Vectors: USHORT,
    /// Of the device in this process: fault rules, one a line; or NULL.
    pub Faults: *const c_char,
}

/// What the client shall do with each channel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NETDMA_HOST_RUN {
    /// sizeof.
    pub Size: ULONG,
    /// Channels to allocate, at most what the provider has.
    pub Channels: ULONG,
    /// Chains to copy on each.
    pub Rounds: ULONG,
    /// Descriptors in a chain, 1 to 31.
    pub Descriptors: ULONG,
    /// Bytes of a descriptor, 1 to the provider's MaximumTransferSize.
    pub Bytes: ULONG,
}

/// What was done.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NETDMA_HOST_RESULT {
    /// sizeof, from the caller.
    pub Size: ULONG,
    /// Channels allocated and freed.
    pub Channels: ULONG,
    /// Descriptors of chains that were finished and verified.
    pub Descriptors: ULONG64,
    /// Bytes compared and found right.
    pub BytesVerified: ULONG64,
    /// Calls of NetDmaIsr.
    pub IsrReports: ULONG64,
    /// Calls of NetDmaInterruptDpc that finished something.
    pub DpcReports: ULONG64,
    /// DPC routines run.
    pub DpcsRun: ULONG64,
    /// Requests that queued a DPC.
    pub DpcsQueued: ULONG64,
    /// Requests that were refused, because that DPC was queued already.
    pub DpcsRefused: ULONG64,
    /// SuspendDma, each with its ResumeDma.
    pub Suspends: ULONG,
    /// AbortDma.
    pub Aborts: ULONG,
    /// ResetChannel.
    pub Resets: ULONG,
    /// Chains that were not reported in time, and were copied again after a reset.
    pub LostInterrupts: ULONG,
    /// What went wrong besides: the text is NetDmaHostLastError's.
    pub Errors: ULONG,
}
