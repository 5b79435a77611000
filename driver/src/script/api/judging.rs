//! Judging: what must hold, and what a test case is.

mod cases;

mod same;

use std::rc::Rc;

use rhai::{Dynamic, Engine, NativeCallContext};

use super::super::failure::{Failure, failed};
use super::super::judge::Complaint;
use super::super::{Entry, Session};
use super::named::{self, Wanted};
use same::{same, shown};

const GROUP: &str = "Judging";

macro_rules! entries {
    ($($name:literal, $call:literal, $says:literal;)*) => {
        &[$(Entry { name: $name, call: $call, says: $says, group: GROUP },)*]
    };
}

pub(super) const ENTRIES: &[Entry] = entries! {
    "assert", "assert(condition)\nassert(condition, message)",
        "Ends the case, or the script outside of one, as failed if the condition does not hold.";
    "assert_eq", "assert_eq(found, expected)\nassert_eq(found, expected, message)",
        "As assert, for two values that must be equal.";
    "expect", "expect(condition)\nexpect(condition, message)",
        "Counts a failure if the condition does not hold, and goes on.";
    "expect_eq", "expect_eq(found, expected)\nexpect_eq(found, expected, message)",
        "As expect, for two values that should be equal.";
    "expect_reg", "expect_reg(name, value)\nexpect_reg(name, field, value)",
        "Reads a register and counts a failure if it, or the field, is not this; a field's value may be a word.";
    "expect_error", "expect_error(|| ..., \"part of the text\")",
        "Counts a failure if nothing is thrown, or an error without this in its text.";
    "case", "case(\"name\", || { ... })",
        "One test case of the report. What fails in it ends it, and the script goes on after it.";
    "skip", "skip(\"reason\")", "Ends the case, or the script outside of one, as skipped.";
};

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("assert", move |holds: bool| {
        demand(&it, holds, || "the condition does not hold".into())
    });
    let it = session.clone();
    engine.register_fn("assert", move |holds: bool, message: &str| demand(&it, holds, || message.into()));
    let it = session.clone();
    engine.register_fn("expect", move |context: NativeCallContext, holds: bool| {
        wish(&it, &context, holds, || "the condition does not hold".into())
    });
    let it = session.clone();
    engine.register_fn("expect", move |context: NativeCallContext, holds: bool, message: &str| {
        wish(&it, &context, holds, || message.into())
    });
    equal(engine, session);
    registers(engine, session);
    cases::register(engine, session);
}

fn equal(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("assert_eq", move |context: NativeCallContext, found: Dynamic, expected: Dynamic| {
        demand(&it, same(&context, &found, &expected)?, || differs("", &found, &expected))
    });
    let it = session.clone();
    engine.register_fn(
        "assert_eq",
        move |context: NativeCallContext, found: Dynamic, expected: Dynamic, message: &str| {
            demand(&it, same(&context, &found, &expected)?, || differs(message, &found, &expected))
        },
    );
    let it = session.clone();
    engine.register_fn("expect_eq", move |context: NativeCallContext, found: Dynamic, expected: Dynamic| {
        wish(&it, &context, same(&context, &found, &expected)?, || differs("", &found, &expected))
    });
    let it = session.clone();
    engine.register_fn(
        "expect_eq",
        move |context: NativeCallContext, found: Dynamic, expected: Dynamic, message: &str| {
            wish(&it, &context, same(&context, &found, &expected)?, || differs(message, &found, &expected))
        },
    );
}

fn registers(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("expect_reg", move |context: NativeCallContext, name: &str, value: Dynamic| {
        register_is(&it, &context, &Wanted::whole(&it, name, &value)?)
    });
    let it = session.clone();
    engine.register_fn(
        "expect_reg",
        move |context: NativeCallContext, name: &str, field: &str, value: Dynamic| {
            register_is(&it, &context, &Wanted::field(&it, name, field, &value)?)
        },
    );
}

fn register_is(session: &Session, context: &NativeCallContext<'_>, wanted: &Wanted) -> Result<bool, Failure> {
    let value = named::read(session, &wanted.register)?;
    wish(session, context, wanted.is(value), || {
        format!("{}: expected {}, read {}", wanted.name(), wanted.shown(), wanted.register.decoded(value))
    })
}

fn differs(message: &str, found: &Dynamic, expected: &Dynamic) -> String {
    let separator = if message.is_empty() { "" } else { ": " };
    format!("{message}{separator}found {}, expected {}", shown(found), shown(expected))
}

fn demand(session: &Session, holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    session.judge.check();
    if holds { Ok(()) } else { Err(failed(format!("assertion failed: {}", what()))) }
}

fn wish(
    session: &Session,
    context: &NativeCallContext<'_>,
    holds: bool,
    what: impl FnOnce() -> String,
) -> Result<bool, Failure> {
    session.judge.check();
    if !holds {
        session.complain(Complaint::new(context.call_position(), what()));
    }
    Ok(holds)
}
