//! A channel of a running engine, and the ring that feeds it.

use std::hint::spin_loop;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ioat_spec::register::channel_base;
use ioat_spec::{ChanSts, ChannelRegister, Control, Descriptor};
use ioat_stage::{Faults, NoFaults, NoTrace, ThreadPause, Trace};
use vfio_user_ioat::engine::{Engine, Parts};
use vfio_user_ioat::{InterruptSink, Profile};
use zerocopy::IntoBytes;

use crate::memory::{BASE, Memory, usize};

/// Offset of the PCI command register, and its bits for memory space and bus master.
const COMMAND: u64 = 0x04;
const ENABLE: u16 = 0x0006;
/// Looks at the completion word before the processor is offered to others.
const SPINS: u32 = 1 << 12;
/// A ring of this program's that does not move any more is a bug.
const PATIENCE: Duration = Duration::from_secs(20);

/// The size and the two IOVAs of a copy.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) size: u32,
    pub(crate) source: u64,
    pub(crate) destination: u64,
}

/// The ring's slots from [`BASE`] on, and the word behind them. The last slot of every batch asks for the word.
pub(crate) struct Queue<T: Trace + 'static = NoTrace, F: Faults + 'static = NoFaults> {
    engine: Engine<F, T>,
    memory: Arc<Memory>,
    slots: u64,
    batch: u64,
    /// DMACOUNT.
    count: u16,
    /// The batch that completed last.
    last: u64,
}

/// Receives no interrupt: completion is polled.
struct Nowhere;

impl InterruptSink for Nowhere {
    fn message_enabled(&self) -> bool {
        true
    }

    fn signal(&self, _: u16) {}

    fn line(&self, _: bool) {}
}

/// Bytes of a ring with its word: page aligned.
pub(crate) fn ring_bytes(slots: usize) -> u64 {
    (slots as u64 * 64 + 64).next_multiple_of(crate::memory::PAGE)
}

/// Writes a ring at `at`, as `address` makes its addresses visible to who follows it.
pub(crate) fn write_ring(memory: &Memory, at: u64, jobs: &[Job], batch: usize, address: impl Fn(u64) -> u64) {
    let slot = |index: usize| at + 64 * (index % jobs.len()) as u64;
    for (index, &Job { size, source, destination }) in jobs.iter().enumerate() {
        let control = Control::new().with_cmpl_wr((index + 1) % batch == 0);
        let descriptor = Descriptor {
            size,
            control: control.into_bits(),
            source: address(source),
            destination: address(destination),
            next: address(slot(index + 1)),
            ..Descriptor::default()
        };
        memory.put(slot(index), descriptor.as_bytes());
    }
}

impl Queue {
    pub(crate) fn start(memory: Arc<Memory>, jobs: &[Job], batch: usize) -> Self {
        Self::traced(memory, jobs, batch, NoTrace)
    }
}

impl<T: Trace + 'static> Queue<T> {
    /// The same, and the engine leaves its events in `trace`.
    pub(crate) fn traced(memory: Arc<Memory>, jobs: &[Job], batch: usize, trace: T) -> Self {
        Self::with(memory, jobs, batch, trace, |_| NoFaults)
    }
}

impl<T: Trace + 'static, F: Faults + 'static> Queue<T, F> {
    /// The same, and the engine asks `faults`.
    pub(crate) fn with(
        memory: Arc<Memory>,
        jobs: &[Job],
        batch: usize,
        trace: T,
        faults: impl FnMut(Option<u8>) -> F,
    ) -> Self {
        assert!(jobs.len() >= 2 * batch && jobs.len() % batch == 0);
        write_ring(&memory, BASE, jobs, batch, |iova| iova);
        let parts = Parts {
            profile: Profile::SKX,
            table: memory.table(),
            interrupts: Arc::new(Nowhere),
            trace,
            pause: Arc::new(ThreadPause::new()),
            start_latency: Engine::<NoFaults, NoTrace>::START_LATENCY,
        };
        let engine = Engine::start(parts, faults).expect("threads");
        engine.config_write(COMMAND, &ENABLE.to_le_bytes());
        let slots = jobs.len() as u64;
        let batch = batch as u64;
        let queue = Self { engine, memory, slots, batch, count: 0, last: slots / batch - 1 };
        queue.memory.put(queue.word_iova(), &[0; 8]);
        queue.set(ChannelRegister::ChanCmp, queue.word_iova());
        queue.set(ChannelRegister::ChainAddr, BASE);
        queue
    }

    /// Lets `batches` batches through, with at most `queued` of them waiting at a time.
    pub(crate) fn pump(&mut self, batches: u64, queued: u64) {
        let around = self.slots / self.batch;
        assert!(queued < around, "the word would not tell one round from the next");
        let (mut rung, mut done) = (0, 0);
        let begin = Instant::now();
        let mut looks = 0_u32;
        while done < batches {
            while rung < batches && rung - done < queued {
                self.ring();
                rung += 1;
            }
            let seen = self.completed();
            done += (around + seen - self.last) % around;
            self.last = seen;
            spin_loop();
            looks = looks.wrapping_add(1);
            if looks % SPINS == 0 {
                // On a loaded machine the worker may wait for this processor.
                thread::yield_now();
                assert!(begin.elapsed() < PATIENCE, "the device does not get on");
            }
        }
    }

    /// A register read.
    pub(crate) fn status(&self) -> u64 {
        let mut bytes = [0; 8];
        self.engine.bar_read(channel_base(0) + ChannelRegister::ChanSts.offset(), &mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn ring(&mut self) {
        self.count = self.count.wrapping_add(u16::try_from(self.batch).expect("a batch fits DMACOUNT"));
        self.set(ChannelRegister::DmaCount, self.count.into());
    }

    /// The batch that the completion word names.
    fn completed(&self) -> u64 {
        match ChanSts::from_bits(self.memory.word(self.word_iova())).completed() {
            0 => self.last,
            address => (address - BASE) / 64 / self.batch,
        }
    }

    fn word_iova(&self) -> u64 {
        BASE + ring_bytes(usize(self.slots)) - 64
    }

    fn set(&self, register: ChannelRegister, value: u64) {
        let bytes = value.to_le_bytes();
        self.engine.bar_write(channel_base(0) + register.offset(), &bytes[..register.width()]);
    }
}
