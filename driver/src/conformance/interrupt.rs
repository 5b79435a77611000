//! Registering and deregistering an interrupt (contract 2.3 and 4.6, IR).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::recording::{Gate, Plan, aside, asks, cpu, passive, processors, quiet, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::CpuSet32;
use crate::ndis::raw::{IoInterruptMessageInfo, NDIS_CONNECT_LINE_BASED, NDIS_CONNECT_MESSAGE_BASED};
use crate::ndis::{DpcContext, DpcRequest};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-IR-01",
        c_ir_01_the_isr_may_run_before_register_returns,
        Documented,
        Library,
        "ddi nf-ndis-ndismregisterinterruptex",
        "a service routine can run while its interrupt is still being registered"
    ),
    statement!(
        "C-IR-02",
        c_ir_02_without_messages_register_grants_a_line_and_no_table,
        Documented,
        Library,
        "ddi nf-ndis-ndismregisterinterruptex; ns-ndis-_ndis_miniport_interrupt_characteristics",
        "where no messages can be had registering still succeeds: InterruptType is 1 and there is no message table"
    ),
    statement!(
        "C-IR-03",
        c_ir_03_messages_come_with_their_type_and_table,
        Inferred,
        Library,
        "ddi nf-ndis-ndismregisterinterruptex (that the count is at least 1: inferred)",
        "where messages are granted InterruptType is 2 and the table has at least one"
    ),
    statement!(
        "C-IR-04",
        c_ir_04_without_msi_support_no_message_handler_is_called,
        Inferred,
        Library,
        "ddi ns-ndis-_ndis_miniport_interrupt_characteristics",
        "a driver that does not support messages is served by its line, whatever the device offers"
    ),
    statement!(
        "C-IR-05",
        c_ir_05_nothing_runs_after_deregister_returns,
        Documented,
        Library,
        "ddi nf-ndis-ndismderegisterinterruptex",
        "deregistering waits for service routines and DPCs that run; afterwards none does"
    ),
    statement!(
        "C-IR-06",
        c_ir_06_deregister_leaves_no_dpc_in_a_queue,
        Inferred,
        Library,
        "ddi nf-ndis-ndismderegisterinterruptex",
        "a queued DPC has run or is cancelled when deregistering returns"
    ),
];

pub(super) const CHOICES: &[Statement] = &[statement!(
    "L-IR-5",
    l_ir_05_deregister_cancels_queued_dpcs,
    Choice,
    Library,
    "IR-5 asks for no more runs, and leaves open how",
    "deregistering cancels queued DPCs instead of running them"
)];

fn c_ir_01_the_isr_may_run_before_register_returns(_: &Bench<'_>) -> Verdict {
    let (processors, served, in_time) = (processors(2)?, Gate::new(), Arc::new(AtomicBool::new(false)));
    let (of_isr, of_hook, seen) = (served.clone(), served.clone(), in_time.clone());
    // Vector 0 is being served when vector 1 is routed, and registering goes on only after that.
    let source = ScriptedSource::new(2, false).on_route(move |source, vector| {
        if vector == 1 {
            source.fire(0);
            seen.store(of_hook.wait(), Ordering::SeqCst);
        }
    });
    let isr = Box::new(move |_: &_, _, _: &_| {
        of_isr.open();
        asks(DpcRequest::DefaultCpu)
    });
    let registered = register(&processors, &Arc::new(source), Plan { isr, ..Plan::default() })?;
    ensure!(in_time.load(Ordering::SeqCst), "the service routine did not run while registering");
    registered.miniport.dpcs.wait_for(1, "DPCs of an ISR that ran before registering returned")?;
    Ok(())
}

fn c_ir_02_without_messages_register_grants_a_line_and_no_table(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(1)?, ScriptedSource::line());
    let of_isr = source.clone();
    let isr = Box::new(move |_: &_, _, _: &_| {
        of_isr.assert_line(false);
        asks(DpcRequest::DefaultCpu)
    });
    let registered = register(&processors, &source, Plan { isr, ..Plan::default() })?;
    ensure_eq!(registered.interrupt.interrupt_type() as u32, NDIS_CONNECT_LINE_BASED, "InterruptType");
    ensure!(registered.interrupt.message_info().is_none(), "a line has a message table");
    source.assert_line(true);
    let ran = registered.miniport.dpcs.wait_for(1, "DPCs of the line")?;
    ensure!(ran[0].line, "the line's interrupt came to the message handlers");
    Ok(())
}

fn c_ir_03_messages_come_with_their_type_and_table(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(2)?, ScriptedSource::messages(3));
    let registered = register(&processors, &source, Plan::default())?;
    ensure_eq!(registered.interrupt.interrupt_type() as u32, NDIS_CONNECT_MESSAGE_BASED, "InterruptType");
    let table = registered.interrupt.message_info();
    let count = table.map_or(0, |table| IoInterruptMessageInfo::of(table).message_count);
    ensure_eq!(count, 3, "MessageCount for three vectors");
    Ok(())
}

