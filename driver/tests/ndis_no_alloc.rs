//! Invariant 6: NdisMQueueDpc and KeInsertQueueDpc are callable at any level, so they allocate nothing.
#![expect(unsafe_code, reason = "a global allocator that counts is an unsafe trait")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ioat_stage::{Bell, FaultBook, NoTrace, Pause, ThreadPause};
use netdma::contract::{CpuSet32, GroupAffinity};
use netdma::hw::{Fired, HwError, InterruptSource, Routed};
use netdma::irql::{AtDirql, AtDispatch, AtPassive};
use netdma::ndis::{
    DpcCall, DpcContext, DpcImportance, DpcRequest, InterruptCharacteristics, InterruptHandle, IsrResult,
    Kdpc, KdpcCall, LineHandlers, NdisVersion, Processors, ProcessorsOptions, ke_insert_queue_dpc,
    ke_remove_queue_dpc, ke_set_importance_dpc, ke_set_target_processor_dpc, ndis_m_register_interrupt_ex,
};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the calling thread's allocations and releases.
struct Counting;

// SAFETY: every call is passed on to `System` unchanged; counting touches a plain thread-local word.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocator calls of this thread during `body`.
fn allocator_calls(body: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    body();
    CALLS.get() - before
}

/// A line that the test rings.
#[derive(Default)]
struct Line {
    bell: Bell,
    fired: AtomicU64,
    stopped: AtomicU64,
}

impl InterruptSource for Line {
    fn vectors(&self) -> u32 {
        0
    }

    fn enable(&self, _: u32) -> Result<(), HwError> {
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        Ok(())
    }

    fn wait(&self, _: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        loop {
            let seen = self.bell.seen();
            if self.stopped.load(Ordering::SeqCst) > 0 {
                return Ok(Fired::Stopped);
            }
            match self.fired.swap(0, Ordering::SeqCst) {
                0 => pause.wait(&self.bell, seen, None),
                times => return Ok(Fired::Times(times)),
            };
        }
    }

    fn stop(&self) {
        self.stopped.store(1, Ordering::SeqCst);
        ThreadPause::new().ring(&self.bell);
    }

    fn has_line(&self) -> bool {
        true
    }

    fn enable_line(&self) -> Result<(), HwError> {
        Ok(())
    }

    fn route(&self, _: u32, _: u32) -> Routed {
        Routed::NotApplicable
    }
}

struct Handlers {
    handle: InterruptHandle,
    counted: Mutex<Sender<u64>>,
}

impl LineHandlers for Handlers {
    fn interrupt(&self, _: &AtDirql) -> IsrResult {
        let message = self.handle.message(0).unwrap();
        let calls = allocator_calls(|| {
            for context in 0..1_000 {
                let _ = self.handle.queue_dpc(message, CpuSet32(0b11), Some(DpcContext(context)));
            }
        });
        self.counted.lock().unwrap().send(calls).unwrap();
        IsrResult { claimed: true, dpc: DpcRequest::None, address: 0 }
    }

    fn interrupt_dpc(&self, _: &mut DpcCall, _: &AtDispatch) {}

    fn disable_interrupt(&self, _: &AtDirql) {}

    fn enable_interrupt(&self, _: &AtDirql) {}
}

#[test]
fn queueing_allocates_nothing_at_any_level() {
    let passive = AtPassive::claim().unwrap();
    let processors = Processors::start(2, Arc::new(ThreadPause::new()), Arc::new(NoTrace)).unwrap();
    let source = Arc::new(Line::default());
    let (counted, counts) = channel();
    let build = |handle| InterruptCharacteristics {
        version: NdisVersion::V6_20,
        line: Arc::new(Handlers { handle, counted: Mutex::new(counted) }),
        message: None,
        msi_sync_with_all_messages: false,
        affinity: Vec::new(),
    };
    let interrupt = ndis_m_register_interrupt_ex(&processors, source.clone(), build, &passive).unwrap();
    let (handle, message) = (interrupt.handle(), interrupt.handle().message(0).unwrap());
    let mut scheduled = 0;
    let calls = allocator_calls(|| {
        for context in 0..10_000 {
            scheduled += handle.queue_dpc(message, CpuSet32(0b11), Some(DpcContext(context))).scheduled.len();
        }
    });
    assert_eq!(calls, 0, "from an ordinary thread");
    assert!(scheduled > 0);
    source.fired.fetch_add(1, Ordering::SeqCst);
    ThreadPause::new().ring(&source.bell);
    assert_eq!(counts.recv_timeout(Duration::from_secs(10)), Ok(0), "from inside the ISR");
    // The counter counts: this very test would see an allocation.
    assert!(allocator_calls(|| drop(std::hint::black_box(Box::new([0_u8; 64])))) > 0);
    interrupt.deregister(&passive);
}

