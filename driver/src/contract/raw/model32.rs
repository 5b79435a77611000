//! The structures as a 32-bit Windows lays them out: pointers of four bytes, 64-bit integers on 8-byte boundaries (the rule
//! of its compiler). Only the layout is of use; nothing here can be called or followed.

use std::mem::{offset_of, size_of};

/// A pointer.
pub type Pointer = u32;

/// GROUP_AFFINITY: 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct GroupAffinity {
    /// Mask.
    pub mask: u32,
    /// Group.
    pub group: u16,
    /// Reserved.
    pub reserved: [u16; 3],
}

/// NET_DMA_CHANNEL_PARAMETERS, revision 2: 48 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NetDmaChannelParameters {
    /// Revision.
    pub revision: u16,
    /// Size.
    pub size: u16,
    /// Flags.
    pub flags: u32,
    /// CompletionVirtualAddress.
    pub completion_virtual_address: Pointer,
    /// CompletionPhysicalAddress.
    pub completion_physical_address: u64,
    /// ProcessorAffinityMask.
    pub processor_affinity_mask: u32,
    /// ChannelPriority.
    pub channel_priority: u32,
    /// CpuNumber.
    pub cpu_number: u32,
    /// ProcessorAffinityMaskEx.
    pub processor_affinity_mask_ex: GroupAffinity,
}

/// UNICODE_STRING: 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct UnicodeString {
    /// Length.
    pub length: u16,
    /// MaximumLength.
    pub maximum_length: u16,
    /// Buffer.
    pub buffer: Pointer,
}

/// NET_DMA_PROVIDER_CHARACTERISTICS: 60 bytes, 52 without FriendlyName.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NetDmaProviderCharacteristics {
    /// MajorVersion.
    pub major_version: u8,
    /// MinorVersion.
    pub minor_version: u8,
    /// Size.
    pub size: u16,
    /// Flags.
    pub flags: u32,
    /// PhysicalDeviceObject.
    pub physical_device_object: Pointer,
    /// MaxDmaChannelCount.
    pub max_dma_channel_count: u32,
    /// SetDmaChannelCpuAffinity.
    pub set_dma_channel_cpu_affinity: Pointer,
    /// AllocateDmaChannel.
    pub allocate_dma_channel: Pointer,
    /// FreeDmaChannel.
    pub free_dma_channel: Pointer,
    /// StartDma.
    pub start_dma: Pointer,
    /// SuspendDma.
    pub suspend_dma: Pointer,
    /// ResumeDma.
    pub resume_dma: Pointer,
    /// AbortDma.
    pub abort_dma: Pointer,
    /// AppendDma.
    pub append_dma: Pointer,
    /// ResetChannel.
    pub reset_channel: Pointer,
    /// FriendlyName.
    pub friendly_name: UnicodeString,
}

/// NET_DMA_PNP_NOTIFICATION: 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NetDmaPnpNotification {
    /// StructureRevision.
    pub structure_revision: u32,
    /// StructureSize.
    pub structure_size: u32,
    /// NotificationCode.
    pub notification_code: i32,
    /// Buffer.
    pub buffer: Pointer,
    /// BufferLength.
    pub buffer_length: u32,
}

// The descriptor, the affinity entry and the attributes have no pointer: they are those of the 64-bit world.
const _: () = {
    assert!(align_of::<u64>() == 8);
    assert!(size_of::<GroupAffinity>() == 12);
    assert!(offset_of!(GroupAffinity, group) == 4);
    assert!(offset_of!(GroupAffinity, reserved) == 6);
    use NetDmaChannelParameters as Parameters;
    assert!(size_of::<Parameters>() == 48);
    assert!(offset_of!(Parameters, size) == 2);
    assert!(offset_of!(Parameters, flags) == 4);
    assert!(offset_of!(Parameters, completion_virtual_address) == 8);
    assert!(offset_of!(Parameters, completion_physical_address) == 16);
    assert!(offset_of!(Parameters, processor_affinity_mask) == 24);
    assert!(offset_of!(Parameters, channel_priority) == 28);
    assert!(offset_of!(Parameters, cpu_number) == 32);
    assert!(offset_of!(Parameters, processor_affinity_mask_ex) == 36);
    use NetDmaProviderCharacteristics as Characteristics;
    assert!(size_of::<UnicodeString>() == 8);
    assert!(size_of::<Characteristics>() == 60);
    assert!(offset_of!(Characteristics, size) == 2);
    assert!(offset_of!(Characteristics, flags) == 4);
    assert!(offset_of!(Characteristics, physical_device_object) == 8);
    assert!(offset_of!(Characteristics, max_dma_channel_count) == 12);
    assert!(offset_of!(Characteristics, set_dma_channel_cpu_affinity) == 16);
    assert!(offset_of!(Characteristics, allocate_dma_channel) == 20);
    assert!(offset_of!(Characteristics, free_dma_channel) == 24);
    assert!(offset_of!(Characteristics, start_dma) == 28);
    assert!(offset_of!(Characteristics, suspend_dma) == 32);
    assert!(offset_of!(Characteristics, resume_dma) == 36);
    assert!(offset_of!(Characteristics, abort_dma) == 40);
    assert!(offset_of!(Characteristics, append_dma) == 44);
    assert!(offset_of!(Characteristics, reset_channel) == 48);
    assert!(offset_of!(Characteristics, friendly_name) == 52);
    assert!(size_of::<NetDmaPnpNotification>() == 20);
    assert!(offset_of!(NetDmaPnpNotification, notification_code) == 8);
    assert!(offset_of!(NetDmaPnpNotification, buffer) == 12);
    assert!(offset_of!(NetDmaPnpNotification, buffer_length) == 16);
};
