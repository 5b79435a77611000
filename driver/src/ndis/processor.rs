//! Processors: one DPC worker each, pinned to the Linux CPU of its number where that exists.
//!
//! Processors are logical: four on two CPUs is normal, and [`Processors::placements`] says what was done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ioat_stage::pause::Join;
use ioat_stage::sync::Mutex;
use ioat_stage::{Bell, Pause, Placement, Task, Trace};

use super::dpc;
use super::interrupt::Connected;
use super::queue::DpcQueues;
use crate::contract::CpuSet32;

/// Why there are no processors.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorsError {
    /// The processor maps of this contract have 32 bits.
    #[error("{0} processors: there must be 1 to 32")]
    Count(u32),
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

/// The processors. Dropping them ends the workers, after the routine that each is in.
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
    pub(super) runs: Box<[AtomicU64]>,
    bells: Box<[Bell]>,
    stop: AtomicBool,
}

impl Processors {
    /// Starts the workers of processors `0..count`.
    ///
    /// # Errors
    /// [`ProcessorsError`].
    pub fn start(
        count: u32,
        pause: Arc<dyn Pause>,
        trace: Arc<dyn Trace>,
    ) -> Result<Arc<Self>, ProcessorsError> {
        if !(1..=32).contains(&count) {
            return Err(ProcessorsError::Count(count));
        }
        let engine = Arc::new(Engine {
            queues: DpcQueues::new(count),
            pause,
            trace,
            runs: (0..count).map(|_| AtomicU64::new(0)).collect(),
            bells: (0..count).map(|_| Bell::new()).collect(),
            stop: AtomicBool::new(false),
        });
        let mut processors =
            Self { engine: engine.clone(), workers: Mutex::new(Vec::new()), placements: Vec::new() };
        for processor in 0..count {
            let task = Task { name: format!("dpc-{processor}"), cpu: Some(processor) };
            let of_worker = engine.clone();
            let worker = engine
                .pause
                .spawn(task, Box::new(move || of_worker.work(processor)))
                .map_err(|source| ProcessorsError::Spawn { processor, source })?;
            processors.placements.push(worker.placement());
            processors.workers.lock().push(worker);
        }
        Ok(Arc::new(processors))
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.engine.queues.count()
    }

    /// All of them.
    #[must_use]
    pub fn active(&self) -> CpuSet32 {
        self.engine.queues.active()
    }

    /// Where each worker runs, by processor.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// What happened so far, by processor.
    #[must_use]
    pub fn counts(&self) -> Vec<ProcessorCounts> {
        let counts = (0..self.count()).map(|processor| {
            let (queued, refused) = self.engine.queues.counts(processor);
            let dpcs_run = self.engine.runs[processor as usize].load(Ordering::Relaxed);
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
        self.engine.wake(self.active());
        for worker in self.workers.lock().drain(..) {
            if !worker.join() {
                log::error!("a DPC worker panicked");
            }
        }
    }
}

impl Engine {
    /// Wakes the workers of `processors`. Neither sleeps nor allocates.
    pub(super) fn wake(&self, processors: CpuSet32) {
        for cpu in processors.iter() {
            self.pause.ring(&self.bells[cpu.0 as usize]);
        }
    }

    fn work(&self, processor: u32) {
        let bell = &self.bells[processor as usize];
        loop {
            // Before looking for work: a DPC queued after this has rung the bell since.
            let seen = bell.seen();
            if let Some(running) = self.queues.next(processor) {
                self.pause.point();
                dpc::run(running, processor, self);
                continue;
            }
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            self.trace.flush();
            self.pause.wait(bell, seen, None);
        }
    }
}
