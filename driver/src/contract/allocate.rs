//! Taking a channel (contract 1.8, ND-P2 to ND-P4).

use std::fmt;
use std::sync::Arc;

use ioat_stage::sync::atomic::Ordering;

use super::anchor::AnchorSlot;
use super::breach::IrqlBreach;
use super::channel::{NetDmaChannel, NetDmaChannelHandle};
use super::client::NetDmaClient;
use super::completion::CompletionLocation;
use super::cpu::{CpuNumber, CpuSet32, GroupAffinity};
use super::handle::Provider;
use super::interface::NetDmaInterface;
use super::power::Access;
use super::provider::ChannelParameters;
use super::shared::{Parts, Shared};
use super::status::NetDmaStatus;
use crate::irql::AtMostDispatch;

/// Why no channel was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AllocateError {
    /// No such provider, or it is not started (ND-F4).
    #[error("the provider is not started (ND-F4)")]
    NotStarted,
    /// Its device leaves the working state, or has left it.
    #[error("the provider is powered down (ND-W1)")]
    PoweredDown,
    /// At a wrong level.
    #[error(transparent)]
    Irql(#[from] IrqlBreach),
    /// No processor of the mask exists.
    #[error("no processor of {mask:?} is among the {processors} there are (ND-P2)")]
    NoProcessor {
        /// What was asked for.
        mask: Mask,
        /// How many there are.
        processors: u32,
    },
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] NetDmaStatus),
    /// The provider said success but named no processor of the mask (C-CH-01, C-CH-02).
    #[error("the provider allocated a channel without a processor of {mask:?}: {chosen:?}")]
    WrongProcessor {
        /// What was asked for.
        mask: Mask,
        /// What it named.
        chosen: Option<CpuNumber>,
    },
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct ChannelRequest {
    /// Where completion values go.
    pub completion: CompletionLocation,
    /// Acceptable processors.
    pub processors: CpuSet32,
    /// Acceptable processors for a provider that takes processor groups; none says the same as `processors`.
    pub group: Option<GroupAffinity>,
    /// Higher is more urgent.
    pub priority: u32,
    /// The most descriptors that will ever be outstanding; memory for them is set aside.
    pub max_outstanding: usize,
    /// Memory for the interface's own descriptor. Without it the client's next call after a power-up is Start
    /// (ND-W2), and a DCA provider is not told the channel's target (ND-A3).
    pub anchor: Option<AnchorSlot>,
}

/// The processors of a request, as the provider would see them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Revision 1.
    Low(CpuSet32),
    /// Revision 2.
    Group(GroupAffinity),
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Low(set) => set.fmt(f),
            Self::Group(GroupAffinity { mask, group }) => write!(f, "group {group} {mask:#b}"),
        }
    }
}

impl Mask {
    fn existing(self, processors: u32) -> Self {
        match self {
            Self::Low(set) => Self::Low(set.and(CpuSet32::first(processors))),
            Self::Group(wide) => Self::Group(wide.existing(processors)),
        }
    }

    fn is_empty(self) -> bool {
        match self {
            Self::Low(set) => set.is_empty(),
            Self::Group(wide) => wide.mask == 0,
        }
    }

    fn low(self) -> CpuSet32 {
        match self {
            Self::Low(set) => set,
            Self::Group(wide) => wide.low(),
        }
    }

    fn wide(self) -> Option<GroupAffinity> {
        match self {
            Self::Low(_) => None,
            Self::Group(wide) => Some(wide),
        }
    }
}

impl Provider {
    pub(super) fn allocate(
        &self,
        interface: &NetDmaInterface,
        request: ChannelRequest,
        client: Arc<dyn NetDmaClient>,
        level: &dyn AtMostDispatch,
    ) -> Result<NetDmaChannel, AllocateError> {
        let _life = self.life.lock();
        match self.gate.get() {
            Access::Open => {}
            Access::Closed => return Err(AllocateError::NotStarted),
            Access::Draining | Access::Down => return Err(AllocateError::PoweredDown),
        }
        let processors = interface.options.processors;
        let asked = self.mask_of(&request);
        let mask = asked.existing(processors);
        if mask.is_empty() {
            return Err(AllocateError::NoProcessor { mask: asked, processors });
        }
        let shared = Shared::new(Parts {
            number: interface.next_channel.fetch_add(1, Ordering::Relaxed),
            provider: self.provider.clone(),
            client,
            version: self.characteristics.version,
            gate: self.gate.clone(),
            capacity: request.max_outstanding,
            anchor: request.anchor,
            pause: interface.pause.clone(),
        });
        let mut parameters = ChannelParameters {
            completion: request.completion,
            processor_affinity_mask: mask.low(),
            processor_affinity_mask_ex: mask.wide(),
            channel_priority: request.priority,
            cpu_number: None,
        };
        let handle = NetDmaChannelHandle(shared.clone());
        let context = self.provider.allocate_dma_channel(&mut parameters, handle, level)?;
        // The masks may have been written too; what was asked for counts.
        parameters.processor_affinity_mask = mask.low();
        parameters.processor_affinity_mask_ex = mask.wide();
        let Some(cpu) = parameters.cpu_number.filter(|cpu| parameters.accepts(*cpu)) else {
            self.provider.free_dma_channel(context, level);
            return Err(AllocateError::WrongProcessor { mask, chosen: parameters.cpu_number });
        };
        let target = self.characteristics.dca_supported.then(|| (interface.options.apic_id)(cpu));
        shared.allocated(context, cpu, target, level);
        let mut inner = self.inner.lock();
        inner.channels.retain(|channel| !channel.is_freed());
        inner.channels.push(shared.clone());
        Ok(NetDmaChannel(shared))
    }

    /// A provider with processor groups gets the wide mask (revision 2), any other the narrow one.
    fn mask_of(&self, request: &ChannelRequest) -> Mask {
        if !self.characteristics.proc_groups_supported {
            return Mask::Low(request.processors);
        }
        let same = GroupAffinity { mask: request.processors.0.into(), group: 0 };
        Mask::Group(request.group.unwrap_or(same))
    }
}
