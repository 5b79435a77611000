//! Registers as people look at them: one, one explained, all, and what changed.

use std::rc::Rc;

use rhai::{Array, Engine, INT, Map};

use super::super::super::Session;
use super::super::super::failure::{Failure, failed};
use super::super::super::number::{bits, int};
use super::super::super::registers::Access;
use super::super::super::tabular::tabular;
use super::{named, read};

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("show", move |name: &str| {
        let register = named(&it, name)?;
        let value = read(&it, &register)?;
        Ok::<_, Failure>(format!("{} = {}", register.name, register.decoded(value)))
    });
    let it = session.clone();
    engine.register_fn("decode", move |name: &str, value: INT| {
        Ok::<_, Failure>(named(&it, name)?.decoded(bits(value)))
    });
    let it = session.clone();
    engine.register_fn("describe", move |name: &str| Ok::<_, Failure>(named(&it, name)?.described()));
    let it = session.clone();
    engine.register_fn("registers", move || {
        it.registers.borrow().all().iter().map(|register| register.name.as_str().into()).collect::<Array>()
    });
    let it = session.clone();
    engine.register_fn("snapshot", move || snapshot(&it));
    let it = session.clone();
    engine.register_fn("diff", move |before: Map, after: Map| diff(&it, &before, &after));
}

fn snapshot(session: &Session) -> Result<Map, Failure> {
    let registers = session.registers.borrow().clone();
    let mut map = Map::new();
    for register in registers.all() {
        if register.is.access == Access::Wo || register.is.reading.is_some() {
            continue;
        }
        map.insert(register.name.as_str().into(), int(read(session, register)?).into());
    }
    Ok(map)
}

fn diff(session: &Session, before: &Map, after: &Map) -> Result<String, Failure> {
    let registers = session.registers.borrow().clone();
    let number = |map: &Map, name: &str| match map.get(name).map(|value| value.as_int()) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(bits(value))),
        Some(Err(found)) => Err(failed(format!("{name}: a snapshot holds numbers, not a {found}"))),
    };
    let mut rows = vec![vec!["register".to_owned(), "before".to_owned(), "after".to_owned()]];
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    for name in names {
        let (old, new) = (number(before, name)?, number(after, name)?);
        if old == new {
            continue;
        }
        let shown = |value: Option<u64>| match (value, registers.named(name)) {
            (None, _) => "-".to_owned(),
            (Some(value), Ok(register)) => register.decoded(value),
            (Some(value), Err(_)) => format!("{value:#x}"),
        };
        rows.push(vec![name.to_string(), shown(old), shown(new)]);
    }
    Ok(if rows.len() == 1 { "nothing changed".into() } else { tabular(&rows) })
}
