//! `netdma.h`: structures, callbacks and constants of contract 1.4, 1.5 and 1.8, under their Windows names.
//!
//! The compiler asserts that each is laid out as its twin in `netdma::contract::raw`, which checks what comes in.

use std::mem::offset_of;

use netdma::contract::raw;

use crate::wdm_types::{
    GROUP_AFFINITY, NTSTATUS, PHYSICAL_ADDRESS, PVOID, UCHAR, ULONG, ULONG64, UNICODE_STRING, USHORT,
};

/// Interrupt when this descriptor is done.
pub const NET_DMA_INTERRUPT_ON_COMPLETION: ULONG = 0x0000_0001;
/// The source need not be snooped.
pub const NET_DMA_SOURCE_NO_SNOOP: ULONG = 0x0000_0002;
/// The destination need not be snooped.
pub const NET_DMA_DESTINATION_NO_SNOOP: ULONG = 0x0000_0004;
/// Write the completion value when this descriptor is done.
pub const NET_DMA_STATUS_UPDATE_ON_COMPLETION: ULONG = 0x0000_0008;
/// All of this one lands before the next is read.
pub const NET_DMA_SERIALIZE_TRANSFER: ULONG = 0x0000_0010;
/// Copy nothing.
pub const NET_DMA_NULL_TRANSFER: ULONG = 0x0000_0020;
/// 2.0: the source goes on at NextSourceAddress behind its first page.
pub const NET_DMA_SOURCE_PAGE_BREAK: ULONG = 0x0000_0040;
/// 2.0: the destination goes on at NextDestinationAddress behind its first page.
pub const NET_DMA_DESTINATION_PAGE_BREAK: ULONG = 0x0000_0080;
/// 2.0: a cache hint to the channel's target.
pub const NET_DMA_DESTINATION_DCA_ENABLE: ULONG = 0x0000_0200;
/// The field that says what a descriptor is.
pub const NET_DMA_OP_TYPE_MASK: ULONG = 0xFF00_0000;
/// A copy, or a NULL.
pub const NET_DMA_OP_TYPE_STANDARD_DMA: ULONG = 0x0000_0000;
/// 2.0: names the channel's cache target.
pub const NET_DMA_OP_TYPE_CONTEXT_CHANGE: ULONG = 0xFF00_0000;
/// Under NET_DMA_OP_TYPE_CONTEXT_CHANGE, whose bit 0 it is.
pub const NET_DMA_DCA_CONTEXT_CHANGE: ULONG = 0x0000_0001;

/// The status in a completion value.
pub const NET_DMA_TRANSFER_STATUS_MASK: ULONG64 = 0x7;
/// Done; more remain.
pub const NetDmaTransferStatusActive: ULONG64 = 0;
/// Done; nothing remains.
pub const NetDmaTransferStatusIdle: ULONG64 = 1;
/// Done, and stopped by Suspend.
pub const NetDmaTransferStatusSuspend: ULONG64 = 2;
/// Aborted, by request or by an error.
pub const NetDmaTransferStatusHalted: ULONG64 = 3;
/// Nothing is done yet; there is no address.
pub const NetDmaTransferStatusArmed: ULONG64 = 4;

/// NET_DMA_CHANNEL_PARAMETERS of Vista.
pub const NET_DMA_CHANNEL_REVISION_1: USHORT = 1;
/// NET_DMA_CHANNEL_PARAMETERS of Windows 7.
pub const NET_DMA_CHANNEL_REVISION_2: USHORT = 2;
/// 2.0: told the cache targets of its channels.
pub const NET_DMA_PROVIDER_CHARACTERISTICS_DCA_SUPPORTED: ULONG = 0x1;
/// Windows 7: takes channel parameters of revision 2.
pub const NET_DMA_PROVIDER_SUPPORTS_PROC_GROUPS: ULONG = 0x2;
/// NET_DMA_PNP_NOTIFICATION.StructureRevision.
pub const NET_DMA_PNP_NOTIFICATION_REVISION_1: ULONG = 1;
/// From a provider, before its device leaves the working state.
pub const NetDmaNotificationProviderPowerDown: i32 = 5;
/// From a provider, when its device is back.
pub const NetDmaNotificationProviderPowerUp: i32 = 6;

