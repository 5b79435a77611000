//! The deterministic simulator: device and driver in one thread, virtual time, and one seed that chooses every
//! interleaving.
//!
//! The device's own engine and the driver's own code run here, not models of them. Both wait through
//! [`ioat_stage::Pause`] only; here that seam is a switch of coroutines (`pause`, [`world`], `fiber`). At every wait,
//! and at every [`Pause::point`](ioat_stage::Pause::point), the seed chooses who goes on: a channel's worker between
//! begin, run and finish and between the stages of a descriptor; a service routine; a DPC; a client; a control
//! call; an unmap. One seed is one interleaving: same program, scenario and seed, same trace, byte for byte.
//!
//! What it cannot see: one thread is sequentially consistent, so a missing barrier or a plain store in place of a
//! read-modify-write changes nothing here. Those are loom's (`driver/tests/loom_dpc.rs`).
//!
//! Reading order: the scenario, one run of it, its clients, the oracle (`memory`, `judge`), the machine below.

pub mod scenario;

pub mod campaign;

pub mod command;

pub mod report;

pub mod run;

pub mod trial;

mod client;

mod contract;

mod liveness;

mod storm;

mod tally;

mod memory;

mod judge;

mod points;

mod pause;

pub mod world;

pub mod schedule;

#[expect(
    unsafe_code,
    reason = "the way out of a coroutine is borrowed from it, through code that knows no lifetime of it"
)]
mod fiber;

pub mod random;

#[cfg(test)]
mod violations;

pub use campaign::{Campaign, Outcome};
pub use run::{Report, run, run_by};
pub use scenario::{Scenario, ScenarioError};
