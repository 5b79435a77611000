//! Base address registers: raw accesses of every width.

use std::rc::Rc;

use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};

use super::super::failure::{Failure, failed, of_hw};
use super::super::number::{fitting, int, natural, width};
use super::super::registers::{Access, Write};
use super::super::seen::Seen;
use super::super::{Entry, Session};
use crate::hw::{Region, Space};

const GROUP: &str = "Device";

macro_rules! entries {
    ($($name:literal, $call:literal, $says:literal;)*) => {
        &[$(Entry { name: $name, call: $call, says: $says, group: GROUP },)*]
    };
}

pub(super) const ENTRIES: &[Entry] = entries! {
    "bars", "bars() -> [#{index, size, readable, writable}]", "The BARs that the function has.";
    "read", "read(bar, offset, width) -> value", "Reads 1, 2, 4 or 8 bytes of a BAR in one access.";
    "write", "write(bar, offset, width, value)", "Writes 1, 2, 4 or 8 bytes of a BAR in one access.";
    "read8", "read8(offset) -> value", "Reads 1 byte of BAR 0.";
    "read16", "read16(offset) -> value", "Reads 2 bytes of BAR 0.";
    "read32", "read32(offset) -> value", "Reads 4 bytes of BAR 0.";
    "read64", "read64(offset) -> value", "Reads 8 bytes of BAR 0.";
    "write8", "write8(offset, value)", "Writes 1 byte of BAR 0.";
    "write16", "write16(offset, value)", "Writes 2 bytes of BAR 0.";
    "write32", "write32(offset, value)", "Writes 4 bytes of BAR 0.";
    "write64", "write64(offset, value)", "Writes 8 bytes of BAR 0.";
};

macro_rules! widths {
    ($engine:ident, $session:ident, $($read:literal $write:literal $width:literal),*) => {
        $(
            let it = $session.clone();
            $engine.register_fn($read, move |offset: INT| {
                read(&it, Space::BAR0, natural("offset", offset)?, $width)
            });
            let it = $session.clone();
            $engine.register_fn($write, move |context: NativeCallContext, offset: INT, value: INT| {
                write(&it, &context, Space::BAR0, (natural("offset", offset)?, $width), value)
            });
        )*
    };
}

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("bars", move || bars(&it));
    let it = session.clone();
    engine.register_fn("read", move |number: INT, offset: INT, width: INT| {
        read(&it, bar(number)?, natural("offset", offset)?, width)
    });
    let it = session.clone();
    engine.register_fn(
        "write",
        move |context: NativeCallContext, number: INT, offset: INT, width: INT, value: INT| {
            write(&it, &context, bar(number)?, (natural("offset", offset)?, width), value)
        },
    );
    widths!(engine, session, "read8" "write8" 1, "read16" "write16" 2, "read32" "write32" 4, "read64" "write64" 8);
}

/// Reads some bytes.
pub(super) fn read(session: &Session, space: Space, offset: u64, wide: INT) -> Result<INT, Failure> {
    let mut data = [0; 8];
    let wide = usual(space, wide)?;
    let read = session.device.registers.read(space, offset, &mut data[..wide]);
    read.map_err(|error| of_hw(session, &error))?;
    session.seen.replace(Some(Seen::Access(space, offset, wide, u64::from_le_bytes(data))));
    Ok(INT::from_le_bytes(data))
}

/// Writes some bytes, and warns if the register that they are should not be written so.
pub(super) fn write(
    session: &Session,
    context: &NativeCallContext<'_>,
    space: Space,
    (offset, wide): (u64, INT),
    value: INT,
) -> Result<(), Failure> {
    let wide = usual(space, wide)?;
    let value = fitting(value, wide)?;
    let registers = session.registers.borrow().clone();
    for register in registers.at(space, offset, wide) {
        let end = register.offset + u64::from(register.is.width);
        let beyond = offset < register.offset || end < offset + u64::try_from(wide).unwrap_or(u64::MAX);
        // Who writes several registers at once cannot leave out the one among them that is read only.
        if !(beyond && register.is.access == Access::Ro) {
            session.warn_of(context.call_position(), register, Write::part(register, offset, wide, value));
        }
    }
    session.warn_of_driver(context.call_position(), space, offset);
    let written = session.device.registers.write(space, offset, &value.to_le_bytes()[..wide]);
    written.map_err(|error| of_hw(session, &error))
}

fn usual(space: Space, wide: INT) -> Result<usize, Failure> {
    let wide = width(wide)?;
    if space == Space::Config && wide == 8 {
        return Err(failed("width 8: configuration space has accesses of 1, 2 and 4 bytes"));
    }
    Ok(wide)
}

fn bar(number: INT) -> Result<Space, Failure> {
    let known = u8::try_from(number).ok().filter(|number| *number <= 6);
    known
        .map(Space::Bar)
        .ok_or_else(|| failed(format!("BAR {number}: give 0 to 5, or 6 for the expansion ROM")))
}

fn bars(session: &Session) -> Array {
    let shown = |region: Region| {
        let Space::Bar(index) = region.space else { return None };
        let mut map = Map::new();
        map.insert("index".into(), INT::from(index).into());
        map.insert("size".into(), int(region.size).into());
        map.insert("readable".into(), region.readable.into());
        map.insert("writable".into(), region.writable.into());
        Some(Dynamic::from_map(map))
    };
    session.device.registers.regions().into_iter().filter_map(shown).collect()
}
