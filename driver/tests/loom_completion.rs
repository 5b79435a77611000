//! Models of the path from the engine's completion word to its report: interrupt, ISR, DPC, re-arming, and the look
//! after it. The batch, the DPC queue and the line's word are the driver's own; the engine is a copy, and so is the
//! queue where it is planted with an error. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p netdma --no-default-features --test loom_completion`; with `NETDMA_FULL` set
//! to something, the bounds are wider.
#![cfg(loom)]

use std::sync::atomic::AtomicU64 as Counter;
use std::time::Instant;

use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::spawn;
use netdma::contract::{CpuNumber, GroupAffinity};
use netdma::ioat::batch::{Batch, DueOn, Served, Targets};
use netdma::ndis::DpcContext;
use netdma::ndis::line::LineBatch;
use netdma::ndis::queue::{DpcObjects, DpcQueues, KdpcObject};

const CPU: CpuNumber = CpuNumber(0);

/// Descriptors that the engine completes.
const DESCRIPTORS: usize = 3;

/// What is wrong with a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plant {
    Nothing,
    /// The engine interrupts before it stores its completion word.
    InterruptBeforeWord,
    /// The engine stores its completion word before the data that it speaks of.
    WordBeforeData,
    /// The DPC does not re-arm.
    NoRearm,
    /// The DPC does not look once more after re-arming.
    NoRecheck,
    /// It looks once more, but before re-arming.
    RecheckBeforeRearm,
    /// The re-arming is under way still while the DPC looks once more.
    PostedRearm,
    /// The DPC reads the completion word without acquire.
    RelaxedWord,
    /// The DPC's mark goes after the routine.
    ClearAfterDrain,
    /// The DPC's mark goes by a store, which acquires nothing.
    PlainStore,
}

/// Explores `run` within the bounds: so many preemptions, and more of them with NETDMA_FULL.
fn explore(name: &str, (bound, full): (usize, usize), run: impl Fn() + Send + Sync + 'static) {
    let is_full = std::env::var_os("NETDMA_FULL").is_some_and(|value| !value.is_empty());
    let bound = if is_full { full } else { bound };
    let executions = std::sync::Arc::new(Counter::new(0));
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 10_000;
    let start = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        run();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    eprintln!("loom: {name}: {executions} executions, at most {bound} preemptions, {:.1?}", start.elapsed());
}

/// The DPC queue: the driver's, or a copy with an error.
enum Queue {
    Driver { queues: DpcQueues<()>, objects: std::sync::Arc<DpcObjects<()>> },
    Copy { plant: Plant, queued: AtomicBool, waiting: Mutex<u32> },
}

impl Queue {
    fn of_the_driver() -> Self {
        let queues = DpcQueues::new(1);
        queues.reserve(1);
        let objects = std::sync::Arc::new(DpcObjects::new((), 1, &queues));
        Self::Driver { queues, objects }
    }

    fn copy(plant: Plant) -> Self {
        Self::Copy { plant, queued: AtomicBool::new(false), waiting: Mutex::new(0) }
    }

    /// True if it was not queued yet.
    fn ask(&self, context: Option<DpcContext>) -> bool {
        match self {
            Self::Driver { queues, objects } => {
                queues.queue(objects, 0, GroupAffinity { group: 0, mask: 1 }, context) == 1
            }
            Self::Copy { queued, waiting, .. } => {
                let first = !queued.swap(true, Ordering::AcqRel);
                if first {
                    *waiting.lock().unwrap() += 1;
                }
                first
            }
        }
    }

    /// Runs what is queued, until nothing is.
    fn drain(&self, routine: impl Fn()) {
        match self {
            Self::Driver { queues, .. } => {
                while let Some(_running) = queues.next(CPU) {
                    routine();
                }
            }
            Self::Copy { plant, queued, waiting } => {
                while take(waiting, || match plant {
                    Plant::ClearAfterDrain => {}
                    Plant::PlainStore => queued.store(false, Ordering::Release),
                    _ => drop(queued.swap(false, Ordering::AcqRel)),
                }) {
                    routine();
                    if *plant == Plant::ClearAfterDrain {
                        queued.swap(false, Ordering::AcqRel);
                    }
                }
            }
        }
    }
}

