//! Faults are a parameter: each stage asks its channel's [`Faults`] for a verdict and applies it inside the stage.
//!
//! Production passes [`NoFaults`], which compiles away. An experiment passes [`RuleFaults`].

mod rule;

mod range;

mod register;

mod filter;

mod trigger;

mod action;

pub mod catalog;

mod parse;

mod table;

mod errata;

mod error;

mod check;

mod engine;

#[cfg(test)]
mod tests;

use std::fmt;

use ioat_spec::{ChannelState, Control, Opcode};

use crate::stage::Stage;

pub use action::Action;
pub use check::{RuleContext, RulePlace, SetError, check_all};
pub use engine::{ArmedRule, Clock, FaultBook, Fired, OnFired, RuleFaults, RuleId};
pub use errata::{ERRATA, Erratum, expand, expand_all};
pub use error::RuleError;
pub use filter::{FILTERS, Filter, Flags, Form, Operation};
pub use range::Range;
pub use register::Register;
pub use rule::{Channels, Rule, SHAPE};
pub use table::Written;
pub use trigger::{Chance, TRIGGERS, Trigger};

/// Where the device, or the driver behind it, may be told to deviate. Stages by their own words, the two halves of a copy,
/// and what lies beside the path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Point {
    /// An access to configuration space.
    Config,
    /// An access to a BAR register.
    Register,
    /// A doorbell write.
    Doorbell,
    /// A descriptor fetch.
    Fetch,
    /// An address translation.
    Translate,
    /// The movement of a descriptor's data, as a whole.
    Copy,
    /// The reading of its source.
    Read,
    /// The writing of its destination.
    Write,
    /// The store of a completion word.
    Complete,
    /// One interrupt message.
    Msix,
    /// A channel command that changes its state: a new chain, suspend, resume.
    State,
    /// A reset: CHANCMD.RESET of a channel; FLR or DEVICE_RESET, of none.
    Reset,
    /// Any transaction on the link: a register or configuration access, a descriptor fetch.
    Pcie,
    /// A message of the vfio-user client.
    Transport,
    /// The driver's service routine.
    Isr,
    /// The driver's queueing of DPCs.
    Queue,
    /// The driver's DPC.
    Dpc,
}

impl Point {
    /// All points: what lies before the path, the path, what lies beside it, the driver's stages.
    pub const ALL: [Self; 17] = [
        Self::Config,
        Self::Register,
        Self::Doorbell,
        Self::Fetch,
        Self::Translate,
        Self::Copy,
        Self::Read,
        Self::Write,
        Self::Complete,
        Self::Msix,
        Self::State,
        Self::Reset,
        Self::Pcie,
        Self::Transport,
        Self::Isr,
        Self::Queue,
        Self::Dpc,
    ];

    /// The points inside a step, which a channel's run asks about.
    pub const INSIDE: [Self; 6] =
        [Self::Fetch, Self::Translate, Self::Copy, Self::Read, Self::Write, Self::Complete];

    /// The stage that this point lies in; none for what lies beside the path.
    #[must_use]
    pub const fn stage(self) -> Option<Stage> {
        match self {
            Self::Config | Self::Register | Self::State | Self::Reset | Self::Pcie | Self::Transport => None,
            Self::Doorbell => Some(Stage::Doorbell),
            Self::Fetch => Some(Stage::Fetch),
            Self::Translate => Some(Stage::Translate),
            Self::Copy | Self::Read | Self::Write => Some(Stage::Copy),
            Self::Complete => Some(Stage::Complete),
            Self::Msix => Some(Stage::Msix),
            Self::Isr => Some(Stage::Isr),
            Self::Queue => Some(Stage::Queue),
            Self::Dpc => Some(Stage::Dpc),
        }
    }

    /// The driver asks about it, not the device.
    #[must_use]
    pub const fn is_drivers(self) -> bool {
        matches!(self, Self::Isr | Self::Queue | Self::Dpc)
    }

    /// The point's word in rules, traces and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Register => "register",
            Self::Doorbell => "doorbell",
            Self::Fetch => "fetch",
            Self::Translate => "translate",
            Self::Copy => "copy",
            Self::Read => "read",
            Self::Write => "write",
            Self::Complete => "complete",
            Self::Msix => "msix",
            Self::State => "state",
            Self::Reset => "reset",
            Self::Pcie => "pcie",
            Self::Transport => "transport",
            Self::Isr => "isr",
            Self::Queue => "queue",
            Self::Dpc => "dpc",
        }
    }

    /// The point of a word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == word)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The direction of an access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Access {
    /// The driver reads.
    Read,
    /// The driver writes.
    Write,
}

/// What is known of a descriptor once it was fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Described {
    /// Its address.
    pub descriptor: u64,
    /// Its control field: operation and flags.
    pub control: u32,
    /// Its source, or pattern.
    pub source: u64,
    /// Its destination.
    pub destination: u64,
    /// Its size.
    pub size: u32,
}

impl Described {
    /// It moves data: it is no NULL and no context change.
    #[must_use]
    pub fn moves(&self) -> bool {
        let control = Control::from_bits(self.control);
        match Opcode::from_code(control.opcode()) {
            Some(Opcode::Copy) => !control.null(),
            Some(Opcode::ContextChange) => false,
            _ => true,
        }
    }
}

/// The operation that a stage is about to do: what rules match on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Op {
    /// The channel; none for an access outside any channel.
    pub channel: Option<u8>,
    /// The channel's descriptor sequence, where there is one.
    pub sequence: u64,
    /// The address that the stage works on, as in [`crate::Event::address`]: a register's offset, a bus address.
    pub address: u64,
    /// Bytes.
    pub len: u64,
    /// The direction, where the driver accesses something.
    pub access: Option<Access>,
    /// The descriptor, from the translation on.
    pub described: Option<Described>,
    /// The vector, of a message.
    pub vector: Option<u16>,
    /// The channel's state, where it is known.
    pub state: Option<ChannelState>,
}

impl Op {
    /// Whether this operation of that point can carry the action out. One that cannot is not counted by a rule.
    #[must_use]
    pub fn can(&self, point: Point, action: Action) -> bool {
        match (point, action) {
            // There are no data, and no addresses.
            (Point::Copy, Action::Corrupt { .. }) | (Point::Translate, Action::Misaddress(_)) => {
                self.described.is_none_or(|described| described.moves())
            }
            // All of it is written.
            (Point::Write | Point::Complete, Action::Short(bytes)) => bytes < self.len,
            // The word of a halt has no data that it could come before.
            (Point::Complete, Action::Early) => self.state != Some(ChannelState::Halted),
            _ => true,
        }
    }
}

/// What the stage shall do with this operation: what the specification says, or this.
pub type Verdict = Option<Action>;

/// Gives the verdicts of one channel (or of the accesses outside channels).
pub trait Faults: Send {
    /// False where the verdict is always none, so that callers can leave out even the asking.
    const ACTIVE: bool = true;

    /// A deviation inside a step (fetch to complete) is possible now. A step asks once, when it begins, and if not, it
    /// takes the way of [`NoFaults`].
    fn armed(&mut self) -> bool {
        Self::ACTIVE
    }

    /// The verdict that [`at`](Self::at) would give on this operation, if it came now. Nothing is counted.
    fn foresees(&mut self, point: Point, op: &Op) -> Verdict {
        let _ = (point, op);
        None
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
        None
    }
}
