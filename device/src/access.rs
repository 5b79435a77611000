//! An access of the driver on its way to a register: over the link, past the faults of the link and of the access.
//!
//! One access is one operation of `pcie` and, if the device is still there, one of `register` or `config`.

use std::sync::Arc;

use ioat_spec::pci::{BAR0_SIZE, CONFIG_SIZE};
use ioat_stage::{Access, Action, Faults, Op, Point, Trace, Verdict};

use crate::deviation::Patch;
use crate::function::{Effects, Function};
use crate::postponed::What;
use crate::registers::{channel_at, pieces};
use crate::server::Message;

/// How long a write that is to come after the next one waits for it, before it comes by itself.
pub(crate) const REORDER_NS: u64 = 1_000_000;

/// What is accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    Bar0,
    Config,
}

impl Space {
    fn point(self) -> Point {
        match self {
            Self::Bar0 => Point::Register,
            Self::Config => Point::Config,
        }
    }
}

/// The faults of accesses, and what they need to remember.
pub(crate) struct AccessFaults<F> {
    pub(crate) faults: F,
    seen: Seen,
    /// Writes that wait for the next one of their channel.
    held: Vec<Held>,
    last_ticket: u64,
}

/// A write that is to come after the next one.
struct Held {
    ticket: u64,
    space: Space,
    channel: Option<u8>,
    /// Resets of the function before it: after another one it is lost.
    resets: u64,
    offset: u64,
    bytes: Arc<[u8]>,
}

/// What the driver read last, byte by byte, for a register that is stuck.
struct Seen {
    bar: Box<[Option<u8>]>,
    config: Box<[Option<u8>]>,
}

impl<F: Faults> AccessFaults<F> {
    pub(crate) fn new(faults: F) -> Self {
        let none = |size: usize| vec![None; if F::ACTIVE { size } else { 0 }].into_boxed_slice();
        let bar = usize::try_from(BAR0_SIZE).unwrap_or(0);
        let seen = Seen { bar: none(bar), config: none(CONFIG_SIZE) };
        Self { faults, seen, held: Vec::new(), last_ticket: 0 }
    }
}

impl Seen {
    fn bytes(&mut self, space: Space, offset: u64, len: usize) -> Option<&mut [Option<u8>]> {
        let all = match space {
            Space::Bar0 => &mut self.bar,
            Space::Config => &mut self.config,
        };
        let start = usize::try_from(offset).ok()?;
        all.get_mut(start..start.checked_add(len)?)
    }

    fn note(&mut self, space: Space, offset: u64, data: &[u8]) {
        if let Some(bytes) = self.bytes(space, offset, data.len()) {
            bytes.iter_mut().zip(data).for_each(|(seen, byte)| *seen = Some(*byte));
        }
    }

    /// Gives what was read before. False if some of it never was.
    fn recall(&mut self, space: Space, offset: u64, data: &mut [u8]) -> bool {
        match self.bytes(space, offset, data.len()) {
            Some(bytes) if bytes.iter().all(Option::is_some) => {
                data.iter_mut().zip(bytes).for_each(|(to, seen)| *to = seen.unwrap_or_default());
                true
            }
            _ => false,
        }
    }
}

impl<F: Faults, T: Trace> Function<F, T> {
    /// Reads BAR0: any offset, any length.
    pub fn bar_read(&self, offset: u64, data: &mut [u8]) {
        self.inspect_access(offset, data.len());
        self.read(Space::Bar0, offset, data);
    }

    /// Writes BAR0: any offset, any length.
    pub fn bar_write(&self, offset: u64, data: &[u8]) -> Effects {
        self.inspect_access(offset, data.len());
        self.write(Space::Bar0, offset, data)
    }

    /// Reads configuration space: any offset, any length.
    pub fn config_read(&self, offset: u64, data: &mut [u8]) {
        self.read(Space::Config, offset, data);
    }

    /// Writes configuration space: any offset, any length.
    pub fn config_write(&self, offset: u64, data: &[u8]) -> Effects {
        self.write(Space::Config, offset, data)
    }

    /// Reads configuration space, unseen by faults.
    pub fn peek_config(&self, offset: u64, data: &mut [u8]) {
        self.unaffiliated.config_read(offset, data);
    }

    fn read(&self, space: Space, offset: u64, data: &mut [u8]) {
        if !F::ACTIVE {
            return self.read_through(space, offset, data);
        }
        let op = self.op(space, offset, data.len(), Access::Read);
        match self.admit(space, &op, &mut Effects::default()) {
            None | Some(Some(Action::AllOnes)) => data.fill(0xff),
            Some(Some(Action::Zeros)) => data.fill(0),
            Some(Some(Action::Stick)) if self.access_faults.lock().seen.recall(space, offset, data) => {}
            Some(verdict) => {
                self.read_through(space, offset, data);
                patch(verdict, data);
            }
        }
        self.access_faults.lock().seen.note(space, offset, data);
    }

