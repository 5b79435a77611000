//! The rare ways of a descriptor: what is owed from an earlier step, more than one piece, page breaks, context changes, and what
//! faults do to its course. None of it is in the loop.

use ioat_spec::{ChanErr, DcaCtrl};
use ioat_stage::{Action, Faults, Mark};

use super::{Ending, Flow, Progress};
use crate::channel::{Owed, Wait};
use crate::complete::{self, Notice, Permit, Retired};
use crate::copy::{self, Copied, Unfinished};
use crate::fetch::{self, Fetched, Slot};
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
        Some(Owed::Fetch) => {
            let fetched = fetch::resume(progress.tally.place.position(), path);
            if let Ok(fetched) = &fetched {
                progress.witness.fetched(fetched);
            }
            go_on(fetched, progress, path)
        }
        Some(Owed::Planned(operation)) => reserve(operation, progress, path),
        Some(Owed::Word { slot, permit }) => settle(Copied { slot }, permit, progress, path),
        Some(Owed::Data { operation, permit }) => carry_out(operation, permit, progress, path),
        None => Flow::End,
    }
}

/// A descriptor that few ask for: page breaks, a context change.
#[inline(never)]
pub(super) fn rare<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    kept: Option<Fetched>,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let position = progress.tally.place.position();
    let fetched = kept.map_or_else(|| fetch::again(position, path.memory), Ok);
    go_on(fetched, progress, path)
}

/// Stages 3 to 5 of a descriptor of any kind.
fn go_on<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    fetched: Result<Fetched, ChanErr>,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let fetched = match fetched {
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
    if path.deviation().is_some_and(|deviation| deviation.cut.is_some()) {
        return progress.break_off(Owed::Planned(operation), path);
    }
    reserve(operation, progress, path)
}

/// Reserves the completion of an operation, and carries it out.
fn reserve<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    operation: Operation,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let permit = complete::reserve(&operation.slot, path);
    if permit.is_early() {
        return complete_early(operation, progress, path);
    }
    carry_out(operation, permit, progress, path)
}

/// An operation, from where it stands.
fn carry_out<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    operation: Operation,
    permit: Permit,
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
        // What stands in the size's place is the target: no bytes moved.
        let slot = Slot { size: 0, ..operation.slot };
        return settle(Copied { slot }, permit, progress, path);
    }
    match copy::run(Planned { operation, ranges: Ranges::Nothing }, path) {
        Ok(_) => {
            let [apic_id, ..] = operation.source.to_le_bytes();
            *progress.dca = Some(DcaCtrl::new().with_apic_id(apic_id.into()).with_enable(true));
            let operation = Operation { at: 1, ..operation };
            *progress.owed = Some(Owed::Data { operation, permit });
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
            *progress.owed = Some(Owed::Data { operation, permit });
            Flow::End
        }
        Err(Unfinished::Cut(operation)) => progress.break_off(Owed::Data { operation, permit }, path),
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
    if !permit.is_early() {
        return progress.retire(copied, permit, path);
    }
    // The word and the interrupt came before the data.
    match complete::retire(copied, Permit::Silent, progress.tally.place.done, progress.signals, path) {
        Ok(retired) => {
            path.executed(&copied.slot, Mark::Faulted);
            progress.retired(Retired { notice: Notice::Quiet, ..retired }, path)
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
            *progress.wait = Wait::Start;
            *progress.owed = Some(Owed::Data { operation, permit: Permit::Deviate(Action::Early) });
            Flow::End
        }
        Err(refused) => progress.failed(refused, path),
    }
}

/// The fault `early` of a message: the interrupt now, the word in a later step.
#[cold]
pub(super) fn interrupt_early<W: Witness>(
    copied: Copied,
    permit: Permit,
    progress: &mut Progress<'_, W>,
) -> Flow {
    let Slot { sequence, control, .. } = copied.slot;
    let slot = Slot { control: control.with_int_en(false), ..copied.slot };
    let completed = progress.tally.completed;
    let noticed = Retired { completed, sequence, notice: Notice::Descriptor, next: 0, len: 0 };
    *progress.ending = Ending::Stopped(Some(noticed));
    *progress.wait = Wait::Start;
    *progress.owed = Some(Owed::Word { slot, permit });
    Flow::End
}

/// The fault `drop` of a fetch: the descriptor counts as done, without its data, its word and its interrupt.
#[cold]
pub(super) fn skip<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    slot: Slot,
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    path.executed(&slot, Mark::Faulted);
    let Slot { address: completed, sequence, next, .. } = slot;
    progress.retired(Retired { completed, sequence, notice: Notice::Quiet, next, len: 0 }, path)
}