fn c_ir_04_without_msi_support_no_message_handler_is_called(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(1)?, Arc::new(ScriptedSource::new(2, true)));
    let of_isr = source.clone();
    let isr = Box::new(move |_: &_, _, _: &_| {
        of_isr.assert_line(false);
        asks(DpcRequest::DefaultCpu)
    });
    let registered = register(&processors, &source, Plan { messages: false, isr, ..Plan::default() })?;
    ensure_eq!(source.enabled(), (0, true), "the vectors and the line that are enabled");
    source.assert_line(true);
    let dpcs = registered.miniport.dpcs.wait_for(1, "DPCs of the line")?;
    let isrs = registered.miniport.isrs.all();
    ensure!(isrs.iter().all(|isr| isr.line), "a message service routine ran: {isrs:?}");
    ensure!(dpcs.iter().all(|dpc| dpc.line), "a message DPC ran: {dpcs:?}");
    Ok(())
}

fn c_ir_05_nothing_runs_after_deregister_returns(_: &Bench<'_>) -> Verdict {
    for hold_the_isr in [true, false] {
        let (processors, source) = (processors(2)?, ScriptedSource::messages(1));
        let (inside, release, returned) = (Gate::new(), Gate::new(), Gate::new());
        let held = Arc::new(AtomicBool::new(false));
        let (entered, released, of_hold) = (inside.clone(), release.clone(), held.clone());
        let hold = Arc::new(move || {
            entered.open();
            of_hold.store(true, Ordering::SeqCst);
            released.wait();
            of_hold.store(false, Ordering::SeqCst);
        });
        let of_dpc = hold.clone();
        let isr = Box::new(move |_: &_, _, _: &_| {
            if hold_the_isr {
                hold();
            }
            asks(DpcRequest::Cpus(CpuSet32(0b11)))
        });
        let dpc = Box::new(move |_: &_, _: &mut _, _: &_| {
            if !hold_the_isr {
                of_dpc();
            }
        });
        let registered = register(&processors, &source, Plan { isr, dpc, ..Plan::default() })?;
        let (interrupt, handle, miniport) = (registered.interrupt, registered.handle, registered.miniport);
        source.fire(0);
        inside.expect("the routine")?;
        let (at_end, message) = (returned.clone(), handle.message(0)?);
        let deregistering = aside(move || {
            if let Ok(level) = passive() {
                interrupt.deregister(&level);
                at_end.open();
            }
        })?;
        quiet();
        ensure!(!returned.is_open(), "deregistering returned while a routine ran");
        release.open();
        returned.expect("the end of deregistering")?;
        ensure!(!held.load(Ordering::SeqCst), "deregistering returned before the routine did");
        deregistering.join();
        let runs = (miniport.isrs.all().len(), miniport.dpcs.all().len());
        source.fire(0);
        ensure_eq!(
            handle.queue_dpc(message, CpuSet32(0b11), None).scheduled,
            CpuSet32::EMPTY,
            "what is scheduled"
        );
        quiet();
        ensure_eq!((miniport.isrs.all().len(), miniport.dpcs.all().len()), runs, "routines run afterwards");
        // Nobody is left who could call them.
        ensure_eq!(Arc::strong_count(&miniport), 1, "those who keep the handlers");
    }
    Ok(())
}

fn c_ir_06_deregister_leaves_no_dpc_in_a_queue(_: &Bench<'_>) -> Verdict {
    let end = deregister_with_a_queued_dpc()?;
    ensure_eq!(end.keepers, 1, "those who keep the handlers after deregistering");
    ensure_eq!(end.runs_afterwards, end.runs_at_return, "runs of the DPC after deregistering");
    Ok(())
}

fn l_ir_05_deregister_cancels_queued_dpcs(_: &Bench<'_>) -> Verdict {
    let end = deregister_with_a_queued_dpc()?;
    ensure_eq!(end.runs_afterwards, 0, "runs of the DPC that was queued");
    Ok(())
}

/// What is left of an interrupt that was deregistered with a DPC in a queue.
struct End {
    runs_at_return: usize,
    runs_afterwards: usize,
    keepers: usize,
}

/// Queues a DPC behind another interrupt's that runs, deregisters, and lets the processor go on.
fn deregister_with_a_queued_dpc() -> Result<End, super::NotPassed> {
    let processors = processors(1)?;
    let (started, release) = (Gate::new(), Gate::new());
    let (starts, released) = (started.clone(), release.clone());
    let dpc = Box::new(move |_: &_, _: &mut _, _: &_| {
        starts.open();
        released.wait();
    });
    let other = register(&processors, &ScriptedSource::messages(1), Plan { dpc, ..Plan::default() })?;
    let message = other.handle.message(0)?;
    ensure_eq!(other.handle.queue_dpc(message, cpu(0), None).scheduled, cpu(0), "the holder");
    started.expect("the DPC that holds the processor")?;
    let ours = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let queued = ours.handle.queue_dpc(ours.handle.message(0)?, cpu(0), Some(DpcContext(1)));
    ensure_eq!(queued.scheduled, cpu(0), "the DPC behind it");
    ours.interrupt.deregister(&passive()?);
    let (runs_at_return, keepers) = (ours.miniport.dpcs.all().len(), Arc::strong_count(&ours.miniport));
    release.open();
    // A DPC that is queued now comes after whatever was left in the queue.
    other.miniport.dpcs.wait_for(1, "the holder's run")?;
    let last = other.handle.queue_dpc(message, cpu(0), None);
    ensure_eq!(last.scheduled, cpu(0), "the last DPC");
    other.miniport.dpcs.wait_for(2, "the last DPC's run")?;
    Ok(End { runs_at_return, runs_afterwards: ours.miniport.dpcs.all().len(), keepers })
}
