//! Judging: what must hold, and what a test case is.

use std::rc::Rc;

use rhai::Engine;

use super::super::failure::{Failure, failed};
use super::super::{Entry, Session};

const GROUP: &str = "Judging";

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "assert",
    call: "assert(condition, message)",
    says: "Ends the case, or the script outside of one, as failed if the condition does not hold.",
    group: GROUP,
}];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("assert", move |holds: bool, message: &str| assert(&it, holds, message));
}

fn assert(session: &Session, holds: bool, message: &str) -> Result<(), Failure> {
    session.judge.check();
    if holds { Ok(()) } else { Err(failed(format!("assertion failed: {message}"))) }
}