/// Takes one off, and does `then` under the lock.
fn take(waiting: &Mutex<u32>, then: impl Fn()) -> bool {
    let mut waiting = waiting.lock().unwrap();
    if *waiting == 0 {
        return false;
    }
    *waiting -= 1;
    then();
    true
}

/// What the vector's thread waits for: interrupts, and the end of the engine.
#[derive(Default)]
struct Vector {
    state: Mutex<(u32, bool)>,
    rung: Condvar,
}

impl Vector {
    fn fire(&self) {
        self.state.lock().unwrap().0 += 1;
        self.rung.notify_one();
    }

    fn stop(&self) {
        self.state.lock().unwrap().1 = true;
        self.rung.notify_one();
    }

    /// True if it fired; false if it never will again.
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        loop {
            match *state {
                (1.., _) => {
                    state.0 = 0;
                    return true;
                }
                (0, true) => return false,
                (0, false) => state = self.rung.wait(state).unwrap(),
            }
        }
    }
}

/// A channel of the engine, and what the driver knows of it.
struct Channel {
    /// What the descriptors wrote: memory that the completion word alone orders.
    data: [AtomicU32; DESCRIPTORS],
    /// The descriptor processed last, counted from 1.
    word: AtomicU32,
    /// CHANCTRL: the engine takes it back when it interrupts.
    armed: AtomicBool,
    /// The word that a DPC saw last.
    seen: Mutex<u32>,
    reports: [AtomicU32; DESCRIPTORS],
    due: DueOn,
}

impl Channel {
    fn new() -> Self {
        Self {
            data: [0; DESCRIPTORS].map(AtomicU32::new),
            word: AtomicU32::new(0),
            armed: AtomicBool::new(true),
            seen: Mutex::new(0),
            reports: [0; DESCRIPTORS].map(AtomicU32::new),
            due: DueOn::default(),
        }
    }

    /// The engine completes the descriptor with this index.
    fn complete(&self, index: usize, plant: Plant, vector: &Vector) {
        let data = || self.data[index].store(1, Ordering::Relaxed);
        let word = || self.word.store(u32::try_from(index).unwrap() + 1, Ordering::Release);
        // A write of the interrupt message pushes the writes before it.
        let interrupt = || {
            if self.armed.swap(false, Ordering::AcqRel) {
                vector.fire();
            }
        };
        match plant {
            Plant::InterruptBeforeWord => (data(), interrupt(), word()),
            Plant::WordBeforeData => (word(), data(), interrupt()),
            _ => (data(), word(), interrupt()),
        };
    }

    /// The service routine's look: the lock is free again when it reads the word.
    fn has_news(&self) -> bool {
        let seen = *self.seen.lock().unwrap();
        self.word.load(Ordering::Acquire) != seen
    }

    /// The look after the re-arming.
    fn moved(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        self.word.load(Ordering::Acquire) != *seen
    }

    /// The DPC's look at the word, and its report.
    fn report(&self, plant: Plant) {
        let mut seen = self.seen.lock().unwrap();
        let order = if plant == Plant::RelaxedWord { Ordering::Relaxed } else { Ordering::Acquire };
        let word = self.word.load(order);
        for index in *seen as usize..word as usize {
            let data = self.data[index].load(Ordering::Relaxed);
            assert_eq!(data, 1, "descriptor {index} was reported before its data");
            self.reports[index].fetch_add(1, Ordering::Relaxed);
        }
        *seen = word;
    }

    /// The register write has reached the engine when this returns, unless it is planted.
    fn rearm(&self, plant: Plant) {
        match plant {
            Plant::NoRearm => {}
            Plant::PostedRearm => self.armed.store(true, Ordering::Release),
            _ => drop(self.armed.swap(true, Ordering::AcqRel)),
        }
    }

