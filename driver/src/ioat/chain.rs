//! What was given to the engine: the descriptors under way, in the order in which it reports them.
//!
//! Bridge e (chains without a count) and d (where the engine must go on). The engine names a completed descriptor by address. Only an address that is in this list moves it on; any
//! other is a wrong report, and never a completion.

use std::collections::VecDeque;

use ioat_spec::descriptor::DESCRIPTOR_SIZE;

use super::ChainError;
use super::admit::{Admitted, admit, write_as_null};
use crate::contract::{DescriptorAddr, DmaLocation, FirstDescriptor, NetDmaVersion};

/// Most descriptors under way: DMACOUNT counts modulo 65536.
pub(super) const MOST: usize = u16::MAX as usize;

/// What an engine takes, and how chains are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) capability: ioat_spec::DmaCapability,
    pub(super) max_transfer: u32,
    /// The contract that the provider is registered for.
    pub(super) version: NetDmaVersion,
}

impl Limits {
    /// Chains carry their count (ND-P6), and the descriptors of 2.0 are there.
    pub(super) fn counted(&self) -> bool {
        self.version.counts_chains()
    }

    /// Completion words and context changes have a target (1.12).
    pub(super) fn dca(&self) -> bool {
        self.counted() && self.capability.dca()
    }
}

/// A chain as it was found in memory.
#[derive(Debug)]
pub(super) struct Walked {
    /// Its descriptors in order.
    pub(super) addresses: Vec<u64>,
    /// What the last one links to: where an Append will go on (ND-P8); 0 ends a 1.x chain.
    pub(super) tail_next: u64,
    /// Some descriptor asks for the completion word.
    pub(super) updates_status: bool,
    /// Some descriptor asks for an interrupt without the completion word.
    pub(super) interrupts_silently: bool,
}

/// How far a walk goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extent {
    /// So many descriptors.
    Counted(u32),
    /// To the zero that ends a 1.x chain.
    ToItsEnd,
}

/// Bridge e: follows the links from `first`, so many as the chain counts (2.0), or to the zero that ends it (1.x: the
/// count may be ignored, ND-P6), and makes every descriptor one that the engine takes. A chain that is refused is left
/// as it was.
pub(super) fn walk(first: &FirstDescriptor, limits: &Limits) -> Result<Walked, ChainError> {
    let extent = if limits.counted() { Extent::Counted(first.count()) } else { Extent::ToItsEnd };
    walk_from(first.location(), extent, limits)
}

/// As [`walk`], from a place.
fn walk_from(first: &DmaLocation, extent: Extent, limits: &Limits) -> Result<Walked, ChainError> {
    let count = match extent {
        Extent::Counted(0) => return Err(ChainError::Empty),
        Extent::Counted(count) => count,
        Extent::ToItsEnd => 0,
    };
    let most = if count == 0 { MOST } else { count as usize };
    if most > MOST {
        return Err(ChainError::TooMany { outstanding: 0, more: count });
    }
    let mut empty = Vec::new();
    let mut walked = Walked {
        addresses: Vec::with_capacity(count as usize),
        tail_next: first.physical().0,
        updates_status: false,
        interrupts_silently: false,
    };
    let mut place = first.clone();
    loop {
        let address = place.physical().0;
        let Admitted { updates_status, interrupts, moves_nothing } = admit(&place, limits)?;
        walked.updates_status |= updates_status;
        walked.interrupts_silently |= interrupts && !updates_status;
        walked.addresses.push(address);
        walked.tail_next = next_of(&place);
        if moves_nothing {
            empty.push(place);
        }
        if extent == Extent::ToItsEnd && walked.tail_next == 0 || walked.addresses.len() == count as usize {
            empty.iter().for_each(write_as_null);
            return Ok(walked);
        }
        if walked.addresses.len() == most {
            return Err(ChainError::Endless { first: first.physical().0, walked: most });
        }
        place = locate(first, walked.tail_next, walked.addresses.len())?;
    }
}

/// The place of the descriptor at `address`, in the same memory as `near`.
pub(super) fn locate(near: &DmaLocation, address: u64, index: usize) -> Result<DmaLocation, ChainError> {
    let buffer = near.buffer();
    let offset = address.wrapping_sub(buffer.iova());
    // What does not fit in a usize is outside all the more.
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    DmaLocation::new(buffer.clone(), offset, DESCRIPTOR_SIZE, DESCRIPTOR_SIZE).map_err(|source| {
        ChainError::Link { index: u32::try_from(index).unwrap_or(u32::MAX), next: address, source }
    })
}

/// NextDescriptor of the descriptor at `place`, as it is now.
pub(super) fn next_of(place: &DmaLocation) -> u64 {
    load(place, 0x18)
}

/// The 64-bit field at `field` of the descriptor at `place`.
pub(super) fn load(place: &DmaLocation, field: usize) -> u64 {
    let loaded = place.buffer().load_u64(place.offset() + field);
    loaded.expect("a descriptor's place was checked when it was made")
}

/// The address that a report named is not one under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Misreported;

/// The descriptors under way.
#[derive(Debug)]
pub(super) struct Chain {
    /// Memory that the chain lies in.
    near: DmaLocation,
    outstanding: VecDeque<u64>,
    /// Descriptors of the channel that were completed, in this chain and in those before it.
    completed: u64,
    last: Option<DescriptorAddr>,
    /// Nothing has completed since CHAINADDR was written: the engine then reports address 0.
    anchored: bool,
    tail_next: u64,
    updates_status: bool,
    interrupts_silently: bool,
}

