//! NET_DMA_PROVIDER_CHARACTERISTICS and its table of callbacks (contract 1.5.4).

use std::ffi::c_void;
use std::mem::{offset_of, size_of};
use std::ptr;

use super::callbacks::{
    DmaAbortHandler, DmaAppendHandler, DmaChannelAllocateHandler, DmaChannelFreeHandler,
    DmaChannelsCpuAffinityHandler, DmaResetHandler, DmaResumeHandler, DmaStartHandler, DmaSuspendHandler,
};
use super::error::{Checks, RawError};
use crate::contract::{CharacteristicsFlags, NetDmaVersion, ProviderCharacteristics};

const CHECKS: Checks = Checks { structure: "NET_DMA_PROVIDER_CHARACTERISTICS", clause: "contract 1.5.4" };

/// UNICODE_STRING: 16 bytes here, 8 in a 32-bit world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[doc(alias = "UNICODE_STRING")]
pub struct UnicodeString {
    /// Bytes in use.
    #[doc(alias = "Length")]
    pub length: u16,
    /// Bytes there are.
    #[doc(alias = "MaximumLength")]
    pub maximum_length: u16,
    /// UTF-16 units.
    #[doc(alias = "Buffer")]
    pub buffer: *mut u16,
}

impl Default for UnicodeString {
    /// No text.
    fn default() -> Self {
        Self { length: 0, maximum_length: 0, buffer: ptr::null_mut() }
    }
}

/// As 2.0 has it: 112 bytes. A provider of 1.x has [`NetDmaProviderCharacteristicsV1`], which ends before FriendlyName.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "NET_DMA_PROVIDER_CHARACTERISTICS")]
pub struct NetDmaProviderCharacteristics {
    /// What every version has.
    pub v1: NetDmaProviderCharacteristicsV1,
    /// The readable name, 2.0.
    #[doc(alias = "FriendlyName")]
    pub friendly_name: UnicodeString,
}

/// As 1.x has it: 96 bytes. An entry that the provider does not have is null.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct NetDmaProviderCharacteristicsV1 {
    /// Of the contract (conflict X9).
    #[doc(alias = "MajorVersion")]
    pub major_version: u8,
    /// Of the contract.
    #[doc(alias = "MinorVersion")]
    pub minor_version: u8,
    /// `sizeof`.
    #[doc(alias = "Size")]
    pub size: u16,
    /// [`CharacteristicsFlags`]; 0 before 2.0.
    #[doc(alias = "Flags")]
    pub flags: u32,
    /// The device that AddDevice was given.
    #[doc(alias = "PhysicalDeviceObject")]
    pub physical_device_object: *mut c_void,
    /// Upper bound of its channels.
    #[doc(alias = "MaxDmaChannelCount")]
    pub max_dma_channel_count: u32,
    /// Optional (our choice: the documents do not say).
    #[doc(alias = "SetDmaChannelCpuAffinity")]
    pub set_dma_channel_cpu_affinity: Option<DmaChannelsCpuAffinityHandler>,
    /// Must be there.
    #[doc(alias = "AllocateDmaChannel")]
    pub allocate_dma_channel: Option<DmaChannelAllocateHandler>,
    /// Must be there.
    #[doc(alias = "FreeDmaChannel")]
    pub free_dma_channel: Option<DmaChannelFreeHandler>,
    /// Must be there.
    #[doc(alias = "StartDma")]
    pub start_dma: Option<DmaStartHandler>,
    /// Optional; needs ResumeDma.
    #[doc(alias = "SuspendDma")]
    pub suspend_dma: Option<DmaSuspendHandler>,
    /// Optional.
    #[doc(alias = "ResumeDma")]
    pub resume_dma: Option<DmaResumeHandler>,
    /// Optional.
    #[doc(alias = "AbortDma")]
    pub abort_dma: Option<DmaAbortHandler>,
    /// Must be there.
    #[doc(alias = "AppendDma")]
    pub append_dma: Option<DmaAppendHandler>,
    /// Optional.
    #[doc(alias = "ResetChannel")]
    pub reset_channel: Option<DmaResetHandler>,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    use NetDmaProviderCharacteristicsV1 as V1;
    assert!(size_of::<UnicodeString>() == 16);
    assert!(offset_of!(UnicodeString, buffer) == 8);
    assert!(size_of::<NetDmaProviderCharacteristics>() == 112);
    assert!(offset_of!(NetDmaProviderCharacteristics, friendly_name) == 96);
    assert!(size_of::<V1>() == 96);
    assert!(offset_of!(V1, major_version) == 0);
    assert!(offset_of!(V1, minor_version) == 1);
    assert!(offset_of!(V1, size) == 2);
    assert!(offset_of!(V1, flags) == 4);
    assert!(offset_of!(V1, physical_device_object) == 8);
    assert!(offset_of!(V1, max_dma_channel_count) == 16);
    assert!(offset_of!(V1, set_dma_channel_cpu_affinity) == 24);
    assert!(offset_of!(V1, allocate_dma_channel) == 32);
    assert!(offset_of!(V1, free_dma_channel) == 40);
    assert!(offset_of!(V1, start_dma) == 48);
    assert!(offset_of!(V1, suspend_dma) == 56);
    assert!(offset_of!(V1, resume_dma) == 64);
    assert!(offset_of!(V1, abort_dma) == 72);
    assert!(offset_of!(V1, append_dma) == 80);
    assert!(offset_of!(V1, reset_channel) == 88);
};

