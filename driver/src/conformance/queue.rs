//! NdisMQueueDpc and NdisMQueueDpcEx (contract 2.6 and 4.7, QD). What is said about one moment is checked on the queues
//! alone, without workers; what is said about runs, on the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::recording::{Dpc, Gate, Plan, asks, cpu, pause, processors, quiet, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, NotPassed, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{CpuNumber, CpuSet32, GroupAffinity};
use crate::irql::{self, Irql};
use crate::ndis::queue::{DpcObjects, DpcQueues, Running};
use crate::ndis::{DpcCall, DpcContext, DpcRequest, InterruptHandle, ProcessorLayout, Processors};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-QD-01",
        c_qd_01_a_request_runs_one_dpc_on_each_processor_of_the_map,
        Documented,
        Library,
        "PAGE-QD",
        "a request for 0b1011 with nothing queued gives 0b1011, and one DPC runs on each of processors 0, 1 and 3"
    ),
    statement!(
        "C-QD-02",
        c_qd_02_the_result_is_a_subset_of_the_request,
        Inferred,
        Library,
        "PAGE-QD",
        "no bit of the result was not in the request"
    ),
    statement!(
        "C-QD-03",
        c_qd_03_each_result_bit_is_one_later_run_with_that_context,
        Inferred,
        Library,
        "PAGE-QD",
        "each bit of a result is exactly one later DPC on that processor, with the context of that request"
    ),
    statement!(
        "C-QD-04",
        c_qd_04_a_second_request_before_the_run_gives_0,
        Documented,
        Library,
        "PAGE-QD; ddi nf-ndis-ndismqueuedpcex",
        "the same request again before the DPC is dispatched gives 0"
    ),
    statement!(
        "C-QD-05",
        c_qd_05_one_processor_queued_and_one_free_gives_the_free_one,
        Documented,
        Library,
        "PAGE-QD; ddi nf-ndis-ndismqueuedpcex",
        "with processor 0 queued, a request for 0b11 gives 0b10"
    ),
    statement!(
        "C-QD-06",
        c_qd_06_another_interrupts_dpc_does_not_clear_the_bit,
        Documented,
        Library,
        "I162; ddi nf-ndis-ndismqueuedpcex",
        "the queued DPC of another interrupt on a processor does not matter"
    ),
    statement!(
        "C-QD-07",
        c_qd_07_a_processor_with_the_dpc_queued_is_0_in_the_result,
        Documented,
        Library,
        "ddi nf-ndis-ndismqueuedpcex; con/handling-an-msi-interrupt",
        "the bit of each processor where the DPC of this message is queued is 0 in the result"
    ),
    statement!(
        "C-QD-08",
        c_qd_08_messages_queue_separately_on_one_processor,
        Documented,
        Library,
        "con/handling-an-msi-interrupt",
        "a queued DPC of message 0 does not keep message 1 from the same processor"
    ),
    statement!(
        "C-QD-09",
        c_qd_09_one_message_queues_separately_on_two_processors,
        Documented,
        Library,
        "con/handling-an-msi-interrupt",
        "a message's DPCs on two processors are queued independently"
    ),
    statement!(
        "C-QD-10",
        c_qd_10_a_running_dpc_can_be_queued_again,
        Inferred,
        Library,
        "ker/registering-and-queuing-a-customdpc-routine",
        "a request by the running DPC for its own processor succeeds, and it runs once more after its return"
    ),
    statement!(
        "C-QD-11",
        c_qd_11_a_refused_request_leaves_the_first_context,
        Inferred,
        Library,
        "ddi nf-wdm-keinsertqueuedpc",
        "the context of a refused request is dropped, and that of the request that queued the DPC is delivered"
    ),
    statement!(
        "C-QD-12",
        c_qd_12_an_empty_request_queues_nothing,
        Inferred,
        Library,
        "ddi nc-ndis-miniport_isr",
        "a request for no processor gives 0 and runs nothing"
    ),
    statement!(
        "C-QD-13",
        c_qd_13_a_line_interrupt_ignores_the_message,
        Documented,
        Library,
        "PAGE-QD",
        "a line interrupt has one DPC for each processor, whatever the message number"
    ),
    statement!(
        "C-QD-14",
        c_qd_14_callable_at_every_level,
        Documented,
        Library,
        "PAGE-QD",
        "requests succeed at PASSIVE_LEVEL, in a DPC, and in a service routine at the device's level"
    ),
    statement!(
        "C-QD-15",
        c_qd_15_a_dpc_queues_dpcs_on_other_processors,
        Documented,
        Library,
        "PAGE-QD (remarks)",
        "a DPC can queue DPCs on other processors"
    ),
    statement!(
        "C-QD-16",
        c_qd_16_the_plain_form_reaches_processors_0_to_31_of_group_0,
        Documented,
        Library,
        "ddi nf-ndis-ndismqueuedpcex",
        "the plain form reaches the first 32 processors of group 0, and no other"
    ),
    statement!(
        "C-QD-17",
        c_qd_17_the_group_form_affects_and_reports_its_group_alone,
        Documented,
        Library,
        "ddi nf-ndis-ndismqueuedpcex",
        "a request for one group queues nothing in another, and its result is relative to that group; every group is reached, 256 processors in all"
    ),
    statement!(
        "C-QD-18",
        c_qd_18_many_requests_before_dispatch_are_one_run_on_each_processor,
        Documented,
        Library,
        "ker/registering-and-queuing-a-customdpc-routine (for kernel DPCs)",
        "any number of requests before dispatch, at least one of them a success, give exactly one run on each processor"
    ),
    statement!(
        "C-QD-19",
        c_qd_19_a_request_without_context_is_accepted,
        Documented,
        Library,
        "PAGE-QD",
        "the plain form takes a null context, and the DPC gets it"
    ),
];

