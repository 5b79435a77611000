//! A virtual Intel I/OAT v3 DMA engine.
//!
//! Reading order: what the engine stands on (guest memory, identity, registers, channel state), the six stages of the
//! data path on the device's side, what watches the driver beside it (the lint), what puts
//! them together (a run of descriptors, the function), and around that core
//! the threads (the engine), the vfio-user server, and beside it the control socket.

pub mod memory;

pub mod profile;

mod config_space;

mod registers;

mod general;

mod unaffiliated;

mod observer;

mod counters;

mod signals;

mod postponed;

mod access;

mod command;

mod removal;

mod deviation;

mod channel;

mod channel_registers;

mod path;

mod scribe;

mod doorbell;

mod fetch;

mod page_break;

mod translate;

mod copy;

mod complete;

mod msix;

pub mod lint;

pub mod run;

pub mod function;

pub mod engine;

pub mod server;

pub mod control;

pub use channel::Delay;
pub use counters::Counters;
pub use function::{Begin, Effects, Finished, Function};
pub use msix::InterruptSink;
pub use observer::{Happening, Observer};
pub use postponed::Postponed;
pub use profile::{ChannelsError, Profile, VectorsError};
pub use removal::OnKill;
pub use run::Run;
