//! The middle of a step: descriptors are executed, one after the other, with no lock held.
//!
//! begin (under the channel's lock) makes a [`Run`], which owns the chain, the memory and the channel's faults;
//! [`Run::run`] may take long; finish (under the lock) publishes what it did, or discards it.

mod aside;

use std::sync::Arc;

use ioat_spec::{ChanErr, DcaCtrl};
use ioat_stage::{Detail, Faults, Mark, NoFaults, Trace};

use crate::channel::{Chain, Owed, Place, Wait};
use crate::complete::{self, Notice, Permit, Retired};
use crate::copy::{self, Copied};
use crate::deviation::Cut;
use crate::fetch::{self, Slot, Unfetched};
use crate::lint::{Nobody, Watch, Watching, Witness};
use crate::memory::GuestMemory;
use crate::path::{Path, Terms, error};
use crate::postponed::What;
use crate::scribe::{EachStage, Ledger, Overheard, Scribe, Unheard};
use crate::signals::{Signal, Signals};
use crate::translate::{self, PIECE_BYTES, Refused, Unplanned};

/// A step ends after the descriptor that reaches this many bytes: CHANSTS shows progress at least that often.
const STEP_BYTES: u64 = 1 << 20;
/// What a descriptor counts beside its bytes: so a step has at most 256.
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
    /// The DCA target of the last context change.
    pub(crate) dca: Option<DcaCtrl>,
    pub(crate) ending: Ending,
    /// The step ends after one descriptor.
    pub(crate) single: bool,
    /// Bytes of the descriptors that it did.
    pub(crate) bytes: u64,
    /// Is told of every descriptor, if the lint is on.
    pub(crate) watch: Option<Arc<Watch>>,
    /// What faults put off, and for how many nanoseconds. Lost if the run is abandoned.
    pub(crate) postponed: Vec<(u64, What)>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Between descriptors, or inside one that is owed; the last one may want an interrupt.
    Stopped(Option<Retired>),
    /// By an error.
    Halted(ChanErr, Retired),
    /// By the fault that takes the device off the bus.
    Killed,
}

/// What a descriptor leaves to the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    /// The step ends; how, is in [`Progress::ending`].
    End,
}

/// A step on its way.
struct Progress<'a, W> {
    tally: Tally,
    witness: W,
    owed: &'a mut Option<Owed>,
    wait: &'a mut Wait,
    dca: &'a mut Option<DcaCtrl>,
    ending: &'a mut Ending,
    signals: &'a Signals,
}

/// How far a step is: what every descriptor changes. Rare ways get a copy and give it back ([`Progress::aside`]), so that
/// the loop's own stays in registers.
#[derive(Clone, Copy)]
struct Tally {
    place: Place,
    /// As in [`Run`].
    completed: u64,
    /// As in [`Run`].
    current: u64,
    /// Bytes moved, and a page per descriptor; nearly a whole step from the start where one descriptor is to be all of it.
    spent: u64,
    /// At how many of them to ask whether the step ends.
    ask_at: u64,
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
        let Self {
            terms,
            memory,
            faults,
            trace,
            signals,
            chain,
            completed,
            current,
            dca,
            ending,
            single,
            bytes,
            watch,
            postponed,
        } = self;
        let (trace, single, watch) = (&**trace, *single, watch.as_deref());
        // The step's one look at the faults: where no rule is armed, and none is still at work, the loop is that of an engine
        // without any.
        let mut deviation = if F::ACTIVE { chain.deviation.take() } else { None };
        let deviates = F::ACTIVE && (faults.armed() || deviation.as_ref().is_some_and(|it| it.pending()));
        let step = Step { chain: &mut *chain, completed, current, dca, ending, single, bytes, signals };
        if deviates {
            let deviation = &mut **deviation.get_or_insert_default();
            noted(step, watch, Path { terms, memory, faults, trace, deviation: Some(&mut *deviation) });
            let drained = chain.owed.is_none() && signals.look().count() == chain.place.done;
            deviation.hand_over(drained, postponed);
        } else {
            noted(step, watch, Path { terms, memory, faults: &mut NoFaults, trace, deviation: None });
        }
        chain.deviation = deviation;
    }
}

