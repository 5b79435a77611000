//! The interrupt structures of `ndis.h` and `wdm.h` in their exact layout, for a C face: fields, order, offsets and
//! values are the headers' own (contract 2.1 and 2.2).
//!
//! Each structure has its 64-bit form, whose offsets the compiler asserts, and in [`model32`] its 32-bit form with
//! 64-bit integers aligned to eight bytes, as Windows compilers do. What comes in is checked by `validate` and becomes
//! a typed form; a [`RawError`] says which field was wrong, what was found, and what was expected. There is nothing
//! unsafe here: who calls the function pointers, or follows the data pointers, answers for them.

mod error;

mod header;

mod values;

mod characteristics;

mod message_info;

mod msix;

mod throttle;

pub mod model32;

pub use characteristics::{
    LineRoutines, MessageRoutines, MiniportDisableInterrupt, MiniportDisableMessageInterrupt,
    MiniportInterrupt, MiniportInterruptDpc, MiniportMessageInterrupt, MiniportMessageInterruptDpc,
    NdisMiniportInterruptCharacteristics, Routines,
};
pub use error::RawError;
pub use header::NdisObjectHeader;
pub use message_info::{IoInterruptMessageInfo, IoInterruptMessageInfoEntry, MESSAGES_MAX};
pub use msix::NdisMsixConfigParameters;
pub use throttle::NdisReceiveThrottleParameters;
pub use values::*;
