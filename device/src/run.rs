//! The middle of a step: descriptors are executed, one after the other, with no lock held.
//!
//! begin (under the channel's lock) makes a [`Run`], which owns the chain, the memory and the channel's faults;
//! [`Run::run`] may take long; finish (under the lock) publishes what it did, or discards it.

use std::sync::Arc;

use ioat_spec::ChanErr;
use ioat_stage::{Faults, Trace};

use crate::channel::{Chain, Owed};
use crate::complete::{self, Notice, Permit, Retired};
use crate::copy::{self, Copied, Unfinished};
use crate::fetch;
use crate::memory::GuestMemory;
use crate::path::{Path, Terms};
use crate::signals::{Signal, Signals};
use crate::translate::{self, Operation, PIECE_BYTES, Refused};

/// The most descriptors of one step: CHANSTS shows progress at least that often.
const CHUNK_DESCRIPTORS: u32 = 256;
/// A step ends after the descriptor that reaches this many bytes.
const CHUNK_BYTES: u64 = 1 << 20;
/// What a small descriptor counts between two questions whether an unmap waits.
const PAGE_BYTES: u64 = 4096;

/// One step of a channel, between begin and finish. It must be given back to
/// [`finish`](crate::function::Function::finish): the channel waits for it.
#[must_use]
pub struct Run<M, F, T> {
    pub(crate) terms: Terms,
    pub(crate) memory: M,
    pub(crate) faults: F,
    pub(crate) trace: Arc<T>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) chain: Chain,
    /// The last descriptor that completed; 0 if none has.
    pub(crate) completed: u64,
    /// The last one that was fetched.
    pub(crate) current: u64,
    pub(crate) ending: Ending,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Between descriptors, or inside one that is owed; the last one may want an interrupt.
    Stopped(Option<Retired>),
    /// By an error.
    Halted(ChanErr, Retired),
}

/// What a descriptor leaves to the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    /// The step ends; how, is in [`Progress::ending`].
    End,
}

/// How far a step is. Results are written here, not passed up, so that the common case keeps them in registers.
struct Progress<'a> {
    chain: &'a mut Chain,
    completed: &'a mut u64,
    ending: &'a mut Ending,
    signals: &'a Signals,
    descriptors: u32,
    bytes: u64,
    /// Bytes since the last question whether an unmap waits; a descriptor counts as a page at least.
    unasked: u64,
    /// The last descriptor up to which memory is known to have been sound.
    sound: u64,
}

impl<M: GuestMemory, F: Faults, T: Trace> Run<M, F, T> {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> usize {
        self.terms.channel.into()
    }

    /// Executes what the step has to do. Takes no lock; looks at the orders to stop between descriptors, and every 64 KiB.
    pub fn run(&mut self) {
        let Self { terms, memory, faults, trace, signals, chain, completed, current, ending } = self;
        let mut path = Path { terms, memory, faults, trace: &**trace };
        let sound = *completed;
        let (descriptors, bytes, unasked) = (0, 0, PIECE_BYTES);
        let mut progress = Progress { chain, completed, ending, signals, descriptors, bytes, unasked, sound };
        progress.execute_all(current, &mut path);
        progress.verify(&mut path);
    }
}

impl Progress<'_> {
    /// Descriptors, until the step ends.
    #[inline(always)]
    fn execute_all<M: GuestMemory, F: Faults, T: Trace>(
        &mut self,
        current: &mut u64,
        path: &mut Path<'_, M, F, T>,
    ) {
        // Only the first one can be owed: a descriptor that becomes so ends the run.
        if self.chain.owed.is_some() && (self.stops_inside() || carry_on(self, path) == Flow::End) {
            return;
        }
        while !self.stops(path.memory) {
            *current = self.chain.next;
            if execute(self, path) == Flow::End {
                return;
            }
        }
    }

    /// A file behind some map may have shrunk under the device since the last word: then what was copied since is
    /// not the guest's data, and must not be published.
    #[inline(always)]
    fn verify<M: GuestMemory, F: Faults, T: Trace>(&mut self, path: &mut Path<'_, M, F, T>) {
        let chanerr = ChanErr::DMA_INTEGRITY.without(path.terms.chan_err_msk);
        let unproven = *self.completed != self.sound || self.chain.owed.is_some();
        let stopped = matches!(self.ending, Ending::Stopped(_));
        if stopped && unproven && path.memory.poisoned() && !chanerr.is_empty() {
            *self.completed = self.sound;
            self.halted(chanerr, path);
        }
    }

    /// The run ends here, between descriptors: nothing is left, or an order says so, or an unmap waits.
    #[inline(always)]
    fn stops<M: GuestMemory>(&mut self, memory: &M) -> bool {
        let signal = self.signals.look();
        if signal.stops() || signal.count() == self.chain.done {
            return true;
        }
        if self.unasked < PIECE_BYTES {
            return false;
        }
        self.unasked = 0;
        memory.yield_requested()
    }

    /// The run ends here, inside a descriptor. SUSPEND waits for its end, and DMACOUNT counts it as not done.
    fn stops_inside(&self) -> bool {
        self.signals.look().says(Signal::ABANDON | Signal::PARK)
    }

    /// A descriptor is done.
    #[inline(always)]
    fn retired(&mut self, retired: Retired) -> Flow {
        self.chain.advance(retired.next);
        *self.completed = retired.completed;
        self.descriptors += 1;
        self.bytes += retired.len;
        self.unasked += retired.len.max(PAGE_BYTES);
        if retired.notice == Notice::Descriptor {
            *self.ending = Ending::Stopped(Some(retired));
            return Flow::End;
        }
        if self.descriptors >= CHUNK_DESCRIPTORS || self.bytes >= CHUNK_BYTES {
            return Flow::End;
        }
        Flow::Next
    }

    /// The channel halts.
    #[cold]
    fn halted<M: GuestMemory, F: Faults, T: Trace>(
        &mut self,
        chanerr: ChanErr,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        let halted = complete::halt(*self.completed, self.chain.sequence, path);
        *self.ending = Ending::Halted(chanerr, halted);
        Flow::End
    }

    /// Stage 5 of a descriptor whose data is in place.
    #[inline(always)]
    fn retire<M: GuestMemory, F: Faults, T: Trace>(
        &mut self,
        copied: Copied,
        permit: Permit,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        match complete::retire(copied, permit, self.chain.done, self.signals, path) {
            Ok(retired) => {
                if permit != Permit::Silent {
                    self.sound = retired.completed;
                }
                self.retired(retired)
            }
            Err(refused) => self.halted(refused.chanerr, path),
        }
    }

    /// A descriptor that failed: the channel halts, unless every bit is masked.
    #[cold]
    fn refused<M: GuestMemory, F: Faults, T: Trace>(
        &mut self,
        refused: Refused,
        permit: Option<Permit>,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        match copy::forgive(refused, path.terms.chan_err_msk) {
            Err(chanerr) => self.halted(chanerr, path),
            Ok(copied) => {
                let permit = permit.unwrap_or_else(|| complete::reserve(&copied.slot, path));
                self.retire(copied, permit.unless_stored(), path)
            }
        }
    }
}

