//! The Intel I/OAT v3 engine as a NetDMA provider.
//!
//! # The bridge
//!
//! The contract was made for such engines, but one of version 3 does not do all of it by itself. What is missing the
//! provider adds, and each place in the code names its letter:
//!
//! | | contract operation | what the engine does | what the provider adds | where |
//! |---|---|---|---|---|
//! | a | status after Suspend, Abort, Reset (ND-C5) | stores no word when it is told to stop | waits for CHANSTS, then stores `address + status` through the completion word's virtual address | `channel.rs`: `suspend`, `forget` |
//! | b | Start on a running channel (ND-P5) | takes CHAINADDR only when stopped | SUSPEND, wait, CHAINADDR, DMACOUNT | `channel.rs`: `start` |
//! | c | Abort, Reset (ND-P12, ND-P13) | RESET forgets CHANCTRL, CHANCMP and DCACTRL | SUSPEND, RESET, then all three again; after Abort with the DCA target of before, after Reset with that of the allocation | `channel.rs`: `halt`, `arm` |
//! | d | Resume; Append that an engine may have missed (ND-P7, ND-P11) | does not read a link again | CHAINADDR from the re-read link, and the remaining count | `chain.rs`: `rebase`; `channel.rs`: `go_on` |
//! | e | chains without a count (1.x) | works by DMACOUNT | follows the links to the zero that ends them, in registered memory, and counts | `chain.rs`: `walk` |
//! | f | interrupt without status (ND-C9) | stores no word | reads CHANSTS, in the service routine and in the DPC | `report.rs` |
//! | g | transfer of no bytes (ND-D4) | halts on size 0 | sends NULL with size 1 | `admit.rs`: `write_as_null` |
//! | h | page breaks, context changes, aimed completion words (ND-D2, 1.12) | only where DMACAPABILITY has them | checks them before the engine would halt; writes DCACTRL at allocation; refuses them elsewhere, by name | `admit.rs`; `channel.rs`: `arm` |
//!
//! A suspended or stopped function that loses its state altogether comes back with
//! [`IoatProvider::power_up`]. Interrupts come as messages where there are any, else by the line (`delivery.rs`).

mod error;

mod registers;

mod identify;

mod bring_up;

mod admit;

mod chain;

mod doorbell;

mod channel;

mod provider;

mod delivery;

pub mod batch;

mod targets;

mod interrupt;

mod report;

pub use error::{ChainError, Fault, IoatError};
pub use identify::{Identity, identify};
pub use provider::{Glance, IoatProvider, ProviderOptions};

/// What happened on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct ChannelStats {
    /// Service routines run that found this channel.
    pub interrupts: u64,
    /// DPCs run that looked at the completion word.
    pub dpcs: u64,
    /// DPCs run that another DPC asked for (DP-4).
    pub spread_dpcs: u64,
    /// DPCs asked for that were queued already. Of a shared message they count on its first channel.
    pub refused_dpcs: u64,
    /// Times that the interrupt was re-enabled (DP-5). Work submitted after the count rose has an interrupt of
    /// its own; work before it may be seen by the look after the re-enabling instead.
    pub rearms: u64,
    /// Times that a completion landed before the re-enabling, and was seen by the look after it (MT-4).
    pub rechecks: u64,
    /// Halts, wrong reports, and a device that was gone.
    pub faults: u64,
}
