//! Stage 9 of 9: dpc.
//!
//! A DPC runs on its processor's worker at DISPATCH_LEVEL, one after the other in the order of queueing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use ioat_stage::{Event, Mark, Stage};

use super::handlers::{DpcCall, InterruptType, MessageId, ReceiveThrottleParameters};
use super::interrupt::{Connected, channel_of};
use super::processor::Engine;
use super::queue::RunningDpc;
use crate::irql;

pub(super) fn run(running: RunningDpc<Connected>, processor: u32, engine: &Engine) {
    let objects = running.objects().clone();
    let mut call = DpcCall {
        message: MessageId(running.message()),
        context: running.context(),
        processor,
        throttle: ReceiveThrottleParameters {
            max_nbls_to_indicate: ReceiveThrottleParameters::INDICATE_ALL,
            more_nbls_pending: false,
        },
        address: 0,
    };
    // A routine that panics must not take its processor along: other interrupts' DPCs wait behind it.
    let routine = AssertUnwindSafe(|| call_routine(objects.owner(), &mut call));
    let finished = catch_unwind(routine).is_ok();
    if !finished {
        log::error!("a DPC of message {} panicked on processor {processor}", running.message());
    }
    let sequence = engine.runs[processor as usize].fetch_add(1, Ordering::Relaxed) + 1;
    engine.trace.event(Event {
        stage: Stage::Dpc,
        channel: channel_of(call.message),
        generation: 0,
        sequence,
        address: call.address,
        len: u64::from(processor),
        mark: if finished { Mark::Ok } else { Mark::Error(0) },
    });
    // A batch's last run lets a line fire again (DP-5).
    objects.owner().batch_leaves(1);
    // The run ends before deregistration looks at the count again.
    drop(running);
    if objects.is_closed() {
        engine.pause.ring(objects.settled());
    }
}

fn call_routine(interrupt: &Connected, call: &mut DpcCall) {
    let characteristics = &interrupt.characteristics;
    irql::at_dispatch(|level| match (interrupt.interrupt_type, &characteristics.message) {
        (InterruptType::MessageBased, Some(message)) => message.message_interrupt_dpc(call, level),
        _ => characteristics.line.interrupt_dpc(call, level),
    });
}
