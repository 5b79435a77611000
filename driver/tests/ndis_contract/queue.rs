//! The DPC queues: what the conformance suite has no statement for. NdisMQueueDpc's own are its section QD, kernel DPCs'
//! its section KD.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ioat_stage::pause::{Join, Ready};
use ioat_stage::{Bell, NoTrace, Pause, Task, ThreadPause, Wake};
use netdma::contract::{CpuNumber, GroupAffinity, ProcessorNumber};
use netdma::irql::AtDispatch;
use netdma::ndis::{
    DpcImportance, InterruptError, Kdpc, KdpcCall, ProcessorLayout, Processors, ProcessorsError,
    ke_flush_queued_dpcs, ke_initialize_dpc, ke_insert_queue_dpc, ke_remove_queue_dpc, ke_set_importance_dpc,
    ke_set_target_processor_dpc, ke_set_target_processor_dpc_ex, ndis_m_register_interrupt_ex,
};

use crate::rig::{Dpc, Held, LIMIT, Plan, Rig, Script, cpu, passive, pause, processors};

fn start(layout: ProcessorLayout) -> Result<Arc<Processors>, ProcessorsError> {
    Processors::start(layout, pause(), Arc::new(NoTrace))
}

/// Runs: where, and with which first argument.
type Runs = Arc<Mutex<Vec<(u32, u64)>>>;

/// A DPC object that notes its runs.
fn noted(processors: &Processors) -> (Kdpc, Runs) {
    let ran = Runs::default();
    let of_routine = ran.clone();
    let routine = move |call: &KdpcCall<'_>, _: &AtDispatch| {
        of_routine.lock().unwrap().push((call.processor.0, call.argument1));
    };
    (Kdpc::new(processors, routine, 0), ran)
}

