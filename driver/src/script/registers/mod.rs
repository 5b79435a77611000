//! Registers by name: a table in TOML says where they are, what their bits mean, and what must not be written.
//!
//! [`mod@file`] is the table as it is written, [`table`] the same checked, [`place`] its registers as a device at hand has
//! them, [`decode`] what a value means, [`forbid`] what is wrong with a write.

mod file;

mod bits;

mod table;

mod place;

mod decode;

mod forbid;

mod builtin;

pub use table::{Table, TableError};

pub(super) use builtin::tables;
pub(super) use forbid::Write;
pub(super) use place::{Register, Registers};
pub(super) use table::{Access, Field};