    fn check(&self, completed: usize) {
        for index in 0..completed {
            let reports = self.reports[index].load(Ordering::Relaxed);
            assert_eq!(reports, 1, "descriptor {index} was lost, or reported twice");
        }
    }
}

/// Channels that share one message.
struct Path {
    plant: Plant,
    channels: Vec<Channel>,
    vector: Vector,
    batch: Batch,
    queue: Queue,
    /// With RecheckBeforeRearm: what that look found.
    early: AtomicBool,
}

impl Path {
    fn new(plant: Plant, queue: Queue, channels: usize) -> Arc<Self> {
        Arc::new(Self {
            plant,
            channels: (0..channels).map(|_| Channel::new()).collect(),
            vector: Vector::default(),
            batch: Batch::default(),
            queue,
            early: AtomicBool::new(false),
        })
    }

    /// The service routine (`attend` of the provider): each channel that has news, and the shared message's others
    /// for re-arming.
    fn isr(&self) {
        let mut targets = Targets::default();
        for (index, channel) in self.channels.iter().enumerate() {
            let news = channel.has_news();
            self.batch.disarmed(1 << index);
            if news || self.channels.len() == 1 {
                channel.due.set(CPU);
                targets.add(CPU);
            }
        }
        if targets.is_empty() {
            targets = Targets::of(CPU);
        }
        self.batch.ask(self, targets, None);
    }

    /// `dpc` of the provider.
    fn dpc(&self) {
        for channel in &self.channels {
            if channel.due.take(CPU.0) {
                channel.report(self.plant);
            }
        }
        self.batch.end(self, 1);
    }

    fn work(&self) {
        self.queue.drain(|| self.dpc());
    }
}

impl Served for Path {
    fn rearm(&self, channels: u32) {
        for (index, channel) in self.channels.iter().enumerate() {
            if channels & 1 << index != 0 {
                if self.plant == Plant::RecheckBeforeRearm {
                    self.early.store(channel.moved(), Ordering::Relaxed);
                }
                channel.rearm(self.plant);
            }
        }
    }

    fn recheck(&self, channel: u32) -> Option<(&DueOn, CpuNumber)> {
        let channel = &self.channels[channel as usize];
        let moved = match self.plant {
            Plant::NoRecheck => false,
            Plant::RecheckBeforeRearm => self.early.load(Ordering::Relaxed),
            _ => channel.moved(),
        };
        moved.then_some((&channel.due, CPU))
    }

    fn queue(&self, targets: Targets, context: Option<DpcContext>) -> u32 {
        assert_eq!(targets, Targets::of(CPU));
        u32::from(self.queue.ask(context))
    }
}

/// One channel: the engine, the vector's thread, and the processor's worker.
fn one_channel(plant: Plant, queue: fn(Plant) -> Queue, bounds: (usize, usize)) {
    explore(&format!("one channel, {plant:?}"), bounds, move || {
        let path = Path::new(plant, queue(plant), 1);
        let (engine, isr) = (path.clone(), path.clone());
        let engine = spawn(move || {
            (0..DESCRIPTORS).for_each(|index| engine.channels[0].complete(index, plant, &engine.vector));
            engine.vector.stop();
        });
        let isr = spawn(move || {
            while isr.vector.wait() {
                isr.isr();
            }
        });
        path.work();
        engine.join().unwrap();
        isr.join().unwrap();
        // The bell brings the worker back for what came after its last look.
        path.work();
        path.channels[0].check(DESCRIPTORS);
    });
}

fn driver(_: Plant) -> Queue {
    Queue::of_the_driver()
}

const BOUNDS: (usize, usize) = (3, 5);
/// Where the states are few.
const WIDE: (usize, usize) = (4, 7);