/// The step's one look at the trace. Each answer has a loop of its own.
fn noted<M: GuestMemory, F: Faults, T: Trace>(
    step: Step<'_>,
    watch: Option<&Watch>,
    path: Path<'_, M, F, T>,
) {
    let Path { terms, memory, faults, trace, deviation } = path;
    match trace.detail() {
        Detail::Off => heard(step, watch, Path { terms, memory, faults, trace: &Unheard, deviation }),
        Detail::Descriptors => {
            heard(step, watch, Path { terms, memory, faults, trace: &Ledger::new(trace), deviation });
        }
        Detail::Stages => {
            heard(step, watch, Path { terms, memory, faults, trace: &EachStage(trace), deviation });
        }
    }
}

/// Watched by the lint or not: a loop for each.
fn heard<M: GuestMemory, F: Faults, T: Scribe>(
    step: Step<'_>,
    watch: Option<&Watch>,
    path: Path<'_, M, F, T>,
) {
    match watch {
        None => carry_out(step, Nobody, path),
        Some(watch) => {
            let Path { terms, memory, faults, trace, deviation } = path;
            let (generation, trace) = (terms.generation, &Overheard(trace));
            let path = Path { terms, memory, faults, trace, deviation };
            carry_out(step, Watching { watch, generation }, path);
        }
    }
}

/// What a step changes of its run.
struct Step<'a> {
    chain: &'a mut Chain,
    completed: &'a mut u64,
    current: &'a mut u64,
    dca: &'a mut Option<DcaCtrl>,
    ending: &'a mut Ending,
    single: bool,
    bytes: &'a mut u64,
    signals: &'a Signals,
}

// Not inlined: the loop needs every register there is.
#[inline(never)]
fn carry_out<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    step: Step<'_>,
    witness: W,
    mut path: Path<'_, M, F, T>,
) {
    let Step {
        chain: Chain { place, wait, owed, .. },
        completed,
        current,
        dca,
        ending,
        single,
        bytes,
        signals,
    } = step;
    let (sound, ask_at) = (*completed, 0);
    // Where one descriptor is to be all of it, it is the one that fills the step.
    let (begun, spent) = (place.sequence, if single { STEP_BYTES - 1 } else { 0 });
    let tally = Tally { place: *place, completed: *completed, current: *current, spent, ask_at, sound };
    let mut progress = Progress { tally, witness, owed, wait, dca, ending, signals };
    progress.execute_all(&mut path);
    progress.verify(&mut path);
    let done = progress.tally.place.sequence - begun;
    *bytes = progress.tally.spent - spent - done * PAGE_BYTES;
    (*place, *completed, *current) = (progress.tally.place, progress.tally.completed, progress.tally.current);
}

