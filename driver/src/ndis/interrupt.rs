//! Registering and deregistering an interrupt, and the handle that names it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use ioat_stage::pause::Join;
use ioat_stage::sync::Mutex;
use ioat_stage::{Event, Mark, Placement, Stage, Task};

use super::handlers::{DpcContext, InterruptCharacteristics, InterruptType, MessageId, Queued, QueuedEx};
use super::isr;
use super::processor::{Engine, Processors};
use super::queue::DpcObjects;
use super::synchronize::InterruptLocks;
use crate::contract::{CpuNumber, CpuSet32, GroupAffinity, NtStatus};
use crate::hw::{HwError, InterruptSource, Routed};
use crate::irql::{self, AtPassive, Irql};

/// Messages that are used at most. I/OAT has one per channel; the number comes from the device, and each
/// message costs a thread.
const MESSAGES_MAX: u32 = 64;

/// Why an interrupt was not registered.
#[derive(Debug, thiserror::Error)]
pub enum InterruptError {
    /// The hardware refused.
    #[error(transparent)]
    Hardware(#[from] HwError),
    /// The system gave no thread for a message.
    #[error("cannot start the service thread of message {message}: {source}")]
    Spawn {
        /// Which.
        message: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// An affinity names a processor that is not there.
    #[error("message {message} wants processor {processor}, but there are {processors}")]
    NoSuchProcessor {
        /// The message.
        message: usize,
        /// The processor.
        processor: u32,
        /// How many there are.
        processors: u32,
    },
}

impl InterruptError {
    /// The status word that NDIS would give.
    #[must_use]
    pub fn status(&self) -> NtStatus {
        match self {
            Self::Hardware(_) => NtStatus::UNSUCCESSFUL,
            Self::Spawn { .. } => NtStatus::INSUFFICIENT_RESOURCES,
            Self::NoSuchProcessor { .. } => NtStatus::INVALID_PARAMETER,
        }
    }
}

/// The number is beyond the message table (QD-6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("message {message} of an interrupt that has {messages}")]
pub struct NoSuchMessage {
    /// The number.
    pub message: u32,
    /// How many there are.
    pub messages: u32,
}

/// How a message is signalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InterruptMode {
    /// A level.
    LevelSensitive = 0,
    /// An edge, as every message is.
    Latched = 1,
}

/// IO_INTERRUPT_MESSAGE_INFO: entry `i` is message `i`, which is vector `i` of the device.
#[derive(Clone, Debug)]
#[doc(alias = "IO_INTERRUPT_MESSAGE_INFO")]
pub struct MessageInfoTable {
    /// The level of every service routine.
    pub unified_irql: Irql,
    /// The entries; their number is MessageCount.
    pub messages: Vec<MessageInfo>,
}

/// IO_INTERRUPT_MESSAGE_INFO_ENTRY. Message address, data and vector are not here: VFIO keeps them in the
/// kernel.
#[derive(Clone, Debug)]
#[doc(alias = "IO_INTERRUPT_MESSAGE_INFO_ENTRY")]
pub struct MessageInfo {
    /// The message.
    pub message: MessageId,
    /// The processor of its service routine.
    pub target_processor_set: CpuSet32,
    /// The level of its service routine.
    pub irql: Irql,
    /// How it is signalled.
    pub mode: InterruptMode,
    /// Where its service thread runs.
    pub placement: Placement,
    /// Where the kernel delivers it.
    pub routed: Routed,
}

/// What happened on one message so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct MessageCounts {
    /// Messages received; several may have been one wake.
    pub interrupts: u64,
    /// Service routines run.
    pub isr_runs: u64,
}

/// `NdisMRegisterInterruptEx`. `build` gets the handle and gives the handlers, which may keep it; all their
/// state must be ready then, for **a service routine may run before this returns** (IR-2).
///
/// With message handlers and a source that has vectors the interrupt is message-based: look at
/// [`Interrupt::interrupt_type`] afterwards (IR-3). Otherwise vector 0 of the source is its line.
///
/// # Errors
/// [`InterruptError`]; nothing of the interrupt is left then.
#[doc(alias = "NdisMRegisterInterruptEx")]
pub fn ndis_m_register_interrupt_ex(
    processors: &Arc<Processors>,
    source: Arc<dyn InterruptSource>,
    build: impl FnOnce(InterruptHandle) -> InterruptCharacteristics,
    _: &AtPassive,
) -> Result<Interrupt, InterruptError> {
    let engine = processors.engine().clone();
    // A line is one message to the core, and stays so if no message handlers come.
    let vectors = source.vectors().clamp(1, MESSAGES_MAX);
    engine.queues.reserve(vectors);
    let objects = Arc::new_cyclic(|weak| {
        let characteristics = build(InterruptHandle { objects: weak.clone(), messages: vectors });
        let connected = Connected::new(characteristics, source.vectors(), vectors, engine.clone());
        DpcObjects::new(connected, vectors, &engine.queues)
    });
    // From here on dropping it undoes everything.
    let mut interrupt = Interrupt {
        handle: InterruptHandle { objects: Arc::downgrade(&objects), messages: vectors },
        objects,
        source,
        threads: Mutex::new(Vec::new()),
        table: None,
        processors: processors.clone(),
    };
    interrupt.connect()?;
    Ok(interrupt)
}

