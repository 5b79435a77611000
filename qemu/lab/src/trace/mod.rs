//! Traces after the fact: read, linked into lives of descriptors, put on one clock, converted, measured.
//!
//! [`mod@read`] takes files of JSON lines; [`mod@link`] finds each descriptor's way through the stages (its rules are there);
//! [`merge`] fits the clocks of two sides; [`chrome`] writes what ui.perfetto.dev opens; [`stats`] measures stages.

pub mod record;

pub mod read;

pub mod align;

pub mod pairs;

pub mod link;

mod announce;

mod report;

pub mod way;

pub mod fit;

pub mod conflict;

pub mod merge;

pub mod chrome;

pub mod slices;

pub mod stats;

pub mod command;

pub use link::{Life, Linked, link};
pub use read::{ReadError, Trace, read, read_text};
pub use record::{Header, Record, What};