impl<W: Witness> Progress<'_, W> {
    /// Descriptors, until the step ends.
    #[inline(always)]
    fn execute_all<M: GuestMemory, F: Faults, T: Scribe>(&mut self, path: &mut Path<'_, M, F, T>) {
        // Only the first one can be owed: a descriptor that becomes so ends the run.
        if self.owed.is_some() && (self.stops_inside() || self.aside(path, aside::carry_on) == Flow::End) {
            return;
        }
        while !self.stops(path.memory) {
            self.tally.current = self.tally.place.next;
            if execute(self, path) == Flow::End {
                return;
            }
        }
    }

    /// Goes a rare way.
    #[inline(always)]
    fn aside<M: GuestMemory, F: Faults, T: Scribe>(
        &mut self,
        path: &mut Path<'_, M, F, T>,
        way: impl FnOnce(&mut Progress<'_, W>, &mut Path<'_, M, F, T>) -> Flow,
    ) -> Flow {
        let Self { tally, witness, owed, wait, dca, ending, signals } = self;
        let mut copy = Progress { tally: *tally, witness: *witness, owed, wait, dca, ending, signals };
        let flow = way(&mut copy, &mut path.again());
        *tally = copy.tally;
        flow
    }

    /// A file behind some map may have shrunk under the device since the last word: then what was copied since is
    /// not the guest's data, and must not be published.
    #[inline(always)]
    fn verify<M: GuestMemory, F: Faults, T: Scribe>(&mut self, path: &mut Path<'_, M, F, T>) {
        let chanerr = ChanErr::DMA_INTEGRITY.without(path.terms.chan_err_msk);
        let unproven = self.tally.completed != self.tally.sound || self.owed.is_some();
        let stopped = matches!(self.ending, Ending::Stopped(_));
        if stopped && unproven && path.memory.poisoned() && !chanerr.is_empty() {
            self.tally.completed = self.tally.sound;
            self.halted(chanerr, path);
        }
    }

    /// The run ends here, between descriptors: nothing is left, or an order says so, or it has lasted long enough.
    #[inline(always)]
    fn stops<M: GuestMemory>(&mut self, memory: &M) -> bool {
        let signal = self.signals.look();
        if signal.stops() || signal.count() == self.tally.place.done {
            return true;
        }
        self.tally.spent >= self.tally.ask_at && self.lasted(memory)
    }

    /// The step is long enough, or an unmap waits.
    #[inline(always)]
    fn lasted<M: GuestMemory>(&mut self, memory: &M) -> bool {
        self.tally.ask_at = (self.tally.spent + PIECE_BYTES).min(STEP_BYTES);
        self.tally.spent >= STEP_BYTES || memory.yield_requested()
    }

    /// The run ends here, inside a descriptor. SUSPEND waits for its end, and DMACOUNT counts it as not done.
    fn stops_inside(&self) -> bool {
        self.signals.look().says(Signal::ABANDON | Signal::PARK)
    }

    /// A descriptor is done.
    #[inline(always)]
    fn retired<M: GuestMemory, F: Faults, T: Scribe>(
        &mut self,
        retired: Retired,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        self.tally.completed = retired.completed;
        if path.deviation().is_some_and(|deviation| std::mem::take(&mut deviation.twice)) {
            return self.repeat(retired);
        }
        self.tally.place.advance(retired.next);
        self.tally.spent += retired.len + PAGE_BYTES;
        if retired.notice == Notice::Descriptor {
            *self.ending = Ending::Stopped(Some(retired));
            return Flow::End;
        }
        Flow::Next
    }

    /// The fault: a descriptor that is done is to be done again, and counts then.
    #[cold]
    fn repeat(&mut self, retired: Retired) -> Flow {
        *self.owed = Some(Owed::Fetch);
        let noticed = retired.notice == Notice::Descriptor;
        *self.ending = Ending::Stopped(noticed.then_some(retired));
        Flow::End
    }

    /// The fault: the step ends here.
    #[cold]
    fn break_off<M: GuestMemory, F: Faults, T: Scribe>(
        &mut self,
        owed: Owed,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        *self.owed = Some(owed);
        match path.deviation().and_then(|deviation| deviation.cut.take()) {
            Some(Cut::Delay(after_ns)) => *self.wait = Wait::Delay(after_ns),
            Some(Cut::Stall) => *self.wait = Wait::Ever,
            Some(Cut::Kill) => (*self.wait, *self.ending) = (Wait::Ever, Ending::Killed),
            None => {}
        }
        Flow::End
    }

    /// The channel halts.
    #[inline(always)]
    fn halted<M: GuestMemory, F: Faults, T: Scribe>(
        &mut self,
        chanerr: ChanErr,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        let halted = complete::halt(self.tally.completed, self.tally.place.sequence, &mut path.again());
        *self.ending = Ending::Halted(chanerr, halted);
        Flow::End
    }

    /// The channel halts at a descriptor.
    #[inline(always)]
    fn failed<M: GuestMemory, F: Faults, T: Scribe>(
        &mut self,
        Refused { slot, chanerr }: Refused,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        path.executed(&slot, error(chanerr));
        self.halted(chanerr, path)
    }

    /// Stage 5 of a descriptor whose data is in place.
    #[inline(always)]
    fn retire<M: GuestMemory, F: Faults, T: Scribe>(
        &mut self,
        copied: Copied,
        permit: Permit,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        if path.interrupts_early(&copied.slot) {
            return self.aside(path, |progress, _| aside::interrupt_early(copied, permit, progress));
        }
        self.witness.completing(copied.slot.sequence);
        match complete::retire(copied, permit, self.tally.place.done, self.signals, path) {
            Ok(retired) => {
                if permit != Permit::Silent {
                    self.tally.sound = retired.completed;
                }
                path.executed(&copied.slot, Mark::Ok);
                self.retired(retired, path)
            }
            Err(refused) => self.failed(refused, path),
        }
    }

    /// A descriptor that failed: the channel halts, unless every bit is masked.
    #[cold]
    fn refused<M: GuestMemory, F: Faults, T: Scribe>(
        &mut self,
        refused: Refused,
        permit: Option<Permit>,
        path: &mut Path<'_, M, F, T>,
    ) -> Flow {
        match copy::forgive(refused, path.terms.chan_err_msk) {
            Err(chanerr) => self.failed(Refused { chanerr, ..refused }, path),
            Ok(copied) => {
                let permit = permit.unwrap_or_else(|| complete::reserve(&copied.slot, path));
                self.retire(copied, permit.unless_stored(), path)
            }
        }
    }
}

