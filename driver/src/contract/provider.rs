//! What a provider says about itself, and the callbacks that it supplies (contract 1.5 and 1.8).

use super::DescriptorAddr;
use super::address::{DmaLocation, PhysAddr};
use super::channel::NetDmaChannelHandle;
use super::completion::CompletionLocation;
use super::cpu::{CpuNumber, CpuSet32, GroupAffinity};
use super::descriptor::NetDmaDescriptor;
use super::status::NetDmaStatus;
use super::version::{CharacteristicsFlags, NetDmaVersion};
use crate::irql::{AtMostDispatch, AtPassive};

/// What a provider is (registered once).
#[derive(Clone, PartialEq, Eq, Debug)]
#[doc(alias = "NET_DMA_PROVIDER_CHARACTERISTICS")]
pub struct ProviderCharacteristics {
    /// The contract version it implements (ND-V2); never above the interface's (ND-V1).
    pub version: NetDmaVersion,
    /// It supports direct cache access (2.0): it is told each channel's target by context changes (ND-A3).
    pub dca_supported: bool,
    /// It takes channel parameters of revision 2 (Windows 7).
    pub proc_groups_supported: bool,
    /// The device it drives, for people (stands for PhysicalDeviceObject).
    pub device: String,
    /// Upper bound of its channels.
    pub max_dma_channel_count: u32,
    /// A readable name; must be there from 2.0 on, and cannot be there before.
    pub friendly_name: Option<String>,
}

impl ProviderCharacteristics {
    /// The flag word.
    #[must_use]
    pub const fn flags(&self) -> CharacteristicsFlags {
        let dca = if self.dca_supported { CharacteristicsFlags::DCA_SUPPORTED.0 } else { 0 };
        let groups =
            if self.proc_groups_supported { CharacteristicsFlags::SUPPORTS_PROC_GROUPS.0 } else { 0 };
        CharacteristicsFlags(dca | groups)
    }
}

/// What a started provider has (each start may bring others, ND-F6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "NET_DMA_PROVIDER_ATTRIBUTES")]
pub struct ProviderAttributes {
    /// Hardware version, major.
    pub major_hw_version: u8,
    /// Hardware version, minor.
    pub minor_hw_version: u8,
    /// PCI vendor.
    pub vendor_id: u32,
    /// Channels there are.
    pub dma_channel_count: u32,
    /// Bytes of the largest single descriptor; at least 4096.
    pub maximum_transfer_size: u32,
    /// Highest address that the engine reaches.
    pub maximum_address_space: PhysAddr,
}

/// Which processor a channel's interrupt should go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "NET_DMA_CHANNEL_CPU_AFFINITY")]
pub struct ChannelCpuAffinity {
    /// The channel, from 0.
    pub dma_channel: u32,
    /// The processor.
    pub cpu_number: CpuNumber,
}

/// What a channel is allocated with. Revision 2 is what a provider with processor groups gets.
#[derive(Clone, Debug)]
#[doc(alias = "NET_DMA_CHANNEL_PARAMETERS")]
pub struct ChannelParameters {
    /// In: where the engine writes the completion value.
    pub completion: CompletionLocation,
    /// In: processors acceptable for the channel (ND-P2). Of revision 2 it holds what of the wider mask fits.
    pub processor_affinity_mask: CpuSet32,
    /// In, revision 2: the processors acceptable, of any one group. Of revision 1 there is none.
    pub processor_affinity_mask_ex: Option<GroupAffinity>,
    /// In: higher is more urgent; clamped to what the hardware has.
    pub channel_priority: u32,
    /// Out: the processor of the channel's DPC; set before a successful return (ND-P3).
    pub cpu_number: Option<CpuNumber>,
}

impl ChannelParameters {
    /// `cpu` is acceptable.
    #[must_use]
    pub fn accepts(&self, cpu: CpuNumber) -> bool {
        match self.processor_affinity_mask_ex {
            Some(wide) => wide.contains(cpu),
            None => self.processor_affinity_mask.contains(cpu),
        }
    }
}