/// The queues, and the DPC objects of one interrupt, without workers.
pub(super) struct Core {
    pub(super) queues: DpcQueues<()>,
    pub(super) objects: Arc<DpcObjects<()>>,
}

impl Core {
    pub(super) fn new(processors: u32, messages: u32) -> Self {
        let queues = DpcQueues::new(processors);
        let objects = another(&queues, messages);
        Self { queues, objects }
    }

    /// A request in group 0.
    pub(super) fn queue(&self, message: u32, mask: u64, context: u64) -> u64 {
        let targets = GroupAffinity { group: 0, mask };
        self.queues.queue(&self.objects, message, targets, Some(DpcContext(context)))
    }

    /// Message and context of each DPC that a processor runs now.
    pub(super) fn drain(&self, processor: u32) -> Vec<(u32, Option<u64>)> {
        let mut ran = Vec::new();
        while let Some(running) = self.queues.next(CpuNumber(processor)) {
            if let Running::Interrupt(dpc) = running {
                ran.push((dpc.message(), dpc.context().map(|context| context.0)));
            }
        }
        ran
    }
}

/// The objects of an interrupt.
fn another(queues: &DpcQueues<()>, messages: u32) -> Arc<DpcObjects<()>> {
    queues.reserve(messages);
    Arc::new(DpcObjects::new((), messages, queues))
}

pub(super) fn sorted_processors(ran: &[Dpc]) -> Vec<u32> {
    let mut processors: Vec<u32> = ran.iter().map(|dpc| dpc.call.processor).collect();
    processors.sort_unstable();
    processors
}

fn c_qd_01_a_request_runs_one_dpc_on_each_processor_of_the_map(_: &Bench<'_>) -> Verdict {
    let processors = processors(4)?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let queued = registered.handle.queue_dpc(registered.handle.message(0)?, CpuSet32(0b1011), None);
    ensure_eq!(queued.scheduled, CpuSet32(0b1011), "the result");
    registered.miniport.dpcs.wait_for(3, "DPCs")?;
    quiet();
    ensure_eq!(sorted_processors(&registered.miniport.dpcs.all()), [0, 1, 3], "the processors that ran one");
    Ok(())
}

fn c_qd_02_the_result_is_a_subset_of_the_request(_: &Bench<'_>) -> Verdict {
    let core = Core::new(4, 1);
    ensure_eq!(core.queue(0, 0b0100, 0), 0b0100, "the request that queues processor 2");
    for request in 0..64 {
        let result = core.queue(0, request, 0);
        ensure_eq!(result & !request, 0, "bits of the result of {request:#b} that were not asked for");
        core.drain(u32::from(request % 2 == 0));
    }
    Ok(())
}

