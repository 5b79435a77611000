//! `NdisMConfigMSIXTableEntry`: which message an entry of the device's MSI-X table delivers, and whether it may
//! (contract 2.9).
//!
//! The real table belongs to the kernel, so the mapping is the engine's: the device goes on to signal entry `e` as its
//! vector `e`, and the thread of that vector asks here which message that is. Masking holds an interrupt back as the
//! device's pending bit would: any number while masked are one when it is unmasked.

use std::sync::Arc;

use ioat_stage::Bell;
use ioat_stage::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::{NoSuchMessage, WrongInterruptType};
use super::handle::InterruptHandle;
use super::handlers::{InterruptType, MessageId};
use super::interrupt::Objects;
use super::service::Duty;
use super::version::{NdisVersion, NotInVersion};
use crate::irql::{self, Irql};

const CALL: &str = "NdisMConfigMSIXTableEntry";
const CLAUSE: &str = "2.9";

/// Entries that a table has at most (PCI).
const ENTRIES_MAX: u32 = 2048;

/// What to do with an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "NDIS_MSIX_CONFIG_PARAMETERS")]
pub enum MsixConfig {
    /// Let it deliver another message. At DISPATCH_LEVEL or below.
    #[doc(alias = "NdisMSIXTableConfigSetTableEntry")]
    Set {
        /// The entry.
        entry: u32,
        /// The message, by its number in the message table.
        message: u32,
    },
    /// Hold its interrupts back. At any level.
    #[doc(alias = "NdisMSIXTableConfigMaskTableEntry")]
    Mask {
        /// The entry.
        entry: u32,
    },
    /// Deliver again, and once what was held back. At any level.
    #[doc(alias = "NdisMSIXTableConfigUnmaskTableEntry")]
    Unmask {
        /// The entry.
        entry: u32,
    },
}

/// Why an entry was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MsixConfigError {
    /// NDIS 6.0 has no such call.
    #[error(transparent)]
    Version(#[from] NotInVersion),
    /// A line has no table.
    #[error(transparent)]
    Type(#[from] WrongInterruptType),
    /// The entry is not in the table.
    #[error("entry {entry} of an MSI-X table that has {entries} (contract 2.9)")]
    NoSuchEntry {
        /// The entry.
        entry: u32,
        /// How many there are.
        entries: u32,
    },
    /// The message was not granted.
    #[error(transparent)]
    Message(#[from] NoSuchMessage),
    /// Setting is for DISPATCH_LEVEL and below.
    #[error(
        "setting an MSI-X table entry at level {level:?}, which is for DISPATCH_LEVEL and below (contract 2.9)"
    )]
    Level {
        /// The caller's level.
        level: Irql,
    },
    /// The interrupt is deregistered, or not registered yet.
    #[error("there is no registered interrupt behind this handle (contract 2.9, IR-6)")]
    NotRegistered,
    /// The system gave no thread.
    #[error("cannot start the thread that entry {entry} needs: {source}")]
    Spawn {
        /// The entry.
        entry: u32,
        /// What the system said.
        source: std::io::Error,
    },
}

impl InterruptHandle {
    /// `NdisMConfigMSIXTableEntry`: changes one entry of the MSI-X table. Messages first keep their own entries; the
    /// device may have more entries than there are messages, and those deliver nothing until they are set.
    ///
    /// A message that is in delivery while its entry is changed still goes the old way. After setting, the service
    /// routine, its lock and its DPCs are the other message's, and so is the processor; the kernel is asked to deliver
    /// there too.
    ///
    /// # Errors
    /// [`MsixConfigError`]; the table is unchanged.
    #[doc(alias = "NdisMConfigMSIXTableEntry")]
    pub fn config_msix_table_entry(&self, config: MsixConfig) -> Result<(), MsixConfigError> {
        let done =
            self.objects().ok_or(MsixConfigError::NotRegistered).and_then(|objects| apply(&objects, config));
        if let Err(error) = &done {
            log::warn!("{CALL} ({CLAUSE}) changed nothing: {error}");
        }
        done
    }
}

/// `NdisMConfigMSIXTableEntry`, with the interrupt's handle in the place of the adapter's.
///
/// # Errors
/// As [`InterruptHandle::config_msix_table_entry`].
#[doc(alias = "NdisMConfigMSIXTableEntry")]
pub fn ndis_m_config_msix_table_entry(
    interrupt: &InterruptHandle,
    config: MsixConfig,
) -> Result<(), MsixConfigError> {
    interrupt.config_msix_table_entry(config)
}

