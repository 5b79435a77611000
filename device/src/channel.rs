//! One channel: its state machine (device model section 3), which owns what each state needs.
//!
//! A chain rests in the state that it is in; while a run carries it out, the run owns it, and the state says so.

use std::sync::Arc;

use ioat_spec::{ChanCtrl, ChanErr, ChannelState, DcaCtrl};

use crate::command::ResetBit;
use crate::complete::Permit;
use crate::counters::{Counters, Hold};
use crate::deviation::Deviation;
use crate::doorbell::Rung;
use crate::fetch::{ALIGNMENT_MASK, Position, Slot};
use crate::lint::ChannelLint;
use crate::msix::Latch;
use crate::postponed::{Owner, Postponed, What};
use crate::signals::{Signal, Signals};
use crate::translate::Operation;

/// A chain of descriptors, between two steps.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) place: Place,
    /// What is to pass before it goes on.
    pub(crate) wait: Wait,
    /// A descriptor that is carried out in part.
    pub(crate) owed: Option<Owed>,
    /// What faults make of it. Boxed: few chains have one, and a chain is moved twice a step.
    pub(crate) deviation: Option<Box<Deviation>>,
}

/// What passes before a chain goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Wait {
    #[default]
    Nothing,
    /// The start latency.
    Start,
    /// A fault's delay, in nanoseconds.
    Delay(u64),
    /// All time: a fault stalled it, and only a reset ends that.
    Ever,
}

/// How far a chain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The descriptor to fetch next.
    pub(crate) next: u64,
    /// CHAINADDR names it.
    pub(crate) first: bool,
    /// Slots processed since CHAINADDR, modulo 65536.
    pub(crate) done: u16,
    /// Number of the next descriptor since the device was reset.
    pub(crate) sequence: u64,
}

/// A descriptor whose rest is owed: from where on.
#[derive(Debug)]
pub(crate) enum Owed {
    /// From its fetch, which was asked about.
    Fetch,
    /// It was translated; from the reservation of its completion.
    Planned(Operation),
    /// Its data is in place and its interrupt was sent; from its word.
    Word {
        /// Without its interrupt.
        slot: Slot,
        permit: Permit,
    },
    /// From where its data stands.
    Data {
        operation: Operation,
        /// Its completion, reserved before its data began to move.
        permit: Permit,
    },
}

impl Chain {
    fn new(address: u64, sequence: u64) -> Self {
        let place = Place { next: address, first: true, done: 0, sequence };
        Self { place, wait: Wait::Nothing, owed: None, deviation: None }
    }

    /// Nothing is half done.
    fn at_boundary(&self) -> bool {
        self.owed.is_none()
    }

    /// It does not go on any more.
    fn stalled(&self) -> bool {
        self.wait == Wait::Ever
    }
}

impl Place {
    /// What the next fetch needs to know.
    #[inline(always)]
    pub(crate) fn position(&self) -> Position {
        Position { address: self.next, first: self.first, sequence: self.sequence }
    }

    /// One slot is done.
    #[inline(always)]
    pub(crate) fn advance(&mut self, next: u64) {
        self.next = next;
        self.first = false;
        self.done = self.done.wrapping_add(1);
        self.sequence += 1;
    }
}

/// CHANSTS's state, with what it owns.
#[derive(Debug)]
pub(crate) enum State {
    Halted,
    Armed(Chain),
    /// Work remains, and no run has it at this moment.
    Active(Chain),
    /// A run has the chain. Still ACTIVE to software.
    Running,
    Idle(Chain),
    Suspended(Chain),
}

impl State {
    /// What CHANSTS shows.
    pub(crate) fn code(&self) -> ChannelState {
        match self {
            Self::Halted => ChannelState::Halted,
            Self::Armed(_) => ChannelState::Armed,
            Self::Active(_) | Self::Running => ChannelState::Active,
            Self::Idle(_) => ChannelState::Idle,
            Self::Suspended(_) => ChannelState::Suspended,
        }
    }
}

/// What is to happen at the next descriptor boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum After {
    #[default]
    Continue,
    Suspend,
    Halt(ChanErr),
}