fn c_qd_03_each_result_bit_is_one_later_run_with_that_context(_: &Bench<'_>) -> Verdict {
    let processors = processors(4)?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let message = registered.handle.message(0)?;
    let mut promised = Vec::new();
    for context in 0..200 {
        let targets = CpuSet32(context % 16);
        let queued = registered.handle.queue_dpc(message, targets, Some(DpcContext(u64::from(context))));
        promised.extend(queued.scheduled.iter().map(|cpu| (cpu.0, Some(u64::from(context)))));
    }
    registered.miniport.dpcs.wait_for(promised.len(), "DPCs")?;
    quiet();
    let ran = registered.miniport.dpcs.all();
    let mut ran: Vec<_> = ran.iter().map(|dpc| (dpc.call.processor, dpc.context())).collect();
    promised.sort_unstable();
    ran.sort_unstable();
    ensure_eq!(ran, promised, "processor and context of each run");
    Ok(())
}

fn c_qd_04_a_second_request_before_the_run_gives_0(_: &Bench<'_>) -> Verdict {
    let core = Core::new(2, 1);
    ensure_eq!((core.queue(0, 0b11, 1), core.queue(0, 0b11, 1)), (0b11, 0), "the same request twice");
    ensure_eq!(core.queues.counts(CpuNumber(0)), (1, 1), "queued and refused on processor 0");
    Ok(())
}

fn c_qd_05_one_processor_queued_and_one_free_gives_the_free_one(_: &Bench<'_>) -> Verdict {
    let core = Core::new(2, 1);
    ensure_eq!((core.queue(0, 0b01, 1), core.queue(0, 0b11, 2)), (0b01, 0b10), "the two results");
    Ok(())
}

fn c_qd_06_another_interrupts_dpc_does_not_clear_the_bit(_: &Bench<'_>) -> Verdict {
    let core = Core::new(1, 1);
    let other = another(&core.queues, 1);
    let of_other = core.queues.queue(&other, 0, GroupAffinity { group: 0, mask: 1 }, None);
    ensure_eq!((of_other, core.queue(0, 1, 0)), (1, 1), "the results of the two interrupts");
    ensure_eq!(core.drain(0).len(), 2, "DPCs of the processor");
    Ok(())
}

fn c_qd_07_a_processor_with_the_dpc_queued_is_0_in_the_result(_: &Bench<'_>) -> Verdict {
    for queued in 0..16 {
        let core = Core::new(4, 2);
        ensure_eq!(core.queue(1, queued, 1), queued, "the first request");
        ensure_eq!(core.queue(1, 0b1111, 2), 0b1111 & !queued, "all processors, with {queued:#b} queued");
    }
    Ok(())
}

fn c_qd_08_messages_queue_separately_on_one_processor(_: &Bench<'_>) -> Verdict {
    let core = Core::new(2, 2);
    ensure_eq!((core.queue(0, 0b10, 1), core.queue(1, 0b10, 2)), (0b10, 0b10), "messages 0 and 1");
    ensure_eq!(core.drain(1), [(0, Some(1)), (1, Some(2))], "what processor 1 runs");
    Ok(())
}

fn c_qd_09_one_message_queues_separately_on_two_processors(_: &Bench<'_>) -> Verdict {
    let core = Core::new(2, 1);
    ensure_eq!((core.queue(0, 0b01, 1), core.queue(0, 0b10, 2)), (0b01, 0b10), "processors 0 and 1");
    ensure_eq!((core.drain(0), core.drain(1)), (vec![(0, Some(1))], vec![(0, Some(2))]), "what each runs");
    Ok(())
}

