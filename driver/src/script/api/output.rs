//! What a script says.

use std::rc::Rc;

use rhai::{Dynamic, Engine};

use super::super::{Entry, Session};

const GROUP: &str = "Output";

pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "log", call: "log(value)", says: "Prints a line.", group: GROUP },
    Entry { name: "print", call: "print(value)", says: "Prints a line, as log does.", group: GROUP },
];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("log", move |value: Dynamic| it.sink.log(&value.to_string()));
    let it = session.clone();
    engine.on_print(move |text| it.sink.log(text));
}
