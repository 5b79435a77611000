//! A registered interrupt: what it is made of, what happened on it, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::NoSuchMessage;
use super::handle::{InterruptHandle, within};
use super::handlers::{InterruptCharacteristics, InterruptType, MessageId};
use super::line::LineBatch;
use super::message_table::MessageInfoTable;
use super::msix_table::MsixTable;
use super::processor::{Engine, Processors};
use super::queue::DpcObjects;
use super::service::ServiceThreads;
use super::synchronize::InterruptLocks;
use crate::hw::{HwError, InterruptSource};
use crate::irql::{self, AtPassive, Irql};

/// What happened on one message so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct MessageCounts {
    /// Messages received; several may have been one wake.
    pub interrupts: u64,
    /// Service routines run.
    pub isr_runs: u64,
}

/// A registered interrupt. Dropping it deregisters it.
pub struct Interrupt {
    pub(super) objects: Arc<Objects>,
    pub(super) table: Option<MessageInfoTable>,
    /// The source has something to disable.
    pub(super) enabled: bool,
    /// Keeps the workers, and comes after the objects.
    pub(super) processors: Arc<Processors>,
}

impl Interrupt {
    pub(super) fn new(objects: Arc<Objects>, processors: Arc<Processors>) -> Self {
        Self { objects, table: None, enabled: false, processors }
    }

    /// The handle, as the handlers got it.
    #[must_use]
    pub fn handle(&self) -> InterruptHandle {
        InterruptHandle { objects: Arc::downgrade(&self.objects), messages: self.objects.owner().granted() }
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
    ///
    /// It takes the interrupt, so that nobody can use it afterwards (IR-6):
    ///
    /// ```compile_fail
    /// fn twice(interrupt: netdma::ndis::Interrupt, level: &netdma::irql::AtPassive) {
    ///     let table = interrupt.message_info();
    ///     interrupt.deregister(level);
    ///     assert!(table.is_some());
    /// }
    /// ```
    #[doc(alias = "NdisMDeregisterInterruptEx")]
    pub fn deregister(mut self, _: &AtPassive) {
        self.disconnect();
    }

    /// In this order: no more service routines, no more requests, no more runs, nothing enabled. The source comes
    /// last, for a DPC that still runs may unmask its line.
    fn disconnect(&mut self) {
        let engine = self.processors.engine();
        if self.objects.is_closed() {
            return;
        }
        let interrupt = self.objects.owner();
        // Stopping is for good: a source that was never waited on can be registered again.
        interrupt.service.close(|| {
            interrupt.msix.stop();
            engine.pause.ring(interrupt.msix.unmasked());
            interrupt.source.stop();
        });
        engine.queues.close(&self.objects);
        loop {
            let seen = self.objects.settled().seen();
            if self.objects.running() == 0 {
                break;
            }
            engine.pause.wait(self.objects.settled(), seen, None);
        }
        if self.enabled {
            if let Err(error) = interrupt.source.disable() {
                log::warn!("the vectors stay enabled: {error}");
            }
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if irql::current() == Irql::Passive {
            self.disconnect();
        } else {
            // Waiting here could be waiting for oneself.
            log::error!("an interrupt was dropped above PASSIVE_LEVEL (contract 2.3): it stays registered");
        }
    }
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
    pub(super) msix: MsixTable,
    pub(super) source: Arc<dyn InterruptSource>,
    pub(super) service: ServiceThreads,
    pub(super) engine: Arc<Engine>,
    pub(super) queue_calls: AtomicU64,
    pub(super) line: LineBatch,
}

/// One message's part.
pub(super) struct Message {
    pub(super) processor: u32,
    pub(super) interrupts: AtomicU64,
    pub(super) isr_runs: AtomicU64,
}

impl Connected {
    pub(super) fn new(
        characteristics: InterruptCharacteristics,
        interrupt_type: InterruptType,
        messages: u32,
        source: Arc<dyn InterruptSource>,
        engine: Arc<Engine>,
    ) -> Self {
        let one_lock = characteristics.msi_sync_with_all_messages;
        let layout = engine.queues.layout();
        let spread = |message: u32| layout.number(message % layout.count).0;
        let message = |index: u32| Message {
            processor: characteristics.affinity.get(index as usize).copied().unwrap_or_else(|| spread(index)),
            interrupts: AtomicU64::new(0),
            isr_runs: AtomicU64::new(0),
        };
        Self {
            interrupt_type,
            locks: InterruptLocks::new(messages, one_lock, &engine.pause),
            messages: (0..messages).map(message).collect(),
            msix: MsixTable::new(source.vectors()),
            source,
            service: ServiceThreads::default(),
            characteristics,
            engine,
            queue_calls: AtomicU64::new(0),
            line: LineBatch::default(),
        }
    }

    /// Messages that are granted; 0 for a line, which takes any number.
    fn granted(&self) -> u32 {
        match self.interrupt_type {
            InterruptType::LineBased => 0,
            InterruptType::MessageBased => u32::try_from(self.messages.len()).unwrap_or(u32::MAX),
        }
    }

    /// Messages that are served: a line counts as one.
    fn served(&self) -> u32 {
        self.granted().max(1)
    }

    /// The message of this number (QD-6).
    pub(super) fn message(&self, message: u32) -> Result<MessageId, NoSuchMessage> {
        within(message, self.granted())
    }

    /// The message whose lock, handlers and counts count: a line has only one (SY-2).
    pub(super) fn own(&self, message: MessageId) -> MessageId {
        match self.interrupt_type {
            InterruptType::LineBased => MessageId::LINE,
            InterruptType::MessageBased => message,
        }
    }

    /// `count` DPCs are about to be queued.
    pub(super) fn batch_joins(&self, count: u32) {
        if self.interrupt_type == InterruptType::LineBased {
            self.line.join(count);
        }
    }

    /// `count` of what joined the batch has ended. The last one's end lets the line fire again (DP-5).
    pub(super) fn batch_leaves(&self, count: u32) {
        if self.interrupt_type == InterruptType::LineBased && self.line.leave(count) {
            self.unmask_line();
        }
    }

    /// Lets the line fire again. Callable at any level.
    pub(super) fn unmask_line(&self) {
        match self.source.unmask_line() {
            Ok(()) => {}
            // Of a device that is gone its users hear by typed errors.
            Err(error @ HwError::Gone(_)) => log::debug!("the line stays masked: {error}"),
            Err(error) => log::error!("the line stays masked, and will not fire again: {error}"),
        }
    }
}

/// A trace event's channel, for stages that know only the message.
pub(super) fn channel_of(message: MessageId) -> u8 {
    u8::try_from(message.get()).unwrap_or(u8::MAX)
}
