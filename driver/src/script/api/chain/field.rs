//! The fields of a descriptor by name, out of `ioat-spec`: where they are, what may be in them, and how they look.

use std::mem::offset_of;
use std::ops::Range;

use ioat_spec::{Control, Descriptor, Opcode};
use zerocopy::IntoBytes;

/// Why a field could not be read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum FieldError {
    /// No field is called so.
    #[error("a descriptor has no field {0:?}; its fields are {list}", list = names())]
    Unknown(String),
    /// The field is too small for it.
    #[error("{value:#x} does not fit field {field}, which has {bits} bits")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// Its bits.
        bits: u32,
        /// What was to be written.
        value: u64,
    },
    /// No operation is called so.
    #[error(
        "{0:?} is no operation: COPY, FILL, XOR, XOR_VAL, PQ, PQ_VAL, PQ_UP, PQ_16S, PQ_VAL_16S, CONTEXT_CHANGE"
    )]
    UnknownOperation(String),
}

/// One field: a mask in a word of the descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Field {
    /// Its name in the device model.
    pub(super) name: &'static str,
    /// Other names: NetDMA's words, and what scripts call it.
    also: &'static [&'static str],
    offset: usize,
    width: usize,
    mask: u64,
    /// A sentence about it.
    pub(super) says: &'static str,
}

impl Field {
    const fn dword(
        name: &'static str,
        also: &'static [&'static str],
        offset: usize,
        says: &'static str,
    ) -> Self {
        Self { name, also, offset, width: 4, mask: u32::MAX as u64, says }
    }

    const fn qword(
        name: &'static str,
        also: &'static [&'static str],
        offset: usize,
        says: &'static str,
    ) -> Self {
        Self { name, also, offset, width: 8, mask: u64::MAX, says }
    }

    /// Bits of the control word.
    const fn control(
        name: &'static str,
        also: &'static [&'static str],
        bits: Control,
        says: &'static str,
    ) -> Self {
        Self {
            name,
            also,
            offset: offset_of!(Descriptor, control),
            width: 4,
            mask: bits.into_bits() as u64,
            says,
        }
    }

    /// The field of this name, in either case.
    pub(super) fn by_name(name: &str) -> Result<&'static Self, FieldError> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let found = FIELDS.iter().find(|field| is(field.name) || field.also.iter().any(|also| is(also)));
        found.ok_or_else(|| FieldError::Unknown(name.to_owned()))
    }

    /// The control bit of this name.
    pub(super) fn control_bit(name: &str) -> Result<&'static Self, FieldError> {
        let field = Self::by_name(name)?;
        if field.is_control_bit() { Ok(field) } else { Err(FieldError::Unknown(name.to_owned())) }
    }

    /// Its bits in its word.
    pub(super) const fn mask(&self) -> u64 {
        self.mask
    }

    /// The bytes of its word in the descriptor.
    pub(super) const fn bytes(&self) -> Range<usize> {
        self.offset..self.offset + self.width
    }

    /// A single bit of the control word.
    pub(super) const fn is_control_bit(&self) -> bool {
        self.width == 4 && self.mask.count_ones() == 1
    }

    /// What is in it.
    pub(super) fn get(&self, descriptor: &Descriptor) -> u64 {
        (self.word(descriptor) & self.mask) >> self.mask.trailing_zeros()
    }

    /// Puts `value` in it, and leaves the rest.
    pub(super) fn put(&self, descriptor: &mut Descriptor, value: u64) -> Result<(), FieldError> {
        let shift = self.mask.trailing_zeros();
        if value > self.mask >> shift {
            let bits = self.mask.count_ones();
            return Err(FieldError::TooLarge { field: self.name, bits, value });
        }
        let word = self.word(descriptor) & !self.mask | value << shift;
        descriptor.as_mut_bytes()[self.bytes()].copy_from_slice(&word.to_le_bytes()[..self.width]);
        Ok(())
    }

    fn word(&self, descriptor: &Descriptor) -> u64 {
        let mut word = [0; 8];
        word[..self.width].copy_from_slice(&descriptor.as_bytes()[self.bytes()]);
        u64::from_le_bytes(word)
    }
}

