//! NET_DMA_CHANNEL_CPU_AFFINITY, NET_DMA_CHANNEL_PARAMETERS and GROUP_AFFINITY (contract 1.5.2, 1.5.3).

use std::ffi::c_void;
use std::mem::{offset_of, size_of};
use std::ptr;

use super::error::{Checks, RawError};
use crate::contract::{ChannelCpuAffinity, ChannelParameters, CpuNumber, CpuSet32, GroupAffinity, PhysAddr};

/// NET_DMA_CHANNEL_PARAMETERS.Revision of Vista and Server 2008.
pub const NET_DMA_CHANNEL_REVISION_1: u16 = 1;
/// NET_DMA_CHANNEL_PARAMETERS.Revision of Windows 7.
pub const NET_DMA_CHANNEL_REVISION_2: u16 = 2;

const CHECKS: Checks = Checks { structure: "NET_DMA_CHANNEL_PARAMETERS", clause: "contract 1.5.3" };

/// 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[doc(alias = "NET_DMA_CHANNEL_CPU_AFFINITY")]
pub struct NetDmaChannelCpuAffinity {
    /// The channel, from 0.
    #[doc(alias = "DmaChannel")]
    pub dma_channel: u32,
    /// The processor of its interrupt.
    #[doc(alias = "CpuNumber")]
    pub cpu_number: u32,
}

const _: () = {
    assert!(size_of::<NetDmaChannelCpuAffinity>() == 8);
    assert!(offset_of!(NetDmaChannelCpuAffinity, cpu_number) == 4);
};

impl NetDmaChannelCpuAffinity {
    /// How many entries an array of `bytes` has: the contract gives the length in bytes (ND-P1).
    ///
    /// # Errors
    /// [`RawError`] when the last entry would be cut.
    pub fn entries(bytes: u32) -> Result<u32, RawError> {
        let checks = Checks { structure: "NET_DMA_CHANNEL_CPU_AFFINITY", clause: "ND-P1" };
        checks.that(bytes % 8 == 0, "CpuAffinityArraySize", bytes.into(), "a multiple of 8")?;
        Ok(bytes / 8)
    }
}

impl From<ChannelCpuAffinity> for NetDmaChannelCpuAffinity {
    fn from(typed: ChannelCpuAffinity) -> Self {
        Self { dma_channel: typed.dma_channel, cpu_number: typed.cpu_number.0 }
    }
}

impl From<NetDmaChannelCpuAffinity> for ChannelCpuAffinity {
    fn from(raw: NetDmaChannelCpuAffinity) -> Self {
        Self { dma_channel: raw.dma_channel, cpu_number: CpuNumber(raw.cpu_number) }
    }
}

/// GROUP_AFFINITY: 16 bytes here, 12 in a 32-bit world.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[doc(alias = "GROUP_AFFINITY")]
pub struct RawGroupAffinity {
    /// KAFFINITY: one bit for each processor of the group.
    #[doc(alias = "Mask")]
    pub mask: usize,
    /// The group.
    #[doc(alias = "Group")]
    pub group: u16,
    /// Zero.
    #[doc(alias = "Reserved")]
    pub reserved: [u16; 3],
}

impl RawGroupAffinity {
    /// The typed one.
    ///
    /// # Errors
    /// [`RawError`] when a reserved word is not zero.
    pub fn check(&self) -> Result<GroupAffinity, RawError> {
        let checks = Checks { structure: "GROUP_AFFINITY", clause: "contract 1.5.3" };
        for word in self.reserved {
            checks.that(word == 0, "Reserved", word.into(), "0")?;
        }
        Ok(GroupAffinity { mask: self.mask as u64, group: self.group })
    }
}

impl From<GroupAffinity> for RawGroupAffinity {
    /// On a 32-bit target, processors above 31 of the group do not exist.
    #[expect(clippy::cast_possible_truncation, reason = "KAFFINITY has the target's width")]
    fn from(typed: GroupAffinity) -> Self {
        Self { mask: typed.mask as usize, group: typed.group, reserved: [0; 3] }
    }
}

