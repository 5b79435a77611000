//! Stage 7 of 9: isr.
//!
//! Each message has a thread that waits for its vector and runs the service routine at the device's level,
//! holding the message's interrupt lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ioat_stage::{Event, Mark, Stage};

use super::handlers::{DpcRequest, InterruptType, IsrResult, MessageId};
use super::interrupt::{Objects, channel_of, queue_dpc};
use crate::contract::{CpuNumber, CpuSet32};
use crate::hw::{Fired, HwError, InterruptSource};
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
    pub fn processors(self, processor: CpuNumber) -> CpuSet32 {
        match self {
            Self::None => CpuSet32::EMPTY,
            Self::DefaultCpu => CpuSet32::of(processor),
            Self::Cpus(processors) => processors,
        }
    }
}

/// The thread of one message: serves its vector until the source is stopped or lost.
pub(super) fn serve(objects: &Arc<Objects>, message: MessageId, source: &dyn InterruptSource) {
    let interrupt = objects.owner();
    let counts = &interrupt.messages[message.get() as usize];
    loop {
        match source.wait(message.get(), &*interrupt.engine.pause) {
            Ok(Fired::Times(times)) => {
                counts.interrupts.fetch_add(times, Ordering::Relaxed);
                interrupt_once(objects, message);
            }
            Ok(Fired::Stopped) => return,
            Err(error) => {
                // Of a device that is gone its users hear by typed errors, and there is one of these lines per message.
                let gone = matches!(error, HwError::Gone(_));
                let level = if gone { log::Level::Warn } else { log::Level::Error };
                log::log!(level, "message {} is served no longer: {error}", message.get());
                return;
            }
        }
    }
}

/// One interrupt: the routine, then the DPCs that it asked for, whether it claimed the interrupt or not (IS-2).
fn interrupt_once(objects: &Arc<Objects>, message: MessageId) {
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
    let IsrResult { claimed, dpc, address } = result;
    interrupt.engine.trace.event(Event {
        stage: Stage::Isr,
        channel: channel_of(message),
        generation: 0,
        sequence,
        address,
        len: u64::from(counts.processor),
        mark: if claimed { Mark::Ok } else { Mark::Held },
    });
    let targets = dpc.processors(CpuNumber(counts.processor));
    if !targets.is_empty() {
        // Without context (DP-2). What is refused is already queued (QD-15).
        let _ = queue_dpc(objects, message, targets, None);
    }
}
