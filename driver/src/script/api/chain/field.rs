//! The fields of a descriptor by name, out of `ioat-spec`: where they are, what may be in them, and how they look.

use std::mem::offset_of;

use ioat_spec::{Control, Descriptor, Opcode};
use zerocopy::{FromBytes, IntoBytes};

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
    #[error("{0:?} is no operation: COPY, FILL, XOR, XOR_VAL, PQ, PQ_VAL, PQ_UP, PQ_16S, PQ_VAL_16S, CONTEXT_CHANGE")]
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
    const fn dword(name: &'static str, also: &'static [&'static str], offset: usize, says: &'static str) -> Self {
        Self { name, also, offset, width: 4, mask: u32::MAX as u64, says }
    }

    const fn qword(name: &'static str, also: &'static [&'static str], offset: usize, says: &'static str) -> Self {
        Self { name, also, offset, width: 8, mask: u64::MAX, says }
    }

    /// Bits of the control word.
    const fn control(name: &'static str, also: &'static [&'static str], bits: Control, says: &'static str) -> Self {
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
        descriptor.as_mut_bytes()[self.offset..][..self.width].copy_from_slice(&word.to_le_bytes()[..self.width]);
        Ok(())
    }

    fn word(&self, descriptor: &Descriptor) -> u64 {
        let mut word = [0; 8];
        word[..self.width].copy_from_slice(&descriptor.as_bytes()[self.offset..][..self.width]);
        u64::from_le_bytes(word)
    }
}

/// All fields, in the order of their addresses; the control word before its bits.
pub(super) const FIELDS: &[Field] = &[
    Field::dword("SIZE", &["TransferSize", "LEN"], offset_of!(Descriptor, size), "bytes to move"),
    Field::dword("CONTROL", &["ControlFlags"], offset_of!(Descriptor, control), "the control word as a whole"),
    Field::control("INT_EN", &["interrupt"], Control::new().with_int_en(true), "interrupt when it is done"),
    Field::control("SRC_SNOOP_DIS", &[], Control::new().with_src_snoop_dis(true), "without effect"),
    Field::control("DST_SNOOP_DIS", &[], Control::new().with_dst_snoop_dis(true), "without effect"),
    Field::control("CMPL_WR", &["status"], Control::new().with_cmpl_wr(true), "store the completion word when it is done"),
    Field::control("FENCE", &["serialize"], Control::new().with_fence(true), "its writes land before the next is read"),
    Field::control("NULL", &[], Control::new().with_null(true), "moves nothing"),
    Field::control("SRC_PAGE_BREAK", &[], Control::new().with_src_page_break(true), "the source goes on at NEXT_SRC"),
    Field::control("DST_PAGE_BREAK", &[], Control::new().with_dst_page_break(true), "the destination goes on at NEXT_DST"),
    Field::control("BUNDLE", &[], Control::new().with_bundle(true), "without effect"),
    Field::control("DST_DCA", &[], Control::new().with_dst_dca(true), "cache hint, without effect"),
    Field::control("HINT", &[], Control::new().with_hint(true), "without effect"),
    Field::control("OPCODE", &["OP"], Control::new().with_opcode(u8::MAX), "the operation"),
    Field::qword("SRC", &["SOURCE", "SourceAddress", "PATTERN"], offset_of!(Descriptor, source), "source address; a fill's pattern"),
    Field::qword("DST", &["DESTINATION", "DestinationAddress"], offset_of!(Descriptor, destination), "destination address"),
    Field::qword("NEXT", &["NextDescriptor"], offset_of!(Descriptor, next), "address of the next descriptor"),
    Field::qword("NEXT_SRC", &["NextSourceAddress"], offset_of!(Descriptor, next_source), "second page of the source"),
    Field::qword("NEXT_DST", &["NextDestinationAddress"], offset_of!(Descriptor, next_destination), "second page of the destination"),
    Field::qword("USER1", &["UserContext1"], offset_of!(Descriptor, user), "belongs to software"),
    Field::qword("USER2", &["UserContext2"], offset_of!(Descriptor, user) + 8, "belongs to software"),
];

/// The operations' words, as the device model has them.
const OPERATIONS: &[(Opcode, &str)] = &[
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

/// One line for people: the operation, what it works on, the control bits that are set, and what comes next.
pub(super) fn show(descriptor: &Descriptor) -> String {
    let control = descriptor.control();
    let known = Opcode::from_code(control.opcode());
    let word = known.and_then(|code| OPERATIONS.iter().find(|(opcode, _)| *opcode == code));
    let (size, source, destination) = (descriptor.size, descriptor.source, descriptor.destination);
    let mut text = match (known, word) {
        (Some(Opcode::Copy), _) if control.null() => "NULL".to_owned(),
        (Some(Opcode::Fill), _) => format!("FILL {size} bytes at {destination:#x} with {source:#018x}"),
        (_, Some((_, word))) => format!("{word} {size} bytes from {source:#x} to {destination:#x}"),
        _ => format!("OPCODE {:#04x}, {size} bytes from {source:#x} to {destination:#x}", control.opcode()),
    };
    let set = FIELDS.iter().filter(|field| field.is_control_bit() && field.get(descriptor) == 1);
    let set: Vec<_> = set.map(|field| field.name).filter(|name| *name != "NULL").collect();
    if !set.is_empty() {
        text += &format!(", {}", set.join(" "));
    }
    for (bit, name, page) in [
        (control.src_page_break(), "source", descriptor.next_source),
        (control.dst_page_break(), "destination", descriptor.next_destination),
    ] {
        if bit {
            text += &format!(", {name} goes on at {page:#x}");
        }
    }
    if descriptor.next == 0 { text + ", the last" } else { format!("{text}, next {:#x}", descriptor.next) }
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
