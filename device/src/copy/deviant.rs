//! Stage 4 under a fault: the verdicts on a descriptor's data, and how it moves then.
//!
//! A piece goes through a buffer of this program's, so that each fault is done where it is said to be: what is read is
//! altered, then written elsewhere, in part, later, or not. Whatever is touched goes through the client's maps.

use ioat_spec::ChanErr;
use ioat_stage::{Action, Faults, Mark, Point, Stage};

use super::{Unfinished, refuse};
use crate::deviation::{Cut, Patch, Verdicts};
use crate::memory::{GuestMemory, Lane, Want};
use crate::page_break::Break;
use crate::path::Path;
use crate::postponed::What;
use crate::scribe::Scribe;
use crate::translate::{Kind, Operation, PIECE_BYTES};

/// Asks for the verdicts on a descriptor's data, once, also if it is moved in several steps; those that end it come first.
/// What moves nothing is asked about as a whole only.
#[cold]
pub(super) fn judge<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    path: &mut Path<'_, M, F, T>,
) -> Result<(), Unfinished> {
    let asked = path.deviation().is_none_or(|deviation| deviation.verdicts.asked);
    if !asked {
        ask(operation, path);
        if let Some(cut) = path.deviation().and_then(|deviation| Cut::of(deviation.verdicts.copy)) {
            return Err(interrupt(operation, cut, path));
        }
    }
    match path.deviation().and_then(|deviation| deviation.verdicts.halt()) {
        Some(bits) => Err(refuse(operation, ChanErr::from_bits(bits), Mark::Faulted, path)),
        None => Ok(()),
    }
}

/// The whole, then its halves: a half that does not come to pass is not asked about.
fn ask<M: GuestMemory, F: Faults, T: Scribe>(operation: &Operation, path: &mut Path<'_, M, F, T>) {
    let (slot, size) = (operation.slot, u64::from(operation.slot.size));
    let ends = |verdict| matches!(verdict, Some(Action::Halt(_) | Action::Stall | Action::Kill));
    let copy = path.ask(Point::Copy, slot.sequence, slot.destination, size);
    let (mut read, mut write) = (None, None);
    if !ends(copy) && operation.kind == Kind::Copy {
        read = path.ask(Point::Read, slot.sequence, operation.source, size);
    }
    if !ends(copy) && !ends(read) && operation.kind.moves() {
        write = path.ask(Point::Write, slot.sequence, slot.destination, size);
    }
    if let Some(deviation) = path.deviation() {
        deviation.verdicts = Verdicts { asked: true, copy, read, write, ..deviation.verdicts };
    }
}

/// The step ends before the data has moved; or, where it never goes on, in the middle of its first piece.
fn interrupt<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    cut: Cut,
    path: &mut Path<'_, M, F, T>,
) -> Unfinished {
    let slot = operation.slot;
    if !matches!(cut, Cut::Delay(_)) {
        let half = u64::from(slot.size).min(PIECE_BYTES) / 2;
        if let Some(deviation) = path.deviation() {
            deviation.verdicts.write = Some(Action::Short(half));
        }
        if operation.kind.moves() {
            // Memory that is not there is not written: the engine finds no time to say so.
            let _ = move_piece(operation, path);
        }
        path.event(Stage::Copy, slot.sequence, slot.destination, slot.size.into(), Mark::Faulted);
    }
    if let Some(deviation) = path.deviation() {
        deviation.cut = Some(cut);
    }
    Unfinished::Cut(*operation)
}

/// Moves one piece as the verdicts have it; returns its length.
#[cold]
pub(super) fn move_piece<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    path: &mut Path<'_, M, F, T>,
) -> Result<u64, ChanErr> {
    let memory = path.memory;
    let Some(deviation) = path.deviation() else { return Err(ChanErr::DMA_INTEGRITY) };
    let verdicts = deviation.verdicts;
    let (at, size) = (operation.at, u64::from(operation.slot.size));
    let data = read(operation, at, size - at, &verdicts, memory)?;
    let len = data.len() as u64;
    let destination = place(operation, at, &verdicts);
    match verdicts.write {
        Some(Action::Drop) => {}
        Some(Action::Short(bytes)) => {
            let part = usize::try_from(bytes.saturating_sub(at).min(len)).unwrap_or(data.len());
            scatter(memory, destination, &data[..part])?;
        }
        Some(Action::Misaddress(delta)) => scatter(memory, destination.wrapping_add_signed(delta), &data)?,
        Some(Action::Delay(after_ns)) => {
            deviation.later.push((after_ns, What::Store { iova: destination, bytes: data.into() }));
        }
        Some(Action::Duplicate) => {
            scatter(memory, destination, &data)?;
            deviation.fresh.push((destination, data.into()));
        }
        Some(Action::Overrun(bytes)) => {
            scatter(memory, destination, &data)?;
            if at + len == size {
                overrun(operation, bytes, &verdicts, memory)?;
            }
        }
        _ => scatter(memory, destination, &data)?,
    }
    Ok(len)
}