fn c_qd_10_a_running_dpc_can_be_queued_again(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let again = Arc::new(AtomicU32::new(0));
    let of_dpc = again.clone();
    let dpc = Box::new(move |handle: &InterruptHandle, call: &mut DpcCall, _: &_| {
        if call.context == Some(DpcContext(1)) {
            let queued = handle.queue_dpc(call.message, cpu(0), Some(DpcContext(2)));
            of_dpc.store(queued.scheduled.0, Ordering::SeqCst);
        }
    });
    let registered = register(&processors, &ScriptedSource::messages(1), Plan { dpc, ..Plan::default() })?;
    let queued = registered.handle.queue_dpc(registered.handle.message(0)?, cpu(0), Some(DpcContext(1)));
    ensure_eq!(queued.scheduled, cpu(0), "the first request");
    registered.miniport.dpcs.wait_for(2, "DPCs")?;
    quiet();
    let contexts: Vec<_> = registered.miniport.dpcs.all().iter().map(Dpc::context).collect();
    ensure_eq!(again.load(Ordering::SeqCst), 1, "the result of the request from inside");
    ensure_eq!(contexts, [Some(1), Some(2)], "the contexts of the runs");
    Ok(())
}

fn c_qd_11_a_refused_request_leaves_the_first_context(_: &Bench<'_>) -> Verdict {
    let core = Core::new(1, 1);
    ensure_eq!((core.queue(0, 1, 11), core.queue(0, 1, 22)), (1, 0), "the two results");
    ensure_eq!(core.drain(0), [(0, Some(11))], "message and context of the run");
    Ok(())
}

fn c_qd_12_an_empty_request_queues_nothing(_: &Bench<'_>) -> Verdict {
    let core = Core::new(2, 1);
    ensure_eq!(core.queue(0, 0, 1), 0, "the result");
    ensure_eq!((core.drain(0).len(), core.drain(1).len()), (0, 0), "DPCs of the processors");
    Ok(())
}

fn c_qd_13_a_line_interrupt_ignores_the_message(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let (started, release) = (Gate::new(), Gate::new());
    let (starts, released) = (started.clone(), release.clone());
    let dpc = Box::new(move |_: &_, _: &mut _, _: &_| {
        starts.open();
        released.wait();
    });
    let registered = register(&processors, &ScriptedSource::line(), Plan { dpc, ..Plan::default() })?;
    let (zero, nine) = (registered.handle.message(0)?, registered.handle.message(9)?);
    ensure_eq!(registered.handle.queue_dpc(nine, cpu(0), None).scheduled, cpu(0), "the holder");
    started.expect("the first DPC")?;
    let one = registered.handle.queue_dpc(zero, cpu(0), None).scheduled;
    let other = registered.handle.queue_dpc(nine, cpu(0), None).scheduled;
    release.open();
    ensure_eq!((one, other), (cpu(0), CpuSet32::EMPTY), "requests for messages 0 and 9");
    registered.miniport.dpcs.wait_for(2, "DPCs")?;
    Ok(())
}

/// A request for processor 1 from each level: PASSIVE_LEVEL, and then in the service routine and the DPC that it
/// leads to.
fn c_qd_14_callable_at_every_level(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(2)?, ScriptedSource::messages(3));
    let at = Arc::new(ioat_stage::sync::Mutex::new(Vec::new()));
    let (in_isr, in_dpc) = (at.clone(), at.clone());
    let isr = Box::new(move |handle: &InterruptHandle, message, _: &_| {
        let queued = handle.queue_dpc(message, cpu(1), Some(DpcContext(1)));
        in_isr.lock().push((irql::current(), queued.scheduled));
        asks(DpcRequest::None)
    });
    let dpc = Box::new(move |handle: &InterruptHandle, call: &mut DpcCall, _: &_| {
        if call.context == Some(DpcContext(1)) {
            let queued = handle.queue_dpc(call.message, cpu(0), Some(DpcContext(2)));
            in_dpc.lock().push((irql::current(), queued.scheduled));
        }
    });
    let registered = register(&processors, &source, Plan { isr, dpc, ..Plan::default() })?;
    let queued = registered.handle.queue_dpc(registered.handle.message(2)?, cpu(1), Some(DpcContext(3)));
    ensure_eq!((irql::current(), queued.scheduled), (Irql::Passive, cpu(1)), "at PASSIVE_LEVEL");
    source.fire(0);
    registered.miniport.dpcs.wait_for(3, "DPCs")?;
    let mut seen = at.lock().clone();
    seen.sort_unstable_by_key(|(level, _)| *level);
    ensure_eq!(seen, [(Irql::Dispatch, cpu(0)), (Irql::Device, cpu(1))], "above it");
    Ok(())
}

