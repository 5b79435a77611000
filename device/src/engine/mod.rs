//! The threads around the core: one worker per channel steps it, register accesses are answered meanwhile.
//!
//! The core says what an access asks of the threads ([`Effects`]): which channels have work now, and which must be
//! quiet before the access is answered. An answer waits for a copy only then, and for at most one 64 KiB
//! chunk of one channel; the wait holds no lock.

mod backend;
mod handle;
mod timer;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ioat_stage::pause::Join;
use ioat_stage::sync::Mutex;
use ioat_stage::{Bell, Faults, Pause, Task, Trace};

pub use backend::{Served, identity};

use self::timer::Timetable;
use crate::InterruptSink;
use crate::function::{Effects, Function};
use crate::lint::LintBook;
use crate::memory::{DmaTable, UnmapError, Unmapped};
use crate::profile::Profile;
use crate::removal::OnKill;

/// What an engine is made of.
pub struct Parts<T> {
    /// Which engine it is.
    pub profile: Profile,
    /// The client's memory.
    pub table: Arc<DmaTable>,
    /// Where interrupts go.
    pub interrupts: Arc<dyn InterruptSink>,
    /// Where events go.
    pub trace: T,
    /// How the threads wait.
    pub pause: Arc<dyn Pause>,
    /// What passes between a channel's start and its first visible effect (device model 3.8).
    pub start_latency: Duration,
}

/// A running engine. Dropping it stops the workers.
pub struct Engine<F: Faults, T: Trace> {
    shared: Arc<Shared<F, T>>,
    workers: Vec<Box<dyn Join>>,
}

/// What the workers and the register accesses share.
struct Shared<F: Faults, T: Trace> {
    function: Function<F, T>,
    table: Arc<DmaTable>,
    pause: Arc<dyn Pause>,
    start_latency: Duration,
    /// One per channel: rung when the channel may have work.
    work: Vec<Bell>,
    /// Rung whenever a worker has let go of the client's memory.
    released: Bell,
    /// What faults put off, and when it is due.
    timetable: Mutex<Timetable>,
    /// Rung when there is more of it.
    timer: Bell,
    stop: AtomicBool,
}

