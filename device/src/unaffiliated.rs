//! What belongs to no channel: configuration space, general registers, and the way out for interrupts.
//!
//! Lock order of the device core, from the first to the last that a thread may take while it holds the ones before:
//!
//! 1. a channel (`channel::Channel`), one at a time;
//! 2. the configuration space;
//! 3. the general registers.
//!
//! The faults of register accesses have a lock of their own, which is never held together with another, and what they put off
//! has one that may be taken last ([`crate::postponed`]). No lock is held
//! while descriptors are executed, and the interrupt sink is called under 1 and 3: it must not block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use ioat_spec::register::TailRegister;
use ioat_spec::{ChanErr, GeneralRegister};
use ioat_stage::sync::Mutex;

use crate::config_space::{COMMAND_BUS_MASTER, COMMAND_INTX_DISABLE, ConfigSpace, Wrote};
use crate::general::General;
use crate::msix::InterruptSink;
use crate::observer::Observed;
use crate::postponed::{Agenda, Postponed, What};
use crate::profile::Profile;
use crate::registers::{Piece, Written};
use crate::removal::Killer;

/// The function's registers outside channels.
pub(crate) struct Unaffiliated {
    profile: Profile,
    config: Mutex<ConfigSpace>,
    /// COMMAND, for readers without the lock; written under the lock of `config`.
    command: AtomicU16,
    general: Mutex<Upper>,
    sink: Arc<dyn InterruptSink>,
    /// Who watches from the bench.
    pub(crate) observed: Observed,
    /// What faults put off.
    pub(crate) agenda: Agenda,
    /// What ends the program.
    pub(crate) killer: Killer,
    /// The device has left the bus.
    gone: AtomicBool,
    /// Resets of the function, removals and returns.
    resets: AtomicU64,
}

/// The general registers, and the level of INTx that follows from them.
struct Upper {
    general: General,
    asserted: bool,
    /// The fault `wipe`: the vectors' addresses are gone, until somebody sets them up again.
    wiped: bool,
}

impl Unaffiliated {
    pub(crate) fn new(profile: Profile, sink: Arc<dyn InterruptSink>) -> Self {
        Self {
            profile,
            config: Mutex::new(ConfigSpace::new(&profile)),
            command: AtomicU16::new(0),
            general: Mutex::new(Upper { general: General::new(&profile), asserted: false, wiped: false }),
            sink,
            observed: Observed::default(),
            agenda: Agenda::default(),
            killer: Killer::default(),
            gone: AtomicBool::new(false),
            resets: AtomicU64::new(0),
        }
    }

    /// Every register to its reset value; the channels are reset before.
    pub(crate) fn reset(&self) {
        // Every field is named here, so that a new one breaks the build until reset knows it.
        let Self {
            profile,
            config,
            command,
            general,
            sink: _,
            observed: _,
            agenda: _,
            killer: _,
            gone: _,
            resets,
        } = self;
        resets.fetch_add(1, Ordering::AcqRel);
        {
            let mut config = config.lock();
            *config = ConfigSpace::new(profile);
            command.store(config.command(), Ordering::Release);
        }
        let mut upper = general.lock();
        upper.general = General::new(profile);
        upper.wiped = false;
        self.drive_line(&mut upper);
    }

    /// The device may read and write memory and send messages.
    pub(crate) fn bus_master(&self) -> bool {
        self.command.load(Ordering::Acquire) & COMMAND_BUS_MASTER != 0
    }