fn c_qd_15_a_dpc_queues_dpcs_on_other_processors(_: &Bench<'_>) -> Verdict {
    let processors = processors(4)?;
    let dpc = Box::new(|handle: &InterruptHandle, call: &mut DpcCall, _: &_| {
        if call.context.is_none() {
            let others = CpuSet32(0b1111).without(cpu(call.processor));
            call.address = u64::from(handle.queue_dpc(call.message, others, Some(DpcContext(1))).scheduled.0);
        }
    });
    let registered = register(&processors, &ScriptedSource::messages(1), Plan { dpc, ..Plan::default() })?;
    let queued = registered.handle.queue_dpc(registered.handle.message(0)?, cpu(2), None);
    ensure_eq!(queued.scheduled, cpu(2), "the first request");
    let ran = registered.miniport.dpcs.wait_for(4, "DPCs")?;
    let asked = ran.iter().find(|dpc| dpc.context().is_none()).map(|dpc| dpc.call.address);
    ensure_eq!(asked, Some(0b1011), "the result of the DPC's own request");
    ensure_eq!(sorted_processors(&ran), [0, 1, 2, 3], "the processors that ran one");
    Ok(())
}

pub(super) fn started(layout: ProcessorLayout) -> Result<Arc<Processors>, NotPassed> {
    Ok(Processors::start(layout, pause(), Arc::new(ioat_stage::NoTrace))?)
}

fn c_qd_16_the_plain_form_reaches_processors_0_to_31_of_group_0(_: &Bench<'_>) -> Verdict {
    let processors = started(ProcessorLayout { count: 80, per_group: 40 })?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let queued = registered.handle.queue_dpc(registered.handle.message(0)?, CpuSet32(u32::MAX), None);
    ensure_eq!(queued.scheduled, CpuSet32(u32::MAX), "the result");
    registered.miniport.dpcs.wait_for(32, "DPCs")?;
    quiet();
    let ran = sorted_processors(&registered.miniport.dpcs.all());
    ensure_eq!(ran, (0..32).collect::<Vec<_>>(), "the processors that ran one");
    Ok(())
}

fn c_qd_17_the_group_form_affects_and_reports_its_group_alone(_: &Bench<'_>) -> Verdict {
    let processors = started(256.into())?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let message = registered.handle.message(0)?;
    for group in 0..4_u16 {
        let before = registered.miniport.dpcs.all().len();
        let mask = u64::MAX << group;
        let targets = GroupAffinity { group, mask };
        let queued = registered.handle.queue_dpc_ex(message, targets, None)?;
        ensure_eq!((queued.requested, queued.scheduled), (targets, mask), "the result in group {group}");
        let count = mask.count_ones() as usize;
        let ran = registered.miniport.dpcs.wait_for(before + count, "DPCs of one group")?;
        let first = u32::from(group) * 64;
        let expected: Vec<_> = (first + u32::from(group)..first + 64).collect();
        ensure_eq!(sorted_processors(&ran[before..]), expected, "the processors that ran one");
    }
    let nowhere =
        registered.handle.queue_dpc_ex(message, GroupAffinity { group: 4, mask: u64::MAX }, None)?;
    ensure_eq!(nowhere.scheduled, 0, "the result in a group that is not there");
    Ok(())
}

fn c_qd_18_many_requests_before_dispatch_are_one_run_on_each_processor(_: &Bench<'_>) -> Verdict {
    let core = Core::new(2, 1);
    let queued: u32 = (0..100).map(|context| core.queue(0, 0b11, context).count_ones()).sum();
    ensure_eq!(queued, 2, "successes of 100 requests for two processors");
    ensure_eq!((core.drain(0).len(), core.drain(1).len()), (1, 1), "runs of the processors");
    Ok(())
}

fn c_qd_19_a_request_without_context_is_accepted(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let queued = registered.handle.queue_dpc(registered.handle.message(0)?, cpu(0), None);
    ensure_eq!(queued.scheduled, cpu(0), "the result");
    let ran = registered.miniport.dpcs.wait_for(1, "DPCs")?;
    ensure_eq!(ran[0].context(), None, "the context of the run");
    Ok(())
}