impl<F, T> Engine<F, T>
where
    F: Faults + 'static,
    T: Trace + 'static,
{
    /// The start latency that the model recommends: long enough for DPDK, short enough for SPDK.
    pub const START_LATENCY: Duration = Duration::from_micros(200);

    /// Starts the workers.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(parts: Parts<T>, faults: impl FnMut(Option<u8>) -> F) -> std::io::Result<Self> {
        Self::start_watched(parts, faults, None)
    }

    /// As [`start`](Self::start), with the driver's conduct written into `lint`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_watched(
        parts: Parts<T>,
        faults: impl FnMut(Option<u8>) -> F,
        lint: Option<Arc<LintBook>>,
    ) -> std::io::Result<Self> {
        let Parts { profile, table, interrupts, trace, pause, start_latency } = parts;
        let function = Function::new(profile, faults, trace, interrupts);
        let function = match &lint {
            None => function,
            Some(book) => function.watched(book, &table),
        };
        let channels = usize::from(profile.channels);
        let shared = Arc::new(Shared {
            function,
            table,
            pause,
            start_latency,
            work: (0..channels).map(|_| Bell::new()).collect(),
            released: Bell::new(),
            timetable: Mutex::default(),
            timer: Bell::new(),
            stop: AtomicBool::new(false),
        });
        let mut engine = Self { shared, workers: Vec::new() };
        for channel in 0..channels {
            let shared = Arc::clone(&engine.shared);
            let task = Task { name: format!("channel-{channel}"), cpu: None };
            let body = Box::new(move || worker::work(&shared, channel));
            engine.workers.push(engine.shared.pause.spawn(task, body)?);
        }
        if F::ACTIVE {
            let shared = Arc::clone(&engine.shared);
            let task = Task { name: "timer".to_owned(), cpu: None };
            let body = Box::new(move || timer::keep_time(&shared));
            engine.workers.push(engine.shared.pause.spawn(task, body)?);
        }
        Ok(engine)
    }

    /// Reads BAR0.
    pub fn bar_read(&self, offset: u64, data: &mut [u8]) {
        self.shared.function.bar_read(offset, data);
        self.shared.settle();
    }

    /// Writes BAR0; returns when the write's effect holds.
    pub fn bar_write(&self, offset: u64, data: &[u8]) {
        let effects = self.shared.function.bar_write(offset, data);
        if self.shared.function.is_watched() {
            // The lint may have held memory, as a worker does.
            self.shared.pause.ring(&self.shared.released);
        }
        self.shared.apply(effects);
    }

    /// Reads configuration space.
    pub fn config_read(&self, offset: u64, data: &mut [u8]) {
        self.shared.function.config_read(offset, data);
        self.shared.settle();
    }

    /// Writes configuration space; returns when the write's effect holds.
    pub fn config_write(&self, offset: u64, data: &[u8]) {
        let effects = self.shared.function.config_write(offset, data);
        self.shared.apply(effects);
    }

    /// DEVICE_RESET: resets every register; DMA maps and interrupt wiring stay. No DMA and no interrupt follows when this
    /// returns, unless a fault of `reset` says otherwise. False: it was dropped, or the device has left the bus.
    pub fn reset(&self) -> bool {
        let effects = self.shared.function.device_reset();
        let done = effects.is_some();
        self.shared.apply(effects.unwrap_or_default());
        done
    }

    /// The client is gone: as [`reset`](Self::reset), but past every fault, and a device that had left the bus is back for the
    /// next one.
    pub fn clean(&self) {
        for effects in [self.shared.function.put_back(), self.shared.function.reset()] {
            self.shared.apply(effects);
        }
    }

    /// What ends the program, for the fault `kill`. False if that is known already; where it is not, the device leaves the bus.
    pub fn on_kill(&self, kill: OnKill) -> bool {
        self.shared.function.on_kill(kill)
    }

    /// Tells the engine that the client changed how interrupts are delivered.
    pub fn delivery_changed(&self) {
        self.shared.function.delivery_changed();
    }

    /// The client's memory. To unmap, use [`Engine::unmap_range`].
    #[must_use]
    pub fn table(&self) -> &Arc<DmaTable> {
        &self.shared.table
    }

    /// Unmaps a range, as [`unmap`](Self::unmap) does. The lint hears of it.
    ///
    /// # Errors
    /// [`UnmapError`], and nothing is changed.
    pub fn unmap_range(&self, iova: u64, size: u64) -> Result<(), UnmapError> {
        let last = iova.saturating_add(size.saturating_sub(1));
        let findings = self.shared.function.inspect_unmap(iova, last);
        self.unmap(|table| table.unmap(iova, size))?;
        self.shared.function.note(findings);
        Ok(())
    }

    /// Unmaps everything. The lint hears of it.
    pub fn unmap_all(&self) {
        let findings = self.shared.function.inspect_unmap(0, u64::MAX);
        let unmapped: Result<(), UnmapError> = self.unmap(|table| Ok(table.unmap_all()));
        debug_assert!(unmapped.is_ok());
        self.shared.function.note(findings);
    }

    /// Unmaps by `unmap` and returns when nothing in flight uses what it took away.
    ///
    /// # Errors
    /// What `unmap` returns.
    pub fn unmap<E>(&self, unmap: impl FnOnce(&DmaTable) -> Result<Unmapped, E>) -> Result<(), E> {
        let ticket = unmap(&self.shared.table)?;
        self.shared.wait_until(|| self.shared.table.is_drained(&ticket));
        Ok(())
    }
}

impl<F: Faults, T: Trace> Shared<F, T> {
    fn apply(&self, effects: Effects) {
        self.settle();
        for channel in channels(effects.wake, self.work.len()) {
            self.pause.ring(&self.work[channel]);
        }
        for channel in channels(effects.quiesce, self.work.len()) {
            self.wait_until(|| !self.function.is_in_flight(channel));
        }
    }

    /// Waits until `done`, which a worker's release makes true.
    fn wait_until(&self, done: impl Fn() -> bool) {
        loop {
            // Read before looking, so that a release between the look and the wait is not slept through.
            let seen = self.released.seen();
            if done() {
                return;
            }
            self.pause.wait(&self.released, seen, None);
        }
    }

    fn stopping(&self) -> bool {
        // Pairs with the store in `Drop`: the ring that follows it wakes the worker, which then sees it.
        self.stop.load(Ordering::Acquire)
    }
}

impl<F: Faults, T: Trace> Drop for Engine<F, T> {
    fn drop(&mut self) {
        // Work in flight is abandoned, not finished: the client is gone.
        let effects = self.shared.function.reset();
        self.shared.stop.store(true, Ordering::Release);
        self.shared.apply(effects);
        for bell in self.shared.work.iter().chain([&self.shared.timer]) {
            self.shared.pause.ring(bell);
        }
        for worker in self.workers.drain(..) {
            if !worker.join() {
                log::error!("a channel's worker panicked");
            }
        }
    }
}

fn channels(set: u32, count: usize) -> impl Iterator<Item = usize> {
    (0..count).filter(move |channel| set & (1 << channel) != 0)
}