#[test]
fn every_completion_is_reported_once_and_after_its_data() {
    one_channel(Plant::Nothing, driver, (4, 5));
}

#[test]
fn the_copy_of_the_queue_loses_nothing_either() {
    one_channel(Plant::Nothing, Queue::copy, BOUNDS);
}

#[test]
#[should_panic(expected = "was lost")]
fn an_interrupt_before_the_completion_word_loses_a_completion() {
    one_channel(Plant::InterruptBeforeWord, driver, BOUNDS);
}

#[test]
#[should_panic(expected = "before its data")]
fn a_completion_word_before_its_data_is_reported_too_early() {
    one_channel(Plant::WordBeforeData, driver, BOUNDS);
}

#[test]
#[should_panic(expected = "before its data")]
fn reading_the_completion_word_without_acquire_reports_too_early() {
    one_channel(Plant::RelaxedWord, driver, BOUNDS);
}

#[test]
#[should_panic(expected = "was lost")]
fn a_lost_rearming_loses_a_completion() {
    one_channel(Plant::NoRearm, driver, BOUNDS);
}

#[test]
#[should_panic(expected = "was lost")]
fn rearming_without_another_look_loses_a_completion() {
    one_channel(Plant::NoRecheck, driver, BOUNDS);
}

#[test]
#[should_panic(expected = "was lost")]
fn another_look_before_the_rearming_loses_a_completion() {
    one_channel(Plant::RecheckBeforeRearm, driver, BOUNDS);
}

#[test]
#[should_panic(expected = "was lost")]
fn another_look_while_the_rearming_is_under_way_loses_a_completion() {
    one_channel(Plant::PostedRearm, driver, BOUNDS);
}

#[test]
#[should_panic(expected = "was lost")]
fn clearing_the_mark_after_the_routine_loses_a_completion() {
    one_channel(Plant::ClearAfterDrain, Queue::copy, BOUNDS);
}

/// Two channels with one message: the service routine cannot tell whose interrupt it is.
fn two_channels(plant: Plant, bounds: (usize, usize)) {
    explore(&format!("two channels, {plant:?}"), bounds, move || {
        let path = Path::new(plant, Queue::of_the_driver(), 2);
        let (engine, isr) = (path.clone(), path.clone());
        // One engine works on both, so that there is an order in which the one is missed for the other.
        let engine = spawn(move || {
            for (channel, index) in [(0, 0), (1, 0), (0, 1)] {
                engine.channels[channel].complete(index, plant, &engine.vector);
            }
            engine.vector.stop();
        });
        let isr = spawn(move || {
            while isr.vector.wait() {
                isr.isr();
            }
        });
        path.work();
        engine.join().unwrap();
        isr.join().unwrap();
        path.work();
        path.channels[0].check(2);
        path.channels[1].check(1);
    });
}

#[test]
fn two_channels_of_one_message_lose_nothing() {
    two_channels(Plant::Nothing, BOUNDS);
}

#[test]
#[should_panic(expected = "was lost")]
fn two_channels_of_one_message_need_the_look_after_the_rearming() {
    two_channels(Plant::NoRecheck, BOUNDS);
}

/// Counting in and out of the batch orders nearly all that a plain store does not: finding the rest takes five preemptions
/// and all three descriptors. Without a batch it is found sooner: see
/// `clearing_a_kernel_dpcs_mark_by_a_plain_store_loses_a_completion`.
#[test]
#[should_panic(expected = "was lost")]
fn clearing_the_mark_by_a_plain_store_loses_a_completion() {
    one_channel(Plant::PlainStore, Queue::copy, (5, 5));
}

/// A message whose DPC runs on two processors at a time.
struct Spread {
    channel: Channel,
    batch: Batch,
    queues: DpcQueues<()>,
    objects: std::sync::Arc<DpcObjects<()>>,
    vector: Vector,
    working: AtomicU32,
    rearmings: AtomicU32,
}

