//! Stage 9 of 9: dpc.
//!
//! A DPC runs on its processor's worker at DISPATCH_LEVEL, one after the other in the order of the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ioat_stage::{Action, Event, Mark, Point, Stage};

use super::handle::queue_dpc;
use super::handlers::{DpcCall, InterruptType, MessageId, ReceiveThrottleParameters, Reported};
use super::interrupt::{Connected, Objects, channel_of};
use super::kdpc::{KdpcCall, KdpcHandle};
use super::processor::Engine;
use super::queue::{Running, RunningDpc, RunningKdpc};
use crate::contract::{CpuNumber, GroupAffinity};
use crate::irql;

pub(super) fn run(running: Running<Connected>, cpu: CpuNumber, engine: &Arc<Engine>) {
    irql::on_processor(cpu.0, || match running {
        Running::Interrupt(dpc) => run_interrupt(dpc, cpu, engine),
        Running::Kernel(dpc) => run_kernel(&dpc, cpu, engine),
        Running::Flush(flush) => {
            flush.arrive();
            engine.pause.ring(flush.reached());
        }
    });
}

fn run_interrupt(running: RunningDpc<Connected>, cpu: CpuNumber, engine: &Engine) {
    let objects = running.objects().clone();
    let message = MessageId(running.message());
    let mut again = match objects.owner().verdict(Point::Dpc, message, 0, cpu.0.into()) {
        Some(Action::Duplicate) => run_once(&running, cpu, engine),
        Some(Action::Delay(ns)) => {
            engine.run_late(cpu, ns);
            false
        }
        _ => false,
    };
    again |= run_once(&running, cpu, engine);
    if again {
        // The routine may write what it likes into the call; what it was queued with counts.
        repeat(&objects, &running, cpu);
    }
    // A batch's last run lets a line fire again (DP-5).
    objects.owner().batch_leaves(1);
    // The run ends before deregistration looks at the count again.
    drop(running);
    if objects.is_closed() {
        engine.pause.ring(objects.settled());
    }
}

/// One call of the routine, and its trace event. True: it says that more buffers are pending.
fn run_once(running: &RunningDpc<Connected>, cpu: CpuNumber, engine: &Engine) -> bool {
    let objects = running.objects();
    let mut call = DpcCall {
        message: MessageId(running.message()),
        context: running.context(),
        processor: cpu.0,
        throttle: ReceiveThrottleParameters {
            max_nbls_to_indicate: cap(objects.owner()),
            more_nbls_pending: false,
        },
        address: 0,
        reported: None,
    };
    // A routine that panics must not take its processor along: other interrupts' DPCs wait behind it.
    let routine = AssertUnwindSafe(|| call_routine(objects.owner(), &mut call));
    let finished = catch_unwind(routine).is_ok();
    if !finished {
        log::error!("a DPC of message {} panicked on {cpu}", running.message());
    }
    let run = engine.count_run(cpu);
    // What the routine reported, or else which run of the processor it was.
    let (channel, generation, sequence) = call.reported.map_or_else(
        || (channel_of(call.message), 0, run),
        |Reported { channel, generation, sequence }| (channel, generation, sequence),
    );
    engine.trace.event(Event {
        stage: Stage::Dpc,
        channel,
        generation,
        sequence,
        address: call.address,
        len: u64::from(cpu.0),
        mark: if finished { Mark::Ok } else { Mark::Error(0) },
        vector: Some(call.message.get()),
        processor: Some(cpu.0),
    });
    finished && call.throttle.more_nbls_pending
}

/// The most buffers to indicate; before NDIS 6.20 there is no such thing (DP-3).
fn cap(interrupt: &Connected) -> u32 {
    if interrupt.characteristics.version.has_receive_throttle() {
        interrupt.engine.max_nbls_to_indicate
    } else {
        ReceiveThrottleParameters::INDICATE_ALL
    }
}

/// More buffers are pending: the routine is called again, after what is queued now, with the same context (TH-2,
/// TH-5). If it was queued meanwhile by a request, that run is the repeated call.
fn repeat(objects: &Arc<Objects>, running: &RunningDpc<Connected>, cpu: CpuNumber) {
    let interrupt = objects.owner();
    if cap(interrupt) == ReceiveThrottleParameters::INDICATE_ALL {
        if interrupt.characteristics.version.has_receive_throttle() {
            log::debug!("MoreNblsPending without a cap means nothing (contract TH-3)");
        }
        return;
    }
    let targets = GroupAffinity { group: cpu.group(), mask: cpu.bit() };
    queue_dpc(objects, MessageId(running.message()), targets, running.context());
}

fn call_routine(interrupt: &Connected, call: &mut DpcCall) {
    let characteristics = &interrupt.characteristics;
    irql::at_dispatch(|level| match (interrupt.interrupt_type, &characteristics.message) {
        (InterruptType::MessageBased, Some(message)) => message.message_interrupt_dpc(call, level),
        _ => characteristics.line.interrupt_dpc(call, level),
    });
}

fn run_kernel(running: &RunningKdpc, cpu: CpuNumber, engine: &Arc<Engine>) {
    let object = running.object();
    let (argument1, argument2) = running.arguments();
    let dpc = KdpcHandle { object: object.clone(), engine: engine.clone() };
    let deferred_context = object.deferred_context;
    let call = KdpcCall { dpc: &dpc, deferred_context, argument1, argument2, processor: cpu };
    let routine = AssertUnwindSafe(|| irql::at_dispatch(|level| (object.routine)(&call, level)));
    if catch_unwind(routine).is_err() {
        log::error!("a kernel DPC panicked on {cpu}");
    }
    engine.count_run(cpu);
}
