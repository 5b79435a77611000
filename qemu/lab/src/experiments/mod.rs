//! Experiments: break a device on purpose, see what its driver makes of it, say what it means.
//!
//! Reading order is an experiment's way: the campaign's file, its plan (from a golden run), one experiment in its place,
//! what was observed, its class, its record in the journal, and what is made of many records.

pub mod experiment;

pub mod place;

pub mod observation;

pub mod class;

pub mod record;

pub mod report;

pub use class::Class;
pub use experiment::{Experiment, Id};
pub use observation::{Fired, Observation};
pub use place::{Golden, Infra, Limits, Place};
pub use record::{Header, Minimal, Outcome, Record};
