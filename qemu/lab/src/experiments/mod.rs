//! Experiments: break a device on purpose, see what its driver makes of it, say what it means.
//!
//! Reading order is an experiment's way: the campaign's file, its plan (from a golden run), one experiment in its place,
//! what was observed, its class, its record in the journal, and what is made of many records.

pub mod command;

pub mod exit;

pub mod campaign;

mod identity;

pub mod shard;

pub mod plan;

pub mod experiment;

pub mod run;

pub mod place;

pub mod observation;

pub mod class;

pub mod expected;

pub mod signature;

pub mod record;

pub mod journal;

pub mod merge;

pub mod replay;

pub mod minimise;

pub mod report;

pub mod try_mine;

pub use campaign::{Campaign, CampaignError, PlaceName};
pub use class::Class;
pub use exit::{Exit, Trouble};
pub use experiment::{Experiment, Id};
pub use observation::{Fired, Observation};
pub use place::{Golden, Infra, Limits, Place};
pub use record::{Header, Minimal, Outcome, Record};
