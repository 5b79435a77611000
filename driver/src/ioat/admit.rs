//! Which descriptors an engine takes: what it cannot do is refused before it halts on it.
//!
//! Bridge g: a transfer of no bytes. Bridge h: page breaks and DCA context changes, which belong to 2.0 and to engines
//! whose DMACAPABILITY has them.

use super::ChainError;
use super::chain::{Limits, load};
use crate::contract::{ControlFlags, DmaLocation, NetDmaVersion, OpType};

/// Bytes of a page, which a page break ends (ND-D2).
const PAGE_BYTES: u64 = 4096;

/// Opcode of FILL; beside NetDMA's own operations, because every v3 engine has it.
const FILL: u8 = ioat_spec::Opcode::Fill as u8;

/// What a descriptor asks for that its channel must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Admitted {
    /// It wants the completion word.
    pub(super) updates_status: bool,
    /// It wants an interrupt.
    pub(super) interrupts: bool,
    /// Its size is 0, and it is none that has no size: [`write_as_null`] it.
    pub(super) moves_nothing: bool,
}

/// Whether the engine takes the descriptor at `place`. Changes nothing.
pub(super) fn admit(place: &DmaLocation, limits: &Limits) -> Result<Admitted, ChainError> {
    let descriptor = Read::new(place);
    let Read { address, size, flags, .. } = descriptor;
    let updates_status = flags.updates_status();
    let fill = match flags.op_type() {
        OpType::StandardDma => false,
        OpType::Other(FILL) if limits.capability.fill() => true,
        OpType::Other(_) => return Err(descriptor.not_offered("an operation that it does not have", limits)),
        OpType::ContextChange => {
            descriptor.context_change(limits)?;
            // Under a context change bit 0 is no interrupt (C-LY-05), and there is no size.
            return Ok(Admitted { updates_status, interrupts: false, moves_nothing: false });
        }
    };
    if size > limits.max_transfer {
        return Err(ChainError::TooLong { address, size, limit: limits.max_transfer });
    }
    // A FILL has a pattern where the source would be.
    if !fill {
        descriptor.page_break(ControlFlags::SOURCE_PAGE_BREAK, &SOURCE, limits)?;
    }
    descriptor.page_break(ControlFlags::DESTINATION_PAGE_BREAK, &DESTINATION, limits)?;
    let interrupts = flags.contains(ControlFlags::INTERRUPT_ON_COMPLETION);
    Ok(Admitted { updates_status, interrupts, moves_nothing: size == 0 })
}

/// (g) A transfer of no bytes, legal with and without the NULL flag (ND-D4), becomes NULL with one: real channels
/// reject a size of 0. A FILL has no NULL flag; of no bytes it is a NULL as well, and of a page break nothing is left.
pub(super) fn write_as_null(place: &DmaLocation) {
    let breaks = ControlFlags::SOURCE_PAGE_BREAK.with(ControlFlags::DESTINATION_PAGE_BREAK);
    let flags = Read::new(place).flags.0 & 0x00ff_ffff & !breaks.0;
    let control = ControlFlags(flags).with(ControlFlags::NULL_TRANSFER);
    // Both halves in one store: `size` 1, and the NULL flag beside the others.
    let stored = place.buffer().store_u64(place.offset(), u64::from(control.0) << 32 | 1);
    stored.expect("a descriptor's place was checked when it was made");
}

/// One side of a transfer: where its address lies, and where that of its second page.
struct Side {
    name: &'static str,
    next_name: &'static str,
    field: usize,
    next_field: usize,
}

const SOURCE: Side =
    Side { name: "a source page break", next_name: "NextSourceAddress", field: 0x08, next_field: 0x20 };

const DESTINATION: Side = Side {
    name: "a destination page break",
    next_name: "NextDestinationAddress",
    field: 0x10,
    next_field: 0x28,
};

/// A descriptor as it is in memory now.
struct Read<'a> {
    place: &'a DmaLocation,
    address: u64,
    size: u32,
    flags: ControlFlags,
}

impl<'a> Read<'a> {
    fn new(place: &'a DmaLocation) -> Self {
        let word = load(place, 0).to_le_bytes();
        let half = |at: usize| u32::from_le_bytes([word[at], word[at + 1], word[at + 2], word[at + 3]]);
        Self { place, address: place.physical().0, size: half(0), flags: ControlFlags(half(4)) }
    }

    /// (h) Each side breaks on its own; what goes on must begin with its page (C-CH-17), and is one page at most.
    fn page_break(&self, flag: ControlFlags, side: &Side, limits: &Limits) -> Result<(), ChainError> {
        if !self.flags.contains(flag) {
            return Ok(());
        }
        self.belongs_to_2_0(side.name, limits)?;
        if !limits.capability.page_break() {
            return Err(self.not_offered(side.name, limits));
        }
        let (address, field) = (self.address, side.next_name);
        let value = load(self.place, side.next_field);
        if value % PAGE_BYTES != 0 {
            return Err(ChainError::NotAPage { address, field, value });
        }
        let most = 2 * PAGE_BYTES - load(self.place, side.field) % PAGE_BYTES;
        if u64::from(self.size) > most {
            return Err(ChainError::BeyondSecondPage { address, field, size: self.size, most });
        }
        Ok(())
    }

    /// (h) There is one context change: that of the DCA target.
    fn context_change(&self, limits: &Limits) -> Result<(), ChainError> {
        self.belongs_to_2_0("a DCA context change", limits)?;
        if !limits.capability.dca() {
            return Err(self.not_offered("a DCA context change", limits));
        }
        if self.flags.0 & 1 == 0 {
            return Err(self.not_offered("a context change other than DCA's", limits));
        }
        Ok(())
    }

    fn belongs_to_2_0(&self, what: &'static str, limits: &Limits) -> Result<(), ChainError> {
        if limits.counted() {
            return Ok(());
        }
        let (address, control, version) = (self.address, self.flags.0, limits.version);
        Err(ChainError::NotInVersion { address, control, what, version, since: NetDmaVersion::V2_0 })
    }

    fn not_offered(&self, what: &'static str, limits: &Limits) -> ChainError {
        let (control, capability) = (self.flags.0, limits.capability.into_bits());
        ChainError::NotOffered { address: self.address, control, what, capability }
    }
}