/// One transfer: 64 bytes. The header's own has the unions of the documented one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_DMA_DESCRIPTOR {
    /// Bytes to move.
    pub TransferSize: ULONG,
    /// NET_DMA_INTERRUPT_ON_COMPLETION and so on.
    pub ControlFlags: ULONG,
    /// From.
    pub SourceAddress: PHYSICAL_ADDRESS,
    /// To.
    pub DestinationAddress: PHYSICAL_ADDRESS,
    /// The next one.
    pub NextDescriptor: PHYSICAL_ADDRESS,
    /// The second source page, or scratch.
    pub NextSourceAddress: PHYSICAL_ADDRESS,
    /// The second destination page, or scratch.
    pub NextDestinationAddress: PHYSICAL_ADDRESS,
    /// The client's.
    pub UserContext1: ULONG64,
    /// The client's.
    pub UserContext2: ULONG64,
}

/// Where a descriptor is.
pub type PNET_DMA_DESCRIPTOR = *mut NET_DMA_DESCRIPTOR;

/// Which processor a channel's interrupt should go to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_DMA_CHANNEL_CPU_AFFINITY {
    /// The channel, from 0.
    pub DmaChannel: ULONG,
    /// The processor.
    pub CpuNumber: ULONG,
}

/// Where such entries are.
pub type PNET_DMA_CHANNEL_CPU_AFFINITY = *mut NET_DMA_CHANNEL_CPU_AFFINITY;

/// What a channel is allocated with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_DMA_CHANNEL_PARAMETERS {
    /// NET_DMA_CHANNEL_REVISION_1 or NET_DMA_CHANNEL_REVISION_2.
    pub Revision: USHORT,
    /// Bytes.
    pub Size: USHORT,
    /// Zero.
    pub Flags: ULONG,
    /// The completion value, for the processor.
    pub CompletionVirtualAddress: PVOID,
    /// The completion value, for the engine.
    pub CompletionPhysicalAddress: PHYSICAL_ADDRESS,
    /// Processors that will do, bit n for processor n.
    pub ProcessorAffinityMask: ULONG,
    /// Higher is more urgent.
    pub ChannelPriority: ULONG,
    /// Out: the processor of the channel's DPC.
    pub CpuNumber: ULONG,
    /// Revision 2 only: processors that will do.
    pub ProcessorAffinityMaskEx: GROUP_AFFINITY,
}

/// Where they are.
pub type PNET_DMA_CHANNEL_PARAMETERS = *mut NET_DMA_CHANNEL_PARAMETERS;

/// ProviderSetDmaChannelCpuAffinity. PASSIVE_LEVEL; the size is in bytes.
pub type DMA_CHANNELS_CPU_AFFINITY_HANDLER = Option<
    unsafe extern "C" fn(
        ProviderContext: PVOID,
        CpuAffinityArray: PNET_DMA_CHANNEL_CPU_AFFINITY,
        CpuAffinityArraySize: ULONG,
    ) -> NTSTATUS,
>;

/// ProviderAllocateDmaChannel. DISPATCH_LEVEL or below.
pub type DMA_CHANNEL_ALLOCATE_HANDLER = Option<
    unsafe extern "C" fn(
        ProviderContext: PVOID,
        ChannelParameters: PNET_DMA_CHANNEL_PARAMETERS,
        NetDmaChannelHandle: PVOID,
        pProviderChannelContext: *mut PVOID,
    ) -> NTSTATUS,
>;

/// ProviderFreeDmaChannel. DISPATCH_LEVEL or below.
pub type DMA_CHANNEL_FREE_HANDLER = Option<unsafe extern "C" fn(ProviderChannelContext: PVOID)>;

/// ProviderStartDma. DISPATCH_LEVEL or below.
pub type DMA_START_HANDLER = Option<
    unsafe extern "C" fn(
        ProviderChannelContext: PVOID,
        DescriptorVirtualAddress: PNET_DMA_DESCRIPTOR,
        DescriptorPhysicalAddress: PHYSICAL_ADDRESS,
        DescriptorCount: ULONG,
    ) -> NTSTATUS,
