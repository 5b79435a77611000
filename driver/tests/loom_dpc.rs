//! Models of the DPC queue's protocol, checked over all interleavings and all values that the memory model
//! allows. Run with `RUSTFLAGS="--cfg loom" cargo test -p netdma --no-default-features --test loom_dpc --release`.
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use netdma::contract::{CpuNumber, GroupAffinity};
use netdma::ndis::queue::{DpcObjects, DpcQueues, KdpcObject};

/// One message, one processor, and the work of two requesters, each published with no ordering of its own.
struct Model {
    queues: DpcQueues<()>,
    objects: std::sync::Arc<DpcObjects<()>>,
    work: [AtomicU32; 2],
    seen: [AtomicU32; 2],
    runs: AtomicU32,
}

impl Model {
    fn new() -> Arc<Self> {
        let queues = DpcQueues::new(1);
        queues.reserve(1);
        let objects = std::sync::Arc::new(DpcObjects::new((), 1, &queues));
        let zeros = || [AtomicU32::new(0), AtomicU32::new(0)];
        Arc::new(Self { queues, objects, work: zeros(), seen: zeros(), runs: AtomicU32::new(0) })
    }

    /// Publishes, then asks. True if queued.
    fn request(&self, who: usize) -> bool {
        self.work[who].store(1, Ordering::Relaxed);
        self.queues.queue(&self.objects, 0, GroupAffinity { group: 0, mask: 1 }, None) == 1
    }