#[test]
fn qd_15_work_published_before_a_refused_request_is_seen_by_the_queued_run() {
    let processors = processors(1);
    let (work, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (of_dpc, seen_by_dpc) = (work.clone(), seen.clone());
    let dpc = Box::new(|_| -> Dpc {
        Box::new(move |_, _| {
            seen_by_dpc.fetch_add(of_dpc.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        })
    });
    let rig = Rig::new(&processors, Plan { dpc, ..Plan::default() });
    let held = Held::processor(&processors, 0);
    work.fetch_add(1, Ordering::Relaxed);
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    work.fetch_add(1, Ordering::Relaxed);
    assert!(rig.queue(cpu(0), 2).is_empty());
    drop(held);
    rig.next();
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

#[test]
fn processors_that_cannot_be_are_refused_with_their_layout() {
    for layout in [(0, 64), (2049, 64), (1, 0), (1, 65)] {
        let layout = ProcessorLayout { count: layout.0, per_group: layout.1 };
        assert!(matches!(start(layout), Err(ProcessorsError::Layout(refused)) if refused == layout));
    }
    let error = start(ProcessorLayout { count: 0, per_group: 65 }).err().unwrap();
    assert_eq!(
        error.to_string(),
        "0 processors in groups of 65: there must be 1 to 2048 in groups of 1 to 64"
    );
}

#[test]
fn an_affinity_names_a_processor_by_its_number_and_not_by_its_place() {
    // Numbers 0, 1, 64, 65.
    let processors = start(ProcessorLayout { count: 4, per_group: 2 }).unwrap();
    let plan = Plan { vectors: 1, affinity: vec![65], ..Plan::default() };
    let rig = Rig::new(&processors, plan);
    let target = rig.interrupt.message_info().unwrap().messages[0].target_processor_set;
    assert_eq!(target, GroupAffinity { group: 1, mask: 0b10 });
    let refused = ndis_m_register_interrupt_ex(
        &processors,
        Script::new(1),
        |_| netdma::ndis::InterruptCharacteristics {
            version: netdma::ndis::NdisVersion::V6_20,
            line: rig.miniport.clone(),
            message: Some(rig.miniport.clone()),
            msi_sync_with_all_messages: false,
            affinity: vec![2],
        },
        &passive(),
    );
    assert!(matches!(refused, Err(InterruptError::NoSuchProcessor { processor: 2, .. })));
}

#[test]
fn kd_07_a_processor_that_is_not_there_leaves_the_target_unchanged() {
    let processors = start(ProcessorLayout { count: 4, per_group: 2 }).unwrap();
    let (dpc, ran) = noted(&processors);
    let group_1 = ProcessorNumber { group: 1, number: 1 };
    ke_set_target_processor_dpc_ex(&dpc, group_1).unwrap();
    ke_set_target_processor_dpc(&dpc, 2);
    // 64 is no number inside a group, though processor 64 exists.
    for (group, number) in [(0, 64), (1, 2), (2, 0)] {
        let error = ke_set_target_processor_dpc_ex(&dpc, ProcessorNumber { group, number }).unwrap_err();
        assert_eq!(error.0, ProcessorNumber { group, number });
        assert_eq!(error.status().0, 0xc000_000d);
    }
    assert!(ke_insert_queue_dpc(&dpc, 1, 0));
    ke_flush_queued_dpcs(&processors, &passive());
    ke_set_target_processor_dpc(&dpc, 1);
    assert!(ke_insert_queue_dpc(&dpc, 2, 0));
    ke_flush_queued_dpcs(&processors, &passive());
    assert_eq!(*ran.lock().unwrap(), [(65, 1), (1, 2)]);
}

#[test]
fn kd_16_an_untargeted_object_runs_on_two_processors_at_once() {
    let processors = processors(2);
    let met = std::sync::Barrier::new(2);
    let (started, has_started) = channel();
    let (started, (sender, both)) = (Mutex::new(started), channel());
    let sender = Mutex::new(sender);
    let routine = move |call: &KdpcCall<'_>, _: &AtDispatch| {
        started.lock().unwrap().send(()).unwrap();
        // Only two runs at the same time get past this.
        met.wait();
        sender.lock().unwrap().send(call.processor).unwrap();
    };
    let dpc = ke_initialize_dpc(&processors, routine, 0);
    let handle = dpc.handle();
    assert!(ke_insert_queue_dpc(&dpc, 0, 0));
    has_started.recv_timeout(LIMIT).unwrap();
    let inserts = move |_: &KdpcCall<'_>, _: &AtDispatch| assert!(ke_insert_queue_dpc(&handle, 0, 0));
    let inserter = Kdpc::new(&processors, inserts, 0);
    ke_set_target_processor_dpc(&inserter, 1);
    ke_set_importance_dpc(&inserter, DpcImportance::MediumHigh);
    assert!(ke_insert_queue_dpc(&inserter, 0, 0));
    let mut ran = [both.recv_timeout(LIMIT).unwrap(), both.recv_timeout(LIMIT).unwrap()];
    ran.sort_unstable();
    assert_eq!(ran, [CpuNumber(0), CpuNumber(1)]);
}

#[test]
fn an_object_dropped_while_it_is_queued_does_not_run() {
    let processors = processors(1);
    let held = Held::processor(&processors, 0);
    let (dpc, ran) = noted(&processors);
    let handle = dpc.handle();
    assert!(ke_insert_queue_dpc(&dpc, 1, 0));
    drop(dpc);
    assert!(!ke_insert_queue_dpc(&handle, 2, 0), "its owner is gone");
    assert!(!ke_remove_queue_dpc(&handle));
    drop(held);
    ke_flush_queued_dpcs(&processors, &passive());
    assert!(ran.lock().unwrap().is_empty());
}

#[test]
fn an_object_dropped_by_its_own_routine_runs_to_its_end() {
    let processors = processors(1);
    let place: Arc<Mutex<Option<Kdpc>>> = Arc::default();
    let (own, ended) = (place.clone(), Arc::new(AtomicU32::new(0)));
    let ends = ended.clone();
    let routine = move |call: &KdpcCall<'_>, _: &AtDispatch| {
        let me = own.lock().unwrap().take();
        drop(me);
        ends.fetch_add(1 + u32::from(ke_insert_queue_dpc(call.dpc, 0, 0)), Ordering::SeqCst);
    };
    let handle = place.lock().unwrap().insert(Kdpc::new(&processors, routine, 0)).handle();
    assert!(ke_insert_queue_dpc(&handle, 0, 0));
    ke_flush_queued_dpcs(&processors, &passive());
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

/// Threads, and a word when a bell is rung.
struct Overheard {
    threads: ThreadPause,
    rung: Mutex<Sender<()>>,
}

impl Pause for Overheard {
    fn now_ns(&self) -> u64 {
        self.threads.now_ns()
    }

    fn sleep(&self, duration: Duration) {
        self.threads.sleep(duration);
    }

    fn relax(&self) {
        self.threads.relax();
    }

    fn wait(&self, bell: &Bell, seen: u32, deadline_ns: Option<u64>) -> Wake {
        self.threads.wait(bell, seen, deadline_ns)
    }

    fn ring(&self, bell: &Bell) {
        self.threads.ring(bell);
        // The test may have heard enough.
        let _ = self.rung.lock().unwrap().send(());
    }

    fn wait_readable(&self, fds: &[BorrowedFd<'_>], deadline_ns: Option<u64>) -> Ready {
        self.threads.wait_readable(fds, deadline_ns)
    }

    fn spawn(&self, task: Task, body: Box<dyn FnOnce() + Send>) -> std::io::Result<Box<dyn Join>> {
        self.threads.spawn(task, body)
    }
}

#[test]
fn dropping_the_processors_cancels_what_waits_and_refuses_what_comes() {
    let (sender, rung) = channel();
    let pause = Arc::new(Overheard { threads: ThreadPause::new(), rung: Mutex::new(sender) });
    let processors = Processors::start(1, pause, Arc::new(NoTrace)).unwrap();
    let (waiting, ran) = noted(&processors);
    let (started, has_started) = channel();
    let (release, released) = channel::<()>();
    let (started, released) = (Mutex::new(started), Mutex::new(released));
    let hold = move |_: &KdpcCall<'_>, _: &AtDispatch| {
        started.lock().unwrap().send(()).unwrap();
        // Ends with an error when the sender is dropped.
        let _ = released.lock().unwrap().recv();
    };
    let holder = Kdpc::new(&processors, hold, 0);
    assert!(ke_insert_queue_dpc(&holder, 0, 0));
    has_started.recv_timeout(LIMIT).unwrap();
    assert!(ke_insert_queue_dpc(&waiting, 1, 0));
    while rung.try_recv().is_ok() {}
    let dropping = std::thread::spawn(move || drop(processors));
    // Nobody but who ends the worker rings now.
    rung.recv_timeout(LIMIT).unwrap();
    drop(release);
    dropping.join().unwrap();
    assert!(ran.lock().unwrap().is_empty());
    assert!(!ke_remove_queue_dpc(&waiting));
    assert!(!ke_insert_queue_dpc(&holder, 0, 0));
}

#[test]
fn a_panicking_kernel_dpc_leaves_its_processor_to_the_others() {
    let processors = processors(1);
    let bad = Kdpc::new(&processors, |_: &KdpcCall<'_>, _: &AtDispatch| panic!("in a DPC, on purpose"), 0);
    let (good, ran) = noted(&processors);
    assert!(ke_insert_queue_dpc(&bad, 0, 0) && ke_insert_queue_dpc(&good, 7, 0));
    ke_flush_queued_dpcs(&processors, &passive());
    assert_eq!(*ran.lock().unwrap(), [(0, 7)]);
}

#[test]
fn the_routine_gets_the_context_of_the_object_and_the_arguments_of_the_insert() {
    let processors = processors(1);
    let (sender, got) = channel();
    let sender = Mutex::new(sender);
    let routine = move |call: &KdpcCall<'_>, _: &AtDispatch| {
        let of_call = (call.deferred_context, call.argument1, call.argument2);
        sender.lock().unwrap().send((of_call, netdma::irql::current())).unwrap();
    };
    let dpc = ke_initialize_dpc(&processors, routine, 5);
    assert!(ke_insert_queue_dpc(&dpc, 6, 7));
    assert_eq!(got.recv_timeout(LIMIT), Ok(((5, 6, 7), netdma::irql::Irql::Dispatch)));
}

#[test]
fn kernel_and_ndis_dpcs_share_the_queue_of_a_processor() {
    let processors = processors(1);
    let held = Held::processor(&processors, 0);
    let order = Arc::new(Mutex::new(Vec::new()));
    let (of_kernel, of_ndis) = (order.clone(), order.clone());
    let dpc = Box::new(|_| -> Dpc { Box::new(move |_, _| of_ndis.lock().unwrap().push("ndis")) });
    let rig = Rig::new(&processors, Plan { dpc, ..Plan::default() });
    let routine = move |_: &KdpcCall<'_>, _: &AtDispatch| of_kernel.lock().unwrap().push("kernel");
    let kernel = [Kdpc::new(&processors, routine.clone(), 0), Kdpc::new(&processors, routine, 0)];
    assert!(ke_insert_queue_dpc(&kernel[0], 0, 0));
    assert_eq!(rig.queue(cpu(0), 0), cpu(0));
    assert!(ke_insert_queue_dpc(&kernel[1], 0, 0));
    drop(held);
    ke_flush_queued_dpcs(&processors, &passive());
    assert_eq!(*order.lock().unwrap(), ["kernel", "ndis", "kernel"]);
}

#[test]
fn th_03_without_a_cap_pending_buffers_lead_to_no_other_run() {
    let processors = processors(1);
    let dpc = Box::new(|_| -> Dpc { Box::new(|call, _| call.throttle.more_nbls_pending = true) });
    let rig = Rig::new(&processors, Plan { dpc, ..Plan::default() });
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    rig.next();
    ke_flush_queued_dpcs(&processors, &passive());
    rig.nothing_more();
}

#[test]
fn dp_03_before_6_20_the_throttle_is_reserved() {
    let processors = Processors::start_throttled(1, 4, pause(), Arc::new(NoTrace)).unwrap();
    let dpc = Box::new(|_| -> Dpc { Box::new(|call, _| call.throttle.more_nbls_pending = true) });
    let plan = Plan { version: netdma::ndis::NdisVersion::V6_1, dpc, ..Plan::default() };
    let rig = Rig::new(&processors, plan);
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    assert_eq!(rig.next().call.throttle.max_nbls_to_indicate, u32::MAX);
    rig.nothing_more();
}
