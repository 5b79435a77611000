//! One PCI function: registers, configuration space and channels. Sans-IO: no thread, socket or clock in here.
//!
//! Every access is answered from published state, in a time that no copy adds to. What an access leaves to do is in
//! its [`Effects`]; the work itself is done in steps, of which each channel has one at a time:
//!
//! ```text
//! begin (under the channel's lock) -> Run::run (no lock) -> finish (under the channel's lock)
//! ```
//!
//! The lock order is in `unaffiliated.rs`.

use std::sync::Arc;

use ioat_stage::sync::Mutex;
use ioat_stage::{Faults, Trace};

use crate::access::AccessFaults;
use crate::channel::{After, Channel, Delay, State, Taken};
use crate::channel_registers::Outcome;
use crate::lint::LintBook;
use crate::memory::GuestMemory;
use crate::msix::{self, InterruptSink};
use crate::observer::Happening;
use crate::path::Terms;
use crate::profile::Profile;
use crate::registers::{Piece, Target};
use crate::run::{Ending, Run};
use crate::unaffiliated::Unaffiliated;

/// The device.
pub struct Function<F, T> {
    profile: Profile,
    pub(crate) unaffiliated: Unaffiliated,
    pub(crate) channels: Box<[Mutex<Channel<F>>]>,
    pub(crate) access_faults: Mutex<AccessFaults<F>>,
    trace: Arc<T>,
    /// Where the driver's conduct is written down, if somebody asked for it.
    pub(crate) lint: Option<Arc<LintBook>>,
}

/// What an access leaves to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Effects {
    /// Bit n: channel n may have work. Let its worker [`begin`](Function::begin).
    pub wake: u32,
    /// Bit n: the access may be answered only when channel n is no longer
    /// [in flight](Function::is_in_flight). That takes at most one 64 KiB piece of a copy.
    pub quiesce: u32,
}

/// What a channel has to do.
#[must_use]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for every step")]
pub enum Begin<M, F, T> {
    /// Nothing, or a run is in flight.
    Nothing(M),
    /// The chain was just started: let the start latency pass (device model 3.8), then begin again. Returned once per
    /// start.
    Starting(M),
    /// A fault delays the channel: let the time pass, or the delay [end](Function::is_delayed), then begin again. Returned
    /// once per delay.
    Delayed(M, Delay),
    /// One step: run it, then finish it.
    Run(Run<M, F, T>),
}

/// What is left after a step.
#[must_use]
pub struct Finished<M> {
    /// The memory that the step was begun with.
    pub memory: M,
    /// The channel has more to do: begin again. False: it waits for its next wake.
    pub more: bool,
}

impl<F: Faults, T: Trace> Function<F, T> {
    /// A function in its reset state.
    ///
    /// `faults` makes the faults of channel n twice, for stages 2 to 5 and for stages 1 and 6 (which ask about
    /// different points), and once, with `None`, those of accesses, function resets and messages of the client.
    ///
    /// # Panics
    /// If the profile has no channel or more than 31.
    pub fn new(
        profile: Profile,
        mut faults: impl FnMut(Option<u8>) -> F,
        trace: T,
        interrupts: Arc<dyn InterruptSink>,
    ) -> Self {
        assert!((1..=31).contains(&profile.channels), "a function has 1 to 31 channels");
        let dca = profile.dma_capability.dca();
        let channel =
            |number| Mutex::new(Channel::new(number, dca, faults(Some(number)), faults(Some(number))));
        let channels = (0..profile.channels).map(channel).collect();
        Self {
            profile,
            unaffiliated: Unaffiliated::new(profile, interrupts),
            channels,
            access_faults: Mutex::new(AccessFaults::new(faults(None))),
            trace: Arc::new(trace),
            lint: None,
        }
    }

    /// Who the device is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Where its events go.
    pub fn trace(&self) -> &T {
        &self.trace
    }

