//! Base address registers: raw accesses of every width.

use std::rc::Rc;

use rhai::{Engine, INT};

use super::super::failure::{Failure, failed, of_hw};
use super::super::{Entry, Session};
use crate::hw::Space;

const GROUP: &str = "Device";

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "read32",
    call: "read32(offset) -> value",
    says: "Reads 4 bytes of BAR 0.",
    group: GROUP,
}];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("read32", move |offset: INT| read(&it, offset));
}

fn read(session: &Session, offset: INT) -> Result<INT, Failure> {
    let offset = u64::try_from(offset).map_err(|_| failed(format!("offset {offset}: give 0 or more")))?;
    session.device.read32(Space::BAR0, offset).map(INT::from).map_err(|error| of_hw(session, &error))
}