/// One descriptor from its fetch on: stages 2 to 5.
#[inline(always)]
fn execute<W: Witness, M: GuestMemory, F: Faults, T: Scribe>(
    progress: &mut Progress<'_, W>,
    path: &mut Path<'_, M, F, T>,
) -> Flow {
    let fetched = match fetch::next(progress.tally.place.position(), path) {
        Ok(fetched) => fetched,
        // There is nothing to go on with, so the channel halts even if the bit is masked: then without latching it.
        Err(Unfetched::Failed(chanerr)) => {
            path.executed(&Slot::unread(progress.tally.place.position()), error(chanerr));
            return progress.halted(chanerr.without(path.terms.chan_err_msk), path);
        }
        Err(Unfetched::Skipped(slot)) => {
            return progress.aside(path, |progress, path| aside::skip(slot, progress, path));
        }
        Err(Unfetched::Cut) => {
            return progress.aside(path, |progress, path| progress.break_off(Owed::Fetch, path));
        }
    };
    progress.witness.fetched(&fetched);
    let planned = match translate::plan(fetched, path) {
        Ok(planned) => planned,
        Err(Unplanned::Refused(refused)) => {
            return progress.aside(path, |progress, path| progress.refused(refused, None, path));
        }
        Err(Unplanned::Rare) => {
            // A fault may have altered it, so it is not to be fetched again then.
            let kept = if F::ACTIVE { Some(fetched) } else { None };
            return progress.aside(path, |progress, path| aside::rare(kept, progress, path));
        }
    };
    if path.deviation().is_some_and(|deviation| deviation.cut.is_some()) {
        let owed = Owed::Planned(planned.operation);
        return progress.aside(path, |progress, path| progress.break_off(owed, path));
    }
    let permit = complete::reserve(&planned.operation.slot, path);
    if permit.is_early() {
        return progress
            .aside(path, |progress, path| aside::complete_early(planned.operation, progress, path));
    }
    match copy::run(planned, path) {
        Ok(copied) => progress.retire(copied, permit, path),
        Err(unfinished) => {
            progress.aside(path, |progress, path| aside::finish_later(unfinished, permit, progress, path))
        }
    }
}