/// One descriptor from its fetch on: stages 2 to 5.
#[inline(always)]
fn execute<M: GuestMemory, F: Faults, T: Trace>(
    progress: &mut Progress<'_>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let fetched = match fetch::next(progress.chain.position(), path) {
        Ok(fetched) => fetched,
        // There is nothing to go on with, so the channel halts even if the bit is masked: then without latching it.
        Err(chanerr) => return progress.halted(chanerr.without(path.terms.chan_err_msk), path),
    };
    let planned = match translate::plan(fetched, path) {
        Ok(planned) => planned,
        Err(refused) => return progress.refused(refused, None, path),
    };
    let permit = complete::reserve(&planned.operation.slot, path);
    if permit == Permit::Early {
        return complete_early(planned.operation, progress, path);
    }
    match copy::run(planned, path) {
        Ok(copied) => progress.retire(copied, permit, path),
        Err(unfinished) => finish_later(unfinished, permit, progress, path),
    }
}

/// The rest of a descriptor that an earlier step left half done.
#[inline(never)]
fn carry_on<M: GuestMemory, F: Faults, T: Trace>(
    progress: &mut Progress<'_>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let Some(Owed { operation, permit }) = progress.chain.owed.take() else { return Flow::End };
    let copied = match translate::resume(operation, path) {
        Ok(planned) => copy::run(planned, path),
        Err(refused) => Err(Unfinished::Refused(refused)),
    };
    match copied {
        Ok(copied) => settle(copied, permit, progress, path),
        Err(unfinished) => finish_later(unfinished, permit, progress, path),
    }
}

/// What follows the first piece of a descriptor, if it was not all of it.
#[inline(never)]
fn finish_later<M: GuestMemory, F: Faults, T: Trace>(
    unfinished: Unfinished,
    permit: Permit,
    progress: &mut Progress<'_>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let outcome = match unfinished {
        Unfinished::Remains(operation) => copy::rest(&operation, progress.signals, path),
        other => Err(other),
    };
    match outcome {
        Ok(copied) => settle(copied, permit, progress, path),
        Err(Unfinished::Remains(operation)) => {
            progress.chain.owed = Some(Owed { operation, permit });
            Flow::End
        }
        Err(Unfinished::Refused(refused)) => progress.refused(refused, Some(permit), path),
        Err(Unfinished::Abandoned) => Flow::End,
    }
}

/// Retires a descriptor that took more than one piece or step.
fn settle<M: GuestMemory, F: Faults, T: Trace>(
    copied: Copied,
    permit: Permit,
    progress: &mut Progress<'_>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    if permit != Permit::Early {
        return progress.retire(copied, permit, path);
    }
    // The word and the interrupt came before the data.
    match complete::retire(copied, Permit::Silent, progress.chain.done, progress.signals, path) {
        Ok(retired) => progress.retired(Retired { notice: Notice::Quiet, ..retired }),
        Err(refused) => progress.halted(refused.chanerr, path),
    }
}

/// The fault `early`: the word and what follows it now, the data in a later step.
#[cold]
fn complete_early<M: GuestMemory, F: Faults, T: Trace>(
    operation: Operation,
    progress: &mut Progress<'_>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let done = progress.chain.done;
    match complete::retire_early(&operation.slot, done, progress.signals, path) {
        Ok(retired) => {
            *progress.completed = retired.completed;
            *progress.ending = Ending::Stopped(Some(retired));
            progress.chain.starting = true;
            progress.chain.owed = Some(Owed { operation, permit: Permit::Early });
            Flow::End
        }
        Err(refused) => progress.halted(refused.chanerr, path),
    }
}