/// Registers that only keep what was written.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) chain_addr: u64,
    pub(crate) chan_cmp: u64,
    /// CHANCTRL without INT_DIS, which is the latch's.
    pub(crate) chan_ctrl: ChanCtrl,
    pub(crate) chan_err: ChanErr,
    pub(crate) chan_err_msk: ChanErr,
    pub(crate) dca_ctrl: DcaCtrl,
    /// CHANCMD.RESET as it reads.
    pub(crate) reset_bit: ResetBit,
    /// The high half of CHANSTS as it was when the low half was read.
    pub(crate) status_high: Option<u64>,
}

/// One channel.
pub(crate) struct Channel<F> {
    pub(crate) number: u8,
    /// DMACAPABILITY has DCA: DCACTRL is the target of hints, not scratch, and a context change sets it.
    pub(crate) dca: bool,
    /// DMACOUNT, and the orders to the run.
    pub(crate) signals: Arc<Signals>,
    pub(crate) state: State,
    pub(crate) after: After,
    /// Counts chains; work of an older one is discarded.
    pub(crate) generation: u32,
    /// CHANSTS's address.
    pub(crate) completed: u64,
    /// CDAR: the descriptor that was fetched last.
    pub(crate) current: u64,
    pub(crate) sequence: u64,
    pub(crate) kept: Kept,
    pub(crate) latch: Latch,
    /// The faults of stages 2 to 5. A run takes them with it, so none means: a run is in flight.
    pub(crate) path_faults: Option<F>,
    /// The faults of stages 1 and 6, which happen under the channel's lock.
    pub(crate) edge_faults: F,
    /// Watches the driver, if somebody asked for it.
    pub(crate) lint: Option<ChannelLint>,
    pub(crate) hold: Hold,
    pub(crate) counters: Counters,
}

/// How a register write went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Reaction {
    Done,
    /// There is work.
    Wake,
    /// The channel is to halt with this.
    Halt(ChanErr),
}

impl<F> Channel<F> {
    pub(crate) fn new(number: u8, dca: bool, path_faults: F, edge_faults: F) -> Self {
        Self {
            number,
            dca,
            signals: Arc::default(),
            state: State::Halted,
            after: After::Continue,
            generation: 0,
            completed: 0,
            current: 0,
            sequence: 0,
            kept: Kept::default(),
            latch: Latch::default(),
            path_faults: Some(path_faults),
            edge_faults,
            lint: None,
            hold: Hold::default(),
            counters: Counters::default(),
        }
    }

    /// A run has not come back yet.
    pub(crate) fn in_flight(&self) -> bool {
        self.path_faults.is_none()
    }

    /// CHAINADDR was written (3.3).
    pub(crate) fn arm(&mut self, address: u64) -> Reaction {
        if matches!(self.state, State::Active(_) | State::Running) {
            return Reaction::Done;
        }
        self.kept.chain_addr = address;
        self.signals.set_count(0);
        let Kept { chan_err, chan_err_msk, .. } = self.kept;
        if matches!(self.state, State::Halted) && !chan_err.without(chan_err_msk).is_empty() {
            return Reaction::Done;
        }
        let misaligned = ChanErr::CHAIN_ADDRESS.without(chan_err_msk);
        if address & ALIGNMENT_MASK != 0 && !misaligned.is_empty() {
            return Reaction::Halt(misaligned);
        }
        self.forget_chain();
        self.state = State::Armed(Chain::new(address & !ALIGNMENT_MASK, self.sequence));
        Reaction::Done
    }

    /// DMACOUNT was written (3.4).
    pub(crate) fn ring(&mut self, rung: Rung) -> Reaction {
        self.signals.set_count(rung.count());
        self.change(|state| match state {
            State::Armed(chain) if chain.place.done != rung.count() => {
                (State::Active(Chain { wait: Wait::Start, ..chain }), Reaction::Wake)
            }
            State::Idle(chain) if chain.place.done != rung.count() => (State::Active(chain), Reaction::Wake),
            State::Active(chain) if chain.place.done == rung.count() && chain.at_boundary() => {
                (State::Idle(chain), Reaction::Done)
            }
            State::Active(_) | State::Running => (state, Reaction::Wake),
            State::Halted | State::Armed(_) | State::Idle(_) | State::Suspended(_) => (state, Reaction::Done),
        })
    }

