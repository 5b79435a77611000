//! What the device is, and its configuration space.

use std::rc::Rc;

use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};

use super::super::capabilities::{self, Capability};
use super::super::failure::{Failure, failed, of_hw};
use super::super::number::{int, natural};
use super::super::{Entry, Session};
use super::bars;
use crate::hw::{HwError, Space};

const GROUP: &str = "Device";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "device",
        call: "device() -> #{name, place, vendor, device, revision, class, subsystem_vendor, subsystem_device}",
        says: "What the device is, by its configuration space, and where.",
        group: GROUP,
    },
    Entry {
        name: "config_read",
        call: "config_read(offset, width) -> value",
        says: "Reads 1, 2 or 4 bytes of configuration space.",
        group: GROUP,
    },
    Entry {
        name: "config_write",
        call: "config_write(offset, width, value)",
        says: "Writes 1, 2 or 4 bytes of configuration space.",
        group: GROUP,
    },
    Entry {
        name: "capabilities",
        call: "capabilities() -> [#{id, name, offset}]",
        says: "The PCI capabilities, in their order.",
        group: GROUP,
    },
    Entry {
        name: "extended_capabilities",
        call: "extended_capabilities() -> [#{id, name, offset}]",
        says: "The PCI Express extended capabilities, in their order.",
        group: GROUP,
    },
    Entry {
        name: "capability",
        call: "capability(\"MSI-X\") -> offset or ()",
        says: "Where a capability of either list is, by its name; () if the device has not got it.",
        group: GROUP,
    },
];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("device", move || device(&it).map_err(|error| of_hw(&it, &error)));
    let it = session.clone();
    engine.register_fn("config_read", move |offset: INT, width: INT| {
        bars::read(&it, Space::Config, natural("offset", offset)?, width)
    });
    let it = session.clone();
    engine.register_fn(
        "config_write",
        move |context: NativeCallContext, offset: INT, width: INT, value: INT| {
            bars::write(&it, &context, Space::Config, (natural("offset", offset)?, width), value)
        },
    );
    let it = session.clone();
    engine.register_fn("capabilities", move || list(&it, false));
    let it = session.clone();
    engine.register_fn("extended_capabilities", move || list(&it, true));
    let it = session.clone();
    engine.register_fn("capability", move |name: &str| {
        let all = all(&it)?;
        let found = all.iter().find(|one| one.name().eq_ignore_ascii_case(name));
        Ok::<_, Failure>(found.map_or(Dynamic::UNIT, |one| int(one.offset).into()))
    });
}

fn device(session: &Session) -> Result<Map, HwError> {
    let device = &session.device;
    let word = |offset| device.read16(Space::Config, offset).map(|value| Dynamic::from_int(value.into()));
    let class = device.read32(Space::Config, 0x08)?;
    let mut map = Map::new();
    map.insert("name".into(), device.name.clone().into());
    map.insert("place".into(), session.place.clone().into());
    map.insert("vendor".into(), word(0x00)?);
    map.insert("device".into(), word(0x02)?);
    map.insert("revision".into(), INT::from(class & 0xff).into());
    map.insert("class".into(), INT::from(class >> 8).into());
    map.insert("subsystem_vendor".into(), word(0x2c)?);
    map.insert("subsystem_device".into(), word(0x2e)?);
    Ok(map)
}

fn all(session: &Session) -> Result<Vec<Capability>, Failure> {
    capabilities::of(&session.device).map_err(|error| of_hw(session, &error))
}

fn list(session: &Session, extended: bool) -> Result<Array, Failure> {
    let shown = |one: Capability| {
        let mut map = Map::new();
        map.insert("id".into(), INT::from(one.id).into());
        map.insert("name".into(), one.name().into());
        map.insert("offset".into(), int(one.offset).into());
        Dynamic::from_map(map)
    };
    Ok(all(session)?.into_iter().filter(|one| one.extended == extended).map(shown).collect())
}

/// Where PCI Express's capability is, for a reset by it.
pub(super) fn express(session: &Session) -> Result<u64, Failure> {
    let found = all(session)?.into_iter().find(|one| one.is_plain(0x10));
    found.map(|one| one.offset).ok_or_else(|| failed("the function has no PCI Express capability"))
}
