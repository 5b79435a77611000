//! The driver while it is attached.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use ioat_stage::{Side, Stage};
use rhai::{Array, Dynamic, INT, Map};

use super::super::super::failure::{Failure, failed};
use super::super::super::number::{int, small};
use super::super::super::{Recording, Session};
use super::super::map::map;
use super::channel::Open;
use super::{counts, options};
use crate::client::{self, Options};

/// Our driver on the session's device.
pub(in super::super::super) struct Attached {
    session: Weak<Session>,
    driver: RefCell<Option<client::Driver>>,
    processors: u32,
    recording: Arc<Recording>,
    /// Its channels: they keep the engine open, so they are closed with it.
    channels: RefCell<Vec<Weak<RefCell<Option<Open>>>>>,
}

impl Attached {
    pub(super) fn open(
        session: &Rc<Session>,
        options: Options,
        recording: Arc<Recording>,
    ) -> Result<Self, Failure> {
        let faults = Some(session.of_driver.clone());
        let options = Options { trace: recording.sink(Side::Driver), faults, ..options };
        let processors = options.processors;
        let driver = client::Driver::open(session.device.clone(), options);
        let driver = driver.map_err(|error| failed(format!("driver: {error}")))?;
        Ok(Self {
            session: Rc::downgrade(session),
            driver: RefCell::new(Some(driver)),
            processors,
            recording,
            channels: RefCell::default(),
        })
    }

    /// The driver, unless it was closed.
    pub(super) fn client(&self) -> Result<client::Driver, Failure> {
        self.driver.borrow().clone().ok_or_else(|| failed("the driver was closed"))
    }

    pub(super) fn session(&self) -> Result<Rc<Session>, Failure> {
        self.session.upgrade().ok_or_else(|| failed("the session is over"))
    }

    /// The engine's channels; 0 once it is closed.
    pub(super) fn channels(&self) -> usize {
        self.driver.borrow().as_ref().map_or(0, |driver| driver.identity().channels.into())
    }

    pub(super) fn is_open(&self) -> bool {
        self.driver.borrow().is_some()
    }

    /// A channel that is closed with the driver.
    pub(super) fn keep(&self, channel: Weak<RefCell<Option<Open>>>) {
        let mut channels = self.channels.borrow_mut();
        channels.retain(|channel| channel.strong_count() > 0);
        channels.push(channel);
    }

    pub(super) fn queue_dpc(&self, message: INT, targets: INT) -> Result<INT, Failure> {
        let targets = options::processors("the bitmap of processors", targets)?;
        let driver = self.client()?;
        let unknown =
            |_| failed(format!("message {message}: give 0 to {}", driver.messages().len().saturating_sub(1)));
        let queued = driver.queue_dpc(small("message", message)?, targets).map_err(unknown)?;
        Ok(queued.scheduled.0.into())
    }

    pub(super) fn dpcs(&self) -> Array {
        let events = self.recording.events();
        let ran = events.iter().filter(|recorded| recorded.event.stage == Stage::Dpc);
        let known = |value: Option<u32>| value.map_or(Dynamic::UNIT, |value| INT::from(value).into());
        let shown = ran.map(|recorded| {
            map([
                ("processor", known(recorded.event.processor)),
                ("message", known(recorded.event.vector)),
                ("reported", int(recorded.event.address).into()),
                ("t_us", int(recorded.t_ns / 1000).into()),
            ])
        });
        shown.map(Dynamic::from).collect()
    }

    pub(super) fn stats(&self) -> Result<Map, Failure> {
        let driver = self.client()?;
        let kind = driver.interrupt_type().map(|kind| kind.to_string());
        Ok(map([
            ("engine", driver.name().to_owned().into()),
            ("interrupts", kind.map_or(Dynamic::UNIT, Dynamic::from)),
            ("messages", counts(&driver.messages())?),
            ("processors", counts(&driver.processors())?),
        ]))
    }

    pub(super) fn processors(&self) -> INT {
        self.processors.into()
    }

    pub(super) fn close(&self) -> Result<(), Failure> {
        self.client()?;
        let session = self.session()?;
        session.driver.close(&session);
        Ok(())
    }

    /// Closes the channels and then the engine.
    pub(super) fn let_go(&self) {
        for channel in self.channels.take() {
            // Taken out before it is dropped: dropping may wait.
            let open = channel.upgrade().and_then(|channel| channel.borrow_mut().take());
            drop(open);
        }
        let driver = self.driver.borrow_mut().take();
        drop(driver);
    }
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.driver.borrow() {
            Some(driver) => write!(f, "driver of {} with {} processors", driver.name(), self.processors),
            None => f.write_str("driver, closed"),
        }
    }
}
