//! Configuration space.

use std::rc::Rc;

use rhai::{Engine, INT};

use super::super::failure::{Failure, failed, of_hw};
use super::super::{Entry, Session};
use crate::hw::Space;

const GROUP: &str = "Device";

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "config_read",
    call: "config_read(offset, width) -> value",
    says: "Reads 1, 2 or 4 bytes of configuration space.",
    group: GROUP,
}];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("config_read", move |offset: INT, width: INT| read(&it, offset, width));
}

fn read(session: &Session, offset: INT, width: INT) -> Result<INT, Failure> {
    let offset = u64::try_from(offset).map_err(|_| failed(format!("offset {offset}: give 0 or more")))?;
    let mut data = [0; 8];
    let wide = usize::try_from(width).ok().filter(|width| [1, 2, 4].contains(width));
    let wide = wide.ok_or_else(|| failed(format!("width {width}: give 1, 2 or 4")))?;
    let read = session.device.registers.read(Space::Config, offset, &mut data[..wide]);
    read.map_err(|error| of_hw(session, &error))?;
    Ok(INT::from_le_bytes(data))
}
