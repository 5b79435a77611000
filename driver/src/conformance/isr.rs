//! Service routines and the DPCs that they ask for (contract 2.4, 2.5 and 4.6, IS and DP).

use super::recording::{Dpc, Gate, Plan, Registered, asks, cpu, passive, processors, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, NotPassed, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::CpuSet32;
use crate::irql::Irql;
use crate::ndis::raw::{FALSE, ISR_OUT_ON_ENTRY};
use crate::ndis::{DpcContext, DpcRequest, IsrResult, NdisVersion};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-IS-01",
        c_is_01_the_default_dpc_is_one_on_the_isrs_processor,
        Inferred,
        Library,
        "ddi nc-ndis-miniport_isr; con/non-rss-receive-processing (that the default is the ISR's processor: inferred)",
        "QueueDefaultInterruptDpc queues one DPC, on the processor of the service routine, and the map is ignored"
    ),
    statement!(
        "C-IS-02",
        c_is_02_an_isr_that_asks_for_nothing_queues_nothing,
        Documented,
        Library,
        "ddi nc-ndis-miniport_isr",
        "neither the default DPC nor a map: no DPC"
    ),
    statement!(
        "C-IS-03",
        c_is_03_dpcs_are_queued_even_if_the_line_is_not_claimed,
        Documented,
        Library,
        "ddi nc-ndis-miniport_isr",
        "DPCs are queued as asked for, also when the line's service routine says that the interrupt is not its own"
    ),
    statement!(
        "C-IS-04",
        c_is_04_the_map_queues_one_dpc_on_each_of_its_processors,
        Documented,
        Library,
        "ddi nc-ndis-miniport_isr",
        "the map 0b101 queues a DPC on processors 0 and 2, and on no other"
    ),
    statement!(
        "C-IS-05",
        c_is_05_the_isr_runs_at_the_devices_level_and_the_dpc_at_dispatch,
        Documented,
        Library,
        "ddi nc-ndis-miniport_isr; nc-ndis-miniport_interrupt_dpc",
        "a service routine runs at the device's level, a DPC at DISPATCH_LEVEL on the processor that it was queued for"
    ),
    statement!(
        "C-DP-01",
        c_dp_01_a_dpc_of_the_isrs_map_has_no_context,
        Documented,
        Library,
        "ddi nc-ndis-miniport_interrupt_dpc; nc-ndis-miniport_message_interrupt_dpc",
        "a DPC that the service routine's map queued gets a null context"
    ),
    statement!(
        "C-DP-02",
        c_dp_02_a_dpc_has_the_context_that_it_was_queued_with,
        Documented,
        Library,
        "the reference page of NdisMQueueDpc",
        "a DPC that NdisMQueueDpc queued gets the context of that call"
    ),
    statement!(
        "C-DP-03",
        c_dp_03_a_message_dpc_has_the_message_that_it_was_queued_for,
        Documented,
        Library,
        "ddi nc-ndis-miniport_message_interrupt_dpc",
        "a message DPC gets the number of the message that it was queued for"
    ),
];

pub(super) const CHOICES: &[Statement] = &[
    statement!(
        "L-IS-6",
        l_is_06_out_parameters_that_an_isr_leaves_alone_ask_for_nothing,
        Choice,
        Library,
        "no page says what the two out parameters hold on entry",
        "on entry QueueDefaultInterruptDpc is FALSE and TargetProcessors 0"
    ),
    statement!(
        "L-QD-5",
        l_qd_05_messages_have_dpcs_of_their_own_in_every_version,
        Choice,
        Library,
        "con/handling-an-msi-interrupt promises it from NDIS 6.1 on",
        "in NDIS 6.0 too the DPCs of different messages queue separately on one processor"
    ),
    statement!(
        "L-QD-6",
        l_qd_06_a_message_beyond_the_table_is_an_error_and_schedules_nothing,
        Choice,
        Library,
        "no page says what a MessageId out of range does",
        "a message number beyond the table is a typed error, and a request for such a message schedules nothing"
    ),
];