impl Spread {
    fn new() -> Arc<Self> {
        let queues = DpcQueues::new(2);
        queues.reserve(1);
        let objects = std::sync::Arc::new(DpcObjects::new((), 1, &queues));
        Arc::new(Self {
            channel: Channel::new(),
            batch: Batch::default(),
            queues,
            objects,
            vector: Vector::default(),
            working: AtomicU32::new(0),
            rearmings: AtomicU32::new(0),
        })
    }

    fn work(&self, cpu: u32) {
        while let Some(_running) = self.queues.next(CpuNumber(cpu)) {
            self.working.fetch_add(1, Ordering::Relaxed);
            if self.channel.due.take(cpu) {
                self.channel.report(Plant::Nothing);
            }
            self.working.fetch_sub(1, Ordering::Relaxed);
            self.batch.end(self, 1);
        }
    }
}

impl Served for Spread {
    fn rearm(&self, _: u32) {
        assert_eq!(self.working.load(Ordering::Relaxed), 0, "re-armed while a DPC of the batch ran");
        self.rearmings.fetch_add(1, Ordering::Relaxed);
        self.channel.rearm(Plant::Nothing);
    }

    fn recheck(&self, _: u32) -> Option<(&DueOn, CpuNumber)> {
        self.channel.moved().then_some((&self.channel.due, CPU))
    }

    fn queue(&self, targets: Targets, context: Option<DpcContext>) -> u32 {
        let queued = targets.groups().map(|group| self.queues.queue(&self.objects, 0, group, context));
        queued.map(u64::count_ones).sum()
    }
}

#[test]
fn the_last_of_two_processors_rearms_once() {
    explore("two processors", BOUNDS, || {
        let spread = Spread::new();
        let (engine, second) = (spread.clone(), spread.clone());
        let engine = spawn(move || {
            engine.channel.complete(0, Plant::Nothing, &engine.vector);
            engine.batch.disarmed(1);
            engine.channel.due.set(CPU);
            let mut targets = Targets::of(CPU);
            targets.add(CpuNumber(1));
            engine.batch.ask(&*engine, targets, None);
        });
        let second = spawn(move || second.work(1));
        spread.work(0);
        engine.join().unwrap();
        second.join().unwrap();
        spread.work(0);
        spread.work(1);
        spread.channel.check(1);
        assert_eq!(spread.rearmings.load(Ordering::Relaxed), 1, "one re-arming for one batch");
    });
}

/// Two channels with a message each, and one kernel DPC for both, as Windows' own providers had it: no batch. The DPC
/// re-arms where it found something.
struct Kernel {
    plant: Plant,
    channels: [Channel; 2],
    vectors: [Vector; 2],
    queue: KernelQueue,
}

enum KernelQueue {
    Driver { queues: DpcQueues<()>, object: std::sync::Arc<KdpcObject> },
    Copy(Queue),
}

impl Kernel {
    fn new(plant: Plant, is_copy: bool) -> Arc<Self> {
        let queue = if is_copy {
            KernelQueue::Copy(Queue::copy(plant))
        } else {
            let queues = DpcQueues::new(1);
            queues.reserve(1);
            let object = std::sync::Arc::new(KdpcObject::new(Box::new(|_, _| {}), 0));
            KernelQueue::Driver { queues, object }
        };
        let channels = [Channel::new(), Channel::new()];
        Arc::new(Self { plant, channels, vectors: Default::default(), queue })
    }

    fn insert(&self) {
        match &self.queue {
            KernelQueue::Driver { queues, object } => drop(queues.insert(object, CPU, (0, 0))),
            KernelQueue::Copy(queue) => drop(queue.ask(None)),
        }
    }

    fn work(&self) {
        match &self.queue {
            KernelQueue::Driver { queues, .. } => {
                while let Some(_running) = queues.next(CPU) {
                    self.dpc();
                }
            }
            KernelQueue::Copy(queue) => queue.drain(|| self.dpc()),
        }
    }

