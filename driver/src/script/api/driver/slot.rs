//! Where a session keeps its driver.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ioat_spec::register::channel_base;
use rhai::Map;

use super::super::super::failure::{Failure, failed};
use super::super::super::{Recording, Session};
use super::attached::Attached;
use super::options;
use crate::hw::Space;

/// Events of the driver that are kept.
const EVENTS: usize = 1 << 16;

/// A session's driver, and what it left of events.
#[derive(Default)]
pub(in super::super::super) struct Slot {
    events: OnceCell<Arc<Recording>>,
    attached: RefCell<Option<Rc<Attached>>>,
}

impl Slot {
    /// The driver's events, once there was one.
    pub(in super::super) fn events(&self) -> Option<&Arc<Recording>> {
        self.events.get()
    }

    fn is_attached(&self) -> bool {
        self.attached.borrow().as_ref().is_some_and(|driver| driver.is_open())
    }

    /// Whether this is in the register window of a channel that the driver runs.
    pub(in super::super::super) fn owns(&self, space: Space, offset: u64) -> bool {
        let attached = self.attached.borrow();
        let Some(driver) = attached.as_ref().filter(|driver| driver.is_open()) else { return false };
        space == Space::BAR0 && (channel_base(0)..channel_base(driver.channels())).contains(&offset)
    }

    /// Detaches the driver, if there is one.
    pub(super) fn detach(&self) {
        let attached = self.attached.borrow_mut().take();
        if let Some(driver) = attached {
            driver.let_go();
        }
    }
}

/// `driver(options)`.
pub(super) fn attach(session: &Rc<Session>, map: &Map) -> Result<Rc<Attached>, Failure> {
    let options = options::of_driver(map)?;
    let slot = &session.driver;
    if slot.events.get().is_some() {
        return Err(failed(match slot.is_attached() {
            true => "a driver is attached already: one engine has one driver",
            false => {
                "the driver of this session was closed, and with it its interrupts for good: start a new session"
            }
        }));
    }
    session.interrupts.lend().map_err(failed)?;
    let recording = Recording::new(session.device.pause.clone(), EVENTS);
    let driver = Rc::new(Attached::open(session, options, recording.clone())?);
    let _ = slot.events.set(recording);
    slot.attached.replace(Some(driver.clone()));
    let weak = Rc::downgrade(session);
    session.undos.add("the driver", move || {
        if let Some(session) = weak.upgrade() {
            session.driver.detach();
        }
        Ok(())
    });
    Ok(driver)
}