/// As Windows 7 has it (revision 2): 56 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[doc(alias = "NET_DMA_CHANNEL_PARAMETERS")]
pub struct NetDmaChannelParameters {
    /// 1 or 2.
    #[doc(alias = "Revision")]
    pub revision: u16,
    /// Bytes; see [`Self::REVISION_1_BYTES`] and [`Self::REVISION_2_BYTES`].
    #[doc(alias = "Size")]
    pub size: u16,
    /// Zero: none is defined.
    #[doc(alias = "Flags")]
    pub flags: u32,
    /// The completion word, for the processor.
    #[doc(alias = "CompletionVirtualAddress")]
    pub completion_virtual_address: *mut c_void,
    /// The completion word, for the engine.
    #[doc(alias = "CompletionPhysicalAddress")]
    pub completion_physical_address: u64,
    /// Acceptable processors, bit n for processor n.
    #[doc(alias = "ProcessorAffinityMask")]
    pub processor_affinity_mask: u32,
    /// Higher is more urgent.
    #[doc(alias = "ChannelPriority")]
    pub channel_priority: u32,
    /// Out: the processor chosen.
    #[doc(alias = "CpuNumber")]
    pub cpu_number: u32,
    /// Revision 2: acceptable processors of one group.
    #[doc(alias = "ProcessorAffinityMaskEx")]
    pub processor_affinity_mask_ex: RawGroupAffinity,
}

/// As Vista has it (revision 1): 40 bytes, of which 36 carry fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct NetDmaChannelParametersRevision1 {
    /// 1.
    pub revision: u16,
    /// Bytes.
    pub size: u16,
    /// Zero.
    pub flags: u32,
    /// The completion word, for the processor.
    pub completion_virtual_address: *mut c_void,
    /// The completion word, for the engine.
    pub completion_physical_address: u64,
    /// Acceptable processors.
    pub processor_affinity_mask: u32,
    /// Higher is more urgent.
    pub channel_priority: u32,
    /// Out: the processor chosen.
    pub cpu_number: u32,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<RawGroupAffinity>() == 16);
    assert!(offset_of!(RawGroupAffinity, group) == 8);
    assert!(offset_of!(RawGroupAffinity, reserved) == 10);
    assert!(size_of::<NetDmaChannelParameters>() == 56);
    assert!(offset_of!(NetDmaChannelParameters, revision) == 0);
    assert!(offset_of!(NetDmaChannelParameters, size) == 2);
    assert!(offset_of!(NetDmaChannelParameters, flags) == 4);
    assert!(offset_of!(NetDmaChannelParameters, completion_virtual_address) == 8);
    assert!(offset_of!(NetDmaChannelParameters, completion_physical_address) == 16);
    assert!(offset_of!(NetDmaChannelParameters, processor_affinity_mask) == 24);
    assert!(offset_of!(NetDmaChannelParameters, channel_priority) == 28);
    assert!(offset_of!(NetDmaChannelParameters, cpu_number) == 32);
    assert!(offset_of!(NetDmaChannelParameters, processor_affinity_mask_ex) == 40);
    assert!(size_of::<NetDmaChannelParametersRevision1>() == 40);
    assert!(offset_of!(NetDmaChannelParametersRevision1, cpu_number) == 32);
};

/// Channel parameters that were found sound, as plain values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckedChannelParameters {
    /// 1 or 2.
    pub revision: u16,
    /// The completion word for the processor; not null.
    pub completion_virtual_address: *mut c_void,
    /// The completion word for the engine; on an 8-byte boundary.
    pub completion: PhysAddr,
    /// Acceptable processors.
    pub processor_affinity_mask: CpuSet32,
    /// Acceptable processors of one group, in revision 2.
    pub processor_affinity_mask_ex: Option<GroupAffinity>,
    /// Higher is more urgent.
    pub channel_priority: u32,
}