/// The provider's own name for a channel: whatever word it chose in
/// [`NetDmaProvider::allocate_dma_channel`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "pProviderChannelContext")]
pub struct ProviderChannelContext(pub u64);

/// Where a chain begins and how many descriptors it has.
#[derive(Clone, Debug)]
pub struct FirstDescriptor {
    location: DmaLocation,
    address: DescriptorAddr,
    count: u32,
}

impl FirstDescriptor {
    pub(super) fn new(location: DmaLocation, address: DescriptorAddr, count: u32) -> Self {
        Self { location, address, count }
    }

    /// The first descriptor in the engine's view.
    #[must_use]
    #[doc(alias = "DescriptorPhysicalAddress")]
    pub fn physical(&self) -> DescriptorAddr {
        self.address
    }

    /// The first descriptor in the CPU's view.
    #[must_use]
    #[doc(alias = "DescriptorVirtualAddress")]
    pub fn location(&self) -> &DmaLocation {
        &self.location
    }

    /// How many descriptors (authoritative from 2.0, ND-P6).
    #[must_use]
    #[doc(alias = "DescriptorCount")]
    pub fn count(&self) -> u32 {
        self.count
    }
}

const _: () = assert!(size_of::<NetDmaDescriptor>() == 64);

/// The callbacks of one engine. Calls on one channel never overlap (ND-P16); calls on different channels do.
///
/// The four that every provider must have are methods that must be there: a provider without one does not compile
/// (C-PR-11).
///
/// ```compile_fail,E0046
/// use netdma::contract::{
///     ChannelParameters, FirstDescriptor, NetDmaChannelHandle, NetDmaProvider, NetDmaStatus, ProviderChannelContext,
/// };
/// use netdma::irql::AtMostDispatch;
/// struct WithoutAppend;
/// impl NetDmaProvider for WithoutAppend {
///     fn allocate_dma_channel(
///         &self, _: &mut ChannelParameters, _: NetDmaChannelHandle, _: &dyn AtMostDispatch,
///     ) -> Result<ProviderChannelContext, NetDmaStatus> { Err(NetDmaStatus::RESOURCES) }
///     fn free_dma_channel(&self, _: ProviderChannelContext, _: &dyn AtMostDispatch) {}
///     fn start_dma(
///         &self, _: ProviderChannelContext, _: &FirstDescriptor, _: &dyn AtMostDispatch,
///     ) -> Result<(), NetDmaStatus> { Ok(()) }
/// }
/// ```
///
/// The optional ones are capabilities: a provider without them answers `None`. Suspend and Resume are one
/// capability, for they cannot be split (C-PR-12).
///
/// # Who may touch a descriptor (contract 1.10)
///
/// | when | the client and the interface | the provider and its engine |
/// |---|---|---|
/// | before Start or Append names it | anything | nothing |
/// | submitted, not reported | 1.x: the interface links the last one on, then Append; 2.0: nothing | read it; 1.x: write its two scratch words; never its two user words |
/// | suspended | edit the list | nothing until Resume |
/// | reported, or before one that is | use it again, but the last one reported stays the engine's anchor | 1.x: read the last one again |
/// | after Abort | use it again | nothing until Start |
/// | after Reset, Free | use it again, unmap it | nothing, ever |
///
/// A report that is still on its way must have been made before Start, Abort, Reset or Free return: the interface knows
/// descriptors by their address, and a client may use an address again from then on.
pub trait NetDmaProvider: Send + Sync {
    /// Aiming the channels' interrupts, if it can; never called otherwise.
    fn set_affinity(&self) -> Option<&dyn SetDmaChannelCpuAffinity> {
        None
    }

