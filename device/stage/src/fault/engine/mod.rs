//! The rules at work: counters shared by all channels, and what fired.

mod book;

mod faults;

mod armed;

mod fired;

mod census;

#[cfg(test)]
mod tests;

pub use armed::{ArmedRule, RuleId};
pub use book::{Clock, FaultBook, OnFired};
pub use faults::RuleFaults;
pub use fired::Fired;