/// Two messages on four processors, message 0 served on processor 3, with a service routine that asks for `dpc`. The
/// routine has run once when this returns, and the interrupt is deregistered: what was queued has been counted.
fn after_one_interrupt(dpc: DpcRequest) -> Result<(u64, Vec<Dpc>), NotPassed> {
    let (processors, source) = (processors(4)?, ScriptedSource::messages(2));
    let isr = Box::new(move |_: &_, _, _: &_| asks(dpc));
    let plan = Plan { isr, affinity: vec![3, 1], ..Plan::default() };
    let Registered { interrupt, miniport, .. } = register(&processors, &source, plan)?;
    source.fire(0);
    miniport.isrs.wait_for(1, "service routines")?;
    let expected = dpc.processors(3).mask.count_ones() as usize;
    let ran = miniport.dpcs.wait_for(expected, "DPCs")?;
    // The service thread queues before it ends, and deregistering waits for its end.
    interrupt.deregister(&passive()?);
    let queued = processors.counts().iter().map(|counts| counts.queued).sum();
    Ok((queued, ran))
}

fn c_is_01_the_default_dpc_is_one_on_the_isrs_processor(_: &Bench<'_>) -> Verdict {
    let (queued, ran) = after_one_interrupt(DpcRequest::from_parameters(true, 0b110))?;
    ensure_eq!(queued, 1, "DPCs queued");
    ensure_eq!(ran[0].call.processor, 3, "the processor of the default DPC");
    Ok(())
}

fn c_is_02_an_isr_that_asks_for_nothing_queues_nothing(_: &Bench<'_>) -> Verdict {
    let (queued, ran) = after_one_interrupt(DpcRequest::from_parameters(false, 0))?;
    ensure_eq!((queued, ran.len()), (0, 0), "DPCs queued and run");
    Ok(())
}

fn c_is_03_dpcs_are_queued_even_if_the_line_is_not_claimed(_: &Bench<'_>) -> Verdict {
    for dpc in [DpcRequest::DefaultCpu, DpcRequest::Cpus(CpuSet32(0b10))] {
        let (processors, source) = (processors(2)?, ScriptedSource::line());
        let of_isr = source.clone();
        let isr = Box::new(move |_: &_, _, _: &_| {
            of_isr.assert_line(false);
            IsrResult { claimed: false, dpc, address: 0 }
        });
        let registered = register(&processors, &source, Plan { isr, affinity: vec![0], ..Plan::default() })?;
        source.assert_line(true);
        let ran = registered.miniport.dpcs.wait_for(1, "DPCs of an interrupt that is not claimed")?;
        let expected = dpc.processors(0).mask.trailing_zeros();
        ensure_eq!(ran[0].call.processor, expected, "the processor of the DPC for {dpc:?}");
    }
    Ok(())
}

fn c_is_04_the_map_queues_one_dpc_on_each_of_its_processors(_: &Bench<'_>) -> Verdict {
    let (queued, ran) = after_one_interrupt(DpcRequest::Cpus(CpuSet32(0b101)))?;
    let mut on: Vec<u32> = ran.iter().map(|dpc| dpc.call.processor).collect();
    on.sort_unstable();
    ensure_eq!((queued, on), (2, vec![0, 2]), "DPCs queued, and the processors of those that ran");
    Ok(())
}

fn c_is_05_the_isr_runs_at_the_devices_level_and_the_dpc_at_dispatch(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(2)?, ScriptedSource::messages(1));
    let isr = Box::new(|_: &_, _, _: &_| asks(DpcRequest::Cpus(CpuSet32(0b10))));
    let registered = register(&processors, &source, Plan { isr, ..Plan::default() })?;
    source.fire(0);
    let dpcs = registered.miniport.dpcs.wait_for(1, "DPCs")?;
    let isrs = registered.miniport.isrs.all();
    ensure_eq!(isrs[0].level, Irql::Device, "the level of the service routine");
    ensure_eq!(
        (dpcs[0].level, dpcs[0].call.processor),
        (Irql::Dispatch, 1),
        "level and processor of the DPC"
    );
    Ok(())
}