/// The callbacks of a provider that has those it must have.
#[derive(Clone, Copy, Debug)]
pub struct Callbacks {
    /// Never called if absent.
    pub set_dma_channel_cpu_affinity: Option<DmaChannelsCpuAffinityHandler>,
    /// ProviderAllocateDmaChannel.
    pub allocate_dma_channel: DmaChannelAllocateHandler,
    /// ProviderFreeDmaChannel.
    pub free_dma_channel: DmaChannelFreeHandler,
    /// ProviderStartDma.
    pub start_dma: DmaStartHandler,
    /// ProviderAppendDma.
    pub append_dma: DmaAppendHandler,
    /// ProviderSuspendDma and ProviderResumeDma. A Resume without a Suspend is never called.
    pub suspend_resume: Option<(DmaSuspendHandler, DmaResumeHandler)>,
    /// ProviderAbortDma.
    pub abort_dma: Option<DmaAbortHandler>,
    /// ProviderResetChannel.
    pub reset_channel: Option<DmaResetHandler>,
}

/// Characteristics that were found sound.
#[derive(Clone, Debug)]
pub struct CheckedCharacteristics {
    /// For [`crate::contract::NetDmaInterface::register_provider`], which checks version, flags and name against its own.
    pub characteristics: ProviderCharacteristics,
    /// What to call.
    pub callbacks: Callbacks,
}

impl NetDmaProviderCharacteristicsV1 {
    /// `sizeof` without FriendlyName.
    pub const BYTES: u16 = if cfg!(target_pointer_width = "64") { 96 } else { 52 };

    /// The contract's version.
    #[must_use]
    pub fn version(&self) -> NetDmaVersion {
        NetDmaVersion { major: self.major_version, minor: self.minor_version }
    }

    /// Whether FriendlyName follows, by version and Size. Ask before it is read: from 2.0 on it must.
    ///
    /// # Errors
    /// [`RawError`] when Size is less than the version has.
    pub fn has_friendly_name(&self) -> Result<bool, RawError> {
        let size = u64::from(self.size);
        if !self.version().has_friendly_name() {
            CHECKS.that(self.size >= Self::BYTES, "Size", size, "the size without FriendlyName, or more")?;
            return Ok(false);
        }
        let enough = self.size >= NetDmaProviderCharacteristics::BYTES;
        CHECKS.that(enough, "Size", size, "sizeof the structure of version 2.0")?;
        Ok(true)
    }

    /// The typed ones, with the text that FriendlyName points to, if it is there, and a name of the device for people.
    ///
    /// # Errors
    /// [`RawError`] for a wrong size, undefined flags, no device, a callback that must be there and is null, Suspend
    /// without Resume, or a name that is no UTF-16.
    pub fn check(
        &self,
        friendly_name: Option<&[u16]>,
        device: &str,
    ) -> Result<CheckedCharacteristics, RawError> {
        self.has_friendly_name()?;
        let flags = CharacteristicsFlags(self.flags);
        let defined = CharacteristicsFlags::DCA_SUPPORTED.with(CharacteristicsFlags::SUPPORTS_PROC_GROUPS);
        CHECKS.that(defined.contains(flags), "Flags", self.flags.into(), "none but 0x1 and 0x2")?;
        CHECKS.that(!self.physical_device_object.is_null(), "PhysicalDeviceObject", 0, "a device object")?;
        let callbacks = self.callbacks()?;
        let friendly_name = match friendly_name.map(String::from_utf16).transpose() {
            Ok(name) => name,
            Err(_) => return Err(CHECKS.fails("FriendlyName", 0, "UTF-16 text")),
        };
        let characteristics = ProviderCharacteristics {
            version: self.version(),
            dca_supported: flags.contains(CharacteristicsFlags::DCA_SUPPORTED),
            proc_groups_supported: flags.contains(CharacteristicsFlags::SUPPORTS_PROC_GROUPS),
            device: device.to_owned(),
            max_dma_channel_count: self.max_dma_channel_count,
            friendly_name,
        };
        Ok(CheckedCharacteristics { characteristics, callbacks })
    }

    fn callbacks(&self) -> Result<Callbacks, RawError> {
        let missing = |field| CHECKS.fails(field, 0, "a function: it is mandatory (C-PR-11)");
        let suspend_resume = match (self.suspend_dma, self.resume_dma) {
            (Some(suspend), Some(resume)) => Some((suspend, resume)),
            (Some(_), None) => {
                return Err(CHECKS.fails("ResumeDma", 0, "a function, for SuspendDma is there (C-PR-12)"));
            }
            (None, _) => None,
        };
        Ok(Callbacks {
            set_dma_channel_cpu_affinity: self.set_dma_channel_cpu_affinity,
            allocate_dma_channel: self.allocate_dma_channel.ok_or_else(|| missing("AllocateDmaChannel"))?,
            free_dma_channel: self.free_dma_channel.ok_or_else(|| missing("FreeDmaChannel"))?,
            start_dma: self.start_dma.ok_or_else(|| missing("StartDma"))?,
            append_dma: self.append_dma.ok_or_else(|| missing("AppendDma"))?,
            suspend_resume,
            abort_dma: self.abort_dma,
            reset_channel: self.reset_channel,
        })
    }
}

impl NetDmaProviderCharacteristics {
    /// `sizeof` with FriendlyName.
    pub const BYTES: u16 = if cfg!(target_pointer_width = "64") { 112 } else { 60 };
}

impl Default for NetDmaProviderCharacteristicsV1 {
    /// Everything zero, which no check accepts.
    fn default() -> Self {
        Self {
            major_version: 0,
            minor_version: 0,
            size: 0,
            flags: 0,
            physical_device_object: ptr::null_mut(),
            max_dma_channel_count: 0,
            set_dma_channel_cpu_affinity: None,
            allocate_dma_channel: None,
            free_dma_channel: None,
            start_dma: None,
            suspend_dma: None,
            resume_dma: None,
            abort_dma: None,
            append_dma: None,
            reset_channel: None,
        }
    }
}
