//! Faults: rules that make a virtual device deviate, armed while it works.

use std::rc::Rc;
use std::sync::Arc;

use ioat_stage::fault::{Fired, expand};
use ioat_stage::{ArmedRule, Point};
use rhai::{Array, Dynamic, Engine, INT, Map};

use super::super::failure::{Failure, failed};
use super::super::number::{bits, int};
use super::super::{Entry, FaultDesk, Session};
use super::map::map;

const GROUP: &str = "Faults and trace";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "fault",
        call: "fault(\"msix[ch=0]: nth(1) drop\") -> id",
        says: "Arms a fault rule, [NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION, or the rules of `errata:NAME`: then it \
               gives an array of ids. It counts the operations that come from now on, and is disarmed when the session ends. A rule \
               that can never fire throws, and so does a device that takes no rules: it says what to do. scripts/experiments/FAULTS.md \
               has every word.",
        group: GROUP,
    },
    Entry {
        name: "fault_named",
        call: "fault_named(name) -> id",
        says: "Arms the rule of this name that rests because of `armed=command`.",
        group: GROUP,
    },
    Entry {
        name: "fault_clear",
        call: "fault_clear()",
        says: "Takes all rules out, those of others too, and forgets what fired and what census counted.",
        group: GROUP,
    },
    Entry {
        name: "census",
        call: "census(true)",
        says: "Counts the operations of every fault point from now on, from 0; census(false) ends it.",
        group: GROUP,
    },
    Entry {
        name: "operations",
        call: "operations() -> array of #{point, channel, count}",
        says: "What census has counted: how far nth(N) can go. `channel` is () for operations of none.",
        group: GROUP,
    },
    Entry {
        name: "disarm",
        call: "disarm(id)",
        says: "Takes the rule out that fault gave the number of.",
        group: GROUP,
    },
    Entry {
        name: "faults",
        call: "faults() -> array of #{id, rule, seen, fired}",
        says: "The rules that are armed: how many operations each has counted, and how often it fired.",
        group: GROUP,
    },
    Entry {
        name: "fired",
        call: "fired() -> array of #{rule, channel, nth, again, address}",
        says: "What rules did since the device was started, oldest first: `nth` by the rule's own count, and `again`, the trigger that hits the same \
               operation of that channel alone.",
        group: GROUP,
    },
];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("fault", move |rule: &str| arm(&it, rule));
    let it = session.clone();
    engine.register_fn("disarm", move |id: INT| disarm(&it, id));
    let it = session.clone();
    engine.register_fn("fault_named", move |name: &str| wake(&it, name));
    let it = session.clone();
    engine.register_fn("fault_clear", move || -> Result<(), Failure> { desk(&it)?.clear().map_err(failed) });
    let it = session.clone();
    engine.register_fn("census", move |on: bool| -> Result<(), Failure> {
        desk(&it)?.census(on).map_err(failed)
    });
    let it = session.clone();
    engine.register_fn("operations", move || operations(&it));
    let it = session.clone();
    engine.register_fn("faults", move || -> Result<Array, Failure> {
        let rules = desk(&it)?.rules().map_err(failed)?;
        Ok(rules.iter().map(|armed| armed_shown(armed).into()).collect())
    });
    let it = session.clone();
    engine.register_fn("fired", move || -> Result<Array, Failure> {
        let fired = desk(&it)?.fired().map_err(failed)?;
        Ok(fired.iter().map(|fired| fired_shown(fired).into()).collect())
    });
}

fn arm(session: &Session, text: &str) -> Result<Dynamic, Failure> {
    let rules = expand(text).map_err(|error| failed(format!("{error}")))?;
    let desk = desk(session)?.clone();
    let ids = desk.arm_all(rules).map_err(failed)?;
    for id in ids.iter().copied() {
        // A device program outlives the script: the next one must not meet this one's rules. Who has disarmed it already
        // does no harm.
        let desk = desk.clone();
        session.undos.add(format!("fault rule {id} is still armed"), move || desk.disarm(id).map(drop));
    }
    Ok(match ids[..] {
        [id] => int(id).into(),
        _ => ids.into_iter().map(|id| Dynamic::from(int(id))).collect::<Array>().into(),
    })
}

fn wake(session: &Session, name: &str) -> Result<INT, Failure> {
    match desk(session)?.arm_named(name).map_err(failed)? {
        Some(id) => Ok(int(id)),
        None => Err(failed(format!(
            "no rule of the name '{name}' rests (armed=command): faults() lists the rules"
        ))),
    }
}

fn operations(session: &Session) -> Result<Array, Failure> {
    let operations = desk(session)?.operations().map_err(failed)?;
    let row = |((point, channel), count): ((Point, Option<u8>), u64)| {
        let channel = channel.map_or(Dynamic::UNIT, |channel| INT::from(channel).into());
        map([("point", point.name().into()), ("channel", channel), ("count", int(count).into())]).into()
    };
    Ok(operations.into_iter().map(row).collect())
}

fn disarm(session: &Session, id: INT) -> Result<(), Failure> {
    match desk(session)?.disarm(bits(id)).map_err(failed)? {
        true => Ok(()),
        false => Err(failed(format!("no rule of number {id} is armed: faults() lists those that are"))),
    }
}

/// Who takes the rules; who cannot says what to do instead.
fn desk(session: &Session) -> Result<&Arc<dyn FaultDesk>, Failure> {
    session.faults.as_ref().ok_or_else(|| {
        let place = session.place();
        failed(match place.strip_prefix("socket:") {
            Some(path) => format!(
                "{place}: that device is another program's, and no way to its fault rules is open: start it with \
                 `vfio-user-ioat --socket-path {path} --control CONTROL`, and give this program --control CONTROL"
            ),
            None => format!(
                "{place}: a PCI function takes no fault rules: run on sim, or give the rules to the device program behind \
                 the function, `vfio-user-ioat --fault RULE`"
            ),
        })
    })
}

fn armed_shown(armed: &ArmedRule) -> Map {
    map([
        ("id", int(armed.id).into()),
        ("rule", armed.rule.to_string().into()),
        ("seen", int(armed.seen).into()),
        ("fired", int(armed.fired).into()),
    ])
}

/// Where and when, without what.
fn again(fired: &Fired) -> String {
    let again = fired.again();
    let text = again.to_string();
    text.strip_suffix(&format!(" {}", again.action)).map_or(text.clone(), str::to_owned)
}

fn fired_shown(fired: &Fired) -> Map {
    let Fired { rule, nth, op, .. } = fired;
    let channel = op.channel.map_or(Dynamic::UNIT, |channel| INT::from(channel).into());
    map([
        ("rule", rule.to_string().into()),
        ("channel", channel),
        ("nth", int(*nth).into()),
        ("again", again(fired).into()),
        ("address", int(op.address).into()),
    ])
}