impl NetDmaChannelParameters {
    /// The least size of revision 1: through CpuNumber. The pages say 40, the headers 36; both are taken (X16).
    pub const REVISION_1_BYTES: u16 = 36;
    /// The least size of revision 2.
    pub const REVISION_2_BYTES: u16 = if cfg!(target_pointer_width = "64") { 56 } else { 48 };

    /// What the provider is given: of revision 2 when `typed` has a wide mask, else of revision 1, with a Size that ends
    /// at CpuNumber.
    #[must_use]
    pub fn new(typed: &ChannelParameters) -> Self {
        let wide = typed.processor_affinity_mask_ex;
        let (revision, size) = match wide {
            Some(_) => (NET_DMA_CHANNEL_REVISION_2, Self::REVISION_2_BYTES),
            None => (NET_DMA_CHANNEL_REVISION_1, Self::REVISION_1_BYTES),
        };
        Self {
            revision,
            size,
            flags: 0,
            completion_virtual_address: typed.completion.virtual_address(),
            completion_physical_address: typed.completion.physical().0,
            processor_affinity_mask: typed.processor_affinity_mask.0,
            channel_priority: typed.channel_priority,
            // No processor: a provider that does not write it is found out (C-CH-01).
            cpu_number: u32::MAX,
            processor_affinity_mask_ex: wide.unwrap_or(GroupAffinity { mask: 0, group: 0 }).into(),
        }
    }

    /// CpuNumber, if the provider wrote it.
    #[must_use]
    pub fn chosen(&self) -> Option<CpuNumber> {
        (self.cpu_number != u32::MAX).then_some(CpuNumber(self.cpu_number))
    }

    /// The values, if revision, size, flags, addresses and reserved words are as the contract says. Fields behind what
    /// the revision has are not looked at.
    ///
    /// # Errors
    /// [`RawError`] for the first field that is not.
    pub fn check(&self) -> Result<CheckedChannelParameters, RawError> {
        let size = u64::from(self.size);
        match self.revision {
            NET_DMA_CHANNEL_REVISION_1 => {
                CHECKS.that(
                    self.size >= Self::REVISION_1_BYTES,
                    "Size",
                    size,
                    "36 or more for revision 1",
                )?;
            }
            NET_DMA_CHANNEL_REVISION_2 => {
                let expected = if cfg!(target_pointer_width = "64") {
                    "56 or more for revision 2"
                } else {
                    "48 or more for revision 2"
                };
                CHECKS.that(self.size >= Self::REVISION_2_BYTES, "Size", size, expected)?;
            }
            other => return Err(CHECKS.fails("Revision", other.into(), "1 or 2")),
        }
        CHECKS.that(self.flags == 0, "Flags", self.flags.into(), "0: none is defined")?;
        let (virt, phys) = (self.completion_virtual_address, self.completion_physical_address);
        CHECKS.that(!virt.is_null(), "CompletionVirtualAddress", 0, "an address")?;
        CHECKS.that(phys % 8 == 0, "CompletionPhysicalAddress", phys, "a multiple of 8 (ND-C1)")?;
        let wide = match self.revision {
            NET_DMA_CHANNEL_REVISION_2 => Some(self.processor_affinity_mask_ex.check()?),
            _ => None,
        };
        Ok(CheckedChannelParameters {
            revision: self.revision,
            completion_virtual_address: virt,
            completion: PhysAddr(phys),
            processor_affinity_mask: CpuSet32(self.processor_affinity_mask),
            processor_affinity_mask_ex: wide,
            channel_priority: self.channel_priority,
        })
    }
}

impl Default for NetDmaChannelParameters {
    /// Everything zero, which no check accepts.
    fn default() -> Self {
        Self {
            revision: 0,
            size: 0,
            flags: 0,
            completion_virtual_address: ptr::null_mut(),
            completion_physical_address: 0,
            processor_affinity_mask: 0,
            channel_priority: 0,
            cpu_number: 0,
            processor_affinity_mask_ex: RawGroupAffinity::default(),
        }
    }
}