    /// CHANCMD.SUSPEND: stops at a descriptor boundary. Without `bus_master` there will be no other one than here.
    pub(crate) fn suspend(&mut self, bus_master: bool) -> Reaction {
        match std::mem::replace(&mut self.state, State::Halted) {
            State::Idle(chain) => self.state = State::Suspended(chain),
            State::Active(chain) if chain.at_boundary() || (!bus_master && !chain.stalled()) => {
                self.state = State::Suspended(chain);
            }
            busy @ (State::Active(_) | State::Running) => {
                self.state = busy;
                self.stop_then(After::Suspend);
                return Reaction::Wake;
            }
            stopped @ (State::Halted | State::Armed(_) | State::Suspended(_)) => self.state = stopped,
        }
        Reaction::Done
    }

    /// CHANCMD.RESUME.
    pub(crate) fn resume(&mut self) -> Reaction {
        if self.after == After::Suspend {
            self.stop_then(After::Continue);
            return Reaction::Wake;
        }
        let count = self.signals.look().count();
        self.change(|state| match state {
            State::Suspended(chain) if chain.place.done == count && chain.at_boundary() => {
                (State::Idle(chain), Reaction::Done)
            }
            State::Suspended(chain) => (State::Active(chain), Reaction::Wake),
            other => (other, Reaction::Done),
        })
    }

    /// An error that belongs to a register write (CHANCMD): now, or at the next descriptor boundary.
    pub(crate) fn command_error(&mut self, chanerr: ChanErr) -> Reaction {
        let chanerr = chanerr.without(self.kept.chan_err_msk);
        let busy = match &self.state {
            State::Running => true,
            State::Active(chain) => !chain.at_boundary(),
            _ => false,
        };
        if chanerr.is_empty() {
            Reaction::Done
        } else if busy {
            self.stop_then(After::Halt(chanerr));
            Reaction::Wake
        } else {
            Reaction::Halt(chanerr)
        }
    }

    /// CHANCMD.RESET (3.6). True if a run is in flight, whose end the access must wait for.
    pub(crate) fn reset(&mut self) -> bool {
        self.counters.resets += 1;
        self.forget_chain();
        self.state = State::Halted;
        self.current = 0;
        self.latch = Latch::default();
        self.signals.set_count(0);
        if self.in_flight() {
            self.signals.order(Signal::ABANDON);
        }
        // CHANERR and its mask are sticky.
        let Kept {
            chain_addr,
            chan_cmp,
            chan_ctrl,
            chan_err: _,
            chan_err_msk: _,
            dca_ctrl,
            reset_bit,
            status_high,
        } = &mut self.kept;
        (*chain_addr, *chan_cmp, *chan_ctrl, *status_high) = (0, 0, ChanCtrl::new(), None);
        if *reset_bit == ResetBit::Late {
            *reset_bit = ResetBit::Clear;
        }
        if self.dca {
            *dca_ctrl = DcaCtrl::new();
        }
        self.in_flight()
    }

    /// FLR and DEVICE_RESET: every register. True if a run is in flight.
    pub(crate) fn device_reset(&mut self) -> bool {
        let in_flight = self.reset();
        // Every field is named here, so that a new one breaks the build until reset knows it.
        let Self {
            number: _,
            dca: _,
            signals: _,
            state: _,
            after: _,
            // Never goes back: it tells old runs from new ones.
            generation: _,
            completed: _,
            current: _,
            sequence,
            kept,
            latch: _,
            path_faults: _,
            edge_faults: _,
            lint: _,
            // The bench's, which no guest sets back.
            hold: _,
            counters: _,
        } = self;
        *sequence = 0;
        *kept = Kept::default();
        in_flight
    }

    /// DMA is switched off. True if a run is in flight, whose end the access must wait for.
    pub(crate) fn park(&mut self) -> bool {
        if self.in_flight() {
            self.signals.order(Signal::PARK);
        }
        self.in_flight()
    }

    /// The channel halts (5.1).
    pub(crate) fn halt(&mut self, chanerr: ChanErr) {
        self.state = State::Halted;
        self.counters.errors += 1;
        self.stop_then(After::Continue);
        self.kept.chan_err = self.kept.chan_err.union(chanerr);
    }

