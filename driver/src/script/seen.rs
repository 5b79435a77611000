//! What a script has read last: a wait that is over says it.

use std::fmt;
use std::rc::Rc;

use super::registers::Register;
use crate::hw::Space;

/// The last thing that was read.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// A register by its name.
    Register(Rc<Register>, u64),
    /// Some bytes of a register space.
    Access(Space, u64, usize, u64),
    /// Some bytes of a buffer: its address for the device, the offset, and how many.
    Memory(u64, usize, usize, u64),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(register, value) => write!(f, "{} = {}", register.name, register.decoded(*value)),
            Self::Access(space, offset, width, value) => {
                write!(f, "{width} bytes at {space} + {offset:#x} = {value:#x}")
            }
            Self::Memory(iova, offset, width, value) => {
                write!(f, "{width} bytes of the buffer at {iova:#x} + {offset:#x} = {value:#x}")
            }
        }
    }
}