fn c_dp_01_a_dpc_of_the_isrs_map_has_no_context(_: &Bench<'_>) -> Verdict {
    // The default DPC has none either, which no page says.
    for dpc in [DpcRequest::Cpus(CpuSet32(0b10)), DpcRequest::DefaultCpu] {
        let (_, ran) = after_one_interrupt(dpc)?;
        ensure_eq!(ran[0].context(), None, "the context of a DPC by {dpc:?}");
    }
    Ok(())
}

fn c_dp_02_a_dpc_has_the_context_that_it_was_queued_with(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let message = registered.handle.message(0)?;
    for (before, context) in [Some(7), Some(0), None].into_iter().enumerate() {
        let queued = registered.handle.queue_dpc(message, cpu(0), context.map(DpcContext));
        ensure_eq!(queued.scheduled, cpu(0), "the request with context {context:?}");
        let ran = registered.miniport.dpcs.wait_for(before + 1, "DPCs")?;
        ensure_eq!(ran[before].context(), context, "the context; 0 is not the absence of one");
    }
    Ok(())
}

fn c_dp_03_a_message_dpc_has_the_message_that_it_was_queued_for(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let registered = register(&processors, &ScriptedSource::messages(3), Plan::default())?;
    for (before, number) in [2, 0, 1].into_iter().enumerate() {
        let message = registered.handle.message(number)?;
        ensure_eq!(registered.handle.queue_dpc(message, cpu(0), None).scheduled, cpu(0), "message {number}");
        let ran = registered.miniport.dpcs.wait_for(before + 1, "DPCs")?;
        ensure_eq!((ran[before].call.message, ran[before].line), (message, false), "the message of the DPC");
    }
    Ok(())
}

fn l_is_06_out_parameters_that_an_isr_leaves_alone_ask_for_nothing(_: &Bench<'_>) -> Verdict {
    let (default, map) = ISR_OUT_ON_ENTRY;
    ensure_eq!((default, map), (FALSE, 0), "QueueDefaultInterruptDpc and TargetProcessors on entry");
    let (queued, _) = after_one_interrupt(DpcRequest::from_parameters(default != FALSE, map))?;
    ensure_eq!(queued, 0, "DPCs of a service routine that leaves them alone");
    Ok(())
}

fn l_qd_05_messages_have_dpcs_of_their_own_in_every_version(_: &Bench<'_>) -> Verdict {
    for version in [NdisVersion::V6_0, NdisVersion::V6_1, NdisVersion::V6_20] {
        let processors = processors(1)?;
        let release = Gate::new();
        let started = Gate::new();
        let (starts, released) = (started.clone(), release.clone());
        let dpc = Box::new(move |_: &_, _: &mut _, _: &_| {
            starts.open();
            released.wait();
        });
        let plan = Plan { version, dpc, ..Plan::default() };
        let registered = register(&processors, &ScriptedSource::messages(2), plan)?;
        let (one, other) = (registered.handle.message(0)?, registered.handle.message(1)?);
        // The first run holds the processor, so that what follows stays queued.
        ensure_eq!(registered.handle.queue_dpc(one, cpu(0), None).scheduled, cpu(0), "the holder");
        started.expect("the first DPC")?;
        for (message, scheduled) in
            [(one, cpu(0)), (other, cpu(0)), (one, CpuSet32::EMPTY), (other, CpuSet32::EMPTY)]
        {
            let queued = registered.handle.queue_dpc(message, cpu(0), None).scheduled;
            ensure_eq!(queued, scheduled, "what {version} schedules for {message:?}");
        }
        release.open();
        registered.miniport.dpcs.wait_for(3, "DPCs")?;
    }
    Ok(())
}

fn l_qd_06_a_message_beyond_the_table_is_an_error_and_schedules_nothing(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let small = register(&processors, &ScriptedSource::messages(2), Plan::default())?;
    let large = register(&processors, &ScriptedSource::messages(4), Plan::default())?;
    let error = small.handle.message(2).err();
    ensure_eq!(
        error.map(|error| (error.message, error.messages)),
        Some((2, 2)),
        "the error for message 2 of 2"
    );
    // A message of another interrupt has a number that is out of range here.
    let queued = small.handle.queue_dpc(large.handle.message(3)?, cpu(0), None);
    ensure!(queued.scheduled.is_empty(), "a message beyond the table was queued: {queued:?}");
    Ok(())
}
