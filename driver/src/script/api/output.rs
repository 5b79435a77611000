//! What a script says, and help for who writes one.

use std::rc::Rc;

use rhai::{Array, Dynamic, Engine, INT};

use super::super::failure::{Failure, failed};
use super::super::number::bits;
use super::super::tabular::tabular;
use super::super::{Entry, Session, help};

const GROUP: &str = "Output";

pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "log", call: "log(value)", says: "Prints a line.", group: GROUP },
    Entry { name: "print", call: "print(value)", says: "Prints a line, as log does.", group: GROUP },
    Entry {
        name: "hex",
        call: "hex(value) -> text\nhex(value, digits) -> text",
        says: "A number as 0x and hexadecimal digits, without a sign.",
        group: GROUP,
    },
    Entry {
        name: "table",
        call: "table(rows) -> text",
        says: "An array of arrays as a table; the first row is the header.",
        group: GROUP,
    },
    Entry {
        name: "help",
        call: "help() -> text\nhelp(name) -> text",
        says: "All functions in short, or what one function, or one register, is.",
        group: GROUP,
    },
];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("log", move |value: Dynamic| it.sink.log(&value.to_string()));
    let it = session.clone();
    engine.on_print(move |text| it.sink.log(text));
    let it = session.clone();
    engine.on_debug(move |text, _, position| it.sink.log(&format!("{position}: {text}")));
    engine.register_fn("hex", |value: INT| format!("{:#x}", bits(value)));
    engine.register_fn("hex", |value: INT, digits: INT| {
        let digits = usize::try_from(digits).ok().filter(|digits| *digits <= 64);
        let digits = digits.ok_or_else(|| failed("digits: give 0 to 64"))?;
        Ok::<_, Failure>(format!("{:#0width$x}", bits(value), width = digits + 2))
    });
    engine.register_fn("table", table);
    engine.register_fn("help", || help::overview(super::entries()));
    let it = session.clone();
    engine.register_fn("help", move |name: &str| help_on(&it, name));
}

fn table(rows: Array) -> Result<String, Failure> {
    let row = |row: Dynamic| {
        let cells =
            row.into_array().map_err(|found| failed(format!("table: a row is an array, not a {found}")))?;
        Ok(cells.iter().map(ToString::to_string).collect::<Vec<String>>())
    };
    let rows = rows.into_iter().map(row).collect::<Result<Vec<_>, Failure>>()?;
    Ok(tabular(&rows))
}

/// Of a function; of a register, if no function is called so.
fn help_on(session: &Session, name: &str) -> Result<String, Failure> {
    help::about(name, super::entries()).or_else(|| session.described(name)).ok_or_else(|| {
        failed(format!("there is no function and no register \"{name}\": help() lists the functions"))
    })
}
