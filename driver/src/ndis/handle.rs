//! The handle that names an interrupt at any level, and what it queues: stage 8 of 9, from the caller's side.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use ioat_stage::{Action, Event, Mark, Point, Stage};

use super::error::NoSuchMessage;
use super::faults;
use super::handlers::{DpcContext, MessageId, Queued, QueuedEx};
use super::interrupt::{Connected, Objects, channel_of};
use super::version::{NdisVersion, NotInVersion};
use crate::contract::{CpuSet32, GroupAffinity};

/// Names an interrupt at any level. It does not keep the interrupt.
#[derive(Clone)]
pub struct InterruptHandle {
    pub(super) objects: Weak<Objects>,
    /// The messages that can be granted; 0 if only a line can.
    pub(super) messages: u32,
}

impl InterruptHandle {
    /// The message of this number. A line interrupt takes any number, and does not look at it (QD-6, SY-2).
    ///
    /// # Errors
    /// When there are not so many (QD-6).
    pub fn message(&self, message: u32) -> Result<MessageId, NoSuchMessage> {
        if let Some(objects) = self.objects() {
            return objects.owner().message(message);
        }
        // While the handlers are being built: what is granted is not decided yet.
        within(message, self.messages)
    }

    /// `NdisMQueueDpc`: queues the DPC of `message` on each of `targets`, and says where it did. Callable at
    /// any level, so it neither sleeps nor allocates (a trace sink may; tracing is an observer's mode).
    ///
    /// Publish the work before calling: what is refused relies on the queued run to see it (QD-15). A line
    /// interrupt has one DPC for each processor, whatever `message` says (QD-6). After deregistration, and
    /// while the handlers are being built, nothing is scheduled.
    #[doc(alias = "NdisMQueueDpc")]
    pub fn queue_dpc(&self, message: MessageId, targets: CpuSet32, context: Option<DpcContext>) -> Queued {
        let scheduled = self.objects().map_or(0, |objects| {
            // (QD-14) The plain form is the group form for group 0.
            let targets = GroupAffinity { group: 0, mask: u64::from(targets.0) };
            queue_dpc(&objects, message, targets, context)
        });
        // A result is a subset of the request (QD-4), so it has 32 bits.
        Queued { requested: targets, scheduled: CpuSet32(u32::try_from(scheduled).unwrap_or(0)) }
    }

    /// `NdisMQueueDpcEx`: the same for the processors of one group (QD-13).
    ///
    /// # Errors
    /// When the interrupt is registered for a version below 6.20, which has only [`Self::queue_dpc`].
    #[doc(alias = "NdisMQueueDpcEx")]
    pub fn queue_dpc_ex(
        &self,
        message: MessageId,
        targets: GroupAffinity,
        context: Option<DpcContext>,
    ) -> Result<QueuedEx, NotInVersion> {
        let Some(objects) = self.objects() else { return Ok(QueuedEx { requested: targets, scheduled: 0 }) };
        let version = objects.owner().characteristics.version;
        if !version.has_queue_dpc_ex() {
            let (call, since) = ("NdisMQueueDpcEx", NdisVersion::V6_20);
            let error = NotInVersion { call, version, since, clause: "2.6" };
            log::warn!("{error}");
            return Err(error);
        }
        Ok(QueuedEx { requested: targets, scheduled: queue_dpc(&objects, message, targets, context) })
    }

    pub(super) fn objects(&self) -> Option<Arc<Objects>> {
        self.objects.upgrade()
    }
}

/// `message`, if there are so many `messages`; if there are none the interrupt is a line, which takes any.
pub(super) fn within(message: u32, messages: u32) -> Result<MessageId, NoSuchMessage> {
    let there = message < messages || messages == 0;
    if there { Ok(MessageId(message)) } else { Err(NoSuchMessage { message, messages }) }
}

/// The one way into the queues, from an ISR's result and from `NdisMQueueDpc` alike. Gives what was queued.
pub(super) fn queue_dpc(
    objects: &Arc<Objects>,
    message: MessageId,
    targets: GroupAffinity,
    context: Option<DpcContext>,
) -> u64 {
    let interrupt = objects.owner();
    let message = interrupt.own(message);
    interrupt.batch_joins(targets.mask.count_ones());
    let queues = &interrupt.engine.queues;
    let missing = targets.mask & !queues.layout().active(targets.group).mask;
    if missing != 0 {
        log::debug!("no processors {missing:#x} in group {}: nothing is queued there (QD-8)", targets.group);
    }
    let left = deviate(interrupt, message, targets);
    let scheduled = queues.queue(objects, message.get(), left, context);
    let refused = targets.mask & !scheduled;
    // A worker that sleeps is woken after the event; one that is awake may run the DPC before it.
    interrupt.engine.trace.event(Event {
        stage: Stage::Queue,
        channel: channel_of(message),
        generation: 0,
        sequence: interrupt.queue_calls.fetch_add(1, Ordering::Relaxed) + 1,
        address: targets.mask,
        len: scheduled,
        mark: if refused == 0 { Mark::Ok } else { Mark::Held },
        vector: Some(message.get()),
        processor: None,
    });
    interrupt.engine.wake_group(GroupAffinity { mask: scheduled, ..targets });
    interrupt.batch_leaves(refused.count_ones());
    scheduled
}

/// The processors where a fault leaves the request as it is; all of them where there is none. What it takes out is neither
/// queued nor reported, as if a DPC were queued there already (QD-3): the caller cannot tell the difference.
fn deviate(interrupt: &Connected, message: MessageId, targets: GroupAffinity) -> GroupAffinity {
    match interrupt.verdict(Point::Queue, message, targets.mask, 0) {
        Some(Action::Drop) => GroupAffinity { mask: 0, ..targets },
        Some(Action::Corrupt { offset, mask }) => faults::without(targets, offset, mask),
        Some(Action::Delay(ns)) => {
            // Before it is queued, or the worker might be there first.
            interrupt.engine.hold(targets, ns);
            targets
        }
        _ => targets,
    }
}
