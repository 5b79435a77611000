//! What the rule engine costs where nothing is armed: the same copies by two functions in turns, one of them built without
//! faults.
//!
//! The steps are taken in this thread: what the threads around them cost each other is many times what is looked for here. A turn
//! is many short bursts of both, of which the best count, so that other load falls out; the median of 20 turns is the figure.

use std::sync::Arc;
use std::time::Instant;

use ioat_spec::ChannelRegister;
use ioat_spec::register::channel_base;
use ioat_stage::{FaultBook, Faults, NoFaults, NoTrace};
use serde_json::json;
use vfio_user_ioat::memory::Reader;
use vfio_user_ioat::{Begin, Function, Profile};

use crate::memory::{BASE, Memory};
use crate::queue::{COMMAND, ENABLE, Job, Nowhere, ring_bytes, write_ring};
use crate::report::{Line, Report, Target};

/// Turns, and bursts of each.
const TURNS: usize = 20;
const BURSTS: usize = 100;
/// Descriptors of the ring, which are a burst, and those of one doorbell.
const SLOTS: usize = 4096;
const BATCHES: [u16; 3] = [64, 256, 2048];

pub(crate) fn measure(report: &mut Report) {
    for batch in BATCHES {
        let book = FaultBook::new([]);
        let (mut with, mut without) = (Steps::new(batch, |_| book.faults()), Steps::new(batch, |_| NoFaults));
        let turns: Vec<_> = (0..TURNS).map(|_| turn(&mut with, &mut without)).collect();
        let figure = median(turns.iter().map(|turn| turn.0));
        let baseline = ("NoFaults", median(turns.iter().map(|turn| turn.1)));
        let ratio = median(turns.iter().map(|turn| turn.0 / turn.1));
        let name = format!("64 B, {batch} per doorbell, no rule armed");
        report.add(Line { name, unit: "ns each", figure, baseline, target: Target::AtMost(1.03) });
        let text = format!("medians of {TURNS} turns; the median of their ratios is {ratio:.3}");
        report.note("median-of-ratios", json!(ratio), &text);
    }
}

/// Channel 0 of a function, and the ring that it goes around.
struct Steps<F: Faults> {
    function: Function<F, NoTrace>,
    reader: Option<Reader>,
    batch: u16,
    count: u16,
}

impl<F: Faults> Steps<F> {
    fn new(batch: u16, faults: impl FnMut(Option<u8>) -> F) -> Self {
        let data = BASE + ring_bytes(SLOTS);
        let memory = Memory::whole((ring_bytes(SLOTS) + 2 * 64 * SLOTS as u64).next_multiple_of(4096));
        let job = |slot: usize| {
            let source = data + 128 * slot as u64;
            Job { size: 64, source, destination: source + 64 }
        };
        let jobs: Vec<Job> = (0..SLOTS).map(job).collect();
        write_ring(&memory, BASE, &jobs, batch.into(), |iova| iova);
        let reader = Some(memory.table().reader());
        let function = Function::new(Profile::SKX, faults, NoTrace, Arc::new(Nowhere));
        let steps = Self { function, reader, batch, count: 0 };
        let _ = steps.function.config_write(COMMAND, &ENABLE.to_le_bytes());
        steps.set(ChannelRegister::ChanCmp, data - 64);
        steps.set(ChannelRegister::ChainAddr, BASE);
        steps
    }

    /// Nanoseconds that each descriptor of one way around takes.
    fn burst(&mut self) -> f64 {
        let start = Instant::now();
        for _ in 0..SLOTS / usize::from(self.batch) {
            self.count = self.count.wrapping_add(self.batch);
            self.set(ChannelRegister::DmaCount, self.count.into());
            self.drive();
        }
        start.elapsed().as_nanos() as f64 / SLOTS as f64
    }

    /// What a worker does, until nothing is left.
    fn drive(&mut self) {
        while let Some(reader) = self.reader.take() {
            let more;
            let pin = match self.function.begin(0, reader.pin()) {
                Begin::Run(mut run) => {
                    run.run();
                    let finished = self.function.finish(run);
                    more = finished.more;
                    finished.memory
                }
                Begin::Starting(pin) | Begin::Delayed(pin, _) => {
                    more = true;
                    pin
                }
                Begin::Nothing(pin) => {
                    more = false;
                    pin
                }
            };
            self.reader = Some(pin.unpin());
            // The shell's own look.
            assert!(!F::ACTIVE || !self.function.has_postponed(), "nothing is armed");
            if !more {
                return;
            }
        }
    }

    fn set(&self, register: ChannelRegister, value: u64) {
        let bytes = &value.to_le_bytes()[..register.width()];
        let _ = self.function.bar_write(channel_base(0) + register.offset(), bytes);
    }
}

/// The best of each one's bursts.
fn turn<F: Faults, G: Faults>(with: &mut Steps<F>, without: &mut Steps<G>) -> (f64, f64) {
    let bursts = (0..BURSTS).map(|_| (with.burst(), without.burst()));
    bursts.fold((f64::MAX, f64::MAX), |best, burst| (best.0.min(burst.0), best.1.min(burst.1)))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    (values[middle - 1] + values[middle]) / 2.0
}