/// Where byte `at` of a descriptor's data goes, as it was translated.
fn place(operation: &Operation, at: u64, verdicts: &Verdicts) -> u64 {
    let (address, _) = Break::place(operation.breaks.destination, operation.slot.destination, at, 0);
    address.wrapping_add_signed(verdicts.shift)
}

/// What a descriptor's data is from byte `at` on, as the verdicts have it: up to `most` bytes, a piece, or the next page break.
fn read<M: GuestMemory>(
    operation: &Operation,
    at: u64,
    most: u64,
    verdicts: &Verdicts,
    memory: &M,
) -> Result<Vec<u8>, ChanErr> {
    let Operation { breaks, slot, .. } = *operation;
    let size = slot.size.into();
    let (source, before_source) = Break::place(breaks.source, operation.source, at, most);
    let (_, before_destination) = Break::place(breaks.destination, slot.destination, at, most);
    let len = before_source.min(before_destination).min(PIECE_BYTES);
    let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
    match operation.kind {
        Kind::Copy => {
            let delta = match verdicts.read {
                Some(Action::Misaddress(delta)) => delta,
                _ => 0,
            };
            gather(memory, source.wrapping_add_signed(delta), &mut data)?;
        }
        Kind::Fill => {
            let pattern = operation.source.to_le_bytes().into_iter().cycle();
            let from = usize::try_from(at % 8).unwrap_or(0);
            data.iter_mut().zip(pattern.skip(from)).for_each(|(byte, value)| *byte = value);
        }
        Kind::Null | Kind::Context => {}
    }
    match verdicts.read {
        Some(Action::Zeros) => data.fill(0),
        Some(Action::AllOnes) => data.fill(0xff),
        _ => {}
    }
    for patch in [verdicts.read, verdicts.copy].into_iter().filter_map(Patch::of) {
        patch.apply(&mut data, at, size);
    }
    Ok(data)
}

/// The data once more from its beginning, behind its end.
fn overrun<M: GuestMemory>(
    operation: &Operation,
    bytes: u64,
    verdicts: &Verdicts,
    memory: &M,
) -> Result<(), ChanErr> {
    let (size, mut done) = (u64::from(operation.slot.size), 0);
    while done < bytes {
        let at = done % size;
        let data = read(operation, at, (size - at).min(bytes - done), verdicts, memory)?;
        scatter(memory, place(operation, size, verdicts).wrapping_add(done), &data)?;
        done += data.len() as u64;
    }
    Ok(())
}

/// Reads bytes that may lie in several maps.
fn gather<M: GuestMemory>(memory: &M, iova: u64, data: &mut [u8]) -> Result<(), ChanErr> {
    let mut done = 0;
    while done < data.len() {
        let rest = &mut data[done..];
        let slice = memory
            .resolve(Lane::Source, iova.wrapping_add(done as u64), rest.len() as u64, Want::Read)
            .map_err(|_| ChanErr::SOURCE_ADDRESS)?;
        done += slice.copy_to(rest);
    }
    Ok(())
}

/// Writes bytes that may go to several maps.
fn scatter<M: GuestMemory>(memory: &M, iova: u64, data: &[u8]) -> Result<(), ChanErr> {
    let mut done = 0;
    while done < data.len() {
        let rest = &data[done..];
        let slice = memory
            .resolve(Lane::Destination, iova.wrapping_add(done as u64), rest.len() as u64, Want::Write)
            .map_err(|_| ChanErr::DESTINATION_ADDRESS)?;
        let len = slice.len().min(rest.len());
        slice.copy_from(&rest[..len]);
        done += len;
    }
    Ok(())
}
