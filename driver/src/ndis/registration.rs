//! `NdisMRegisterInterruptEx`: what is granted, and how it is connected.

use std::sync::Arc;

use super::error::InterruptError;
use super::handle::InterruptHandle;
use super::handlers::{InterruptCharacteristics, InterruptType, MessageId};
use super::interrupt::{Connected, Interrupt};
use super::message_table::{MessageInfo, MessageInfoTable};
use super::processor::Processors;
use super::queue::DpcObjects;
use super::raw::MESSAGES_MAX;
use super::service::Duty;
use crate::contract::{CpuNumber, GroupAffinity};
use crate::hw::InterruptSource;
use crate::irql::{AtPassive, Irql};

/// `NdisMRegisterInterruptEx`. `build` gets the handle and gives the handlers, which may keep it; all their
/// state must be ready then, for **a service routine may run before this returns** (IR-2).
///
/// With message handlers and a source that has vectors the interrupt is message-based. Otherwise it is the source's
/// line, if that has one: look at [`Interrupt::interrupt_type`] afterwards (IR-3). Where handlers for messages are
/// given, those for a line are too; the type of [`InterruptCharacteristics`] leaves no choice:
///
/// ```compile_fail
/// // IR-3: there are no characteristics without the line handlers.
/// use netdma::ndis::{InterruptCharacteristics, MessageHandlers, NdisVersion};
/// fn message_only(message: std::sync::Arc<dyn MessageHandlers>) -> InterruptCharacteristics {
///     InterruptCharacteristics {
///         version: NdisVersion::V6_20,
///         message: Some(message),
///         msi_sync_with_all_messages: false,
///         affinity: Vec::new(),
///     }
/// }
/// ```
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
    let registered = register(processors, source, build);
    if let Err(error) = &registered {
        log::error!("NdisMRegisterInterruptEx ({}) registered nothing: {error}", error.clause());
    }
    registered
}

fn register(
    processors: &Arc<Processors>,
    source: Arc<dyn InterruptSource>,
    build: impl FnOnce(InterruptHandle) -> InterruptCharacteristics,
) -> Result<Interrupt, InterruptError> {
    let engine = processors.engine().clone();
    let offered = source.vectors().min(MESSAGES_MAX);
    // A line has DPC objects as one message has.
    let messages = offered.max(1);
    engine.queues.reserve(messages);
    let mut granted = None;
    let objects = Arc::new_cyclic(|weak| {
        let characteristics = build(InterruptHandle { objects: weak.clone(), messages: offered });
        granted = grant(&*source, &characteristics);
        // Where nothing is granted the objects are made all the same, and undone below with the rest.
        let interrupt_type = granted.unwrap_or(InterruptType::LineBased);
        let connected =
            Connected::new(characteristics, interrupt_type, messages, source.clone(), engine.clone());
        DpcObjects::new(connected, messages, &engine.queues)
    });
    // From here on dropping it undoes everything.
    let mut interrupt = Interrupt::new(objects, processors.clone());
    match granted {
        Some(InterruptType::MessageBased) => interrupt.connect_messages()?,
        Some(InterruptType::LineBased) => interrupt.connect_line()?,
        None => {
            let message_handlers = interrupt.objects.owner().characteristics.message.is_some();
            return Err(InterruptError::NothingToConnect { vectors: source.vectors(), message_handlers });
        }
    }
    Ok(interrupt)
}

/// What the source has, and the handlers serve (IR-3).
fn grant(source: &dyn InterruptSource, characteristics: &InterruptCharacteristics) -> Option<InterruptType> {
    match (source.vectors(), &characteristics.message) {
        (1.., Some(_)) => Some(InterruptType::MessageBased),
        _ => source.has_line().then_some(InterruptType::LineBased),
    }
}

impl Interrupt {
    fn connect_line(&mut self) -> Result<(), InterruptError> {
        let objects = self.objects.clone();
        let interrupt = objects.owner();
        self.check_processors(1)?;
        interrupt.source.enable_line()?;
        self.enabled = true;
        let routed = interrupt.source.route(0, interrupt.messages[0].processor);
        log::debug!("the line is routed: {routed:?}");
        let started = interrupt.service.start(&objects, Duty::Entry(0));
        started.map_err(|source| InterruptError::Spawn { message: 0, source })?;
        Ok(())
    }

    fn connect_messages(&mut self) -> Result<(), InterruptError> {
        let objects = self.objects.clone();
        let interrupt = objects.owner();
        self.check_processors(interrupt.messages.len())?;
        // All entries, for those beyond the messages may be set to one later (contract 2.9).
        interrupt.source.enable(interrupt.msix.len())?;
        self.enabled = true;
        let mut messages = Vec::new();
        for (number, message) in (0..).zip(&interrupt.messages) {
            let routed = interrupt.source.route(number, message.processor);
            let started = interrupt.service.start(&objects, Duty::Entry(number));
            let placement = started.map_err(|source| InterruptError::Spawn { message: number, source })?;
            // An earlier message's service routine may have set this entry already, and started its thread.
            let placement = placement.unwrap_or(ioat_stage::Placement::Anywhere);
            let target = processor_in_group(message.processor);
            messages.push(MessageInfo::new(MessageId(number), target, placement, routed));
        }
        self.table = Some(MessageInfoTable { unified_irql: Irql::Device, messages });
        Ok(())
    }

    /// (2.2) Each message's processor is there.
    fn check_processors(&self, messages: usize) -> Result<(), InterruptError> {
        let (layout, processors) = (self.processors.layout(), self.processors.count());
        let chosen = self.objects.owner().messages.iter().map(|message| message.processor).enumerate();
        match chosen.take(messages).find(|(_, processor)| layout.index(CpuNumber(*processor)).is_none()) {
            Some((message, processor)) => {
                Err(InterruptError::NoSuchProcessor { message, processor, processors })
            }
            None => Ok(()),
        }
    }
}

/// The processor of this number in its group.
pub(super) fn processor_in_group(processor: u32) -> GroupAffinity {
    let cpu = CpuNumber(processor);
    GroupAffinity { group: cpu.group(), mask: cpu.bit() }
}
