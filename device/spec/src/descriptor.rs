//! The 64-byte descriptor (device model section 4). It is also NetDMA's `NET_DMA_DESCRIPTOR`.

use bitfield_struct::bitfield;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a descriptor, and its alignment.
pub const DESCRIPTOR_SIZE: usize = 64;

/// One ring slot, little-endian as the engine reads it. FILL puts its pattern where COPY has the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Descriptor {
    /// Bytes to move.
    pub size: u32,
    /// Control word, see [`Control`].
    pub control: u32,
    /// Source address (COPY), or the 64-bit pattern (FILL).
    pub source: u64,
    /// Destination address.
    pub destination: u64,
    /// Address of the next descriptor.
    pub next: u64,
    /// Second source page, only with the page-break bit.
    pub next_source: u64,
    /// Second destination page, only with the page-break bit.
    pub next_destination: u64,
    /// Belongs to software; the engine never changes it.
    pub user: [u64; 2],
}

const _: () = assert!(size_of::<Descriptor>() == DESCRIPTOR_SIZE);
const _: () = assert!(core::mem::offset_of!(Descriptor, next) == 0x18);

impl Descriptor {
    /// The control word's fields.
    #[must_use]
    pub const fn control(&self) -> Control {
        Control::from_bits(self.control)
    }

    /// The target of a DCA context change: an 8-bit APIC id in the low byte of the first word.
    #[must_use]
    #[doc(alias = "DCAContext8")]
    pub const fn dca_context8(&self) -> u8 {
        self.size.to_le_bytes()[0]
    }
}

/// The control word of COPY, NULL and FILL (device model 4.2).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Control {
    /// Raise the channel's interrupt when this descriptor completes.
    pub int_en: bool,
    /// The source need not be snooped; without effect.
    pub src_snoop_dis: bool,
    /// The destination need not be snooped; without effect.
    pub dst_snoop_dis: bool,
    /// Store the completion word when this descriptor completes.
    pub cmpl_wr: bool,
    /// All writes of this descriptor land before data of the next is read.
    pub fence: bool,
    /// COPY that moves nothing.
    pub null: bool,
    /// The source continues at `next_source` after its first page.
    pub src_page_break: bool,
    /// The destination continues at `next_destination` after its first page.
    pub dst_page_break: bool,
    /// Bundle with the next descriptor; without effect.
    pub bundle: bool,
    /// Cache hint for the destination; without effect.
    pub dst_dca: bool,
    /// Hint; without effect.
    pub hint: bool,
    #[bits(13)]
    __: u16,
    /// The operation, see [`Opcode`].
    pub opcode: u8,
}

impl Control {
    /// Bit 0 under [`Opcode::ContextChange`]: the context is DCA's. Under every other operation that bit is
    /// [`int_en`](Self::int_en), so the operation is to be looked at first.
    #[must_use]
    #[doc(alias = "NET_DMA_DCA_CONTEXT_CHANGE")]
    pub const fn dca_context_change(self) -> bool {
        self.opcode() == Opcode::ContextChange as u8 && self.int_en()
    }
}

/// Operation codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// Copy, or nothing at all with the NULL bit.
    Copy = 0x00,
    /// Fill with an 8-byte pattern.
    Fill = 0x01,
    /// XOR of 2 to 8 sources.
    Xor = 0x87,
    /// Compare an XOR.
    XorVal = 0x88,
    /// P and Q of 2 to 8 sources.
    Pq = 0x89,
    /// Compare P and Q.
    PqVal = 0x8a,
    /// Update P and Q.
    PqUp = 0x8b,
    /// P and Q of 9 to 16 sources.
    Pq16s = 0xa0,
    /// Compare P and Q of 9 to 16 sources.
    PqVal16s = 0xa1,
    /// NetDMA's DCA context change.
    ContextChange = 0xff,
}

impl Opcode {
    /// The operation of a code, if it has one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x00 => Some(Self::Copy),
            0x01 => Some(Self::Fill),
            0x87 => Some(Self::Xor),
            0x88 => Some(Self::XorVal),
            0x89 => Some(Self::Pq),
            0x8a => Some(Self::PqVal),
            0x8b => Some(Self::PqUp),
            0xa0 => Some(Self::Pq16s),
            0xa1 => Some(Self::PqVal16s),
            0xff => Some(Self::ContextChange),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_sit_where_the_engine_reads_them() {
        let descriptor = Descriptor {
            size: 0x1122_3344,
            control: Control::new().with_int_en(true).with_cmpl_wr(true).with_opcode(0x01).into_bits(),
            source: 1,
            destination: 2,
            next: 3,
            ..Descriptor::default()
        };
        let bytes = descriptor.as_bytes();
        assert_eq!(&bytes[0..4], &[0x44, 0x33, 0x22, 0x11]);
        assert_eq!(&bytes[4..8], &[0x09, 0, 0, 0x01]);
        assert_eq!((bytes[0x08], bytes[0x10], bytes[0x18]), (1, 2, 3));
    }

    #[test]
    fn control_bits_are_netdmas_flags() {
        assert_eq!(Control::new().with_fence(true).into_bits(), 0x10);
        assert_eq!(Control::new().with_null(true).into_bits(), 0x20);
        assert_eq!(Control::new().with_dst_dca(true).into_bits(), 0x200);
    }

    #[test]
    fn bit_0_is_dcas_only_under_the_whole_byte_of_a_context_change() {
        assert!(Control::from_bits(0xff00_0001).dca_context_change());
        assert!(!Control::from_bits(0xff00_0000).dca_context_change());
        assert!(!Control::from_bits(0x7f00_0001).dca_context_change());
        assert_eq!(Descriptor { size: 0x1234_5607, ..Descriptor::default() }.dca_context8(), 7);
    }

    #[test]
    fn opcodes_lead_back_to_themselves() {
        for code in 0..=u8::MAX {
            if let Some(opcode) = Opcode::from_code(code) {
                assert_eq!(opcode as u8, code);
            }
        }
    }
}