>;

/// ProviderAppendDma. DISPATCH_LEVEL or below.
pub type DMA_APPEND_HANDLER = Option<
    unsafe extern "C" fn(
        ProviderChannelContext: PVOID,
        DescriptorVirtualAddress: PNET_DMA_DESCRIPTOR,
        DescriptorPhysicalAddress: PHYSICAL_ADDRESS,
        DescriptorCount: ULONG,
    ) -> NTSTATUS,
>;

/// ProviderSuspendDma. DISPATCH_LEVEL or below. The last processed descriptor goes to *pLastDescriptor, 0 if none.
pub type DMA_SUSPEND_HANDLER = Option<
    unsafe extern "C" fn(ProviderChannelContext: PVOID, pLastDescriptor: *mut PHYSICAL_ADDRESS) -> NTSTATUS,
>;

/// ProviderResumeDma. DISPATCH_LEVEL or below.
pub type DMA_RESUME_HANDLER = Option<unsafe extern "C" fn(ProviderChannelContext: PVOID) -> NTSTATUS>;

/// ProviderAbortDma. DISPATCH_LEVEL or below.
pub type DMA_ABORT_HANDLER = Option<unsafe extern "C" fn(ProviderChannelContext: PVOID) -> NTSTATUS>;

/// ProviderResetChannel. DISPATCH_LEVEL or below.
pub type DMA_RESET_HANDLER = Option<unsafe extern "C" fn(ProviderChannelContext: PVOID) -> NTSTATUS>;

/// What a provider registers with. The interface keeps a copy.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_DMA_PROVIDER_CHARACTERISTICS {
    /// Of the contract that the provider is written for: 1.0, 1.1 or 2.0.
    pub MajorVersion: UCHAR,
    /// Of the contract.
    pub MinorVersion: UCHAR,
    /// sizeof, or without FriendlyName before 2.0.
    pub Size: USHORT,
    /// Zero before 2.0.
    pub Flags: ULONG,
    /// The device: here the host's handle.
    pub PhysicalDeviceObject: PVOID,
    /// Channels at most.
    pub MaxDmaChannelCount: ULONG,
    /// Or NULL.
    pub SetDmaChannelCpuAffinity: DMA_CHANNELS_CPU_AFFINITY_HANDLER,
    /// Must be there.
    pub AllocateDmaChannel: DMA_CHANNEL_ALLOCATE_HANDLER,
    /// Must be there.
    pub FreeDmaChannel: DMA_CHANNEL_FREE_HANDLER,
    /// Must be there.
    pub StartDma: DMA_START_HANDLER,
    /// Or NULL; needs ResumeDma.
    pub SuspendDma: DMA_SUSPEND_HANDLER,
    /// Or NULL.
    pub ResumeDma: DMA_RESUME_HANDLER,
    /// Or NULL.
    pub AbortDma: DMA_ABORT_HANDLER,
    /// Must be there.
    pub AppendDma: DMA_APPEND_HANDLER,
    /// Or NULL.
    pub ResetChannel: DMA_RESET_HANDLER,
    /// Must be there from 2.0 on.
    pub FriendlyName: UNICODE_STRING,
}

/// Where they are.
pub type PNET_DMA_PROVIDER_CHARACTERISTICS = *mut NET_DMA_PROVIDER_CHARACTERISTICS;

/// What a started provider has.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_DMA_PROVIDER_ATTRIBUTES {
    /// Of the hardware.
    pub MajorHwVersion: UCHAR,
    /// Of the hardware.
    pub MinorHwVersion: UCHAR,
    /// sizeof.
    pub Size: USHORT,
    /// Zero.
    pub Flags: ULONG,
    /// PCI vendor.
    pub VendorId: ULONG,
    /// Channels there are.
    pub DmaChannelCount: ULONG,
    /// Bytes of the largest descriptor, 4096 or more.
    pub MaximumTransferSize: ULONG,
    /// The highest address that the engine reaches.
    pub MaximumAddressSpace: PHYSICAL_ADDRESS,
}

