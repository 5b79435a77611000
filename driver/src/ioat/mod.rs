//! The Intel I/OAT v3 engine as a NetDMA provider.
//!
//! | contract operation | what the engine does | what the provider adds |
//! |---|---|---|
//! | Start | CHAINADDR, DMACOUNT | on a running channel SUSPEND and a wait first (b) |
//! | Append, counted chain | DMACOUNT | nothing |
//! | Append, 1.x chain | may have read the old end already | SUSPEND, CHAINADDR from the re-read link, DMACOUNT; the count by walking the links (d, e) |
//! | Suspend | SUSPEND; writes no status | waits for CHANSTS, stores the last address with status Suspend (a) |
//! | Resume | nothing that re-reads | CHAINADDR from the re-read link, the remaining DMACOUNT (d) |
//! | Abort | RESET forgets CHANCTRL and CHANCMP | SUSPEND, RESET, both registers again, status Halted (a, c) |
//! | Reset | the same | the same, and the chain is forgotten |
//! | interrupt without status | stores no completion word | reads CHANSTS (f) |
//! | zero-length transfer | halts | sends NULL with size 1 (g) |
//! | page break, DCA | not on a v3 engine | refused, unless DMACAPABILITY has them (h) |

mod error;

mod registers;

mod identify;

mod bring_up;

mod chain;

mod channel;

mod provider;

mod interrupt;

mod report;

pub use error::{ChainError, Fault, IoatError};
pub use identify::{Identity, identify};
pub use provider::{Glance, IoatProvider};

/// What happened on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct ChannelStats {
    /// Service routines run.
    pub interrupts: u64,
    /// DPCs run that looked at the completion word.
    pub dpcs: u64,
    /// DPCs run that another DPC asked for (DP-4).
    pub spread_dpcs: u64,
    /// DPCs asked for that were queued already.
    pub refused_dpcs: u64,
    /// Times that the interrupt was re-enabled (DP-5). Work submitted after the count rose has an interrupt of
    /// its own; work before it may be seen by the look after the re-enabling instead.
    pub rearms: u64,
    /// Times that a completion landed before the re-enabling, and was seen by the look after it (MT-4).
    pub rechecks: u64,
    /// Halts, wrong reports, and a device that was gone.
    pub faults: u64,
}
