//! Faults: rules that make a virtual device deviate, armed while it works.

use std::rc::Rc;
use std::sync::Arc;

use ioat_stage::fault::Fired;
use ioat_stage::{ArmedRule, Rule};
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
        says: "Arms a fault rule, POINT[ch=N]: TRIGGER ACTION. It counts the operations that come from now on, and is disarmed \
               when the session ends. A device that takes no rules throws, and says what to do.",
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

fn arm(session: &Session, rule: &str) -> Result<INT, Failure> {
    let rule: Rule = rule.parse().map_err(|error| failed(format!("{error}")))?;
    let desk = desk(session)?.clone();
    let id = desk.arm(rule).map_err(failed)?;
    // A device program outlives the script: the next one must not meet this one's rules. Who has disarmed it already
    // does no harm.
    session.undos.add(format!("fault rule {id} is still armed"), move || desk.disarm(id).map(drop));
    Ok(int(id))
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

fn fired_shown(fired: &Fired) -> Map {
    let Fired { rule, nth, op, channel_nth } = fired;
    let channel = op.channel.map_or(Dynamic::UNIT, |channel| INT::from(channel).into());
    let filter = op.channel.map(|channel| format!("[ch={channel}]")).unwrap_or_default();
    map([
        ("rule", rule.to_string().into()),
        ("channel", channel),
        ("nth", int(*nth).into()),
        ("again", format!("{}{filter}: nth({channel_nth})", rule.point).into()),
        ("address", int(op.address).into()),
    ])
}
