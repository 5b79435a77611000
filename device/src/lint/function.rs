//! What the function was told: general registers, the shape of accesses, and the end of DMA maps.

use std::sync::Arc;

use ioat_spec::GeneralRegister;
use ioat_spec::pci::MSIX_TABLE_OFFSET;
use ioat_stage::{Faults, Trace};

use super::book::{Finding, LintBook, Place, Value};
use super::registers::ChannelLint;
use super::rule::Rule;
use crate::function::Function;
use crate::memory::DmaTable;
use crate::registers::Written;

impl<F: Faults, T: Trace> Function<F, T> {
    /// Watches the driver from now on, and writes into `book`. Descriptors are read through `table` when they are
    /// submitted.
    #[must_use]
    pub fn watched(mut self, book: &Arc<LintBook>, table: &Arc<DmaTable>) -> Self {
        for channel in &self.channels {
            let mut channel = channel.lock();
            channel.lint = Some(ChannelLint::new(channel.number, book, table));
        }
        self.lint = Some(Arc::clone(book));
        self
    }

    /// The driver is watched: accesses may hold the client's memory for a moment, and an unmap then waits for them.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.lint.is_some()
    }

    /// What the engine still needs of a range that is about to be unmapped. Asked before, because a descriptor that
    /// finds it gone halts its channel; written down by [`note`](Self::note) once the unmap is accepted.
    #[must_use]
    pub fn inspect_unmap(&self, first: u64, last: u64) -> Vec<Finding> {
        if self.lint.is_none() || !self.unaffiliated.bus_master() {
            return Vec::new();
        }
        self.channels.iter().filter_map(|channel| channel.lock().needs(first, last)).collect()
    }

    /// Writes findings down.
    pub fn note(&self, findings: impl IntoIterator<Item = Finding>) {
        if let Some(book) = &self.lint {
            findings.into_iter().for_each(|finding| book.note(finding));
        }
    }

    /// Naturally aligned, and 1, 2, 4 or 8 bytes (device model 2). What is behind the registers is the VMM's.
    #[inline]
    pub(crate) fn inspect_access(&self, offset: u64, len: usize) {
        let Some(book) = &self.lint else { return };
        let len = len as u64;
        let natural = matches!(len, 1 | 2 | 4 | 8) && offset % len == 0;
        if offset < u64::from(MSIX_TABLE_OFFSET) && !natural {
            let (found, expected) = (Value::Count(len), Value::Word("1, 2, 4 or 8 bytes, naturally aligned"));
            let place = Place::Offset(offset);
            book.note(Finding { rule: Rule::UnalignedAccess, channel: None, place, found, expected });
        }
    }

    /// A write to a general register.
    #[inline]
    pub(crate) fn inspect_general(&self, register: GeneralRegister, written: Written) {
        let Some(book) = &self.lint else { return };
        let writable = matches!(
            register,
            GeneralRegister::GenCtrl
                | GeneralRegister::IntrCtrl
                | GeneralRegister::IntrDelay
                | GeneralRegister::ChwPrefLmt
        );
        if !writable {
            let (found, expected) = (Value::Hex(written.bits), Value::Word("no write"));
            let place = Place::Register(register.name());
            book.note(Finding { rule: Rule::ReadOnlyRegister, channel: None, place, found, expected });
        }
    }
}