/// All fields, in the order of their addresses; the control word before its bits.
pub(super) const FIELDS: &[Field] = &[
    Field::dword("SIZE", &["TransferSize", "LEN"], offset_of!(Descriptor, size), "bytes to move"),
    Field::dword(
        "CONTROL",
        &["ControlFlags"],
        offset_of!(Descriptor, control),
        "the control word as a whole",
    ),
    Field::control("INT_EN", &["interrupt"], Control::new().with_int_en(true), "interrupt when it is done"),
    Field::control("SRC_SNOOP_DIS", &[], Control::new().with_src_snoop_dis(true), "without effect"),
    Field::control("DST_SNOOP_DIS", &[], Control::new().with_dst_snoop_dis(true), "without effect"),
    Field::control(
        "CMPL_WR",
        &["status"],
        Control::new().with_cmpl_wr(true),
        "store the completion word when it is done",
    ),
    Field::control(
        "FENCE",
        &["serialize"],
        Control::new().with_fence(true),
        "its writes land before the next is read",
    ),
    Field::control("NULL", &[], Control::new().with_null(true), "moves nothing"),
    Field::control(
        "SRC_PAGE_BREAK",
        &[],
        Control::new().with_src_page_break(true),
        "the source goes on at NEXT_SRC",
    ),
    Field::control(
        "DST_PAGE_BREAK",
        &[],
        Control::new().with_dst_page_break(true),
        "the destination goes on at NEXT_DST",
    ),
    Field::control("BUNDLE", &[], Control::new().with_bundle(true), "without effect"),
    Field::control("DST_DCA", &[], Control::new().with_dst_dca(true), "cache hint, without effect"),
    Field::control("HINT", &[], Control::new().with_hint(true), "without effect"),
    Field::control("OPCODE", &["OP"], Control::new().with_opcode(u8::MAX), "the operation"),
    Field::qword(
        "SRC",
        &["SOURCE", "SourceAddress", "PATTERN"],
        offset_of!(Descriptor, source),
        "source address; a fill's pattern",
    ),
    Field::qword(
        "DST",
        &["DESTINATION", "DestinationAddress"],
        offset_of!(Descriptor, destination),
        "destination address",
    ),
    Field::qword("NEXT", &["NextDescriptor"], offset_of!(Descriptor, next), "address of the next descriptor"),
    Field::qword(
        "NEXT_SRC",
        &["NextSourceAddress"],
        offset_of!(Descriptor, next_source),
        "second page of the source",
    ),
    Field::qword(
        "NEXT_DST",
        &["NextDestinationAddress"],
        offset_of!(Descriptor, next_destination),
        "second page of the destination",
    ),
    Field::qword("USER1", &["UserContext1"], offset_of!(Descriptor, user), "belongs to software"),
    Field::qword("USER2", &["UserContext2"], offset_of!(Descriptor, user) + 8, "belongs to software"),
];

/// The operations' words, as the device model has them.
pub(super) const OPERATIONS: &[(Opcode, &str)] = &[
    (Opcode::Copy, "COPY"),
    (Opcode::Fill, "FILL"),
    (Opcode::Xor, "XOR"),
    (Opcode::XorVal, "XOR_VAL"),
    (Opcode::Pq, "PQ"),
    (Opcode::PqVal, "PQ_VAL"),
    (Opcode::PqUp, "PQ_UP"),
    (Opcode::Pq16s, "PQ_16S"),
    (Opcode::PqVal16s, "PQ_VAL_16S"),
    (Opcode::ContextChange, "CONTEXT_CHANGE"),
];

/// The code of an operation's word.
pub(super) fn operation(word: &str) -> Result<u64, FieldError> {
    let found = OPERATIONS.iter().find(|(_, known)| known.eq_ignore_ascii_case(word));
    found.map(|(opcode, _)| *opcode as u64).ok_or_else(|| FieldError::UnknownOperation(word.to_owned()))
}

/// The descriptor in these bytes.
pub(super) fn decode(bytes: &[u8; ioat_spec::descriptor::DESCRIPTOR_SIZE]) -> Descriptor {
    let mut descriptor = Descriptor::default();
    descriptor.as_mut_bytes().copy_from_slice(bytes);
    descriptor
}

fn names() -> String {
    FIELDS.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_spec_crate_has_it_and_nothing_else_moves() {
        let all = Descriptor {
            size: 0x1122_3344,
            control: Control::new().with_int_en(true).with_cmpl_wr(true).with_opcode(1).into_bits(),
            source: 0x5555,
            destination: 0x6666,
            next: 0x7740,
            next_source: 0x8000,
            next_destination: 0x9000,
            user: [10, 11],
        };
        let get = |name: &str| Field::by_name(name).unwrap().get(&all);
        assert_eq!((get("SIZE"), get("SRC"), get("DST"), get("NEXT")), (0x1122_3344, 0x5555, 0x6666, 0x7740));
        assert_eq!((get("NEXT_SRC"), get("NEXT_DST"), get("USER1"), get("USER2")), (0x8000, 0x9000, 10, 11));
        assert_eq!((get("INT_EN"), get("CMPL_WR"), get("FENCE"), get("OPCODE")), (1, 1, 0, 1));
        for field in FIELDS {
            let mut changed = all;
            let other = !field.get(&all) & field.mask() >> field.mask().trailing_zeros();
            field.put(&mut changed, other).unwrap();
            assert_eq!(field.get(&changed), other, "{}", field.name);
            field.put(&mut changed, field.get(&all)).unwrap();
            assert_eq!(changed, all, "{}", field.name);
        }
    }

    #[test]
    fn a_field_is_found_by_the_words_of_both_books_in_either_case() {
        for (word, name) in [
            ("size", "SIZE"),
            ("TransferSize", "SIZE"),
            ("NextDescriptor", "NEXT"),
            ("interrupt", "INT_EN"),
            ("status", "CMPL_WR"),
            ("pattern", "SRC"),
        ] {
            assert_eq!(Field::by_name(word).unwrap().name, name);
        }
        assert_eq!(Field::control_bit("fence").unwrap().mask(), 0x10);
    }

    #[test]
    fn what_is_not_there_or_does_not_fit_is_named() {
        let error = Field::by_name("LENGHT").unwrap_err().to_string();
        assert!(error.contains("\"LENGHT\"") && error.contains("SIZE, CONTROL, INT_EN"), "{error}");
        assert!(Field::control_bit("SIZE").is_err() && Field::control_bit("OPCODE").is_err());
        let mut descriptor = Descriptor::default();
        let error = Field::by_name("OPCODE").unwrap().put(&mut descriptor, 0x100).unwrap_err().to_string();
        assert_eq!(error, "0x100 does not fit field OPCODE, which has 8 bits");
        assert_eq!(descriptor, Descriptor::default());
        assert_eq!((operation("fill"), operation("MOVE").is_err()), (Ok(1), true));
    }
}