    /// Every register to its reset value, every chain gone: what FLR and DEVICE_RESET do, without their faults.
    pub fn reset(&self) -> Effects {
        let mut effects = Effects::default();
        for (number, channel) in self.channels.iter().enumerate() {
            let mut channel = channel.lock();
            effects.note(number, Outcome { wake: false, quiesce: channel.device_reset() });
            channel.observe();
        }
        self.unaffiliated.reset();
        self.unaffiliated.observed.tell(Happening::Reset { channel: None });
        effects
    }

    /// Tells the function that its sink delivers interrupts in another way from now on, so that INTx follows.
    pub fn delivery_changed(&self) {
        self.unaffiliated.delivery_changed();
    }

    /// A step of the channel is between begin and finish.
    pub fn is_in_flight(&self, channel: usize) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.lock().in_flight())
    }

    /// A delay is not ended by a reset.
    pub fn is_delayed(&self, channel: usize, delay: Delay) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.lock().generation == delay.generation)
    }

    /// Plans a step of one channel, with `memory` as it is to be seen during the step.
    pub fn begin<M: GuestMemory>(&self, channel: usize, memory: M) -> Begin<M, F, T> {
        let Some(channel) = self.channels.get(channel) else { return Begin::Nothing(memory) };
        let mut channel = channel.lock();
        if !self.unaffiliated.bus_master() || self.is_gone() {
            return Begin::Nothing(memory);
        }
        let chain = match channel.take_chain() {
            None => return Begin::Nothing(memory),
            Some(Taken::Starting) => return Begin::Starting(memory),
            Some(Taken::Delayed(delay)) => return Begin::Delayed(memory, delay),
            Some(Taken::Chain(chain)) => chain,
        };
        let terms = self.terms(&channel);
        let Some(faults) = channel.path_faults.take() else { unreachable!("no run is in flight here") };
        Begin::Run(Run {
            terms,
            memory,
            faults,
            trace: Arc::clone(&self.trace),
            signals: Arc::clone(&channel.signals),
            chain,
            completed: channel.completed,
            current: channel.current,
            dca: None,
            single: channel.hold.paused,
            bytes: 0,
            ending: Ending::Stopped(None),
            watch: channel.watch(),
            postponed: Vec::new(),
        })
    }

    /// Publishes what a step did, then offers its interrupt; or discards it, if its chain is gone.
    ///
    /// # Panics
    /// If the run is another function's.
    pub fn finish<M: GuestMemory>(&self, run: Run<M, F, T>) -> Finished<M> {
        let Run { terms, memory, faults, chain, completed, current, dca, ending, bytes, postponed, .. } = run;
        let mut channel = self.channels[usize::from(terms.channel)].lock();
        channel.path_faults = Some(faults);
        let (mut done, mut killed) = (0, false);
        if channel.generation == terms.generation {
            killed = ending == Ending::Killed;
            channel.completed = completed;
            channel.current = current;
            done = chain.place.sequence - channel.sequence;
            channel.sequence = chain.place.sequence;
            channel.change_context(dca);
            self.publish(&mut channel, chain, ending);
            channel.count_step(done, bytes);
            for (after_ns, what) in postponed {
                self.put_off_of(channel.owner(), after_ns, what, &memory);
            }
        }
        if channel.hold.paused {
            let (channel, left) = (terms.channel, channel.hold.allowed);
            self.unaffiliated.observed.tell(Happening::Stepped { channel, descriptors: done, left });
        }
        if killed {
            drop(channel);
            // Nobody waits for the other channels: their runs are abandoned.
            let _ = self.kill();
            return Finished { memory, more: false };
        }
        Finished { memory, more: channel.has_work() && self.unaffiliated.bus_master() }
    }

    fn publish(&self, channel: &mut Channel<F>, chain: crate::channel::Chain, ending: Ending) {
        let retired = match ending {
            Ending::Halted(chanerr, retired) => {
                channel.halt(chanerr);
                self.unaffiliated.latch_chanerr(chanerr);
                channel.tell_halt(chanerr, &self.unaffiliated);
                Some(retired)
            }
            Ending::Killed => {
                channel.give_back(chain, self.unaffiliated.bus_master());
                None
            }
            Ending::Stopped(retired) => {
                let (errors, after) = (channel.kept.chan_err, channel.after);
                channel.give_back(chain, self.unaffiliated.bus_master());
                let fresh = channel.kept.chan_err.without(errors);
                // The fault: a halt without a reason.
                let groundless = matches!(after, After::Halt(chanerr) if chanerr.is_empty())
                    && matches!(channel.state, State::Halted);
                if !fresh.is_empty() || groundless {
                    channel.announce_halt(fresh, &self.unaffiliated, &*self.trace);
                }
                retired
            }
        };
        // Last: data, word, status, interrupt.
        if let Some(retired) = retired {
            let err_int_en = channel.kept.chan_ctrl.err_int_en();
            msix::offer(retired, err_int_en, &mut channel.vector(&self.unaffiliated, &*self.trace));
        }
    }

    fn terms(&self, channel: &Channel<F>) -> Terms {
        Terms {
            channel: channel.number,
            generation: channel.generation,
            chan_cmp: channel.kept.chan_cmp,
            err_cmp_en: channel.kept.chan_ctrl.err_cmp_en(),
            vector: self.unaffiliated.vector_of(channel.number),
            chan_err_msk: channel.kept.chan_err_msk,
            transfer_max_bytes: self.profile.transfer_max_bytes(),
            capability: self.profile.dma_capability,
        }
    }

    /// BME may have changed: stop every run, or let the channels go on.
    pub(crate) fn command_changed(&self) -> Effects {
        let bus_master = self.unaffiliated.bus_master();
        let mut effects = Effects::default();
        for (number, channel) in self.channels.iter().enumerate() {
            let mut channel = channel.lock();
            if bus_master {
                msix::deliver_pending(&mut channel.vector(&self.unaffiliated, &*self.trace));
                effects.note(number, Outcome { wake: channel.has_work(), quiesce: false });
            } else {
                channel.inspect_bus_master_off();
                effects.note(number, Outcome { wake: false, quiesce: channel.park() });
            }
        }
        effects
    }

    pub(crate) fn read_piece(&self, piece: &Piece, data: &mut [u8]) {
        match piece.target {
            Target::General(register) => piece.place(self.unaffiliated.read(register), data),
            Target::Channel(channel, register) => {
                piece.place(self.channels[channel].lock().read(register, piece), data);
            }
            Target::Tail(register) => piece.place(self.unaffiliated.read_tail(register), data),
            Target::MsixTable => self.unaffiliated.read_table(piece, data),
            Target::MsixPba => piece.place(self.unaffiliated.pending_bits(), data),
            Target::Reserved => piece.place(0, data),
        }
    }

    pub(crate) fn write_piece(&self, piece: &Piece, data: &[u8], effects: &mut Effects) {
        match piece.target {
            Target::General(register) => {
                self.inspect_general(register, piece.written(data));
                self.unaffiliated.write(register, piece.written(data));
            }
            Target::Channel(number, register) => {
                let mut channel = self.channels[number].lock();
                channel.inspect(register, piece.written(data), &self.unaffiliated);
                let outcome = channel.write(register, piece.written(data), &self.unaffiliated, &*self.trace);
                channel.observe();
                effects.note(number, outcome);
            }
            Target::Tail(register) => self.unaffiliated.write_tail(register, piece.written(data)),
            Target::MsixTable => self.unaffiliated.write_table(piece, data),
            Target::MsixPba | Target::Reserved => {}
        }
    }
}

impl Effects {
    /// These, and those of another access.
    pub(crate) fn join(&mut self, other: Self) {
        self.wake |= other.wake;
        self.quiesce |= other.quiesce;
    }

    pub(crate) fn note(&mut self, channel: usize, outcome: Outcome) {
        self.wake |= u32::from(outcome.wake) << channel;
        self.quiesce |= u32::from(outcome.quiesce) << channel;
    }
}
