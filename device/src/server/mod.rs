//! The vfio-user server: a socket outside, a [`Backend`] inside, and nothing in between that a client can break.
//!
//! The files are in the order in which a message meets them: a connection is taken (`listener`, `serve`), bytes and file
//! descriptors are received (`socket`, `session`), a frame becomes a request (`wire`, `request`), the request is judged
//! against the device's tables (`dispatch`, `negotiate`; `deviation` is what a fault makes of it), carried out (`backend`, `irqs`), and answered (`reply`).
//!
//! Invariants: a reply leaves in one `sendmsg`; no error costs the framing; nothing is allocated by a number on the wire
//! beyond [`MAX_FRAME_BYTES`]; a file descriptor that no request consumed is closed before the next message is read.

pub(crate) mod listener;
mod serve;

pub(crate) mod socket;

mod session;

mod wire;

mod request;

mod deviation;

mod dispatch;

mod negotiate;

mod backend;

mod irqs;

mod reply;

pub use backend::{
    Backend, DmaMap, DmaUnmap, Errno, FileAccess, IRQS, Identity, IrqAction, IrqChange, IrqInfo, REGIONS,
    RegionInfo, Select, irq, region,
};
pub use deviation::Message;
pub use irqs::{IrqTable, Signal};
pub use listener::{ListenError, Listener};
pub use request::{Refusal, Request, SetIrqs, decode};
pub use serve::{Options, ServeError, serve};
pub use wire::{Header, MAX_DATA_BYTES, MAX_FRAME_BYTES, MAX_MESSAGE_FDS, WriteEntry, command, flag};
