//! What an operation is asked to be: its kind, and its descriptor's flags.

use std::fmt;

use ioat_spec::{Control, Opcode};

use super::{Access, Described, Op};

/// What kind of operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is its own word")]
pub enum Operation {
    Read,
    Write,
    Copy,
    Fill,
    Null,
    Xor,
    Pq,
}

impl Operation {
    /// All of them, with their words.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Read, "read"),
        (Self::Write, "write"),
        (Self::Copy, "copy"),
        (Self::Fill, "fill"),
        (Self::Null, "null"),
        (Self::Xor, "xor"),
        (Self::Pq, "pq"),
    ];

    /// The direction, if that is what it is.
    #[must_use]
    pub const fn access(self) -> Option<Access> {
        match self {
            Self::Read => Some(Access::Read),
            Self::Write => Some(Access::Write),
            _ => None,
        }
    }

    pub(super) fn matches(self, op: &Op) -> bool {
        match (self.access(), op.described) {
            (Some(access), _) => op.access == Some(access),
            (None, Some(described)) => Self::of(described) == Some(self),
            (None, None) => false,
        }
    }

    /// What a descriptor asks for; none for what has no word here.
    pub(super) fn of(described: Described) -> Option<Self> {
        let control = Control::from_bits(described.control);
        Some(match Opcode::from_code(control.opcode())? {
            Opcode::Copy if control.null() => Self::Null,
            Opcode::Copy => Self::Copy,
            Opcode::Fill => Self::Fill,
            Opcode::Xor | Opcode::XorVal => Self::Xor,
            Opcode::Pq | Opcode::PqVal | Opcode::PqUp | Opcode::Pq16s | Opcode::PqVal16s => Self::Pq,
            Opcode::ContextChange => return None,
        })
    }
}

/// Flags of a descriptor's control field; never none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u32);

impl Flags {
    /// The flags that have a word.
    pub const NAMED: [(u32, &'static str); 5] = [
        (Control::new().with_int_en(true).into_bits(), "interrupt"),
        (Control::new().with_cmpl_wr(true).into_bits(), "completion"),
        (Control::new().with_fence(true).into_bits(), "fence"),
        (Control::new().with_src_page_break(true).into_bits(), "source-page-break"),
        (Control::new().with_dst_page_break(true).into_bits(), "destination-page-break"),
    ];

    /// Those of a control field that have a word; none if no such flag is set.
    #[must_use]
    pub fn of(control: u32) -> Option<Self> {
        let named = Self::NAMED.iter().fold(0, |all, (bit, _)| all | bit);
        (control & named != 0).then_some(Self(control & named))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let bit = |word: &str| Self::NAMED.iter().find(|(_, name)| *name == word.trim()).map(|(bit, _)| *bit);
        text.split('+').try_fold(0, |all, word| Some(all | bit(word)?)).map(Self)
    }
}

impl Flags {
    /// A control field has all of them.
    pub(super) const fn all_in(self, control: u32) -> bool {
        control & self.0 == self.0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Self::NAMED.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name);
        f.write_str(&set.collect::<Vec<_>>().join("+"))
    }
}
