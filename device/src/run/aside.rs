//! The rare ways of a descriptor: what is owed from an earlier step, more than one piece, page breaks, context changes, and the
//! fault `early`. None of it is in the loop.

use ioat_spec::DcaCtrl;
use ioat_stage::{Faults, Mark};

use super::{Ending, Flow, Progress};
use crate::channel::Owed;
use crate::complete::{self, Notice, Permit, Retired};
use crate::copy::{self, Copied, Unfinished};
use crate::fetch::{self, Slot};
use crate::lint::Witness;
use crate::memory::GuestMemory;
use crate::path::{Path, error};
use crate::scribe::Scribe;
use crate::translate::{self, Kind, Operation, Planned, Ranges};

/// The rest of a descriptor that an earlier step left half done.
#[inline(never)]
pub(super) fn carry_on<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    match progress.owed.take() {
        Some(owed) => carry_out(owed, progress, path),
        None => Flow::End,
    }
}

/// A descriptor that few ask for: page breaks, a context change.
#[inline(never)]
pub(super) fn rare<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let fetched = match fetch::again(progress.tally.place.position(), path.memory) {
        Ok(fetched) => fetched,
        Err(chanerr) => {
            path.executed(&Slot::unread(progress.tally.place.position()), error(chanerr));
            return progress.halted(chanerr.without(path.terms.chan_err_msk), path);
        }
    };
    let operation = match translate::plan_rare(fetched, path) {
        Ok(operation) => operation,
        Err(refused) => return progress.refused(refused, None, path),
    };
    match complete::reserve(&operation.slot, path) {
        Permit::Early => complete_early(operation, progress, path),
        permit => carry_out(Owed { operation, permit }, progress, path),
    }
}

/// What is owed, from where it stands.
fn carry_out<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    Owed { operation, permit }: Owed,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    if operation.kind == Kind::Context {
        return change_context(operation, permit, progress, path);
    }
    let copied = match translate::resume(operation, path) {
        Ok(planned) => copy::run(planned, path),
        Err(refused) => Err(Unfinished::Refused(refused)),
    };
    match copied {
        Ok(copied) => settle(copied, permit, progress, path),
        Err(unfinished) => finish_later(unfinished, permit, progress, path),
    }
}

/// A context change takes two steps: its target is published at the end of the first one, its word is stored in the second. So
/// whoever sees the word finds the target in DCACTRL.
fn change_context<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    operation: Operation,
    permit: Permit,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    if operation.at != 0 {
        return settle(Copied { slot: operation.slot }, permit, progress, path);
    }
    match copy::run(Planned { operation, ranges: Ranges::Nothing }, path) {
        Ok(_) => {
            let [apic_id, ..] = operation.source.to_le_bytes();
            *progress.dca = Some(DcaCtrl::new().with_apic_id(apic_id.into()).with_enable(true));
            *progress.owed = Some(Owed { operation: Operation { at: 1, ..operation }, permit });
            Flow::End
        }
        Err(unfinished) => finish_later(unfinished, permit, progress, path),
    }
}

/// What follows the first piece of a descriptor, if it was not all of it.
#[inline(never)]
pub(super) fn finish_later<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    unfinished: Unfinished,
    permit: Permit,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let outcome = match unfinished {
        Unfinished::Remains(operation) => copy::rest(&operation, progress.signals, path),
        other => Err(other),
    };
    match outcome {
        Ok(copied) => settle(copied, permit, progress, path),
        Err(Unfinished::Remains(operation)) => {
            *progress.owed = Some(Owed { operation, permit });
            Flow::End
        }
        Err(Unfinished::Refused(refused)) => progress.refused(refused, Some(permit), path),
        Err(Unfinished::Abandoned) => Flow::End,
    }
}

/// Retires a descriptor that took more than one piece or step.
fn settle<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    copied: Copied,
    permit: Permit,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    if permit != Permit::Early {
        return progress.retire(copied, permit, path);
    }
    // The word and the interrupt came before the data.
    match complete::retire(copied, Permit::Silent, progress.tally.place.done, progress.signals, path) {
        Ok(retired) => {
            path.executed(&copied.slot, Mark::Faulted);
            progress.retired(Retired { notice: Notice::Quiet, ..retired })
        }
        Err(refused) => progress.failed(refused, path),
    }
}

/// The fault `early`: the word and what follows it now, the data in a later step.
#[cold]
pub(super) fn complete_early<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    operation: Operation,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let done = progress.tally.place.done;
    progress.witness.completing(operation.slot.sequence);
    match complete::retire_early(&operation.slot, done, progress.signals, path) {
        Ok(retired) => {
            progress.tally.completed = retired.completed;
            *progress.ending = Ending::Stopped(Some(retired));
            *progress.starting = true;
            *progress.owed = Some(Owed { operation, permit: Permit::Early });
            Flow::End
        }
        Err(refused) => progress.failed(refused, path),
    }
}
