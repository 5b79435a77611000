//! Registers by name.

mod looks;

mod wanted;

use std::rc::Rc;

use rhai::{Dynamic, Engine, Map, NativeCallContext};

use super::super::failure::{Failure, about, failed, of_hw};
use super::super::number::{bits, fitting, int};
use super::super::registers::{Access, Field, Register, Write};
use super::super::seen::Seen;
use super::super::{Entry, Session};

pub(super) use wanted::Wanted;

const GROUP: &str = "Registers";

macro_rules! entries {
    ($($name:literal, $call:literal, $says:literal;)*) => {
        &[$(Entry { name: $name, call: $call, says: $says, group: GROUP },)*]
    };
}

pub(super) const ENTRIES: &[Entry] = entries! {
    "get", "get(name) -> value\nget(name, field) -> value", "Reads a register, or a field of it, in one access.";
    "put", "put(name, value)\nput(name, field, value)",
        "Writes a register; with a field, reads it first and changes only that. Bits that are cleared by writing 1 are \
         then written as 0. A field's value may be a word.";
    "fields", "fields(name) -> #{field: value}", "Reads a register and gives all its fields.";
    "field_name", "field_name(name, field) -> word", "Reads a field and gives the word for its value, or its number.";
    "show", "show(name) -> text", "Reads a register and gives its name, value and fields as text.";
    "decode", "decode(name, value) -> text", "What a value of this register means; nothing is read.";
    "registers", "registers() -> [name]", "The names of all registers of the table.";
    "describe", "describe(name) -> text", "What a register is, its fields, what must not be written, and the source.";
    "snapshot", "snapshot() -> #{name: value}", "All registers that can be read without changing anything.";
    "diff", "diff(a, b) -> text", "What differs between two snapshots, as a table.";
};

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("get", move |name: &str| read(&it, &named(&it, name)?).map(int));
    let it = session.clone();
    engine.register_fn("get", move |name: &str, field: &str| {
        read_field(&it, name, field).map(|(value, _)| int(value))
    });
    let it = session.clone();
    engine.register_fn("field_name", move |name: &str, field: &str| {
        read_field(&it, name, field).map(|(_, word)| word)
    });
    let it = session.clone();
    engine.register_fn("put", move |context: NativeCallContext, name: &str, value: Dynamic| {
        put(&it, &context, name, &value)
    });
    let it = session.clone();
    engine.register_fn("put", move |context: NativeCallContext, name: &str, field: &str, value: Dynamic| {
        put_field(&it, &context, (name, field), &value)
    });
    let it = session.clone();
    engine.register_fn("fields", move |name: &str| fields(&it, name));
    looks::register(engine, session);
}

/// The register of this name.
pub(super) fn named(session: &Session, name: &str) -> Result<Rc<Register>, Failure> {
    session.registers.borrow().named(name).cloned().map_err(failed)
}

/// Reads it.
pub(super) fn read(session: &Session, register: &Rc<Register>) -> Result<u64, Failure> {
    if register.is.access == Access::Wo {
        return Err(failed(format!("{} can only be written", register.name)));
    }
    let value = register.read(&session.device).map_err(|error| with_name(session, register, &error))?;
    session.seen.replace(Some(Seen::Register(register.clone(), value)));
    Ok(value)
}

/// A value for a field: a number, or one of its words.
pub(super) fn field_value(register: &Register, field: &Field, value: &Dynamic) -> Result<u64, Failure> {
    let of = |what: String| failed(format!("{}.{what}", register.name));
    if let Ok(number) = value.as_int() {
        return Ok(bits(number));
    }
    if let Ok(flag) = value.as_bool() {
        return Ok(flag.into());
    }
    let word = value.read_lock::<rhai::ImmutableString>();
    let word = word.ok_or_else(|| of(format!("{}: give a number or a word", field.name)))?;
    field.number(&word).map_err(of)
}

fn with_name(session: &Session, register: &Register, error: &crate::hw::HwError) -> Failure {
    // Remembers a device that is gone.
    let _ = of_hw(session, error);
    failed(format!("{}: {error}", register.name))
}

fn read_field(session: &Session, name: &str, field: &str) -> Result<(u64, String), Failure> {
    let register = named(session, name)?;
    let field = register.field(field).map_err(failed)?;
    let value = field.of(read(session, &register)?);
    let word = field.word(value).map_or_else(|| value.to_string(), str::to_owned);
    Ok((value, word))
}

fn fields(session: &Session, name: &str) -> Result<Map, Failure> {
    let register = named(session, name)?;
    let value = read(session, &register)?;
    let all = register.is.fields.iter();
    Ok(all.map(|field| (field.name.as_str().into(), int(field.of(value)).into())).collect())
}

fn put(
    session: &Session,
    context: &NativeCallContext<'_>,
    name: &str,
    value: &Dynamic,
) -> Result<(), Failure> {
    let register = named(session, name)?;
    let number =
        value.as_int().map_err(|found| failed(format!("{}: give a number, not a {found}", register.name)))?;
    let number = fitting(number, register.is.width.into());
    let number = number.map_err(|error| about(&register.name, *error))?;
    session.warn_of(context.call_position(), &register, Write::whole(number));
    session.warn_of_driver(context.call_position(), register.space, register.offset);
    register.write(&session.device, number).map_err(|error| with_name(session, &register, &error))
}

fn put_field(
    session: &Session,
    context: &NativeCallContext<'_>,
    (name, field): (&str, &str),
    value: &Dynamic,
) -> Result<(), Failure> {
    let register = named(session, name)?;
    let field = register.field(field).map_err(failed)?;
    let value = field_value(&register, field, value)?;
    let placed = field.placed(value).map_err(|what| failed(format!("{}.{what}", register.name)))?;
    let others = match register.is.access {
        // Nothing to keep: ones would clear what was not meant, and what cannot be read cannot be kept.
        Access::W1c | Access::Wo => 0,
        Access::Ro | Access::Rw => {
            read(session, &register)? & !field.bits.mask() & !cleared_by_ones(&register)
        }
    };
    let write = Write::field(others | placed, field.bits.mask());
    session.warn_of(context.call_position(), &register, write);
    session.warn_of_driver(context.call_position(), register.space, register.offset);
    register.write(&session.device, others | placed).map_err(|error| with_name(session, &register, &error))
}

fn cleared_by_ones(register: &Register) -> u64 {
    let ones = register.is.fields.iter().filter(|field| field.access == Access::W1c);
    ones.fold(0, |bits, field| bits | field.bits.mask())
}
