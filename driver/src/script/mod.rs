//! Scripts that bring a device up: Rhai, with functions for everything that a person at the bench does.
//!
//! In reading order: what a script works on ([`Session`]), what a function says when it fails (`failure`), the functions
//! themselves (`api`) and their documentation ([`entries`]), one statement after the other ([`Evaluator`]), and a
//! whole file with its outcome ([`run()`]).
//!
//! Nothing here knows I/OAT but the table of its registers and the functions that are for its descriptors. Whatever
//! becomes of a script, [`Session::wind_up`] leaves the device with no interrupt enabled, no DMA allowed, and no
//! memory of ours mapped.

mod session;

mod wind_up;

mod desk;

mod recording;

mod undo;

mod number;

mod buffer;

mod dump;

mod tabular;

mod capabilities;

mod registers;

mod interrupts;

mod seen;

mod judge;

mod failure;

mod entry;

pub mod help;

mod api;

mod error;

mod evaluator;

mod run;

pub mod report;

mod findings;

mod vocabulary;

pub mod record;

pub use desk::{EventDesk, FaultDesk, Operations};
pub use entry::Entry;
pub use error::{ErrorKind, ScriptError};
pub use evaluator::{Evaluator, Mark};
pub use findings::Findings;
pub use judge::{Case, Complaint, Verdict};
pub use recording::{Recorded, Recording};
pub use registers::{Table, TableError};
pub use run::{Outcome, Summary, run};
pub use session::{Parts, Session, Sink};
pub use vocabulary::RegisterNames;

/// Every function that a script can call, group by group: what `help()` and completion read.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    api::entries()
}
