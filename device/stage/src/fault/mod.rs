//! Faults are a parameter: each stage asks its channel's [`Faults`] for a verdict and applies it inside the stage.
//!
//! Production passes [`NoFaults`], which compiles away. An experiment passes [`RuleFaults`].

mod engine;
mod rule;

use std::fmt;

use crate::stage::Stage;

pub use engine::{ArmedRule, FaultBook, Fired, OnFired, RuleFaults, RuleId};
pub use rule::{Action, Rule, RuleError, Trigger};

/// Where a stage may be told to deviate. Stages by their own words, and the accesses outside the path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Point {
    /// A read of a BAR register.
    Register,
    /// A doorbell write.
    Doorbell,
    /// A descriptor fetch.
    Fetch,
    /// An address translation.
    Translate,
    /// The movement of a descriptor's data.
    Copy,
    /// The store of a completion word.
    Complete,
    /// One interrupt message.
    Msix,
    /// The driver's service routine.
    Isr,
    /// The driver's queueing of DPCs.
    Queue,
    /// The driver's DPC.
    Dpc,
}

impl Point {
    /// All points, in path order.
    pub const ALL: [Self; 10] = [
        Self::Register,
        Self::Doorbell,
        Self::Fetch,
        Self::Translate,
        Self::Copy,
        Self::Complete,
        Self::Msix,
        Self::Isr,
        Self::Queue,
        Self::Dpc,
    ];

    /// The stage that this point lies in; none for register reads, which lie beside the path.
    #[must_use]
    pub const fn stage(self) -> Option<Stage> {
        match self {
            Self::Register => None,
            Self::Doorbell => Some(Stage::Doorbell),
            Self::Fetch => Some(Stage::Fetch),
            Self::Translate => Some(Stage::Translate),
            Self::Copy => Some(Stage::Copy),
            Self::Complete => Some(Stage::Complete),
            Self::Msix => Some(Stage::Msix),
            Self::Isr => Some(Stage::Isr),
            Self::Queue => Some(Stage::Queue),
            Self::Dpc => Some(Stage::Dpc),
        }
    }

    /// The point's word in rules, traces and reports: its stage's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.stage() {
            Some(stage) => stage.name(),
            None => "register",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The operation that a stage is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Op {
    /// The channel; none for an access outside any channel.
    pub channel: Option<u8>,
    /// The channel's descriptor sequence, where there is one.
    pub sequence: u64,
    /// The address that the stage works on, as in [`crate::Event::address`].
    pub address: u64,
    /// Bytes.
    pub len: u64,
}

/// What the stage shall do with this operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// What the specification says.
    Pass,
    /// Leave it out: no store, no message.
    Drop,
    /// `complete`: store the word before the data is moved, and let the data come a step later.
    Early,
    /// `complete`: report a descriptor address that is off by this (wrapping).
    Misaddress {
        /// Added to the reported address.
        delta: i64,
    },
    /// Stop the channel with these CHANERR bits, as an error found by this stage.
    Halt {
        /// The CHANERR value.
        chanerr: u32,
    },
    /// `copy`: exclusive-or one byte of the output, after it was written.
    Corrupt {
        /// Which byte of the transfer, modulo its length.
        offset: u64,
        /// The bits to flip; never 0.
        mask: u8,
    },
    /// `register`: the read returns all ones, as from a device that is gone.
    AllOnes,
}

impl Verdict {
    /// The stage deviates.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Pass)
    }
}

/// Gives the verdicts of one channel (or of the accesses outside channels).
pub trait Faults: Send {
    /// False where the verdict is always [`Verdict::Pass`], so that callers can leave out even the asking.
    const ACTIVE: bool = true;

    /// A deviation inside a step (fetch to complete) is possible now. A step asks once, when it begins, and if not, it
    /// takes the way of [`NoFaults`].
    fn armed(&mut self) -> bool {
        Self::ACTIVE
    }

    /// The verdict on one operation. Called exactly once per operation, so that counting works.
    fn at(&mut self, point: Point, op: &Op) -> Verdict;
}

/// No deviation.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    const ACTIVE: bool = false;

    #[inline(always)]
    fn at(&mut self, _: Point, _: &Op) -> Verdict {
        Verdict::Pass
    }
}
