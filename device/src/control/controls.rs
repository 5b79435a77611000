//! The device as the control socket sees it, whatever its faults and trace are.

use ioat_spec::{ChanErr, ChannelState};
use ioat_stage::{Faults, Trace};

use crate::channel::State;
use crate::counters::{Counters, Hold};
use crate::function::Function;
use crate::memory::Stats;
use crate::profile::Profile;
use crate::registers::{Target, pieces};

/// What a bench can do with a running device. Nothing here waits for a copy, but `reset`, which waits for one piece.
pub trait Controls: Send + Sync {
    /// Who the device is.
    fn profile(&self) -> Profile;

    /// One channel, at this moment.
    fn channel(&self, channel: usize) -> Option<ChannelView>;

    /// Reads BAR0 without what reading does.
    fn peek(&self, offset: u64, data: &mut [u8]);

    /// Reads configuration space, which has no such effects.
    fn peek_config(&self, offset: u64, data: &mut [u8]);

    /// Holds a channel.
    fn pause(&self, channel: usize);

    /// Lets it go.
    fn resume(&self, channel: usize);

    /// Lets a held channel do so many more descriptors. False if it is not held.
    fn allow(&self, channel: usize, descriptors: u32) -> bool;

    /// Resets the function.
    fn reset(&self);

    /// What the client granted.
    fn maps(&self) -> Stats;

    /// How interrupts go out: `msix` or `intx`.
    fn delivery(&self) -> &'static str;
}

/// A channel at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelView {
    /// Its number.
    pub channel: u8,
    /// CHANSTS's state.
    pub state: ChannelState,
    /// CHANSTS's address: the last descriptor that was done.
    pub completed: u64,
    /// CHANERR.
    pub chan_err: ChanErr,
    /// DMACOUNT.
    pub dma_count: u16,
    /// Descriptors done of this chain, modulo 65536; none while there is no chain, or a step has it.
    pub done: Option<u16>,
    /// CHAINADDR.
    pub chain_addr: u64,
    /// CHANCMP.
    pub chan_cmp: u64,
    /// CDAR.
    pub current: u64,
    /// The next descriptor's number since the function's reset.
    pub sequence: u64,
    /// Counts chains.
    pub generation: u32,
    /// The vector that it signals; none without MSI-X.
    pub vector: Option<u16>,
    /// An interrupt waits for the re-arm or for bus mastery.
    pub interrupt_held: bool,
    /// A step is under way.
    pub running: bool,
    /// A bench holds it.
    pub paused: bool,
    /// Descriptors that it may do all the same.
    pub allowed: u32,
    /// No step is under way, and none begins before somebody does something.
    pub settled: bool,
    /// What it has done.
    pub counters: Counters,
}

impl<F: Faults, T: Trace> Function<F, T> {
    /// One channel, at this moment.
    #[must_use]
    pub fn view(&self, channel: usize) -> Option<ChannelView> {
        let channel = self.channels.get(channel)?.lock();
        let done = match &channel.state {
            State::Armed(chain) | State::Active(chain) | State::Idle(chain) | State::Suspended(chain) => {
                Some(chain.place.done)
            }
            State::Halted | State::Running => None,
        };
        let running = channel.in_flight();
        let goes_on = channel.has_work() && self.unaffiliated.bus_master();
        Some(ChannelView {
            channel: channel.number,
            state: channel.state.code(),
            completed: channel.completed,
            chan_err: channel.kept.chan_err,
            dma_count: channel.signals.look().count(),
            done,
            chain_addr: channel.kept.chain_addr,
            chan_cmp: channel.kept.chan_cmp,
            current: channel.current,
            sequence: channel.sequence,
            generation: channel.generation,
            vector: self.unaffiliated.vector_of(channel.number),
            interrupt_held: channel.latch.waits(),
            running,
            paused: channel.hold.paused,
            allowed: channel.hold.allowed,
            settled: !running && !goes_on,
            counters: channel.counters,
        })
    }

    /// Holds a channel: no worker begins a descriptor of it. What is begun is finished.
    pub fn pause(&self, channel: usize) {
        if let Some(channel) = self.channels.get(channel) {
            channel.lock().set_hold(Hold { paused: true, allowed: 0 });
        }
    }

    /// Lets a channel go. True if it has work: then let its worker begin.
    pub fn resume(&self, channel: usize) -> bool {
        let Some(channel) = self.channels.get(channel) else { return false };
        let mut channel = channel.lock();
        channel.set_hold(Hold::default());
        channel.has_work()
    }

    /// Lets a held channel do more descriptors, each in a step of its own: let its worker begin. False if it is not held.
    #[must_use]
    pub fn allow(&self, channel: usize, descriptors: u32) -> bool {
        let Some(channel) = self.channels.get(channel) else { return false };
        let mut channel = channel.lock();
        let Hold { paused, allowed } = channel.hold;
        if paused {
            channel.set_hold(Hold { paused, allowed: allowed.saturating_add(descriptors) });
        }
        paused
    }

    /// Reads BAR0 without what reading does, unseen by faults and lint: any offset, any length.
    pub fn peek(&self, offset: u64, data: &mut [u8]) {
        for piece in pieces(self.profile(), offset, data.len()) {
            match piece.target {
                Target::General(register) => piece.place(self.unaffiliated.peek(register), data),
                Target::Channel(channel, register) => {
                    piece.place(self.channels[channel].lock().peek(register), data);
                }
                Target::Tail(register) => piece.place(self.unaffiliated.read_tail(register), data),
                Target::MsixTable => self.unaffiliated.read_table(&piece, data),
                Target::MsixPba => piece.place(self.unaffiliated.pending_bits(), data),
                Target::Reserved => piece.place(0, data),
            }
        }
    }
}
