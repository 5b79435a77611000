//! Stage 4 of 9: copy. The data moves, with no lock held, in pieces of at most 64 KiB.

use ioat_spec::ChanErr;
use ioat_stage::{Action, Faults, Mark, Point, Stage};
use vm_memory::Bytes;

use crate::fetch::Slot;
use crate::memory::{GuestMemory, Lane, Want, access};
use crate::page_break::Break;
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
    // The verdict on a descriptor is asked once, also if it is carried out in several steps.
    if operation.at == 0 {
        match path.ask(Point::Copy, operation.slot.sequence, operation.slot.destination, size) {
            Some(Action::Halt(chanerr)) => {
                return Err(refuse(&operation, ChanErr::from_bits(chanerr), Mark::Faulted, path));
            }
            Some(Action::Corrupt { offset, mask }) => operation.corrupt = Some((offset, mask)),
            _ => {}
        }
    }
    operation.at += move_piece(&ranges, &operation);
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
    path: &Path<'_, M, F, T>,
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
        match piece(&operation, path.memory) {
            Ok(piece) => operation.at += move_piece(&piece, &operation),
            Err(chanerr) => return Err(refuse(&operation, chanerr, error(chanerr), path)),
        }
    }
    landed(&operation, path)
}

/// All of it is moved.
#[inline(always)]
fn landed<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    path: &Path<'_, M, F, T>,
) -> Result<Copied, Unfinished> {
    let slot = operation.slot;
    let mark = match operation.corrupt {
        Some((offset, mask)) => corrupt(*operation, offset, mask, path.memory),
        None => Mark::Ok,
    };
    path.event(Stage::Copy, slot.sequence, slot.destination, slot.size.into(), mark);
    Ok(Copied { slot })
}

/// Device model 5.1: an error whose every bit is masked counts as done; any other leaves what remains of it.
pub(crate) fn forgive(refused: Refused, mask: ChanErr) -> Result<Copied, ChanErr> {
    let unmasked = refused.chanerr.without(mask);
    if unmasked.is_empty() { Ok(Copied { slot: refused.slot }) } else { Err(unmasked) }
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

/// The fault: flips bits of one byte of the output.
#[cold]
fn corrupt<M: GuestMemory>(operation: Operation, offset: u64, mask: u64, memory: &M) -> Mark {
    if matches!(operation.kind, Kind::Null | Kind::Context) {
        return Mark::Ok;
    }
    let offset = offset % u64::from(operation.slot.size);
    let (address, _) = Break::place(operation.breaks.destination, operation.slot.destination, offset, 1);
    let Ok(byte) = memory.resolve(Lane::Destination, address, 1, Want::Write) else { return Mark::Ok };
    match byte.read_obj::<u8>(0).and_then(|value| byte.write_obj(value ^ mask.to_le_bytes()[0], 0)) {
        Ok(()) => Mark::Faulted,
        Err(_) => Mark::Ok,
    }
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