    /// Runs what is queued now.
    fn drain(&self) {
        while let Some(_running) = self.queues.next(CpuNumber(0)) {
            self.runs.fetch_add(1, Ordering::Relaxed);
            for who in 0..2 {
                self.seen[who].fetch_or(self.work[who].load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn no_completion_is_lost_and_each_queued_dpc_runs_once() {
    loom::model(|| {
        let model = Model::new();
        let (one, other) = (model.clone(), model.clone());
        let one = loom::thread::spawn(move || u32::from(one.request(0)));
        let worker = loom::thread::spawn(move || other.drain());
        let mut queued = u32::from(model.request(1));
        worker.join().unwrap();
        queued += one.join().unwrap();
        // The bell brings the worker back for what came after its last look.
        model.drain();
        assert_eq!(model.runs.load(Ordering::Relaxed), queued);
        for who in 0..2 {
            assert_eq!(model.seen[who].load(Ordering::Relaxed), 1, "the work of requester {who}");
        }
    });
}

#[test]
fn nothing_runs_after_closing() {
    loom::model(|| {
        let model = Model::new();
        let requester = model.clone();
        let requester = loom::thread::spawn(move || requester.request(0));
        let cancelled = model.queues.close(&model.objects);
        let queued = requester.join().unwrap();
        assert!(model.queues.next(CpuNumber(0)).is_none(), "queued {queued}, cancelled {cancelled}");
        assert_eq!(cancelled, usize::from(queued));
    });
}

/// One kernel DPC and one processor.
struct Kernel {
    queues: DpcQueues<()>,
    object: std::sync::Arc<KdpcObject>,
    work: [AtomicU32; 2],
    seen: [AtomicU32; 2],
    runs: AtomicU32,
}

impl Kernel {
    fn new() -> Arc<Self> {
        let queues = DpcQueues::new(1);
        queues.reserve(1);
        let object = std::sync::Arc::new(KdpcObject::new(Box::new(|_, _| {}), 0));
        let zeros = || [AtomicU32::new(0), AtomicU32::new(0)];
        Arc::new(Self { queues, object, work: zeros(), seen: zeros(), runs: AtomicU32::new(0) })
    }

    fn insert(&self, who: usize) -> bool {
        self.work[who].store(1, Ordering::Relaxed);
        self.queues.insert(&self.object, CpuNumber(0), (0, 0)).is_some()
    }

    fn drain(&self) {
        while let Some(_running) = self.queues.next(CpuNumber(0)) {
            self.runs.fetch_add(1, Ordering::Relaxed);
            for who in 0..2 {
                self.seen[who].fetch_or(self.work[who].load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn a_refused_insert_is_seen_by_the_run_that_it_relies_on() {
    loom::model(|| {
        let model = Kernel::new();
        let (one, other) = (model.clone(), model.clone());
        let one = loom::thread::spawn(move || u32::from(one.insert(0)));
        let worker = loom::thread::spawn(move || other.drain());
        let mut queued = u32::from(model.insert(1));
        worker.join().unwrap();
        queued += one.join().unwrap();
        model.drain();
        assert_eq!(model.runs.load(Ordering::Relaxed), queued);
        for who in 0..2 {
            assert_eq!(model.seen[who].load(Ordering::Relaxed), 1, "the work of inserter {who}");
        }
    });
}

#[test]
fn a_removed_insert_does_not_run_and_every_other_does() {
    loom::model(|| {
        let model = Kernel::new();
        let (one, other) = (model.clone(), model.clone());
        let inserter = loom::thread::spawn(move || u32::from(one.insert(0)));
        let worker = loom::thread::spawn(move || other.drain());
        let removed = u32::from(model.queues.remove(&model.object));
        worker.join().unwrap();
        let queued = inserter.join().unwrap();
        model.drain();
        assert_eq!(model.runs.load(Ordering::Relaxed) + removed, queued);
    });
}

#[test]
fn nothing_of_a_closed_object_runs() {
    loom::model(|| {
        let model = Kernel::new();
        let one = model.clone();
        let inserter = loom::thread::spawn(move || one.insert(0));
        model.queues.close_kernel(&model.object);
        inserter.join().unwrap();
        assert!(model.queues.next(CpuNumber(0)).is_none());
    });
}

/// How the mark of a DPC is cleared.
#[derive(Clone, Copy)]
enum Clear {
    /// As the engine does it.
    SwapBeforeTheRoutine,
    /// Acquires nothing from the requests that were refused.
    StoreBeforeTheRoutine,
    /// Refuses requests whose work the routine has already missed.
    SwapAfterTheRoutine,
}

/// The protocol once more, with its clearing as a parameter.
struct Protocol {
    queued: AtomicBool,
    fifo: Mutex<u32>,
    work: [AtomicU32; 2],
    seen: [AtomicU32; 2],
}

impl Protocol {
    fn request(&self, who: usize) {
        self.work[who].store(1, Ordering::Relaxed);
        if !self.queued.swap(true, Ordering::AcqRel) {
            *self.fifo.lock().unwrap() += 1;
        }
    }

    fn drain(&self, clear: Clear) {
        loop {
            let mut fifo = self.fifo.lock().unwrap();
            if *fifo == 0 {
                return;
            }
            *fifo -= 1;
            match clear {
                Clear::SwapBeforeTheRoutine => drop(self.queued.swap(false, Ordering::AcqRel)),
                Clear::StoreBeforeTheRoutine => self.queued.store(false, Ordering::Release),
                Clear::SwapAfterTheRoutine => {}
            }
            drop(fifo);
            for who in 0..2 {
                self.seen[who].fetch_or(self.work[who].load(Ordering::Relaxed), Ordering::Relaxed);
            }
            if let Clear::SwapAfterTheRoutine = clear {
                self.queued.swap(false, Ordering::AcqRel);
            }
        }
    }
}

fn check(clear: Clear) {
    loom::model(move || {
        let zeros = || [AtomicU32::new(0), AtomicU32::new(0)];
        let protocol = Arc::new(Protocol {
            queued: AtomicBool::new(false),
            fifo: Mutex::new(0),
            work: zeros(),
            seen: zeros(),
        });
        let (one, worker) = (protocol.clone(), protocol.clone());
        let one = loom::thread::spawn(move || one.request(0));
        let worker = loom::thread::spawn(move || worker.drain(clear));
        protocol.request(1);
        one.join().unwrap();
        worker.join().unwrap();
        protocol.drain(clear);
        for who in 0..2 {
            assert_eq!(protocol.seen[who].load(Ordering::Relaxed), 1, "a completion was lost");
        }
    });
}

#[test]
fn the_copy_with_the_engines_order_loses_nothing() {
    check(Clear::SwapBeforeTheRoutine);
}

#[test]
#[should_panic(expected = "a completion was lost")]
fn a_plain_store_loses_a_completion() {
    check(Clear::StoreBeforeTheRoutine);
}

#[test]
#[should_panic(expected = "a completion was lost")]
fn clearing_after_the_routine_loses_a_completion() {
    check(Clear::SwapAfterTheRoutine);
}
