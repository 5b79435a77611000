//! Stage 2 of 9: fetch. One descriptor becomes an owned copy: the guest may rewrite its own at any time.

mod deviant;

use ioat_spec::descriptor::DESCRIPTOR_SIZE;
use ioat_spec::{ChanErr, Control, Descriptor};
use ioat_stage::{Faults, Mark, Point, Stage};
use zerocopy::{FromZeros, IntoBytes};

use crate::memory::{GuestMemory, Lane, Want, access};
use crate::path::{Path, error};
use crate::scribe::Scribe;

/// Bits of a descriptor address that must be 0.
pub(crate) const ALIGNMENT_MASK: u64 = DESCRIPTOR_SIZE as u64 - 1;

/// Where a chain is: what the fetch needs to know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// The descriptor to fetch.
    pub(crate) address: u64,
    /// CHAINADDR names it, not a `next` field.
    pub(crate) first: bool,
    /// Its number.
    pub(crate) sequence: u64,
}

/// Which slot of the ring it is, and what of it matters after its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) address: u64,
    pub(crate) sequence: u64,
    /// Where the chain goes on.
    pub(crate) next: u64,
    pub(crate) control: Control,
    /// Bytes that it moves.
    pub(crate) size: u32,
    /// Where they go to; 0 for what has no destination.
    pub(crate) destination: u64,
}

impl Slot {
    /// One that could not be read.
    pub(crate) fn unread(position: Position) -> Self {
        let Position { address, sequence, .. } = position;
        Self { address, sequence, next: 0, control: Control::new(), size: 0, destination: 0 }
    }
}

/// A descriptor as it was in one instant.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Fetched {
    pub(crate) descriptor: Descriptor,
    pub(crate) address: u64,
    pub(crate) sequence: u64,
}

impl Fetched {
    /// The slot.
    #[inline(always)]
    pub(crate) fn slot(&self) -> Slot {
        let Self { descriptor, address, sequence } = *self;
        let Descriptor { next, size, destination, .. } = descriptor;
        Slot { address, sequence, next, control: descriptor.control(), size, destination }
    }
}

/// Why there is no descriptor.
pub(crate) enum Unfetched {
    /// It could not be read.
    Failed(ChanErr),
    /// The fault: it counts as done, and nothing of it is.
    Skipped(Slot),
    /// The fault: the step ends before it.
    Cut,
}

/// Loads the descriptor at `position`.
#[inline(always)]
pub(crate) fn next<M: GuestMemory, F: Faults, T: Scribe>(
    position: Position,
    path: &mut Path<'_, M, F, T>,
) -> Result<Fetched, Unfetched> {
    let Position { address, sequence, .. } = position;
    let verdict = path.ask(Point::Fetch, sequence, address, DESCRIPTOR_SIZE as u64);
    let loaded = match verdict {
        None => load(position, path.memory).map_err(Unfetched::Failed),
        Some(action) => deviant::load_as(action, position, path),
    };
    if let Ok(descriptor) = &loaded {
        deviant::remember(descriptor, path);
    }
    let mark = match loaded {
        _ if verdict.is_some() => Mark::Faulted,
        Err(Unfetched::Failed(chanerr)) => error(chanerr),
        _ => Mark::Ok,
    };
    path.event(Stage::Fetch, sequence, address, DESCRIPTOR_SIZE as u64, mark);
    loaded.map(|descriptor| Fetched { descriptor, address, sequence })
}

/// Loads a descriptor that was asked about and traced before.
#[cold]
pub(crate) fn resume<M: GuestMemory, F: Faults, T: Scribe>(
    position: Position,
    path: &mut Path<'_, M, F, T>,
) -> Result<Fetched, ChanErr> {
    let fetched = again(position, path.memory)?;
    deviant::remember(&fetched.descriptor, path);
    Ok(fetched)
}

/// Loads it once more, for a rare way. The loop must not keep a descriptor for those: it would be in memory for all. What
/// this load says is what counts, so whoever goes on with it checks all of it.
#[inline(never)]
pub(crate) fn again<M: GuestMemory>(position: Position, memory: &M) -> Result<Fetched, ChanErr> {
    let Position { address, sequence, .. } = position;
    load(position, memory).map(|descriptor| Fetched { descriptor, address, sequence })
}

/// A descriptor as it is in memory.
#[inline(always)]
pub(crate) fn load<M: GuestMemory>(position: Position, memory: &M) -> Result<Descriptor, ChanErr> {
    let Position { address, first, .. } = position;
    if address & ALIGNMENT_MASK != 0 {
        return Err(if first { ChanErr::CHAIN_ADDRESS } else { ChanErr::DESCRIPTOR });
    }
    let slice = memory
        .resolve(Lane::Descriptor, address, DESCRIPTOR_SIZE as u64, Want::Read)
        .map_err(|_| unmapped(first))?;
    match access::load_descriptor(&slice) {
        Ok(words) => Ok(zerocopy::transmute!(words)),
        Err(_) => gather(position, memory),
    }
}

/// A descriptor across a boundary of maps, in as many pieces.
#[cold]
fn gather<M: GuestMemory>(position: Position, memory: &M) -> Result<Descriptor, ChanErr> {
    let mut descriptor = Descriptor::new_zeroed();
    let mut rest = descriptor.as_mut_bytes();
    let mut address = position.address;
    while !rest.is_empty() {
        let slice = memory
            .resolve(Lane::Descriptor, address, rest.len() as u64, Want::Read)
            .map_err(|_| unmapped(position.first))?;
        let count = slice.copy_to(rest);
        rest = &mut rest[count..];
        address = address.wrapping_add(count as u64);
    }
    Ok(descriptor)
}

/// The bit for a descriptor that is not mapped depends on who named it (5.2).
fn unmapped(first: bool) -> ChanErr {
    if first { ChanErr::CHAIN_ADDRESS } else { ChanErr::NEXT_DESCRIPTOR_ADDRESS }
}