    /// The device has left the bus: nothing that it is told or asked reaches it, and it does nothing.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The device leaves the bus, or comes back.
    pub(crate) fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::Release);
    }

    /// Resets of the function so far.
    pub(crate) fn resets(&self) -> u64 {
        self.resets.load(Ordering::Acquire)
    }

    /// Puts work of the function itself off, until its next reset.
    pub(crate) fn postpone(&self, after_ns: u64, what: What) {
        self.agenda.add(Postponed { after_ns, channel: None, resets: self.resets(), what });
    }

    pub(crate) fn config_read(&self, offset: u64, data: &mut [u8]) {
        let config = self.config.lock();
        let interrupt = self.general.lock().general.asserts() && !self.messages();
        config.read(offset, data, interrupt);
    }

    pub(crate) fn config_write(&self, offset: u64, data: &[u8]) -> Wrote {
        let wrote = {
            let mut config = self.config.lock();
            let wrote = config.write(offset, data);
            self.command.store(config.command(), Ordering::Release);
            wrote
        };
        if wrote.command {
            self.drive_line(&mut self.general.lock());
        }
        wrote
    }

    /// Mirrors a channel's error into CHANERR_INT.
    pub(crate) fn latch_chanerr(&self, chanerr: ChanErr) {
        self.config.lock().latch_chanerr(chanerr);
    }

    pub(crate) fn read(&self, register: GeneralRegister) -> u64 {
        let mut upper = self.general.lock();
        let value = upper.general.read(register, &self.profile);
        self.drive_line(&mut upper);
        value
    }

    /// What a register holds, without what reading does.
    pub(crate) fn peek(&self, register: GeneralRegister) -> u64 {
        self.general.lock().general.peek(register, &self.profile)
    }

    pub(crate) fn write(&self, register: GeneralRegister, written: Written) {
        let mut upper = self.general.lock();
        upper.general.write(register, written);
        self.drive_line(&mut upper);
    }

    pub(crate) fn read_tail(&self, register: TailRegister) -> u64 {
        self.general.lock().general.read_tail(register)
    }

    pub(crate) fn write_tail(&self, register: TailRegister, written: Written) {
        self.general.lock().general.write_tail(register, written);
    }

    pub(crate) fn read_table(&self, piece: &Piece, data: &mut [u8]) {
        self.general.lock().general.read_table(piece, data);
    }

    pub(crate) fn write_table(&self, piece: &Piece, data: &[u8]) {
        let mut upper = self.general.lock();
        upper.general.write_table(piece, data);
        upper.wiped = false;
    }

    /// The MSI-X pending bits, which are kept by whoever delivers the messages.
    pub(crate) fn pending_bits(&self) -> u64 {
        self.sink.pending()
    }

    /// Sets a channel's bit of ATTNSTATUS.
    pub(crate) fn set_attention(&self, channel: u8) {
        let mut upper = self.general.lock();
        upper.general.set_attention(channel);
        self.drive_line(&mut upper);
    }

    /// Sends the message of a vector, if messages are on and there is such a vector.
    pub(crate) fn send_message_of(&self, vector: u16) {
        let there = vector < self.profile.vectors() && self.sink.message_enabled();
        if there && !self.general.lock().wiped {
            self.sink.signal(vector);
        }
    }

    /// The fault `wipe`: the MSI-X table is as after power-on. No message goes out until the table is written, or whoever
    /// delivers the messages is told where to anew.
    pub(crate) fn wipe_vectors(&self) {
        let mut upper = self.general.lock();
        upper.general.wipe_table();
        upper.wiped = true;
    }

    /// Where interrupts go.
    pub(crate) fn sink(&self) -> &dyn InterruptSink {
        &*self.sink
    }

    /// COMMAND's bus master bit is cleared, by nobody who may.
    pub(crate) fn clear_bus_master(&self) {
        let mut config = self.config.lock();
        config.clear_bus_master();
        self.command.store(config.command(), Ordering::Release);
    }

    /// The vector that a channel signals; none if there is no MSI-X.
    pub(crate) fn vector_of(&self, channel: u8) -> Option<u16> {
        self.profile.vector_of(channel)
    }

    /// Interrupt events reach the driver: as messages, or on the line at this moment.
    pub(crate) fn interrupts_reach(&self) -> bool {
        self.messages() || self.general.lock().general.asserts()
    }

    /// The way of delivery has changed. Whoever listens from now on has missed when the line was asserted, so it is told again.
    pub(crate) fn delivery_changed(&self) {
        let mut upper = self.general.lock();
        upper.wiped = false;
        let told = upper.asserted;
        self.drive_line(&mut upper);
        if told && upper.asserted {
            self.sink.line(true);
        }
    }

    /// MSI-X is there, and on.
    pub(crate) fn messages(&self) -> bool {
        self.profile.vectors() != 0 && self.sink.message_enabled()
    }

    /// INTx: MASTER_INT_EN and ATTNSTATUS (3.9), where neither MSI-X nor COMMAND says otherwise.
    fn drive_line(&self, upper: &mut Upper) {
        let allowed = self.command.load(Ordering::Acquire) & COMMAND_INTX_DISABLE == 0;
        let level = upper.general.asserts() && allowed && !self.messages();
        if level != upper.asserted {
            upper.asserted = level;
            self.sink.line(level);
        }
    }
}
