//! Kernel DPC objects (contract 2.11 and 4.8, KD).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ioat_stage::sync::Mutex;

use super::recording::{Gate, aside, passive, pause, processors, quiet};
use super::{Bench, NotPassed, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{CpuNumber, ProcessorNumber};
use crate::irql::AtDispatch;
use crate::ndis::queue::{DpcQueues, KdpcObject, Running};
use crate::ndis::{
    DpcImportance, Kdpc, KdpcCall, Processors, ke_flush_queued_dpcs, ke_insert_queue_dpc,
    ke_remove_queue_dpc, ke_set_importance_dpc, ke_set_target_processor_dpc,
};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-KD-01",
        c_kd_01_a_queued_object_is_not_queued_twice,
        Documented,
        Library,
        "ddi nf-wdm-keinsertqueuedpc",
        "an insert of an object that is in no queue gives TRUE; of a queued one, FALSE, and the arguments of the first insert stay"
    ),
    statement!(
        "C-KD-02",
        c_kd_02_objects_of_one_processor_run_in_the_order_of_insertion,
        Documented,
        Library,
        "ker/organization-of-dpc-queues",
        "objects on one processor run in the order in which they were inserted"
    ),
    statement!(
        "C-KD-03",
        c_kd_03_high_importance_overtakes_what_is_queued,
        Documented,
        Library,
        "ker/organization-of-dpc-queues",
        "an object of high importance runs before those that were queued"
    ),
    statement!(
        "C-KD-04",
        c_kd_04_retargeting_does_not_move_a_queued_object,
        Documented,
        Library,
        "ddi nf-wdm-kesettargetprocessordpc",
        "a new target is for later inserts: an object that is queued stays where it is"
    ),
    statement!(
        "C-KD-05",
        c_kd_05_without_a_target_it_runs_where_it_is_inserted,
        Documented,
        Library,
        "ker/organization-of-dpc-queues",
        "an object without a target runs on the processor that inserts it"
    ),
    statement!(
        "C-KD-06",
        c_kd_06_flush_returns_after_all_that_was_queued_on_every_processor,
        Documented,
        Library,
        "ddi nf-wdm-keflushqueueddpcs",
        "a flush returns only after all DPCs queued before it on every processor have ended"
    ),
    statement!(
        "C-KD-07",
        c_kd_07_what_was_removed_does_not_run,
        Documented,
        Library,
        "ddi nf-wdm-keremovequeuedpc",
        "after a removal that gives TRUE the routine does not run for that insert"
    ),
    statement!(
        "C-KD-08",
        c_kd_08_removing_a_running_object_gives_false,
        Inferred,
        Library,
        "ddi nf-wdm-keremovequeuedpc; I788",
        "a removal while the routine runs gives FALSE"
    ),
    statement!(
        "C-KD-09",
        c_kd_09_dpcs_of_one_processor_never_overlap,
        Documented,
        Library,
        "ker/guidelines-for-writing-dpc-routines",
        "two DPCs of one processor never overlap"
    ),
];

pub(super) const CPU_0: CpuNumber = CpuNumber(0);

pub(super) const CPU_1: CpuNumber = CpuNumber(1);

/// The queues of two processors, without workers, and room for `objects`.
pub(super) fn queues(objects: u32) -> DpcQueues<()> {
    let queues = DpcQueues::new(2);
    queues.reserve(objects);
    queues
}

pub(super) fn object() -> Arc<KdpcObject> {
    Arc::new(KdpcObject::new(Box::new(|_, _| {}), 0))
}

pub(super) fn important(importance: DpcImportance) -> Arc<KdpcObject> {
    let object = object();
    object.set_importance(importance);
    object
}

/// The first arguments of all that a processor runs now.
pub(super) fn drain(queues: &DpcQueues<()>, cpu: CpuNumber) -> Vec<u64> {
    let mut ran = Vec::new();
    while let Some(running) = queues.next(cpu) {
        if let Running::Kernel(kernel) = running {
            ran.push(kernel.arguments().0);
        }
    }
    ran
}

/// What ran: the processor, and both arguments.
pub(super) type Ran = Arc<Mutex<Vec<(u32, u64, u64)>>>;

/// An object whose runs are noted.
pub(super) fn noted(processors: &Processors) -> (Kdpc, Ran) {
    let ran = Ran::default();
    let of_routine = ran.clone();
    let routine = move |call: &KdpcCall<'_>, _: &AtDispatch| {
        of_routine.lock().push((call.processor.0, call.argument1, call.argument2));
    };
    (Kdpc::new(processors, routine, 0), ran)
}