/// Where they are.
pub type PNET_DMA_PROVIDER_ATTRIBUTES = *mut NET_DMA_PROVIDER_ATTRIBUTES;

/// A power notification.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_DMA_PNP_NOTIFICATION {
    /// NET_DMA_PNP_NOTIFICATION_REVISION_1.
    pub StructureRevision: ULONG,
    /// sizeof.
    pub StructureSize: ULONG,
    /// NetDmaNotificationProviderPowerDown or NetDmaNotificationProviderPowerUp.
    pub NotificationCode: i32,
    /// NULL.
    pub Buffer: PVOID,
    /// 0.
    pub BufferLength: ULONG,
}

/// Where it is.
pub type PNET_DMA_PNP_NOTIFICATION = *mut NET_DMA_PNP_NOTIFICATION;

macro_rules! same_layout {
    ($c:ty, $raw:ty { $($field:ident = $($twin:ident).+),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$c>() == size_of::<$raw>());
            $(assert!(offset_of!($c, $field) == offset_of!($raw, $($twin).+));)*
        };
    };
}
pub(crate) use same_layout;

same_layout!(NET_DMA_DESCRIPTOR, raw::RawDescriptor {
    TransferSize = transfer_size, ControlFlags = control_flags, SourceAddress = source_address,
    DestinationAddress = destination_address, NextDescriptor = next_descriptor,
    NextSourceAddress = next_source_address, NextDestinationAddress = next_destination_address,
    UserContext1 = user_context1, UserContext2 = user_context2,
});
same_layout!(NET_DMA_CHANNEL_CPU_AFFINITY, raw::NetDmaChannelCpuAffinity {
    DmaChannel = dma_channel, CpuNumber = cpu_number,
});
same_layout!(NET_DMA_CHANNEL_PARAMETERS, raw::NetDmaChannelParameters {
    Revision = revision, Size = size, Flags = flags, CompletionVirtualAddress = completion_virtual_address,
    CompletionPhysicalAddress = completion_physical_address, ProcessorAffinityMask = processor_affinity_mask,
    ChannelPriority = channel_priority, CpuNumber = cpu_number,
    ProcessorAffinityMaskEx = processor_affinity_mask_ex,
});
same_layout!(NET_DMA_PROVIDER_CHARACTERISTICS, raw::NetDmaProviderCharacteristics {
    MajorVersion = v1.major_version, MinorVersion = v1.minor_version, Size = v1.size, Flags = v1.flags,
    PhysicalDeviceObject = v1.physical_device_object, MaxDmaChannelCount = v1.max_dma_channel_count,
    SetDmaChannelCpuAffinity = v1.set_dma_channel_cpu_affinity, AllocateDmaChannel = v1.allocate_dma_channel,
    FreeDmaChannel = v1.free_dma_channel, StartDma = v1.start_dma, SuspendDma = v1.suspend_dma,
    ResumeDma = v1.resume_dma, AbortDma = v1.abort_dma, AppendDma = v1.append_dma,
    ResetChannel = v1.reset_channel, FriendlyName = friendly_name,
});
same_layout!(NET_DMA_PROVIDER_ATTRIBUTES, raw::NetDmaProviderAttributes {
    MajorHwVersion = major_hw_version, MinorHwVersion = minor_hw_version, Size = size, Flags = flags,
    VendorId = vendor_id, DmaChannelCount = dma_channel_count, MaximumTransferSize = maximum_transfer_size,
    MaximumAddressSpace = maximum_address_space,
});
same_layout!(NET_DMA_PNP_NOTIFICATION, raw::NetDmaPnpNotification {
    StructureRevision = structure_revision, StructureSize = structure_size,
    NotificationCode = notification_code, Buffer = buffer, BufferLength = buffer_length,
});
same_layout!(UNICODE_STRING, raw::UnicodeString { Length = length, MaximumLength = maximum_length, Buffer = buffer });
same_layout!(GROUP_AFFINITY, raw::RawGroupAffinity { Mask = mask, Group = group, Reserved = reserved });