/// The DPC objects of an interrupt.
pub(super) type Objects = DpcObjects<Connected>;

/// What the service threads and the DPC workers need of an interrupt. Everything is ready before the first
/// thread starts (IR-2).
pub(super) struct Connected {
    pub(super) characteristics: InterruptCharacteristics,
    pub(super) interrupt_type: InterruptType,
    pub(super) locks: InterruptLocks,
    pub(super) messages: Box<[Message]>,
    pub(super) engine: Arc<Engine>,
    queue_calls: AtomicU64,
}

/// One message's part.
pub(super) struct Message {
    pub(super) processor: u32,
    pub(super) interrupts: AtomicU64,
    pub(super) isr_runs: AtomicU64,
}

impl Connected {
    fn new(
        characteristics: InterruptCharacteristics,
        vectors: u32,
        messages: u32,
        engine: Arc<Engine>,
    ) -> Self {
        let granted = vectors > 0 && characteristics.message.is_some();
        let interrupt_type = if granted { InterruptType::MessageBased } else { InterruptType::LineBased };
        let one_lock = characteristics.msi_sync_with_all_messages;
        let spread = |message: u32| message % engine.queues.count();
        let message = |index: u32| Message {
            processor: characteristics.affinity.get(index as usize).copied().unwrap_or_else(|| spread(index)),
            interrupts: AtomicU64::new(0),
            isr_runs: AtomicU64::new(0),
        };
        Self {
            interrupt_type,
            locks: InterruptLocks::new(messages, one_lock, &engine.pause),
            messages: (0..messages).map(message).collect(),
            characteristics,
            engine,
            queue_calls: AtomicU64::new(0),
        }
    }

    /// Messages that are served: a line has one.
    fn served(&self) -> u32 {
        match self.interrupt_type {
            InterruptType::LineBased => 1,
            InterruptType::MessageBased => u32::try_from(self.messages.len()).unwrap_or(MESSAGES_MAX),
        }
    }
}

/// A registered interrupt. Dropping it deregisters it.
pub struct Interrupt {
    handle: InterruptHandle,
    objects: Arc<Objects>,
    source: Arc<dyn InterruptSource>,
    threads: Mutex<Vec<Box<dyn Join>>>,
    table: Option<MessageInfoTable>,
    /// Keeps the workers, and comes after the objects.
    processors: Arc<Processors>,
}

impl Interrupt {
    /// The handle, as the handlers got it.
    #[must_use]
    pub fn handle(&self) -> InterruptHandle {
        self.handle.clone()
    }

    /// What was granted (IR-3).
    #[must_use]
    pub fn interrupt_type(&self) -> InterruptType {
        self.objects.owner().interrupt_type
    }

    /// The message table; none for a line.
    #[must_use]
    #[doc(alias = "MessageInfoTable")]
    pub fn message_info(&self) -> Option<&MessageInfoTable> {
        self.table.as_ref()
    }

    /// What happened so far, by message.
    #[must_use]
    pub fn counts(&self) -> Vec<MessageCounts> {
        let interrupt = self.objects.owner();
        let messages = interrupt.messages.iter().take(interrupt.served() as usize);
        let counts = messages.map(|message| MessageCounts {
            interrupts: message.interrupts.load(Ordering::Relaxed),
            isr_runs: message.isr_runs.load(Ordering::Relaxed),
        });
        counts.collect()
    }

    /// `NdisMDeregisterInterruptEx`. Disable the device's interrupts first (IR-4). When this returns no service
    /// routine and no DPC of the interrupt runs or ever will (IR-5): queued DPCs are cancelled, running ones
    /// waited for, and later requests schedule nothing.
    #[doc(alias = "NdisMDeregisterInterruptEx")]
    pub fn deregister(mut self, _: &AtPassive) {
        self.disconnect();
    }

    fn connect(&mut self) -> Result<(), InterruptError> {
        let objects = self.objects.clone();
        let interrupt = objects.owner();
        let processors = self.processors.count();
        let served = &interrupt.messages[..interrupt.served() as usize];
        for (index, message) in served.iter().enumerate() {
            let processor = message.processor;
            if processor >= processors {
                return Err(InterruptError::NoSuchProcessor { message: index, processor, processors });
            }
        }
        self.source.enable(interrupt.served())?;
        let mut messages = Vec::new();
        for (number, message) in (0..).zip(served) {
            let id = MessageId(number);
            let routed = self.source.route(number, message.processor);
            let task = Task { name: format!("isr-{number}"), cpu: Some(message.processor) };
            let (of_thread, source) = (objects.clone(), self.source.clone());
            let body = Box::new(move || isr::serve(&of_thread, id, &*source));
            let spawned = interrupt.engine.pause.spawn(task, body);
            let thread = spawned.map_err(|source| InterruptError::Spawn { message: number, source })?;
            messages.push(MessageInfo {
                message: id,
                target_processor_set: CpuSet32::of(CpuNumber(message.processor)),
                irql: Irql::Device,
                mode: InterruptMode::Latched,
                placement: thread.placement(),
                routed,
            });
            self.threads.lock().push(thread);
        }
        if interrupt.interrupt_type == InterruptType::MessageBased {
            self.table = Some(MessageInfoTable { unified_irql: Irql::Device, messages });
        }
        Ok(())
    }