/// A processor whose worker is inside a DPC until the gate is opened.
struct Held {
    release: Arc<Gate>,
    dpc: Kdpc,
}

impl Held {
    fn new(processors: &Processors, number: u8) -> Result<Self, NotPassed> {
        let (started, release) = (Gate::new(), Gate::new());
        let (starts, released) = (started.clone(), release.clone());
        let routine = move |_: &KdpcCall<'_>, _: &AtDispatch| {
            starts.open();
            released.wait();
        };
        let dpc = Kdpc::new(processors, routine, 0);
        ke_set_target_processor_dpc(&dpc, number);
        ke_set_importance_dpc(&dpc, DpcImportance::High);
        ensure!(ke_insert_queue_dpc(&dpc, 0, 0), "the holder's insert was refused");
        started.expect("the DPC that holds the processor")?;
        Ok(Self { release, dpc })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The worker must not wait longer than the check.
        self.release.open();
    }
}

fn c_kd_01_a_queued_object_is_not_queued_twice(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let (dpc, ran) = noted(&processors);
    let held = Held::new(&processors, 0)?;
    let answers = (ke_insert_queue_dpc(&dpc, 1, 2), ke_insert_queue_dpc(&dpc, 3, 4));
    drop(held);
    ke_flush_queued_dpcs(&processors, &passive()?);
    ensure_eq!(answers, (true, false), "the answers to two inserts");
    ensure_eq!(*ran.lock(), [(0, 1, 2)], "processor and arguments of the runs");
    ensure!(ke_insert_queue_dpc(&dpc, 5, 6), "an insert after the run was refused");
    Ok(())
}

fn c_kd_02_objects_of_one_processor_run_in_the_order_of_insertion(_: &Bench<'_>) -> Verdict {
    let (queues, objects) = (queues(3), [object(), object(), object()]);
    for number in [2, 0, 1] {
        ensure!(queues.insert(&objects[number], CPU_0, (number as u64, 0)).is_some(), "object {number}");
    }
    ensure_eq!(drain(&queues, CPU_0), [2, 0, 1], "the order of the runs");
    Ok(())
}

fn c_kd_03_high_importance_overtakes_what_is_queued(_: &Bench<'_>) -> Verdict {
    let queues = queues(4);
    use DpcImportance::{High, Low, Medium, MediumHigh};
    for importance in [Low, Medium, MediumHigh, High] {
        let number = importance as u64;
        ensure!(queues.insert(&important(importance), CPU_0, (number, 0)).is_some(), "{importance:?}");
    }
    let order = [High, Low, Medium, MediumHigh].map(|importance| importance as u64);
    ensure_eq!(drain(&queues, CPU_0), order, "the order of the runs, by importance");
    Ok(())
}

fn c_kd_04_retargeting_does_not_move_a_queued_object(_: &Bench<'_>) -> Verdict {
    let (queues, object) = (queues(1), object());
    ensure_eq!(queues.insert(&object, CPU_0, (1, 0)), Some(CPU_0), "where the first insert goes");
    queues.set_target(&object, ProcessorNumber { group: 0, number: 1 })?;
    ensure_eq!((drain(&queues, CPU_1), drain(&queues, CPU_0)), (vec![], vec![1]), "runs on 1 and on 0");
    ensure_eq!(queues.insert(&object, CPU_0, (2, 0)), Some(CPU_1), "where the next insert goes");
    ensure_eq!((drain(&queues, CPU_1), drain(&queues, CPU_0)), (vec![2], vec![]), "runs on 1 and on 0");
    Ok(())
}

fn c_kd_05_without_a_target_it_runs_where_it_is_inserted(_: &Bench<'_>) -> Verdict {
    let processors = processors(3)?;
    let (dpc, ran) = noted(&processors);
    let dpc = Arc::new(dpc);
    for number in [2, 0, 1] {
        let inserted = dpc.clone();
        let routine = move |_: &KdpcCall<'_>, _: &AtDispatch| {
            ke_insert_queue_dpc(&inserted, u64::from(number), 0);
        };
        let inserter = Kdpc::new(&processors, routine, 0);
        ke_set_target_processor_dpc(&inserter, number);
        ensure!(ke_insert_queue_dpc(&inserter, 0, 0), "the inserter on {number}");
        // Twice: what the inserter queued is later than the first flush.
        ke_flush_queued_dpcs(&processors, &passive()?);
        ke_flush_queued_dpcs(&processors, &passive()?);
    }
    ensure_eq!(*ran.lock(), [(2, 2, 0), (0, 0, 0), (1, 1, 0)], "the processor of each run");
    Ok(())
}

