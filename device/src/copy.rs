//! Stage 4 of 9: copy. The data moves, with no lock held, in pieces of at most 64 KiB.

mod deviant;

use ioat_spec::ChanErr;
use ioat_stage::{Faults, Mark, Stage};

use crate::fetch::Slot;
use crate::memory::{GuestMemory, access};
use crate::path::{Path, error};
use crate::scribe::Scribe;
use crate::signals::{Signal, Signals};
use crate::translate::{Kind, Operation, Planned, Ranges, Refused, piece};

/// A descriptor whose data is in place.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Copied {
    pub(crate) slot: Slot,
}

/// Why a descriptor is not done.
#[derive(Clone, Copy)]
pub(crate) enum Unfinished {
    /// It failed.
    Refused(Refused),
    /// More is to be moved; or someone waits for the memory, or DMA is off: go on from here later.
    Remains(Operation),
    /// The fault: the step ends here.
    Cut(Operation),
    /// Its chain is gone.
    Abandoned,
}

/// Moves the data of one descriptor: its first piece, which for most is all. [`rest`] moves what remains.
#[inline(always)]
pub(crate) fn run<'m, M: GuestMemory, F: Faults, T: Scribe>(
    planned: Planned<'m>,
    path: &mut Path<'m, M, F, T>,
) -> Result<Copied, Unfinished> {
    let Planned { mut operation, ranges } = planned;
    let size = u64::from(operation.slot.size);
    if F::ACTIVE {
        deviant::judge(&operation, path)?;
    }
    operation.at += if altered(&operation, path) {
        match deviant::move_piece(&operation, path) {
            Ok(len) => len,
            Err(chanerr) => return Err(failed(&operation, chanerr, path)),
        }
    } else {
        move_piece(&ranges, &operation)
    };
    if operation.at < size && operation.kind != Kind::Null {
        return Err(Unfinished::Remains(operation));
    }
    landed(&operation, path)
}

/// Moves what remains of a descriptor, or as much of it as the orders allow.
#[inline(never)]
pub(crate) fn rest<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Result<Copied, Unfinished> {
    let mut operation = *operation;
    while operation.at < u64::from(operation.slot.size) {
        let signal = signals.look();
        if signal.says(Signal::ABANDON) {
            return Err(Unfinished::Abandoned);
        }
        if signal.says(Signal::PARK) || path.memory.yield_requested() {
            return Err(Unfinished::Remains(operation));
        }
        let moved = if altered(&operation, path) {
            deviant::move_piece(&operation, path)
        } else {
            piece(&operation, path.memory).map(|piece| move_piece(&piece, &operation))
        };
        match moved {
            Ok(len) => operation.at += len,
            Err(chanerr) => return Err(failed(&operation, chanerr, path)),
        }
    }
    landed(&operation, path)
}

/// All of it is moved.
#[inline(always)]
fn landed<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    path: &mut Path<'_, M, F, T>,
) -> Result<Copied, Unfinished> {
    let slot = operation.slot;
    let mark = if faulted(path) { Mark::Faulted } else { Mark::Ok };
    path.event(Stage::Copy, slot.sequence, slot.destination, slot.size.into(), mark);
    Ok(Copied { slot })
}

/// Device model 5.1: an error whose every bit is masked counts as done; any other leaves what remains of it.
pub(crate) fn forgive(refused: Refused, mask: ChanErr) -> Result<Copied, ChanErr> {
    let unmasked = refused.chanerr.without(mask);
    // A fault may halt without any bit: no mask hides that.
    let masked = unmasked.is_empty() && !refused.chanerr.is_empty();
    if masked { Ok(Copied { slot: refused.slot }) } else { Err(unmasked) }
}

/// Moves one piece; returns its length.
#[inline(always)]
fn move_piece(piece: &Ranges<'_>, operation: &Operation) -> u64 {
    let len = match piece {
        Ranges::Copy { source, destination } => {
            access::copy(source, destination);
            source.len().min(destination.len())
        }
        Ranges::Fill { destination } => {
            // A copy of the slice, so that a copy's slices need no address and stay in registers.
            let destination = *destination;
            access::fill(&destination, operation.source.to_le_bytes(), operation.at);
            destination.len()
        }
        Ranges::Nothing => 0,
    };
    len as u64
}

/// A fault has the data move otherwise.
#[inline(always)]
fn altered<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    path: &mut Path<'_, M, F, T>,
) -> bool {
    F::ACTIVE
        && operation.kind.moves()
        && path.deviation().is_some_and(|deviation| deviation.verdicts.alter())
}

/// A rule fired at this stage.
#[inline(always)]
fn faulted<M: GuestMemory, F: Faults, T: Scribe>(path: &mut Path<'_, M, F, T>) -> bool {
    path.deviation().is_some_and(|deviation| deviation.verdicts.about_data())
}

/// The data has no way on, by a fault or not.
#[cold]
fn failed<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    chanerr: ChanErr,
    path: &mut Path<'_, M, F, T>,
) -> Unfinished {
    let mark = if faulted(path) { Mark::Faulted } else { error(chanerr) };
    refuse(operation, chanerr, mark, path)
}

#[inline(always)]
fn refuse<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    chanerr: ChanErr,
    mark: Mark,
    path: &Path<'_, M, F, T>,
) -> Unfinished {
    let slot = operation.slot;
    path.event(Stage::Copy, slot.sequence, slot.destination, slot.size.into(), mark);
    Unfinished::Refused(Refused { slot, chanerr })
}
