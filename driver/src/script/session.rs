//! What a script works on, and everything that it has changed: one device, opened.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ioat_stage::FaultBook;
use ioat_stage::pause::deadline;
use rhai::Position;

use super::api::driver::Slot;
use super::buffer::Buffers;
use super::desk::{EventDesk, FaultDesk};
use super::failure::{End, Failure};
use super::interrupts::Interrupts;
use super::judge::{Complaint, Judge};
use super::registers::{Register, Registers, Table, Write, tables};
use super::seen::Seen;
use super::undo::Undos;
use super::wind_up;
use crate::hw::{Device, HwError, Space};

/// Where a script's lines go. The functions say what they have to say through this, and print nothing themselves.
pub trait Sink {
    /// A line of the script's own output. It may have several lines.
    fn log(&self, text: &str);

    /// Something was not as it should be, and the script goes on.
    fn complain(&self, text: &str);

    /// Something that the script did and better had not.
    fn warn(&self, text: &str);
}

/// What a session is made of.
pub struct Parts {
    /// The device.
    pub device: Device,
    /// Where it is, as on the command line.
    pub place: String,
    /// Do not warn of writes that the register table forbids.
    pub force: bool,
    /// Takes fault rules, where somebody does.
    pub faults: Option<Arc<dyn FaultDesk>>,
    /// What goes wrong in our driver, when a script attaches it.
    pub of_driver: Arc<FaultBook>,
    /// Gives recorded events, where somebody records.
    pub events: Option<Arc<dyn EventDesk>>,
    /// The script's own arguments.
    pub arguments: Vec<String>,
    /// How long all of it may take; none for as long as it likes.
    pub limit: Option<Duration>,
    /// Set by whoever wants it to end soon (a signal).
    pub interrupt: Arc<AtomicBool>,
    /// A register table for this device; none for the built-in one, where there is one.
    pub table: Option<Table>,
    /// Where its lines go.
    pub sink: Box<dyn Sink>,
}

/// One device, and what was done to it. It is wound up when it is dropped, if nobody did so before.
pub struct Session {
    pub(super) device: Device,
    pub(super) place: String,
    pub(super) force: bool,
    pub(super) faults: Option<Arc<dyn FaultDesk>>,
    pub(super) of_driver: Arc<FaultBook>,
    pub(super) events: Option<Arc<dyn EventDesk>>,
    pub(super) arguments: Vec<String>,
    /// The registers that have names.
    pub(super) registers: RefCell<Rc<Registers>>,
    pub(super) sink: Box<dyn Sink>,
    pub(super) judge: Judge,
    /// Writes that the table forbids.
    pub(super) warnings: Cell<u64>,
    /// The device went away, with the words for it.
    pub(super) gone: RefCell<Option<String>>,
    pub(super) undos: Undos,
    pub(super) buffers: Buffers,
    /// Our driver, once a script attaches it.
    pub(super) driver: Slot,
    pub(super) interrupts: Interrupts,
    /// What was read last.
    pub(super) seen: RefCell<Option<Seen>>,
    limit: Option<Duration>,
    until_ns: Option<u64>,
    interrupt: Arc<AtomicBool>,
    wound_up: Cell<bool>,
}

impl Session {
    /// The longest that a wait goes without looking whether the script shall end.
    pub(super) const SLICE: Duration = Duration::from_millis(10);

    /// Begins a session. The time that it may take starts now.
    ///
    /// # Errors
    /// When the device does not answer.
    pub fn open(parts: Parts) -> Result<Rc<Self>, HwError> {
        let Parts {
            device,
            place,
            force,
            faults,
            of_driver,
            events,
            arguments,
            limit,
            interrupt,
            table,
            sink,
        } = parts;
        let vendor = device.read16(Space::Config, 0x00)?;
        let tables = tables(vendor, device.read16(Space::Config, 0x02)?, table);
        let registers = Registers::on(&device, &tables.map_err(|error| HwError::Open(error.to_string()))?)?;
        let registers = RefCell::new(Rc::new(registers));
        let until_ns = limit.map(|limit| deadline(&*device.pause, limit));
        let interrupts = Interrupts::new(&device);
        let judge = Judge::new(device.pause.clone());
        Ok(Rc::new(Self {
            device,
            place,
            force,
            faults,
            of_driver,
            events,
            arguments,
            registers,
            sink,
            judge,
            warnings: Cell::new(0),
            gone: RefCell::new(None),
            undos: Undos::default(),
            buffers: Buffers::default(),
            driver: Slot::default(),
            interrupts,
            seen: RefCell::new(None),
            limit,
            until_ns,
            interrupt,
            wound_up: Cell::new(false),
        }))
    }

    /// Where the device is, as on the command line.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How many writes the register table forbids were done.
    #[must_use]
    pub fn warnings(&self) -> u64 {
        self.warnings.get()
    }

    /// Leaves the device so that it can do nothing more: held interrupts are dropped, interrupts are disabled, DMA is
    /// stopped and forbidden, every buffer is unmapped. What could not be done is returned in words; the rest is done
    /// all the same. The second call does nothing.
    pub fn wind_up(&self) -> Vec<String> {
        if self.wound_up.replace(true) {
            return Vec::new();
        }
        let mut left = self.undos.run();
        left.extend(wind_up::device(self));
        left
    }

    /// Something was not as it should be, and the script goes on. It is said at once.
    pub(super) fn complain(&self, complaint: Complaint) {
        self.sink.complain(&complaint.to_string());
        self.judge.complain(complaint);
    }

    /// Warns of a write that the table forbids.
    pub(super) fn warn_of(&self, position: Position, register: &Register, write: Write) {
        if self.force {
            return;
        }
        let registers = self.registers.borrow().clone();
        for fault in registers.faults(&self.device, register, write) {
            self.warnings.set(self.warnings.get() + 1);
            let text =
                format!("{} <- {:#x}: {} ({})", fault.register, write.value, fault.reason, fault.clause);
            self.sink.warn(&Complaint::new(position, text).to_string());
        }
    }

    /// Warns of a write to what the attached driver believes that it alone writes.
    pub(super) fn warn_of_driver(&self, position: Position, space: Space, offset: u64) {
        if self.force || !self.driver.owns(space, offset) {
            return;
        }
        self.warnings.set(self.warnings.get() + 1);
        let text = format!(
            "{space} + {offset:#x} <- a raw write, while the attached driver runs this channel (device model 3.2)"
        );
        self.sink.warn(&Complaint::new(position, text).to_string());
    }

    /// Why the script shall end now, if it shall.
    pub(super) fn ends(&self) -> Option<End> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Some(End::Interrupted);
        }
        let over = self.until_ns.is_some_and(|until| self.device.pause.now_ns() >= until);
        over.then(|| {
            End::TimedOut(self.limit.map_or(0, |limit| limit.as_millis().try_into().unwrap_or(u64::MAX)))
        })
    }

    /// Fails if the script shall end. Every function that takes long calls it now and then.
    pub(super) fn go_on(&self) -> Result<(), Failure> {
        self.ends().map_or(Ok(()), |end| Err(end.thrown()))
    }

    /// Lets `duration` pass, unless the script shall end.
    pub(super) fn sleep(&self, duration: Duration) -> Result<(), Failure> {
        let until = deadline(&*self.device.pause, duration);
        while let Some(left @ 1..) = until.checked_sub(self.device.pause.now_ns()) {
            self.go_on()?;
            self.device.pause.sleep(Duration::from_nanos(left).min(Self::SLICE));
        }
        self.go_on()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for failure in self.wind_up() {
            log::warn!("{}: {failure}", self.place);
        }
    }
}
