//! Stage 7 of 9: isr.
//!
//! Each vector has a thread that waits for it and runs the service routine of its message at the device's level,
//! holding the message's interrupt lock. A line is one vector: it is masked when it fires, and unmasked when its batch
//! is over (see `line`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ioat_stage::{Action, Event, Mark, Point, Stage};

use super::handle::queue_dpc;
use super::handlers::{DpcRequest, InterruptType, IsrResult, MessageId};
use super::interrupt::{Connected, Objects, channel_of};
use super::registration::processor_in_group;
use crate::contract::{CpuSet32, GroupAffinity};
use crate::hw::{Fired, HwError};
use crate::irql;

impl DpcRequest {
    /// What the pair of out parameters says (IS-3): the default DPC wins over the map.
    #[must_use]
    pub fn from_parameters(queue_default_interrupt_dpc: bool, target_processors: u32) -> Self {
        match (queue_default_interrupt_dpc, target_processors) {
            (true, _) => Self::DefaultCpu,
            (false, 0) => Self::None,
            (false, processors) => Self::Cpus(CpuSet32(processors)),
        }
    }

    /// The processors asked for by an ISR that ran on `processor` (IS-4). The default DPC is that processor's
    /// ordinary DPC object, not one of its own (IS-8).
    #[must_use]
    pub fn processors(self, processor: u32) -> GroupAffinity {
        match self {
            Self::None => GroupAffinity { group: 0, mask: 0 },
            Self::DefaultCpu => processor_in_group(processor),
            // The map is of group 0 (IS-5).
            Self::Cpus(processors) => GroupAffinity { group: 0, mask: u64::from(processors.0) },
        }
    }
}

/// The thread of one vector: serves it until the source is stopped or lost.
pub(super) fn serve(objects: &Arc<Objects>, vector: u32) {
    let interrupt = objects.owner();
    loop {
        match interrupt.source.wait(vector, &*interrupt.engine.pause) {
            Ok(Fired::Times(times)) => fired(objects, vector, times),
            Ok(Fired::Stopped) => return,
            Err(error) => {
                // Of a device that is gone its users hear by typed errors, and there is one of these lines per vector.
                let gone = matches!(error, HwError::Gone(_));
                let level = if gone { log::Level::Warn } else { log::Level::Error };
                log::log!(level, "vector {vector} is served no longer: {error}");
                return;
            }
        }
    }
}

/// Delivers what masked entries of the MSI-X table held back, once they are unmasked. The threads of their vectors
/// cannot: they wait for what comes next, and what comes while an entry is masked must not be counted twice.
pub(super) fn redeliver(objects: &Arc<Objects>) {
    let interrupt = objects.owner();
    let (table, pause) = (&interrupt.msix, &interrupt.engine.pause);
    loop {
        // Before looking, so that no ring is missed.
        let seen = table.unmasked().seen();
        if table.is_stopped() {
            return;
        }
        match table.take_due() {
            Some(message) => {
                interrupt_once(objects, message);
            }
            None => {
                pause.wait(table.unmasked(), seen, None);
            }
        }
    }
}

fn fired(objects: &Arc<Objects>, vector: u32, times: u64) {
    let interrupt = objects.owner();
    let (message, now) = match interrupt.interrupt_type {
        InterruptType::LineBased => {
            interrupt.line.fired();
            (MessageId::LINE, true)
        }
        InterruptType::MessageBased => interrupt.msix.arrive(vector),
    };
    interrupt.messages[message.get() as usize].interrupts.fetch_add(times, Ordering::Relaxed);
    if !now {
        return;
    }
    let result = interrupt_once(objects, message);
    if interrupt.interrupt_type == InterruptType::LineBased {
        leave_line(interrupt, result);
    }
}

/// The line's service routine has ended. Without a DPC that is about, the batch ends here.
fn leave_line(interrupt: &Connected, result: IsrResult) {
    if !result.claimed && result.dpc.processors(0).mask == 0 {
        interrupt.line.unclaimed();
        interrupt.unmask_line();
    } else {
        interrupt.batch_leaves(1);
    }
}

/// One interrupt: the routine, then the DPCs that it asked for, whether it claimed the interrupt or not (IS-2). All on
/// the message's processor, also when another thread delivers what a masked entry held back.
fn interrupt_once(objects: &Arc<Objects>, message: MessageId) -> IsrResult {
    let processor = objects.owner().messages[message.get() as usize].processor;
    irql::on_processor(processor, || serve_once(objects, message))
}

fn serve_once(objects: &Arc<Objects>, message: MessageId) -> IsrResult {
    let interrupt = objects.owner();
    let processor = interrupt.messages[message.get() as usize].processor;
    match interrupt.verdict(Point::Isr, message, 0, processor.into()) {
        // The host lost it. A line then looks as if it were another device's, and is asserted still.
        Some(Action::Drop) => IsrResult { claimed: false, dpc: DpcRequest::None, address: 0 },
        Some(Action::Duplicate) => {
            let (first, second) = (call_routine(objects, message), call_routine(objects, message));
            // The first has taken what there was, so it says whose interrupt it was.
            if first.claimed || first.dpc != DpcRequest::None { first } else { second }
        }
        Some(Action::Delay(ns)) => {
            interrupt.serve_late(ns);
            call_routine(objects, message)
        }
        _ => call_routine(objects, message),
    }
}

/// One call of the service routine, its trace event, and the DPCs that it asked for.
fn call_routine(objects: &Arc<Objects>, message: MessageId) -> IsrResult {
    let interrupt = objects.owner();
    let counts = &interrupt.messages[message.get() as usize];
    let sequence = counts.isr_runs.fetch_add(1, Ordering::Relaxed) + 1;
    let result = irql::at_dirql(|level| {
        let _lock = interrupt.locks.lock(message);
        let characteristics = &interrupt.characteristics;
        match (interrupt.interrupt_type, &characteristics.message) {
            (InterruptType::MessageBased, Some(handlers)) => handlers.message_interrupt(message, level),
            _ => characteristics.line.interrupt(level),
        }
    });
    interrupt.engine.trace.event(Event {
        stage: Stage::Isr,
        channel: channel_of(message),
        generation: 0,
        sequence,
        address: result.address,
        len: u64::from(counts.processor),
        mark: if result.claimed { Mark::Ok } else { Mark::Held },
        vector: Some(message.get()),
        processor: Some(counts.processor),
    });
    let targets = result.dpc.processors(counts.processor);
    if targets.mask != 0 {
        // Without context (DP-2). What is refused is already queued (QD-15).
        queue_dpc(objects, message, targets, None);
    }
    result
}
