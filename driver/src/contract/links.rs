//! NextDescriptor of the descriptors that a client submits: where a chain ends, and how the next one is joined to it.

use super::address::{DescriptorAddr, DmaLocation};
use super::client::{Chain, ChannelError};
use super::version::NetDmaVersion;

/// Offset of NextDescriptor.
const NEXT: usize = 24;

/// The last descriptor of a chain that the interface has passed on.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    location: DmaLocation,
    /// NextDescriptor when it was submitted: from 2.0 on nobody may change it, and the provider may have kept it
    /// (ND-P8).
    next: u64,
}

impl Tail {
    /// The last descriptor of `chain`, which must end as `version` asks.
    pub(super) fn of(chain: &Chain<'_>, version: NetDmaVersion) -> Result<Self, ChannelError> {
        let Some(&last) = chain.descriptors.last() else {
            return Err(ChannelError::bad_chain(chain));
        };
        let location = near(&chain.first, last)?;
        let next = next_of(&location);
        match (version.counts_chains(), next) {
            (true, 0) => Err(ChannelError::EndsInZero { last }),
            (false, 1..) => Err(ChannelError::NoEnd { last, next }),
            _ => Ok(Self { location, next }),
        }
    }

    /// The interface's own descriptor.
    pub(super) fn at(location: DmaLocation) -> Self {
        let next = next_of(&location);
        Self { location, next }
    }

    /// Where the next chain must begin from 2.0 on (ND-P9).
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// A suspended list may have been edited: the link counts as it is now.
    pub(super) fn reread(&mut self) {
        self.next = next_of(&self.location);
    }

    /// 1.x: joins `first` to the chain (ND-P7), or with none takes that back.
    pub(super) fn join(&self, first: Option<DescriptorAddr>) {
        let value = first.map_or(0, DescriptorAddr::get);
        let stored = self.location.buffer().store_u64(self.location.offset() + NEXT, value);
        stored.expect("a descriptor's place was checked when it was made");
    }
}

/// The place of `address` in the memory of `first`: a chain lies in one buffer.
fn near(first: &DmaLocation, address: DescriptorAddr) -> Result<DmaLocation, ChannelError> {
    let buffer = first.buffer();
    // What does not fit in a usize is outside all the more.
    let offset = usize::try_from(address.get().wrapping_sub(buffer.iova())).unwrap_or(usize::MAX);
    DmaLocation::new(buffer.clone(), offset, 64, 64).map_err(|_| ChannelError::OutsideMemory {
        address,
        begins: buffer.iova(),
        size: buffer.len(),
    })
}

fn next_of(location: &DmaLocation) -> u64 {
    let next = location.buffer().load_u64(location.offset() + NEXT);
    next.expect("a descriptor's place was checked when it was made")
}