    /// A context change was carried out: its target stays until the next one, or RESET (contract 1.12, ND-A4).
    pub(crate) fn change_context(&mut self, target: Option<DcaCtrl>) {
        if let Some(target) = target {
            self.kept.dca_ctrl = target;
        }
    }

    /// A step was published.
    pub(crate) fn count_step(&mut self, descriptors: u64, bytes: u64) {
        self.counters.steps += 1;
        self.counters.descriptors += descriptors;
        self.counters.bytes += bytes;
        let used = u32::try_from(descriptors).unwrap_or(u32::MAX);
        self.hold.allowed = self.hold.allowed.saturating_sub(used);
    }

    /// There is work, and nobody does it.
    pub(crate) fn has_work(&self) -> bool {
        !self.in_flight() && self.may_begin()
    }

    /// A step may begin as far as the bench's hold goes: what is begun, it lets through.
    pub(crate) fn may_begin(&self) -> bool {
        matches!(&self.state, State::Active(chain)
            if (!self.hold.stops() || !chain.at_boundary()) && !chain.stalled())
    }

    /// Holds the channel, or lets it go. A run that is in flight stops at its next boundary, also where descriptors are allowed:
    /// it may have begun before the hold, when there was no end to a step, and the next one does what is allowed.
    pub(crate) fn set_hold(&mut self, hold: Hold) {
        self.hold = hold;
        if hold.paused && self.in_flight() {
            self.signals.order(Signal::HOLD);
        } else {
            self.signals.revoke(Signal::HOLD);
        }
    }

    /// Gives the chain to a run, or says what is to pass before.
    pub(crate) fn take_chain(&mut self) -> Option<Taken> {
        if !self.has_work() {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Running) {
            State::Active(chain) if chain.wait != Wait::Nothing => {
                let taken = match chain.wait {
                    Wait::Delay(after_ns) => Taken::Delayed(Delay { after_ns, generation: self.generation }),
                    Wait::Start | Wait::Nothing | Wait::Ever => Taken::Starting,
                };
                self.state = State::Active(Chain { wait: Wait::Nothing, ..chain });
                Some(taken)
            }
            State::Active(chain) => {
                self.signals.revoke(Signal::ABANDON | Signal::PARK | Signal::HOLD);
                Some(Taken::Chain(chain))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Takes the chain back from a run of this generation that met no error.
    pub(crate) fn give_back(&mut self, chain: Chain, bus_master: bool) {
        let boundary = chain.at_boundary();
        let drained = boundary && chain.place.done == self.signals.look().count();
        match self.after {
            After::Halt(chanerr) if boundary => self.halt(chanerr),
            After::Suspend if boundary || (!bus_master && !chain.stalled()) => {
                self.stop_then(After::Continue);
                self.state = State::Suspended(chain);
            }
            _ if drained => self.state = State::Idle(chain),
            _ => self.state = State::Active(chain),
        }
    }

    /// Work of this channel that is put off until later, or its next reset.
    pub(crate) fn later(&self, after_ns: u64, what: What) -> Postponed {
        self.owner().later(after_ns, what)
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { channel: self.number, resets: self.counters.resets }
    }

    /// What CHAINADDR and RESET have in common: no chain, nothing completed, nothing to stop.
    fn forget_chain(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.completed = 0;
        self.stop_then(After::Continue);
    }

    pub(crate) fn stop_then(&mut self, after: After) {
        self.after = after;
        if after == After::Continue {
            self.signals.revoke(Signal::BOUNDARY);
        } else {
            self.signals.order(Signal::BOUNDARY);
        }
    }

    fn change(&mut self, transition: impl FnOnce(State) -> (State, Reaction)) -> Reaction {
        let (state, reaction) = transition(std::mem::replace(&mut self.state, State::Halted));
        self.state = state;
        reaction
    }
}

/// What there is to do for a run.
pub(crate) enum Taken {
    /// Let the start latency pass, then ask again.
    Starting,
    /// Let a fault's delay pass, then ask again.
    Delayed(Delay),
    Chain(Chain),
}

/// A pause in the middle of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delay {
    /// How long it lasts.
    pub after_ns: u64,
    /// The chain that it is about: a reset ends it.
    pub(crate) generation: u32,
}