fn c_kd_06_flush_returns_after_all_that_was_queued_on_every_processor(_: &Bench<'_>) -> Verdict {
    let processors = processors(3)?;
    let dpcs: Vec<_> = (0..3).map(|_| noted(&processors)).collect();
    let held = [Held::new(&processors, 1)?, Held::new(&processors, 2)?];
    for ((dpc, _), number) in dpcs.iter().zip(0..) {
        ke_set_target_processor_dpc(dpc, number);
        ke_set_importance_dpc(dpc, DpcImportance::Low);
        ensure!(ke_insert_queue_dpc(dpc, 0, 0), "the insert on {number}");
    }
    let (returned, of_task) = (Gate::new(), processors.clone());
    let returns = returned.clone();
    let task = aside(move || {
        if let Some(level) = crate::irql::AtPassive::claim() {
            ke_flush_queued_dpcs(&of_task, &level);
            returns.open();
        }
    })?;
    let mut early = Vec::new();
    for held in held {
        quiet();
        early.push(returned.is_open());
        drop(held);
    }
    returned.expect("the end of the flush")?;
    let ran: Vec<_> = dpcs.iter().map(|(_, ran)| ran.lock().len()).collect();
    task.join();
    ensure_eq!(early, [false, false], "the flush returned while a processor was held");
    ensure_eq!(ran, [1, 1, 1], "runs when the flush returned");
    Ok(())
}

fn c_kd_07_what_was_removed_does_not_run(_: &Bench<'_>) -> Verdict {
    let (queues, objects) = (queues(3), [object(), object(), object()]);
    for (number, object) in (0..).zip(&objects) {
        ensure!(queues.insert(object, CPU_0, (number, 0)).is_some(), "object {number}");
    }
    ensure_eq!((queues.remove(&objects[1]), queues.remove(&objects[1])), (true, false), "removing it twice");
    ensure_eq!(drain(&queues, CPU_0), [0, 2], "what runs");
    ensure!(queues.insert(&objects[1], CPU_1, (1, 0)).is_some(), "it cannot be inserted again");
    ensure_eq!(drain(&queues, CPU_1), [1], "what runs of the second insert");
    Ok(())
}

fn c_kd_08_removing_a_running_object_gives_false(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let held = Held::new(&processors, 0)?;
    let removed = ke_remove_queue_dpc(&held.dpc);
    ensure!(!removed, "the object that runs was removed");
    // Inserted again while it runs, it is both: that insert can be removed.
    let answers = (ke_insert_queue_dpc(&held.dpc, 0, 0), ke_remove_queue_dpc(&held.dpc));
    ensure_eq!(answers, (true, true), "inserting it while it runs, and removing that");
    Ok(())
}

fn c_kd_09_dpcs_of_one_processor_never_overlap(_: &Bench<'_>) -> Verdict {
    const ROUNDS: u32 = 200;
    let processors = processors(1)?;
    let (inside, overlaps, runs) =
        (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), AtomicU32::new(0));
    let runs = Arc::new(runs);
    let make = |_| {
        let (inside, overlaps, runs) = (inside.clone(), overlaps.clone(), runs.clone());
        let routine = move |_: &KdpcCall<'_>, _: &AtDispatch| {
            overlaps.fetch_add(inside.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            pause().relax();
            inside.fetch_sub(1, Ordering::SeqCst);
            runs.fetch_add(1, Ordering::SeqCst);
        };
        Arc::new(Kdpc::new(&processors, routine, 0))
    };
    let dpcs: Vec<_> = (0..3).map(make).collect();
    let insert = |dpc: Arc<Kdpc>| {
        aside(move || {
            for _ in 0..ROUNDS {
                ke_insert_queue_dpc(&dpc, 0, 0);
                pause().relax();
            }
        })
    };
    let tasks = dpcs.iter().cloned().map(insert).collect::<Result<Vec<_>, _>>()?;
    for task in tasks {
        ensure!(task.join(), "an inserting task panicked");
    }
    ke_flush_queued_dpcs(&processors, &passive()?);
    ensure!(runs.load(Ordering::SeqCst) >= 3, "not every object ran");
    ensure_eq!(overlaps.load(Ordering::SeqCst), 0, "runs that began inside another");
    Ok(())
}
