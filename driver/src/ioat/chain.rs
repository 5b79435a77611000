//! What was given to the engine: the descriptors under way, in the order in which it reports them.
//!
//! The engine names a completed descriptor by address. Only an address that is in this list moves it on; any
//! other is a wrong report, and never a completion.

use std::collections::VecDeque;

use ioat_spec::DmaCapability;
use ioat_spec::descriptor::DESCRIPTOR_SIZE;

use super::ChainError;
use crate::contract::{ControlFlags, DescriptorAddr, DmaLocation, FirstDescriptor, OpType};

/// Most descriptors under way: DMACOUNT counts modulo 65536.
pub(super) const MOST: usize = u16::MAX as usize;

/// What an engine takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) capability: DmaCapability,
    pub(super) max_transfer: u32,
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

/// Follows `count` links from `first`, or, where no count is given (1.x), to the zero that ends the chain, and
/// makes every descriptor one that the engine takes.
pub(super) fn walk(first: &FirstDescriptor, limits: &Limits) -> Result<Walked, ChainError> {
    walk_from(first.location(), first.count(), limits)
}

/// As [`walk`], from a place.
pub(super) fn walk_from(first: &DmaLocation, count: u32, limits: &Limits) -> Result<Walked, ChainError> {
    let most = if count == 0 { MOST } else { count as usize };
    if most > MOST {
        return Err(ChainError::TooMany { outstanding: 0, more: count });
    }
    let mut walked = Walked {
        addresses: Vec::with_capacity(count as usize),
        tail_next: first.physical().0,
        updates_status: false,
        interrupts_silently: false,
    };
    let mut place = first.clone();
    loop {
        let address = place.physical().0;
        let flags = admit(&place, limits)?;
        walked.updates_status |= flags.updates_status();
        walked.interrupts_silently |= flags.interrupts() && !flags.updates_status();
        walked.addresses.push(address);
        walked.tail_next = next_of(&place);
        if walked.addresses.len() == most || (count == 0 && walked.tail_next == 0) {
            return Ok(walked);
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

/// Refuses what the engine cannot do, before it halts on it; and writes a transfer of no bytes as NULL with one,
/// because real channels reject a size of 0 (bridge g).
fn admit(place: &DmaLocation, limits: &Limits) -> Result<ControlFlags, ChainError> {
    let word = load(place, 0).to_le_bytes();
    let size = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    let flags = ControlFlags(u32::from_le_bytes([word[4], word[5], word[6], word[7]]));
    let address = place.physical().0;
    let not_offered = |what| Err(ChainError::NotOffered { address, what });
    let page_breaks = ControlFlags::SOURCE_PAGE_BREAK.0 | ControlFlags::DESTINATION_PAGE_BREAK.0;
    match flags.op_type() {
        OpType::StandardDma => {}
        OpType::Other(FILL) if limits.capability.fill() => {}
        OpType::ContextChange if limits.capability.dca() => return Ok(flags),
        OpType::ContextChange => return not_offered("a DCA context change"),
        OpType::Other(_) => return not_offered("an operation"),
    }
    if flags.0 & page_breaks != 0 && !limits.capability.page_break() {
        return not_offered("a page break");
    }
    if size > limits.max_transfer {
        return Err(ChainError::TooLong { address, size, limit: limits.max_transfer });
    }
    if size == 0 {
        // Both halves in one store: `size` 1, and the NULL flag beside the others. A FILL has no NULL flag; of
        // no bytes it is a NULL as well.
        let standard = ControlFlags(flags.0 & 0x00ff_ffff).with(ControlFlags::NULL_TRANSFER);
        store(place, 0, u64::from(standard.0) << 32 | 1);
    }
    Ok(flags)
}

/// Opcode of FILL; beside NetDMA's own operations, because every v3 engine has it.
const FILL: u8 = ioat_spec::Opcode::Fill as u8;

fn load(place: &DmaLocation, field: usize) -> u64 {
    place
        .buffer()
        .load_u64(place.offset() + field)
        .expect("a descriptor's place was checked when it was made")
}

fn store(place: &DmaLocation, field: usize, value: u64) {
    let stored = place.buffer().store_u64(place.offset() + field, value);
    stored.expect("a descriptor's place was checked when it was made");
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
    last: Option<DescriptorAddr>,
    /// Nothing has completed since CHAINADDR was written: the engine then reports address 0.
    anchored: bool,
    tail_next: u64,
    updates_status: bool,
    interrupts_silently: bool,
}

impl Chain {
    pub(super) fn new(first: &DmaLocation, walked: Walked) -> Self {
        Self {
            near: first.clone(),
            outstanding: walked.addresses.into(),
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

    /// Whether `first` is where the engine goes on by itself after what it has (2.0).
    pub(super) fn continues_at(&self, first: u64) -> bool {
        self.tail_next == first
    }

    pub(super) fn updates_status(&self) -> bool {
        self.updates_status
    }

    /// The completion word does not tell all: look at CHANSTS (bridge f).
    pub(super) fn interrupts_silently(&self) -> bool {
        self.interrupts_silently
    }

    /// More descriptors behind the present ones.
    pub(super) fn push(&mut self, walked: &Walked) -> Result<(), ChainError> {
        let more = walked.addresses.len();
        let outstanding = self.outstanding.len();
        if outstanding + more > MOST {
            return Err(ChainError::TooMany { outstanding, more: u32::try_from(more).unwrap_or(u32::MAX) });
        }
        // On a descriptor that links to itself the engine's reports of old and new work look the same.
        let first = walked.addresses.first().copied().ok_or(ChainError::Empty)?;
        if self.last.is_some_and(|last| last.get() == first) || self.outstanding.back() == Some(&first) {
            return Err(ChainError::NotOffered { address: first, what: "an Append to a self-linked chain" });
        }
        self.outstanding.extend(&walked.addresses);
        self.tail_next = walked.tail_next;
        self.updates_status |= walked.updates_status;
        self.interrupts_silently |= walked.interrupts_silently;
        Ok(())
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
        let counted = if self.tail_next == 0 { 0 } else { count };
        let walked = walk_from(&locate(&self.near, next, 0)?, counted, limits)?;
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
