//! Interrupts: enabled, counted, waited for, held back.

use std::rc::Rc;
use std::time::Duration;

use ioat_stage::pause::deadline;
use rhai::{Engine, INT, Map};

use super::super::failure::{Failure, failed, of_hw};
use super::super::number::{int, natural, small};
use super::super::{Entry, Session};
use crate::hw::InterruptKind;

const GROUP: &str = "Interrupts";

macro_rules! entries {
    ($($name:literal, $call:literal, $says:literal;)*) => {
        &[$(Entry { name: $name, call: $call, says: $says, group: GROUP },)*]
    };
}

pub(super) const ENTRIES: &[Entry] = entries! {
    "irq_kinds", "irq_kinds() -> #{intx, msi, msix}", "How many vectors of each kind the device offers.";
    "irq_enable", "irq_enable(\"intx\"|\"msi\"|\"msix\", count)",
        "Enables the first vectors of a kind, and no other kind; all counts begin at 0.";
    "irq_disable", "irq_disable()", "Disables all interrupts.";
    "irq_count", "irq_count(vector) -> count", "How many interrupts of this vector were delivered since irq_enable.";
    "irq_wait", "irq_wait(vector, timeout_ms) -> count",
        "Waits for interrupts and says how many came since the last wait; fails when none comes in time. A line that \
         has fired is opened again first.";
    "irq_try_wait", "irq_try_wait(vector, timeout_ms) -> count", "As irq_wait, but 0 when none comes in time.";
    "irq_hold", "irq_hold(vector)", "Interrupts of this vector are held back in software from now on.";
    "irq_release", "irq_release(vector) -> count", "Delivers what was held back, and holds back no more.";
    "irq_held", "irq_held(vector) -> count", "How many interrupts are held back.";
    "irq_unmask", "irq_unmask()", "Lets a line fire again that has fired; the waits do it by themselves.";
};

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("irq_kinds", move || {
        let kinds =
            [("intx", InterruptKind::Line), ("msi", InterruptKind::Msi), ("msix", InterruptKind::Msix)];
        let offers = |kind| INT::from(it.device.interrupts.offers(kind));
        kinds.into_iter().map(|(name, kind)| (name.into(), offers(kind).into())).collect::<Map>()
    });
    let it = session.clone();
    engine.register_fn("irq_enable", move |name: &str, count: INT| {
        it.interrupts.enable(kind(name)?, small("count", count)?).map_err(failed)
    });
    let it = session.clone();
    engine.register_fn("irq_disable", move || it.interrupts.disable().map_err(|error| of_hw(&it, &error)));
    let it = session.clone();
    engine.register_fn("irq_unmask", move || it.interrupts.unmask().map_err(|error| of_hw(&it, &error)));
    counting(engine, session);
    waiting(engine, session);
}

fn counting(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("irq_count", move |vector: INT| {
        it.interrupts.counts(small("vector", vector)?).map(|counts| int(counts.delivered)).map_err(failed)
    });
    let it = session.clone();
    engine.register_fn("irq_held", move |vector: INT| {
        it.interrupts.counts(small("vector", vector)?).map(|counts| int(counts.held)).map_err(failed)
    });
    let it = session.clone();
    engine.register_fn("irq_hold", move |vector: INT| {
        it.interrupts.hold(small("vector", vector)?, true).map(|_| ()).map_err(failed)
    });
    let it = session.clone();
    engine.register_fn("irq_release", move |vector: INT| {
        it.interrupts.hold(small("vector", vector)?, false).map(int).map_err(failed)
    });
}

fn waiting(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("irq_try_wait", move |vector: INT, timeout_ms: INT| {
        wait(&it, small("vector", vector)?, natural("timeout", timeout_ms)?).map(int)
    });
    let it = session.clone();
    engine.register_fn("irq_wait", move |vector: INT, timeout_ms: INT| {
        let (vector, timeout_ms) = (small("vector", vector)?, natural("timeout", timeout_ms)?);
        match wait(&it, vector, timeout_ms)? {
            0 => Err(failed(nothing_came(&it, vector, timeout_ms)?)),
            times => Ok(int(times)),
        }
    });
}

fn kind(name: &str) -> Result<InterruptKind, Failure> {
    match name {
        "intx" => Ok(InterruptKind::Line),
        "msi" => Ok(InterruptKind::Msi),
        "msix" => Ok(InterruptKind::Msix),
        other => Err(failed(format!("interrupts of kind \"{other}\": give \"intx\", \"msi\" or \"msix\""))),
    }
}

/// How many came since the last wait; 0 when the time is over.
fn wait(session: &Session, vector: u32, timeout_ms: u64) -> Result<u64, Failure> {
    let pause = &session.device.pause;
    let until = deadline(&**pause, Duration::from_millis(timeout_ms));
    let mut opened = false;
    loop {
        let left = Duration::from_nanos(until.saturating_sub(pause.now_ns())).min(Session::SLICE);
        let look = || Ok(Some(session.interrupts.take(vector)?).filter(|times| *times > 0));
        // Nothing has come: a line may be masked, and then nothing would.
        let found = match opened {
            true => session.interrupts.sleep_unless(left, look).map_err(failed)?,
            false => look().map_err(failed)?,
        };
        if let Some(times) = found {
            return Ok(times);
        }
        if !opened {
            session.interrupts.unmask().map_err(|error| of_hw(session, &error))?;
            opened = true;
            continue;
        }
        session.go_on()?;
        if pause.now_ns() >= until {
            // What came while the time ran out is not lost.
            return session.interrupts.take(vector).map_err(failed);
        }
    }
}

fn nothing_came(session: &Session, vector: u32, timeout_ms: u64) -> Result<String, Failure> {
    let counts = session.interrupts.counts(vector).map_err(failed)?;
    let (kind, count) =
        session.interrupts.enabled().map_or(("no kind".into(), 0), |(kind, count)| (kind.to_string(), count));
    let others = (0..count).filter(|other| *other != vector).filter_map(|other| {
        let delivered = session.interrupts.counts(other).ok()?.delivered;
        (delivered > 0).then(|| format!(", vector {other}: {delivered}"))
    });
    Ok(format!(
        "no interrupt of {kind} vector {vector} within {timeout_ms} ms: expected at least 1, last seen: {} delivered so \
         far, {} held back{}",
        counts.delivered,
        counts.held,
        others.collect::<String>()
    ))
}