    fn dpc(&self) {
        for channel in &self.channels {
            if channel.moved() {
                channel.report(self.plant);
                channel.rearm(self.plant);
                if channel.moved() {
                    self.insert();
                }
            }
        }
    }
}

fn kernel(plant: Plant, is_copy: bool, bounds: (usize, usize)) {
    explore(&format!("kernel DPC, {plant:?}"), bounds, move || {
        let kernel = Kernel::new(plant, is_copy);
        // Each engine completes one descriptor; its service routine follows at once.
        let engines = [0, 1].map(|index| {
            let kernel = kernel.clone();
            spawn(move || {
                kernel.channels[index].complete(0, plant, &kernel.vectors[index]);
                kernel.vectors[index].stop();
                while kernel.vectors[index].wait() {
                    kernel.insert();
                }
            })
        });
        kernel.work();
        engines.into_iter().for_each(|engine| engine.join().unwrap());
        kernel.work();
        kernel.channels.iter().for_each(|channel| channel.check(1));
    });
}

#[test]
fn a_kernel_dpc_for_two_channels_loses_nothing() {
    kernel(Plant::Nothing, false, WIDE);
}

#[test]
fn a_kernel_dpc_in_the_copy_of_the_queue_loses_nothing() {
    kernel(Plant::Nothing, true, WIDE);
}

#[test]
#[should_panic(expected = "was lost")]
fn clearing_a_kernel_dpcs_mark_by_a_plain_store_loses_a_completion() {
    kernel(Plant::PlainStore, true, BOUNDS);
}

/// A line: its source masks it when it fires, and fires only while it is not masked.
struct Line {
    masked: AtomicBool,
    batch: LineBatch,
    queue: Queue,
    unmaskings: AtomicU32,
}

impl Line {
    fn unmask(&self) {
        self.unmaskings.fetch_add(1, Ordering::Relaxed);
        assert!(self.masked.swap(false, Ordering::AcqRel), "the line was unmasked twice");
    }

    fn leave(&self) {
        if self.batch.leave(1) {
            self.unmask();
        }
    }

    fn ask(&self, is_counted_late: bool) {
        if is_counted_late {
            if self.queue.ask(None) {
                self.batch.join(1);
            }
            return;
        }
        self.batch.join(1);
        if !self.queue.ask(None) {
            self.leave();
        }
    }

    /// True if it fired. Its service routine asks for a DPC.
    fn fire(&self, is_counted_late: bool) -> bool {
        let fired = !self.masked.swap(true, Ordering::AcqRel);
        if fired {
            self.batch.fired();
            self.ask(is_counted_late);
            self.leave();
        }
        fired
    }
}

fn line(is_counted_late: bool, bounds: (usize, usize)) {
    explore(if is_counted_late { "line, counted late" } else { "line" }, bounds, move || {
        let line = Arc::new(Line {
            masked: AtomicBool::new(false),
            batch: LineBatch::default(),
            queue: Queue::of_the_driver(),
            unmaskings: AtomicU32::new(0),
        });
        let (source, other) = (line.clone(), line.clone());
        let source = spawn(move || (0..2).map(|_| u32::from(source.fire(is_counted_late))).sum::<u32>());
        // A DPC that is asked for outside any batch.
        let other = spawn(move || other.ask(is_counted_late));
        line.queue.drain(|| line.leave());
        other.join().unwrap();
        let firings = source.join().unwrap();
        line.queue.drain(|| line.leave());
        assert_eq!(line.unmaskings.load(Ordering::Relaxed), firings, "one unmasking for each firing");
        assert!(!line.masked.load(Ordering::Relaxed), "the line stays masked");
    });
}

#[test]
fn a_line_is_unmasked_once_for_each_firing() {
    line(false, (4, 5));
}

#[test]
#[should_panic(expected = "overflow")]
fn a_dpc_counted_into_the_lines_batch_after_queueing_ends_uncounted() {
    line(true, BOUNDS);
}