    /// Take a channel, preferring one whose interrupt goes to a processor of the mask (ND-P2); set
    /// [`ChannelParameters::cpu_number`] (ND-P3). The channel is usable at once (ND-P4).
    ///
    /// # Errors
    /// [`NetDmaStatus`], with everything that was taken released.
    #[doc(alias = "ProviderAllocateDmaChannel")]
    fn allocate_dma_channel(
        &self,
        parameters: &mut ChannelParameters,
        channel: NetDmaChannelHandle,
        level: &dyn AtMostDispatch,
    ) -> Result<ProviderChannelContext, NetDmaStatus>;

    /// Give a channel back; nothing is outstanding, and no call names it afterwards (ND-P14).
    #[doc(alias = "ProviderFreeDmaChannel")]
    fn free_dma_channel(&self, channel: ProviderChannelContext, level: &dyn AtMostDispatch);

    /// Let the current descriptor finish, drop what remains of the old list, load this one (ND-P5).
    ///
    /// # Errors
    /// [`NetDmaStatus`].
    #[doc(alias = "ProviderStartDma")]
    fn start_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus>;

    /// Go on with this chain after the present one. 1.x: the old last descriptor already links to it, and an
    /// engine that sits there must re-read it (ND-P7). 2.0: add the count (ND-P8).
    ///
    /// # Errors
    /// [`NetDmaStatus`].
    #[doc(alias = "ProviderAppendDma")]
    fn append_dma(
        &self,
        channel: ProviderChannelContext,
        first: &FirstDescriptor,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus>;

    /// Suspend and Resume, if it can.
    fn suspend_resume(&self) -> Option<&dyn SuspendResume> {
        None
    }

    /// Abort, if it can.
    fn abort(&self) -> Option<&dyn AbortDma> {
        None
    }

    /// Reset, if it can.
    fn reset(&self) -> Option<&dyn ResetChannel> {
        None
    }
}

/// The capability to aim the channels' interrupts.
pub trait SetDmaChannelCpuAffinity: Send + Sync {
    /// Aim the channels' interrupts; called while the provider registers, for all of
    /// [`ProviderCharacteristics::max_dma_channel_count`] channels (ND-F1, ND-F2).
    ///
    /// # Errors
    /// [`NetDmaStatus`]; registration then fails with it.
    #[doc(alias = "ProviderSetDmaChannelCpuAffinity")]
    fn set_dma_channel_cpu_affinity(
        &self,
        affinities: &[ChannelCpuAffinity],
        level: &AtPassive,
    ) -> Result<(), NetDmaStatus>;
}

/// The capability to stop a channel and to go on.
pub trait SuspendResume: Send + Sync {
    /// Finish the current descriptor, write status Suspend, and name the descriptor processed last; none if
    /// there was none yet (ND-P10, ND-P15).
    ///
    /// # Errors
    /// [`NetDmaStatus`].
    #[doc(alias = "ProviderSuspendDma")]
    fn suspend_dma(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<Option<DescriptorAddr>, NetDmaStatus>;

    /// Re-read the descriptor processed last and go on behind it (ND-P11).
    ///
    /// # Errors
    /// [`NetDmaStatus`].
    #[doc(alias = "ProviderResumeDma")]
    fn resume_dma(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus>;
}

/// The capability to stop at once.
pub trait AbortDma: Send + Sync {
    /// Stop, write status Halted, be ready for Start (ND-P12).
    ///
    /// # Errors
    /// [`NetDmaStatus`].
    #[doc(alias = "ProviderAbortDma")]
    fn abort_dma(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus>;
}

/// The capability to bring a channel back to its just-allocated state.
pub trait ResetChannel: Send + Sync {
    /// As abort, and never touch any earlier descriptor again (ND-P13).
    ///
    /// # Errors
    /// [`NetDmaStatus`].
    #[doc(alias = "ProviderResetChannel")]
    fn reset_channel(
        &self,
        channel: ProviderChannelContext,
        level: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus>;
}