impl Chain {
    /// A chain on a channel that has completed so many descriptors.
    pub(super) fn new(first: &DmaLocation, walked: Walked, completed: u64) -> Self {
        Self {
            near: first.clone(),
            outstanding: walked.addresses.into(),
            completed,
            last: None,
            anchored: true,
            tail_next: walked.tail_next,
            updates_status: walked.updates_status,
            interrupts_silently: walked.interrupts_silently,
        }
    }

    /// The descriptor processed last; none before the first.
    pub(super) fn last(&self) -> Option<DescriptorAddr> {
        self.last
    }

    /// Descriptors of the channel that were completed so far. The last one's number is one less.
    pub(super) fn completed(&self) -> u64 {
        self.completed
    }

    /// Descriptors of the channel so far, with those under way.
    pub(super) fn given(&self) -> u64 {
        self.completed + self.outstanding.len() as u64
    }

    pub(super) fn updates_status(&self) -> bool {
        self.updates_status
    }

    /// The completion word does not tell all: look at CHANSTS (bridge f).
    pub(super) fn interrupts_silently(&self) -> bool {
        self.interrupts_silently
    }

    /// More descriptors behind the present ones: where the last one links to (ND-P8), or, in 1.x, has been made to
    /// link to before this call (ND-P7). True if the engine finds them by itself, because it knew the link before.
    pub(super) fn push(&mut self, walked: &Walked) -> Result<bool, ChainError> {
        let more = walked.addresses.len();
        let outstanding = self.outstanding.len();
        if outstanding + more > MOST {
            return Err(ChainError::TooMany { outstanding, more: u32::try_from(more).unwrap_or(u32::MAX) });
        }
        // On a descriptor that links to itself the engine's reports of old and new work look the same.
        let first = walked.addresses.first().copied().ok_or(ChainError::Empty)?;
        if self.last.is_some_and(|last| last.get() == first) || self.outstanding.back() == Some(&first) {
            return Err(ChainError::SelfLinked { address: first });
        }
        let known = self.tail_next == first;
        if !known {
            self.check_link(first)?;
        }
        self.outstanding.extend(&walked.addresses);
        self.tail_next = walked.tail_next;
        self.updates_status |= walked.updates_status;
        self.interrupts_silently |= walked.interrupts_silently;
        Ok(known)
    }

    /// The last descriptor links to `first` by now.
    fn check_link(&self, first: u64) -> Result<(), ChainError> {
        let last = self.last.map(DescriptorAddr::get);
        let Some(tail) = self.outstanding.back().copied().or(last) else { return Ok(()) };
        let next = next_of(&locate(&self.near, tail, 0)?);
        if next == first { Ok(()) } else { Err(ChainError::NotLinked { tail, next, first }) }
    }

    /// The engine reports that it completed the descriptor at `address`; `idle` that nothing is left.
    pub(super) fn advance(&mut self, address: u64, idle: bool) -> Result<(), Misreported> {
        if address == 0 {
            return if self.anchored { Ok(()) } else { Err(Misreported) };
        }
        let completed = DescriptorAddr::new(address).ok_or(Misreported)?;
        // The whole of a self-linked chain: only "idle" tells how far it is.
        let all_of_it = idle && self.outstanding.back() == Some(&address);
        if self.last == Some(completed) && !all_of_it {
            return Ok(());
        }
        let position = match all_of_it {
            true => self.outstanding.len() - 1,
            false => {
                self.outstanding.iter().position(|under_way| *under_way == address).ok_or(Misreported)?
            }
        };
        self.outstanding.drain(..=position);
        self.completed += position as u64 + 1;
        self.last = Some(completed);
        self.anchored = false;
        Ok(())
    }

    /// Where the engine must go on behind what it has processed, with the links as they are in memory now
    /// (bridge d). The descriptors under way are found anew, for a suspended chain may have been edited.
    pub(super) fn rebase(&mut self, limits: &Limits) -> Result<Rebase, ChainError> {
        let next = match self.last {
            Some(last) => next_of(&locate(&self.near, last.get(), 0)?),
            None => self.near.physical().0,
        };
        let count = u32::try_from(self.outstanding.len()).unwrap_or(u32::MAX);
        if count == 0 {
            self.tail_next = next;
            // Told where to go on, it has completed nothing since.
            self.anchored |= next != 0;
            return Ok(Rebase { next, count: 0 });
        }
        let ends = !limits.counted() || self.tail_next == 0;
        let extent = if ends { Extent::ToItsEnd } else { Extent::Counted(count) };
        let walked = walk_from(&locate(&self.near, next, 0)?, extent, limits)?;
        let count = u16::try_from(walked.addresses.len()).unwrap_or(u16::MAX);
        self.outstanding = walked.addresses.into();
        self.tail_next = walked.tail_next;
        self.updates_status |= walked.updates_status;
        self.interrupts_silently |= walked.interrupts_silently;
        self.anchored = true;
        Ok(Rebase { next, count })
    }
}

/// What to tell the engine to go on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rebase {
    /// For CHAINADDR; 0 when the chain ended.
    pub(super) next: u64,
    /// For DMACOUNT.
    pub(super) count: u16,
}