    /// Nothing is armed, and nothing is left of what was: a doorbell is to cost what it costs without faults.
    fn quiet(&self) -> bool {
        if !F::ACTIVE {
            return true;
        }
        let mut faults = self.access_faults.lock();
        faults.held.is_empty() && faults.faults.idle() && !self.is_gone()
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Effects {
        if self.quiet() {
            return self.write_through(space, offset, data);
        }
        let op = self.op(space, offset, data.len(), Access::Write);
        let mut effects = Effects::default();
        let Some(verdict) = self.admit(space, &op, &mut effects) else { return effects };
        // Before this one is held itself: what waits for the next write waits for this one.
        let held = self.take_held(space, op.channel);
        match verdict {
            Some(Action::Drop) => {}
            Some(Action::Delay(after_ns)) => {
                self.put_off(op.channel, after_ns, What::Write { space, offset, bytes: data.into() });
            }
            Some(Action::Duplicate) => {
                effects.join(self.write_through(space, offset, data));
                effects.join(self.write_through(space, offset, data));
            }
            Some(Action::Reorder) if held.is_none() => self.hold(space, op.channel, offset, data),
            None => effects.join(self.write_through(space, offset, data)),
            verdict => {
                let mut altered = data.to_vec();
                patch(verdict, &mut altered);
                effects.join(self.write_through(space, offset, &altered));
            }
        }
        if let Some(held) = held {
            effects.join(self.write_through(held.space, held.offset, &held.bytes));
        }
        effects
    }

    /// Passes the link. None: the device is not there, or no longer.
    fn admit(&self, space: Space, op: &Op, effects: &mut Effects) -> Option<Verdict> {
        if self.is_gone() {
            return None;
        }
        // No lock is held while a verdict of the link is carried out: it may reset every channel.
        let link = self.access_faults.lock().faults.at(Point::Pcie, op);
        match link {
            Some(Action::Remove(0)) => effects.join(self.remove(None)),
            Some(Action::Remove(after_ns)) => effects.join(self.remove(Some(after_ns))),
            Some(Action::BusMasterOff) => effects.join(self.bus_master_off()),
            Some(Action::Error) => self.unaffiliated.sink().error(),
            Some(Action::Request) => self.unaffiliated.sink().request(),
            _ => {}
        }
        if self.is_gone() {
            return None;
        }
        let verdict = self.access_faults.lock().faults.at(space.point(), op);
        if verdict == Some(Action::Kill) {
            effects.join(self.kill());
            return None;
        }
        Some(verdict)
    }

    /// What is to become of a message of the vfio-user client.
    pub(crate) fn transport_verdict(&self, message: &Message) -> Verdict {
        if !F::ACTIVE {
            return None;
        }
        let (address, len, access) = (message.address(), message.size.into(), message.access);
        let op = Op { address, len, access, ..Op::default() };
        self.access_faults.lock().faults.at(Point::Transport, &op)
    }

    fn op(&self, space: Space, offset: u64, len: usize, access: Access) -> Op {
        let channel = match space {
            Space::Bar0 => channel_at(self.profile(), offset),
            Space::Config => None,
        };
        let state = channel.map(|channel| self.channels[usize::from(channel)].lock().state.code());
        Op { channel, address: offset, len: len as u64, access: Some(access), state, ..Op::default() }
    }

    /// A read that nothing stands in the way of.
    fn read_through(&self, space: Space, offset: u64, data: &mut [u8]) {
        match space {
            Space::Bar0 => {
                for piece in pieces(self.profile(), offset, data.len()) {
                    self.read_piece(&piece, data);
                }
            }
            Space::Config => self.unaffiliated.config_read(offset, data),
        }
    }

    /// A write that nothing stands in the way of.
    pub(crate) fn write_through(&self, space: Space, offset: u64, data: &[u8]) -> Effects {
        let mut effects = Effects::default();
        match space {
            Space::Bar0 => {
                for piece in pieces(self.profile(), offset, data.len()) {
                    self.write_piece(&piece, data, &mut effects);
                }
            }
            Space::Config => {
                let wrote = self.unaffiliated.config_write(offset, data);
                if wrote.function_reset {
                    effects.join(self.function_reset(offset));
                } else if wrote.command {
                    effects.join(self.command_changed());
                }
            }
        }
        effects
    }

    /// Holds a write back until the next one of its channel, which may never come.
    fn hold(&self, space: Space, channel: Option<u8>, offset: u64, data: &[u8]) {
        let resets = self.unaffiliated.resets();
        let ticket = {
            let mut faults = self.access_faults.lock();
            faults.last_ticket += 1;
            let ticket = faults.last_ticket;
            faults.held.push(Held { ticket, space, channel, resets, offset, bytes: data.into() });
            ticket
        };
        self.put_off(channel, REORDER_NS, What::Held(ticket));
    }

    fn take_held(&self, space: Space, channel: Option<u8>) -> Option<Held> {
        self.take_held_if(|held| held.space == space && held.channel == channel)
    }

    fn take_held_if(&self, which: impl Fn(&Held) -> bool) -> Option<Held> {
        let resets = self.unaffiliated.resets();
        let mut faults = self.access_faults.lock();
        faults.held.retain(|held| held.resets == resets);
        let at = faults.held.iter().position(which)?;
        Some(faults.held.remove(at))
    }

    /// No other write came: a held one comes by itself. `lost`: a reset was faster.
    pub(crate) fn release_held(&self, ticket: u64, lost: bool) -> Effects {
        match self.take_held_if(|held| held.ticket == ticket) {
            Some(held) if !lost => self.write_through(held.space, held.offset, &held.bytes),
            _ => Effects::default(),
        }
    }
}

/// Flips or sets bytes of what is read or written, if the verdict says so.
fn patch(verdict: Verdict, data: &mut [u8]) {
    if let Some(patch) = Patch::of(verdict) {
        let len = data.len() as u64;
        patch.apply(data, 0, len);
    }
}