/// A book of rules is there, as in an experiment, and nothing in it is about the driver.
#[test]
fn queueing_with_no_rule_of_its_points_armed_allocates_nothing() {
    let passive = AtPassive::claim().unwrap();
    let faults = Some(FaultBook::new(["msix: nth(1) drop".parse().unwrap()]));
    let options = ProcessorsOptions { faults, ..ProcessorsOptions::default() };
    let pause = Arc::new(ThreadPause::new());
    let processors = Processors::start_with(2, options, pause, Arc::new(NoTrace)).unwrap();
    let (counted, _counts) = channel();
    let build = |handle| InterruptCharacteristics {
        version: NdisVersion::V6_20,
        line: Arc::new(Handlers { handle, counted: Mutex::new(counted) }),
        message: None,
        msi_sync_with_all_messages: false,
        affinity: Vec::new(),
    };
    let interrupt =
        ndis_m_register_interrupt_ex(&processors, Arc::new(Line::default()), build, &passive).unwrap();
    let (handle, message) = (interrupt.handle(), interrupt.handle().message(0).unwrap());
    let calls = allocator_calls(|| {
        for context in 0..1_000 {
            let _ = handle.queue_dpc(message, CpuSet32(0b11), Some(DpcContext(context)));
        }
    });
    assert_eq!(calls, 0);
    interrupt.deregister(&passive);
}

#[test]
fn queueing_on_256_processors_allocates_nothing() {
    let passive = AtPassive::claim().unwrap();
    let processors = Processors::start(256, Arc::new(ThreadPause::new()), Arc::new(NoTrace)).unwrap();
    let (counted, _counts) = channel();
    let build = |handle| InterruptCharacteristics {
        version: NdisVersion::V6_20,
        line: Arc::new(Handlers { handle, counted: Mutex::new(counted) }),
        message: None,
        msi_sync_with_all_messages: false,
        affinity: Vec::new(),
    };
    let interrupt =
        ndis_m_register_interrupt_ex(&processors, Arc::new(Line::default()), build, &passive).unwrap();
    let (handle, message) = (interrupt.handle(), interrupt.handle().message(0).unwrap());
    let mut scheduled = [0_u64; 4];
    let calls = allocator_calls(|| {
        for _ in 0..20 {
            for (group, scheduled) in (0..).zip(&mut scheduled) {
                let targets = GroupAffinity { group, mask: u64::MAX };
                *scheduled |= handle.queue_dpc_ex(message, targets, None).unwrap().scheduled;
            }
        }
    });
    assert_eq!((calls, scheduled), (0, [u64::MAX; 4]));
    interrupt.deregister(&passive);
}

#[test]
fn inserting_and_removing_kernel_dpcs_allocates_nothing() {
    const IMPORTANCES: [DpcImportance; 4] =
        [DpcImportance::Low, DpcImportance::Medium, DpcImportance::High, DpcImportance::MediumHigh];
    let processors = Processors::start(3, Arc::new(ThreadPause::new()), Arc::new(NoTrace)).unwrap();
    let (counted, counts) = channel();
    let counted = Mutex::new(counted);
    let other = Arc::new(Kdpc::new(&processors, |_: &_, _: &_| {}, 0));
    let of_routine = other.clone();
    let routine = move |_: &KdpcCall<'_>, _: &AtDispatch| {
        let calls = allocator_calls(|| {
            ke_insert_queue_dpc(&of_routine, 0, 0);
        });
        counted.lock().unwrap().send(calls).unwrap();
    };
    let dpcs: Vec<_> = (0..8).map(|_| Kdpc::new(&processors, |_: &_, _: &_| {}, 0)).collect();
    let mut inserted = 0;
    let calls = allocator_calls(|| {
        for (round, dpc) in (0..1_000_u32).zip(dpcs.iter().cycle()) {
            ke_set_importance_dpc(dpc, IMPORTANCES[round as usize % 4]);
            ke_set_target_processor_dpc(dpc, u8::try_from(round % 3).unwrap());
            inserted += u32::from(ke_insert_queue_dpc(dpc, 0, 0));
            ke_remove_queue_dpc(dpc);
        }
    });
    assert_eq!(calls, 0, "from an ordinary thread");
    assert!(inserted > 0);
    let inside = Kdpc::new(&processors, routine, 0);
    assert!(ke_insert_queue_dpc(&inside, 0, 0));
    assert_eq!(counts.recv_timeout(Duration::from_secs(10)), Ok(0), "from inside a DPC");
}
