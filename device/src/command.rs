//! Commands of a channel: a new chain, suspend, resume, reset; and what their faults make of them.

use ioat_spec::register::channel_base;
use ioat_spec::{ChanErr, ChannelRegister};
use ioat_stage::{Access, Action, Faults, Op, Point};

use crate::channel::{After, Channel, Reaction, State};
use crate::channel_registers::Outcome;
use crate::observer::Happening;
use crate::postponed::What;
use crate::unaffiliated::Unaffiliated;

/// A command that changes the channel's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// CHAINADDR.
    Arm(u64),
    /// CHANCMD.SUSPEND.
    Suspend,
    /// CHANCMD.RESUME.
    Resume,
}

/// What CHANCMD.RESET reads as, beside its being done at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ResetBit {
    #[default]
    Clear,
    /// The fault `delay`: the reset is still to come.
    Late,
    /// The fault `stick`: it never ends, until the function is reset.
    Stuck,
}

impl Command {
    fn register(self) -> ChannelRegister {
        match self {
            Self::Arm(_) => ChannelRegister::ChainAddr,
            Self::Suspend | Self::Resume => ChannelRegister::ChanCmd,
        }
    }
}

impl<F: Faults> Channel<F> {
    /// A command, past its faults.
    pub(crate) fn give(&mut self, command: Command, unaffiliated: &Unaffiliated) -> Reaction {
        if !F::ACTIVE {
            return self.obey(command, unaffiliated);
        }
        // A reset that is not over takes no command.
        if self.kept.reset_bit != ResetBit::Clear {
            return Reaction::Done;
        }
        let op = self.command_op(command.register());
        match self.edge_faults.at(Point::State, &op) {
            Some(Action::Drop) => Reaction::Done,
            Some(Action::Delay(after_ns)) => {
                unaffiliated.agenda.add(self.later(after_ns, What::Command(command)));
                Reaction::Done
            }
            Some(Action::Halt(bits)) if !self.is_masked(bits) => self.halt_without_cause(bits),
            _ => self.obey(command, unaffiliated),
        }
    }

    /// Carries a command out.
    pub(crate) fn obey(&mut self, command: Command, unaffiliated: &Unaffiliated) -> Reaction {
        match command {
            Command::Arm(address) => self.arm(address),
            Command::Suspend => self.suspend(unaffiliated.bus_master()),
            Command::Resume => self.resume(),
        }
    }

    /// CHANCMD.RESET, past its faults.
    pub(crate) fn give_reset(&mut self, unaffiliated: &Unaffiliated) -> Outcome {
        if !F::ACTIVE {
            return self.reset_now(unaffiliated);
        }
        let op = self.command_op(ChannelRegister::ChanCmd);
        let verdict = self.edge_faults.at(Point::Reset, &op);
        match verdict {
            Some(Action::Drop) => return Outcome::default(),
            Some(Action::Delay(after_ns)) => {
                unaffiliated.agenda.add(self.later(after_ns, What::Reset));
                self.kept.reset_bit = ResetBit::Late;
                return Outcome::default();
            }
            _ => {}
        }
        let outcome = self.reset_now(unaffiliated);
        match verdict {
            Some(Action::Stick) => self.kept.reset_bit = ResetBit::Stuck,
            Some(Action::Halt(bits)) => self.leave_error(bits, unaffiliated),
            Some(Action::Wipe) => unaffiliated.wipe_vectors(),
            _ => {}
        }
        outcome
    }

    /// Carries CHANCMD.RESET out.
    pub(crate) fn reset_now(&mut self, unaffiliated: &Unaffiliated) -> Outcome {
        unaffiliated.observed.tell(Happening::Reset { channel: Some(self.number) });
        Outcome { wake: false, quiesce: self.reset() }
    }

    /// A reset that leaves bits in CHANERR.
    pub(crate) fn leave_error(&mut self, bits: u32, unaffiliated: &Unaffiliated) {
        let left = ChanErr::from_bits(bits);
        self.kept.chan_err = self.kept.chan_err.union(left);
        unaffiliated.latch_chanerr(left);
    }

    /// All of the bits are masked, as those of an error that a stage found would be (5.1). No bits are never masked.
    fn is_masked(&self, bits: u32) -> bool {
        bits != 0 && ChanErr::from_bits(bits).without(self.kept.chan_err_msk).is_empty()
    }

    /// A halt that nothing caused: now, or at the next descriptor boundary.
    fn halt_without_cause(&mut self, bits: u32) -> Reaction {
        let chanerr = ChanErr::from_bits(bits).without(self.kept.chan_err_msk);
        let busy = match &self.state {
            State::Running => true,
            State::Active(chain) => chain.owed.is_some(),
            _ => false,
        };
        if busy {
            self.stop_then(After::Halt(chanerr));
            return Reaction::Wake;
        }
        Reaction::Halt(chanerr)
    }

    fn command_op(&self, register: ChannelRegister) -> Op {
        Op {
            channel: Some(self.number),
            sequence: self.sequence,
            address: channel_base(self.number.into()) + register.offset(),
            len: register.width() as u64,
            access: Some(Access::Write),
            state: Some(self.state.code()),
            ..Op::default()
        }
    }
}