fn apply(objects: &Arc<Objects>, config: MsixConfig) -> Result<(), MsixConfigError> {
    let interrupt = objects.owner();
    let version = interrupt.characteristics.version;
    if !version.has_msix_table() {
        let since = NdisVersion::V6_1;
        return Err(NotInVersion { call: CALL, version, since, clause: CLAUSE }.into());
    }
    let (found, needed) = (interrupt.interrupt_type, InterruptType::MessageBased);
    if found != needed {
        return Err(WrongInterruptType { call: CALL, needed, found, clause: CLAUSE }.into());
    }
    let (MsixConfig::Set { entry: number, .. }
    | MsixConfig::Mask { entry: number }
    | MsixConfig::Unmask { entry: number }) = config;
    let table = &interrupt.msix;
    let entry = table.entry(number)?;
    if interrupt.service.is_closed() {
        return Err(MsixConfigError::NotRegistered);
    }
    let spawned = |source| MsixConfigError::Spawn { entry: number, source };
    match config {
        MsixConfig::Set { message, .. } => {
            let level = irql::current();
            if level > Irql::Dispatch {
                return Err(MsixConfigError::Level { level });
            }
            let message = interrupt.message(message)?;
            // An entry beyond the messages had nobody to serve it until now.
            interrupt.service.start(objects, Duty::Entry(number)).map_err(spawned)?;
            let processor = interrupt.messages[message.get() as usize].processor;
            let routed = interrupt.source.route(number, processor);
            log::debug!("entry {number} now delivers message {} on {processor}: {routed:?}", message.get());
            entry.set(message);
        }
        MsixConfig::Mask { .. } => {
            interrupt.service.start(objects, Duty::Redeliver).map_err(spawned)?;
            entry.mask();
        }
        MsixConfig::Unmask { .. } => {
            if entry.unmask() {
                interrupt.engine.pause.ring(&table.unmasked);
            }
        }
    }
    Ok(())
}

/// The table.
pub(super) struct MsixTable {
    entries: Box<[Entry]>,
    /// Rung when an entry was unmasked that held an interrupt back, and when the table is done with.
    unmasked: Bell,
    stopped: AtomicBool,
}

/// An entry in one word: its message in the low half, and the three marks above.
struct Entry(AtomicU64);

const MASKED: u64 = 1 << 32;
/// Held back while masked.
const PENDING: u64 = 1 << 33;
/// Unmasked, and not delivered yet.
const DUE: u64 = 1 << 34;
const MESSAGE: u64 = MASKED - 1;

impl MsixTable {
    /// A table of `vectors` entries, the first mapped to the message of their number.
    pub(super) fn new(vectors: u32) -> Self {
        let entries = (0..vectors.min(ENTRIES_MAX)).map(|number| Entry(AtomicU64::new(u64::from(number))));
        Self { entries: entries.collect(), unmasked: Bell::new(), stopped: AtomicBool::new(false) }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(ENTRIES_MAX)
    }

    /// Entry `number` was signalled. The message that it is, and whether that may be delivered now; if not, it is kept
    /// until the entry is unmasked.
    pub(super) fn arrive(&self, number: u32) -> (MessageId, bool) {
        let before = self.entries[number as usize]
            .update(|word| if word & MASKED == 0 { word } else { word | PENDING });
        (message_of(before), before & MASKED == 0)
    }

    /// Takes one interrupt that was held back and may be delivered now.
    pub(super) fn take_due(&self) -> Option<MessageId> {
        self.entries.iter().find_map(|entry| {
            // Masked again meanwhile: it is held back once more.
            let before = entry.update(|word| match word & (DUE | MASKED) {
                DUE => word & !DUE,
                both if both == DUE | MASKED => (word & !DUE) | PENDING,
                _ => word,
            });
            (before & (DUE | MASKED) == DUE).then(|| message_of(before))
        })
    }

    pub(super) fn unmasked(&self) -> &Bell {
        &self.unmasked
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Nothing is delivered again; the caller rings [`Self::unmasked`].
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    fn entry(&self, entry: u32) -> Result<&Entry, MsixConfigError> {
        let missing = MsixConfigError::NoSuchEntry { entry, entries: self.len() };
        self.entries.get(entry as usize).ok_or(missing)
    }
}

impl Entry {
    fn set(&self, message: MessageId) {
        self.update(|word| (word & !MESSAGE) | u64::from(message.get()));
    }

    fn mask(&self) {
        self.update(|word| word | MASKED);
    }

    /// True if an interrupt was held back, which is due now.
    fn unmask(&self) -> bool {
        let before = self.update(|word| match word & PENDING {
            0 => word & !MASKED,
            _ => (word & !(MASKED | PENDING)) | DUE,
        });
        before & PENDING != 0
    }

    /// Changes the word in one step, and gives what it was.
    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            match self.0.compare_exchange_weak(word, change(word), Ordering::AcqRel, Ordering::Acquire) {
                Ok(before) => return before,
                Err(now) => word = now,
            }
        }
    }
}

fn message_of(word: u64) -> MessageId {
    MessageId(u32::try_from(word & MESSAGE).unwrap_or(u32::MAX))
}