    /// In this order: no more interrupts, no more service routines, no more requests, no more runs.
    fn disconnect(&mut self) {
        let engine = self.processors.engine();
        if self.objects.is_closed() {
            return;
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        // Stopping is for good: a source that was never waited on can be registered again.
        if !threads.is_empty() {
            self.source.stop();
        }
        for thread in threads {
            if !thread.join() {
                log::error!("an interrupt service thread panicked");
            }
        }
        if let Err(error) = self.source.disable() {
            log::warn!("the vectors stay enabled: {error}");
        }
        engine.queues.close(&self.objects);
        loop {
            let seen = self.objects.settled().seen();
            if self.objects.running() == 0 {
                break;
            }
            engine.pause.wait(self.objects.settled(), seen, None);
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if irql::current() == Irql::Passive {
            self.disconnect();
        } else {
            // Waiting here could be waiting for oneself.
            log::error!("an interrupt was dropped above PASSIVE_LEVEL: it stays registered");
        }
    }
}

/// Names an interrupt at any level. It does not keep the interrupt.
#[derive(Clone)]
pub struct InterruptHandle {
    objects: Weak<Objects>,
    messages: u32,
}

impl InterruptHandle {
    /// The message of this number.
    ///
    /// # Errors
    /// When there are not so many (QD-6).
    pub fn message(&self, message: u32) -> Result<MessageId, NoSuchMessage> {
        let messages = self.messages;
        if message < messages { Ok(MessageId(message)) } else { Err(NoSuchMessage { message, messages }) }
    }

    /// `NdisMQueueDpc`: queues the DPC of `message` on each of `targets`, and says where it did. Callable at
    /// any level, so it neither sleeps nor allocates (a trace sink may; tracing is an observer's mode).
    ///
    /// Publish the work before calling: what is refused relies on the queued run to see it (QD-15). A line
    /// interrupt has one DPC for each processor, whatever `message` says (QD-6). After deregistration, and
    /// while the handlers are being built, nothing is scheduled.
    #[doc(alias = "NdisMQueueDpc")]
    pub fn queue_dpc(&self, message: MessageId, targets: CpuSet32, context: Option<DpcContext>) -> Queued {
        match self.objects() {
            Some(objects) => queue_dpc(&objects, message, targets, context),
            None => Queued { requested: targets, scheduled: CpuSet32::EMPTY },
        }
    }

    /// `NdisMQueueDpcEx`: the same for the processors of one group (QD-13). All our processors are in group 0,
    /// where this equals [`Self::queue_dpc`] (QD-14); the other groups have none.
    #[doc(alias = "NdisMQueueDpcEx")]
    pub fn queue_dpc_ex(
        &self,
        message: MessageId,
        targets: GroupAffinity,
        context: Option<DpcContext>,
    ) -> QueuedEx {
        // No processor is above 31, so nothing is cut off that could have been scheduled (QD-8).
        let low = u32::try_from(targets.mask & u64::from(u32::MAX)).unwrap_or(0);
        let mask = if targets.group == 0 { CpuSet32(low) } else { CpuSet32::EMPTY };
        let queued = self.queue_dpc(message, mask, context);
        QueuedEx { requested: targets, scheduled: u64::from(queued.scheduled.0) }
    }

    pub(super) fn objects(&self) -> Option<Arc<Objects>> {
        self.objects.upgrade()
    }
}

/// The one way into the queues, from an ISR's result and from `NdisMQueueDpc` alike.
pub(super) fn queue_dpc(
    objects: &Arc<Objects>,
    message: MessageId,
    targets: CpuSet32,
    context: Option<DpcContext>,
) -> Queued {
    let interrupt = objects.owner();
    let message = match interrupt.interrupt_type {
        InterruptType::LineBased => MessageId::LINE,
        InterruptType::MessageBased => message,
    };
    let queued = interrupt.engine.queues.queue(objects, message.get(), targets, context);
    // A worker that sleeps is woken after the event; one that is awake may run the DPC before it.
    interrupt.engine.trace.event(Event {
        stage: Stage::Queue,
        channel: channel_of(message),
        generation: 0,
        sequence: interrupt.queue_calls.fetch_add(1, Ordering::Relaxed) + 1,
        address: u64::from(queued.requested.0),
        len: u64::from(queued.scheduled.0),
        mark: if queued.refused().is_empty() { Mark::Ok } else { Mark::Held },
    });
    interrupt.engine.wake(queued.scheduled);
    queued
}

/// A trace event's channel, for stages that know only the message.
pub(super) fn channel_of(message: MessageId) -> u8 {
    u8::try_from(message.get()).unwrap_or(u8::MAX)
}
