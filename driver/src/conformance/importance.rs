//! Choices about where kernel DPCs go and when they start (contract 2.11, KD).

use std::sync::Arc;

use super::kdpc::{CPU_0, CPU_1, drain, important, noted, queues};
use super::recording::{Gate, Plan, asks, passive, processors, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::GroupAffinity;
use crate::irql::AtDispatch;
use crate::ndis::queue::{DpcObjects, Due, Running};
use crate::ndis::{
    DpcImportance, DpcRequest, Kdpc, KdpcCall, ke_flush_queued_dpcs, ke_insert_queue_dpc,
    ke_set_importance_dpc, ke_set_target_processor_dpc,
};

pub(super) const CHOICES: &[Statement] = &[
    statement!(
        "L-KD-6",
        l_kd_06_an_ordinary_thread_inserts_on_processor_0,
        Choice,
        Library,
        "our threads are on no processor until they are in a DPC or a service routine",
        "an object without a target that an ordinary thread inserts runs on processor 0; a service routine inserts on its own processor"
    ),
    statement!(
        "L-KD-9",
        l_kd_09_what_waits_starts_with_4_entries_or_after_10_ms,
        Choice,
        Library,
        "ker/organization-of-dpc-queues names a depth and a rate without numbers",
        "entries that need not start their processor wait until there are 4, something else starts it, or 10 milliseconds have passed"
    ),
    statement!(
        "L-KD-10",
        l_kd_10_ndis_dpcs_have_medium_high_importance,
        Choice,
        Library,
        "no page says which importance NDIS gives its DPCs",
        "NDIS DPCs go to the tail of the queue and always start their processor"
    ),
];

fn l_kd_06_an_ordinary_thread_inserts_on_processor_0(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(3)?, ScriptedSource::messages(1));
    let (dpc, ran) = noted(&processors);
    ensure!(ke_insert_queue_dpc(&dpc, 0, 0), "the thread's insert");
    ke_flush_queued_dpcs(&processors, &passive()?);
    let dpc = Arc::new(dpc);
    let of_isr = dpc.clone();
    let isr = Box::new(move |_: &_, _, _: &_| {
        ke_insert_queue_dpc(&of_isr, 1, 0);
        asks(DpcRequest::None)
    });
    let registered = register(&processors, &source, Plan { isr, affinity: vec![2], ..Plan::default() })?;
    source.fire(0);
    registered.miniport.isrs.wait_for(1, "service routines")?;
    ke_flush_queued_dpcs(&processors, &passive()?);
    ensure_eq!(*ran.lock(), [(0, 0, 0), (2, 1, 0)], "the processor of each run");
    Ok(())
}

fn l_kd_09_what_waits_starts_with_4_entries_or_after_10_ms(_: &Bench<'_>) -> Verdict {
    use DpcImportance::{High, Low, Medium, MediumHigh};
    let cases = [
        (Low, CPU_0, Due::Later),
        (Low, CPU_1, Due::Later),
        (Medium, CPU_0, Due::Now),
        (Medium, CPU_1, Due::Later),
        (MediumHigh, CPU_1, Due::Now),
        (High, CPU_1, Due::Now),
    ];
    for (importance, target, due) in cases {
        let (queues, object) = (queues(1), important(importance));
        let number = target.into();
        queues.set_target(&object, number)?;
        ensure!(queues.insert(&object, CPU_0, (0, 0)).is_some(), "{importance:?} on {target}");
        ensure_eq!(queues.due(target), due, "what {importance:?} asks of {target}, from processor 0");
    }
    let queues = queues(5);
    let due = |_| {
        let inserted = queues.insert(&important(Low), CPU_0, (0, 0));
        inserted.map(|_| queues.due(CPU_0))
    };
    let found: Vec<_> = (0..4).map(due).collect();
    let (later, now) = (Some(Due::Later), Some(Due::Now));
    ensure_eq!(found, [later, later, later, now], "what 1 to 4 entries of low importance ask for");
    // Working off, the processor reaches what comes meanwhile; when it found nothing, it is as before.
    ensure!(queues.next(CPU_0).is_some(), "an entry");
    ensure_eq!(queues.due(CPU_0), Due::Now, "what three entries ask for once the processor works");
    drain(&queues, CPU_0);
    ensure!(queues.insert(&important(Low), CPU_0, (0, 0)).is_some(), "an insert after working off");
    ensure_eq!(queues.due(CPU_0), Due::Later, "what one entry asks for afterwards");
    drain(&queues, CPU_0);
    // The same when what started the processor was removed before the processor came to it.
    let high = important(High);
    ensure!(queues.insert(&high, CPU_0, (0, 0)).is_some() && queues.remove(&high), "an insert taken back");
    ensure_eq!(queues.due(CPU_0), Due::Nothing, "what an empty queue asks for");
    ensure!(queues.insert(&important(Low), CPU_0, (0, 0)).is_some(), "an insert after taking back");
    ensure_eq!(queues.due(CPU_0), Due::Later, "what one entry asks for after taking back");
    nothing_waits_for_ever()
}

/// One entry of low importance, and nothing else: it runs all the same.
fn nothing_waits_for_ever() -> Verdict {
    let processors = processors(2)?;
    let ran = Gate::new();
    let of_routine = ran.clone();
    let dpc = Kdpc::new(&processors, move |_: &KdpcCall<'_>, _: &AtDispatch| of_routine.open(), 0);
    ke_set_target_processor_dpc(&dpc, 1);
    ke_set_importance_dpc(&dpc, DpcImportance::Low);
    ensure!(ke_insert_queue_dpc(&dpc, 0, 0), "the insert");
    ran.expect("the run of an entry of low importance")
}

fn l_kd_10_ndis_dpcs_have_medium_high_importance(_: &Bench<'_>) -> Verdict {
    let queues = queues(3);
    let ndis = Arc::new(DpcObjects::new((), 1, &queues));
    ensure!(queues.insert(&important(DpcImportance::Low), CPU_0, (1, 0)).is_some(), "the first insert");
    ensure_eq!(queues.due(CPU_0), Due::Later, "what an entry of low importance asks for");
    let queued = queues.queue(&ndis, 0, GroupAffinity { group: 0, mask: 1 }, None);
    ensure_eq!((queued, queues.due(CPU_0)), (1, Due::Now), "an NDIS request, and what it asks for");
    let mut order = Vec::new();
    while let Some(running) = queues.next(CPU_0) {
        order.push(matches!(running, Running::Interrupt(_)));
    }
    ensure_eq!(order, [false, true], "whether each run is the NDIS DPC's");
    Ok(())
}
