//! Processors: one DPC worker each, pinned to the Linux CPU of its number where that exists.
//!
//! Processors are logical: four on two CPUs is normal, and [`Processors::placements`] says what was done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ioat_stage::pause::{Join, deadline};
use ioat_stage::sync::Mutex;
use ioat_stage::{Bell, FaultBook, Pause, Placement, Task, Trace, Wake};

use super::dpc;
use super::faults::StageFaults;
use super::handlers::ReceiveThrottleParameters;
use super::interrupt::Connected;
use super::kdpc_importance::DpcImportance;
use super::layout::ProcessorLayout;
use super::queue::{DpcQueues, Due};
use crate::contract::{CpuNumber, GroupAffinity};

/// Why there are no processors.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorsError {
    /// There are none, or too many, or the groups are empty or too large.
    #[error(
        "{} processors in groups of {}: there must be 1 to {} in groups of 1 to {}",
        .0.count, .0.per_group, ProcessorLayout::COUNT_MAX, CpuNumber::GROUP_SIZE
    )]
    Layout(ProcessorLayout),
    /// The system gave no thread.
    #[error("cannot start the worker of processor {processor}: {source}")]
    Spawn {
        /// Which one.
        processor: u32,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What happened on one processor so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct ProcessorCounts {
    /// DPC routines run.
    pub dpcs_run: u64,
    /// Requests that queued a DPC.
    pub queued: u64,
    /// Requests refused because that DPC was already queued.
    pub refused: u64,
}

/// How the processors work, beside how many there are.
#[derive(Clone)]
pub struct ProcessorsOptions {
    /// What a DPC of an NDIS 6.20 interrupt may indicate in one run (TH-1).
    pub max_nbls_to_indicate: u32,
    /// What goes wrong in stages 7 to 9 (isr, queue, dpc); none costs nothing.
    pub faults: Option<Arc<FaultBook>>,
}

impl Default for ProcessorsOptions {
    fn default() -> Self {
        Self { max_nbls_to_indicate: ReceiveThrottleParameters::INDICATE_ALL, faults: None }
    }
}

/// The processors. Dropping them ends the workers, after the routine that each is in; what is queued then is cancelled,
/// and later requests are refused. No interrupt is left at that point, for each keeps its processors: only kernel DPCs.
pub struct Processors {
    engine: Arc<Engine>,
    workers: Mutex<Vec<Box<dyn Join>>>,
    placements: Vec<Placement>,
}

/// What workers and interrupts share.
pub(super) struct Engine {
    pub(super) queues: DpcQueues<Connected>,
    pub(super) pause: Arc<dyn Pause>,
    pub(super) trace: Arc<dyn Trace>,
    /// What a DPC of NDIS 6.20 may indicate in one run (TH-1).
    pub(super) max_nbls_to_indicate: u32,
    /// What goes wrong in stages 7 to 9.
    pub(super) faults: Option<StageFaults>,
    /// By index: until when a fault keeps the worker from its queue; 0 for not at all.
    held: Box<[AtomicU64]>,
    /// By index.
    runs: Box<[AtomicU64]>,
    /// By index.
    bells: Box<[Bell]>,
    stop: AtomicBool,
}

impl Processors {
    /// Starts the workers of the processors of `layout`; a plain number stands for groups of 64. Receives are not
    /// throttled.
    ///
    /// # Errors
    /// [`ProcessorsError`].
    pub fn start(
        layout: impl Into<ProcessorLayout>,
        pause: Arc<dyn Pause>,
        trace: Arc<dyn Trace>,
    ) -> Result<Arc<Self>, ProcessorsError> {
        Self::start_with(layout, ProcessorsOptions::default(), pause, trace)
    }

    /// As [`Self::start`], and the DPCs of NDIS 6.20 interrupts may indicate at most `max_nbls_to_indicate` buffers in
    /// one run (TH-1).
    ///
    /// # Errors
    /// [`ProcessorsError`].
    pub fn start_throttled(
        layout: impl Into<ProcessorLayout>,
        max_nbls_to_indicate: u32,
        pause: Arc<dyn Pause>,
        trace: Arc<dyn Trace>,
    ) -> Result<Arc<Self>, ProcessorsError> {
        let options = ProcessorsOptions { max_nbls_to_indicate, ..ProcessorsOptions::default() };
        Self::start_with(layout, options, pause, trace)
    }

    /// As [`Self::start`], with all that can be chosen.
    ///
    /// # Errors
    /// [`ProcessorsError`].
    pub fn start_with(
        layout: impl Into<ProcessorLayout>,
        options: ProcessorsOptions,
        pause: Arc<dyn Pause>,
        trace: Arc<dyn Trace>,
    ) -> Result<Arc<Self>, ProcessorsError> {
        let ProcessorsOptions { max_nbls_to_indicate, faults } = options;
        let layout = layout.into();
        if !layout.is_sound() {
            return Err(ProcessorsError::Layout(layout));
        }
        let engine = Arc::new(Engine {
            queues: DpcQueues::new(layout),
            pause,
            trace,
            max_nbls_to_indicate,
            faults: faults.as_ref().map(StageFaults::new),
            held: (0..layout.count).map(|_| AtomicU64::new(0)).collect(),
            runs: (0..layout.count).map(|_| AtomicU64::new(0)).collect(),
            bells: (0..layout.count).map(|_| Bell::new()).collect(),
            stop: AtomicBool::new(false),
        });
        let mut processors = Self { engine, workers: Mutex::new(Vec::new()), placements: Vec::new() };
        for index in 0..layout.count {
            let worker = Engine::spawn_worker(&processors.engine, index)?;
            processors.placements.push(worker.placement());
            processors.workers.lock().push(worker);
        }
        Ok(Arc::new(processors))
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.layout().count
    }

    /// How many, in which groups.
    #[must_use]
    pub fn layout(&self) -> ProcessorLayout {
        self.engine.queues.layout()
    }

    /// Those of `group`.
    #[must_use]
    pub fn active(&self, group: u16) -> GroupAffinity {
        self.layout().active(group)
    }

    /// Where each worker runs, by processor in the order of their numbers.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// What happened so far, by processor in the order of their numbers.
    #[must_use]
    pub fn counts(&self) -> Vec<ProcessorCounts> {
        let counts = (0..self.count()).map(|index| {
            let (queued, refused) = self.engine.queues.counts(self.layout().number(index));
            let dpcs_run = self.engine.runs[index as usize].load(Ordering::Relaxed);
            ProcessorCounts { dpcs_run, queued, refused }
        });
        counts.collect()
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        self.engine.stop.store(true, Ordering::SeqCst);
        self.engine.wake_all();
        for worker in self.workers.lock().drain(..) {
            if !worker.join() {
                log::error!("a DPC worker panicked");
            }
        }
        let cancelled = self.engine.queues.close_all();
        if cancelled > 0 {
            log::debug!("{cancelled} DPCs were cancelled with their processors");
        }
    }
}

impl Engine {
    /// The worker of processor `index` looks at its queue. Neither sleeps nor allocates.
    pub(super) fn wake(&self, cpu: CpuNumber) {
        if let Some(index) = self.queues.layout().index(cpu) {
            self.pause.ring(&self.bells[index as usize]);
        }
    }

    /// The same for each of `processors`.
    pub(super) fn wake_group(&self, processors: GroupAffinity) {
        processors.iter().for_each(|cpu| self.wake(cpu));
    }

    /// The same for all.
    pub(super) fn wake_all(&self) {
        self.bells.iter().for_each(|bell| self.pause.ring(bell));
    }

    /// A DPC has run on `cpu`: gives which run it was there, from 1.
    pub(super) fn count_run(&self, cpu: CpuNumber) -> u64 {
        let index = self.queues.layout().index(cpu).expect("a worker has a processor");
        self.runs[index as usize].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The worker of this index leaves its queue alone until then.
    pub(super) fn keep_held(&self, index: u32, until: u64) {
        self.held[index as usize].fetch_max(until, Ordering::SeqCst);
    }

    /// Waits until then on the bell of the worker of `cpu`, which is the caller, unless it is stopped.
    pub(super) fn wait_until(&self, cpu: CpuNumber, until: u64) {
        let Some(index) = self.queues.layout().index(cpu) else { return };
        let bell = &self.bells[index as usize];
        loop {
            let seen = bell.seen();
            let stopped = self.stop.load(Ordering::SeqCst);
            if stopped || self.pause.wait(bell, seen, Some(until)) == Wake::TimedOut {
                return;
            }
        }
    }

    /// Whether a fault still keeps the worker of this index from its queue, and until when.
    fn held(&self, index: u32) -> Option<u64> {
        let held = &self.held[index as usize];
        let until = held.load(Ordering::SeqCst);
        if until == 0 {
            return None;
        }
        if self.pause.now_ns() < until {
            return Some(until);
        }
        // Unless it was held again meanwhile: then the next look sees that.
        let _ = held.compare_exchange(until, 0, Ordering::SeqCst, Ordering::SeqCst);
        None
    }

    fn spawn_worker(engine: &Arc<Self>, index: u32) -> Result<Box<dyn Join>, ProcessorsError> {
        let cpu = engine.queues.layout().number(index);
        // Linux numbers its processors without gaps.
        let task = Task { name: format!("dpc-{}", cpu.0), cpu: Some(index) };
        let of_worker = engine.clone();
        let body = move || of_worker.work(cpu, index, &of_worker.bells[index as usize]);
        let spawned = engine.pause.spawn(task, Box::new(body));
        spawned.map_err(|source| ProcessorsError::Spawn { processor: cpu.0, source })
    }

    /// The worker's loop. Once something has asked for the processor, the queue is worked off until it is empty. What
    /// may wait (KD-9) gives the worker's sleep an end, counted from when the first of it was seen.
    fn work(self: &Arc<Self>, cpu: CpuNumber, index: u32, bell: &Bell) {
        let mut waits_until = None;
        loop {
            // Before looking for work: a DPC queued after this has rung the bell since.
            let seen = bell.seen();
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            match self.queues.due(cpu) {
                Due::Now => {
                    if let Some(until) = self.held(index) {
                        self.trace.flush();
                        self.pause.wait(bell, seen, Some(until));
                        continue;
                    }
                }
                Due::Later => {
                    let wait = || deadline(&*self.pause, DpcImportance::WAITS_AT_MOST);
                    let until = *waits_until.get_or_insert_with(wait);
                    self.trace.flush();
                    if self.pause.wait(bell, seen, Some(until)) == Wake::Rung {
                        continue;
                    }
                }
                Due::Nothing => {
                    waits_until = None;
                    self.trace.flush();
                    self.pause.wait(bell, seen, None);
                    continue;
                }
            }
            waits_until = None;
            while !self.stop.load(Ordering::SeqCst) && self.held(index).is_none() {
                let Some(running) = self.queues.next(cpu) else { break };
                // Off the queue and not yet running: where a lost completion would hide.
                self.pause.point();
                dpc::run(running, cpu, self);
            }
        }
    }
}
