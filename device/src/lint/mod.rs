//! Beside the path: the lint watches what the driver does, and writes down what it must not do.
//!
//! It never changes what the engine does. Off, it costs a look at an `Option` per register access and per step; the loop
//! over descriptors is compiled a second time for a watched run (`witness`), so that the usual one does not know of it.
//!
//! - `rule`: what it looks for; `book`: where it writes it down;
//! - `registers`: what a channel's registers were told; `function`: what the function was told;
//! - `submitted`: one descriptor as it was submitted; `under_way`: all of them until they are completed;
//! - `witness`: how a run tells of its descriptors.
//!
//! Locks: `under_way`'s and the book's are the innermost ones, each taken alone or under a channel.

mod rule;

mod book;

mod registers;

mod function;

mod submitted;

mod under_way;

mod witness;

pub use book::{Finding, LintBook, Place, Record, Value};
pub use rule::{DRY_DOORBELLS, Rule, Severity};

pub(crate) use registers::ChannelLint;
pub(crate) use under_way::Watch;
pub(crate) use witness::{Nobody, Watching, Witness};
