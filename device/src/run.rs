//! The middle of a step: descriptors are executed, one after the other, with no lock held.
//!
//! begin (under the channel's lock) makes a [`Run`], which owns the chain, the memory and the channel's faults;
//! [`Run::run`] may take long; finish (under the lock) publishes what it did, or discards it.

use std::sync::Arc;

use ioat_spec::ChanErr;
use ioat_stage::{Faults, Trace};

use crate::channel::{Chain, Owed};
use crate::complete::{self, Notice, Permit, Retired};
use crate::copy::{self, Unfinished};
use crate::fetch;
use crate::memory::GuestMemory;
use crate::path::{Path, Terms};
use crate::signals::{Signal, Signals};
use crate::translate::{self, Operation, Refused};

/// The most descriptors of one step: CHANSTS shows progress at least that often.
const CHUNK_DESCRIPTORS: u32 = 256;
/// A step ends after the descriptor that reaches this many bytes.
const CHUNK_BYTES: u64 = 1 << 20;

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

/// How one descriptor went.
enum Step {
    Retired(Retired),
    /// Carried out in part. With the fault `early`, completed before its data.
    Owes(Owed, Option<Retired>),
    Abandoned,
    Failed(ChanErr),
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
        let mut owed = chain.owed.take();
        let mut descriptors = 0;
        let mut bytes = 0;
        *ending = loop {
            if stops(signals, chain, owed.is_some(), path.memory) {
                chain.owed = owed;
                break Ending::Stopped(None);
            }
            let step = match owed.take() {
                Some(owed) => carry_on(owed, chain.done, signals, &mut path),
                None => {
                    *current = chain.next;
                    execute(chain, signals, &mut path)
                }
            };
            match step {
                Step::Retired(retired) => {
                    chain.advance(retired.next);
                    *completed = retired.completed;
                    descriptors += 1;
                    bytes += retired.len;
                    if retired.notice == Notice::Descriptor {
                        break Ending::Stopped(Some(retired));
                    }
                    if descriptors >= CHUNK_DESCRIPTORS || bytes >= CHUNK_BYTES {
                        break Ending::Stopped(None);
                    }
                }
                Step::Owes(rest, early) => {
                    if let Some(retired) = early {
                        *completed = retired.completed;
                        chain.starting = true;
                    }
                    chain.owed = Some(rest);
                    break Ending::Stopped(early);
                }
                Step::Abandoned => break Ending::Stopped(None),
                Step::Failed(chanerr) => {
                    break Ending::Halted(chanerr, complete::halt(*completed, chain.sequence, &mut path));
                }
            }
        };
    }
}

/// The run ends here, between descriptors: nothing is left, or an order says so, or an unmap waits.
#[inline]
fn stops<M: GuestMemory>(signals: &Signals, chain: &Chain, owes: bool, memory: &M) -> bool {
    let signal = signals.look();
    if owes {
        // SUSPEND waits for the descriptor's end, and DMACOUNT counts it as not done.
        return signal.says(Signal::ABANDON | Signal::PARK);
    }
    signal.stops() || signal.count() == chain.done || memory.yield_requested()
}

/// One descriptor from its fetch on: stages 2 to 5.
#[inline]
fn execute<M: GuestMemory, F: Faults, T: Trace>(
    chain: &Chain,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Step {
    let fetched = match fetch::next(chain.position(), path) {
        Ok(fetched) => fetched,
        // There is nothing to go on with, so the channel halts even if the bit is masked: then without latching it.
        Err(chanerr) => return Step::Failed(chanerr.without(path.terms.chan_err_msk)),
    };
    let planned = match translate::plan(fetched, path) {
        Ok(planned) => planned,
        Err(refused) => return refuse(refused, None, chain.done, signals, path),
    };
    let permit = complete::reserve(&planned.operation.slot, path);
    if permit == Permit::Early {
        return complete_early(planned.operation, chain.done, signals, path);
    }
    match copy::run(planned, signals, path) {
        Ok(copied) => settle(complete::retire(copied, permit, chain.done, signals, path)),
        Err(unfinished) => leave(unfinished, permit, chain.done, signals, path),
    }
}

/// The rest of a descriptor that was left half done.
#[cold]
fn carry_on<M: GuestMemory, F: Faults, T: Trace>(
    owed: Owed,
    done: u16,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Step {
    let Owed { operation, permit } = owed;
    let planned = match translate::resume(operation, path) {
        Ok(planned) => planned,
        Err(refused) => return refuse(refused, Some(permit), done, signals, path),
    };
    match copy::run(planned, signals, path) {
        Ok(copied) => {
            let step = settle(complete::retire(copied, permit.unless_stored(), done, signals, path));
            match (step, permit) {
                // Its interrupt came with its word.
                (Step::Retired(retired), Permit::Early) => {
                    Step::Retired(Retired { notice: Notice::Quiet, ..retired })
                }
                (step, _) => step,
            }
        }
        Err(unfinished) => leave(unfinished, permit, done, signals, path),
    }
}

/// The fault `early`: the word now, the data in a later step.
#[cold]
fn complete_early<M: GuestMemory, F: Faults, T: Trace>(
    operation: Operation,
    done: u16,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Step {
    match complete::retire_early(&operation.slot, done, signals, path) {
        Ok(retired) => Step::Owes(Owed { operation, permit: Permit::Early }, Some(retired)),
        Err(refused) => Step::Failed(refused.chanerr),
    }
}

#[cold]
fn leave<M: GuestMemory, F: Faults, T: Trace>(
    unfinished: Unfinished,
    permit: Permit,
    done: u16,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Step {
    match unfinished {
        Unfinished::Refused(refused) => refuse(refused, Some(permit), done, signals, path),
        Unfinished::Waiting(operation) => Step::Owes(Owed { operation, permit }, None),
        Unfinished::Abandoned => Step::Abandoned,
    }
}

/// A descriptor that failed: the channel halts, unless every bit is masked.
#[cold]
fn refuse<M: GuestMemory, F: Faults, T: Trace>(
    refused: Refused,
    permit: Option<Permit>,
    done: u16,
    signals: &Signals,
    path: &mut Path<'_, M, F, T>,
) -> Step {
    match copy::forgive(refused, path.terms.chan_err_msk) {
        Err(chanerr) => Step::Failed(chanerr),
        Ok(copied) => {
            let permit = permit.unwrap_or_else(|| complete::reserve(&copied.slot, path));
            settle(complete::retire(copied, permit.unless_stored(), done, signals, path))
        }
    }
}

#[inline]
fn settle(retired: Result<Retired, Refused>) -> Step {
    match retired {
        Ok(retired) => Step::Retired(retired),
        Err(refused) => Step::Failed(refused.chanerr),
    }
}
