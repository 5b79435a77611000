//! Waiting for the device, with an end to every wait.

use std::rc::Rc;
use std::time::Duration;

use ioat_stage::pause::deadline;
use rhai::{Dynamic, Engine, FnPtr, INT, NativeCallContext};

use super::super::failure::{Failure, failed};
use super::super::number::{int, natural};
use super::super::{Entry, Session};
use super::named::{self, Wanted};

const GROUP: &str = "Waiting";

macro_rules! entries {
    ($($name:literal, $call:literal, $says:literal;)*) => {
        &[$(Entry { name: $name, call: $call, says: $says, group: GROUP },)*]
    };
}

pub(super) const ENTRIES: &[Entry] = entries! {
    "wait_until", "wait_until(|| condition, timeout_ms)\nwait_until(|| condition, timeout_ms, what)",
        "Asks again and again until the condition holds; fails when the time is over, and says what was read last.";
    "wait_reg", "wait_reg(name, value, timeout_ms) -> value\nwait_reg(name, field, value, timeout_ms) -> value",
        "Reads a register until it, or a field of it, has this value; fails when the time is over, and says what it was \
         last.";
    "sleep_ms", "sleep_ms(n)", "Lets so many milliseconds pass.";
    "now_us", "now_us() -> microseconds", "The time of a clock that only goes forward.";
};

/// Looks that come one after the other before a wait sleeps between two.
const EAGER: u32 = 64;
/// How long it sleeps then.
const NAP: Duration = Duration::from_micros(200);

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("wait_until", move |context: NativeCallContext, condition: FnPtr, timeout_ms: INT| {
        until(&it, &context, &condition, timeout_ms, "the condition")
    });
    let it = session.clone();
    engine.register_fn(
        "wait_until",
        move |context: NativeCallContext, condition: FnPtr, timeout_ms: INT, what: &str| {
            until(&it, &context, &condition, timeout_ms, what)
        },
    );
    let it = session.clone();
    engine.register_fn("wait_reg", move |name: &str, value: Dynamic, timeout_ms: INT| {
        register_is(&it, &Wanted::whole(&it, name, &value)?, timeout_ms)
    });
    let it = session.clone();
    engine.register_fn("wait_reg", move |name: &str, field: &str, value: Dynamic, timeout_ms: INT| {
        register_is(&it, &Wanted::field(&it, name, field, &value)?, timeout_ms)
    });
    let it = session.clone();
    engine.register_fn("sleep_ms", move |ms: INT| {
        it.sleep(Duration::from_millis(natural("milliseconds", ms)?))
    });
    let it = session.clone();
    engine.register_fn("now_us", move || int(it.device.pause.now_ns() / 1000));
}

fn until(
    session: &Session,
    context: &NativeCallContext<'_>,
    condition: &FnPtr,
    timeout_ms: INT,
    what: &str,
) -> Result<(), Failure> {
    session.seen.replace(None);
    let timeout_ms = natural("timeout", timeout_ms)?;
    let holds = again_and_again(session, timeout_ms, || {
        let value: Dynamic = condition.call_within_context(context, ())?;
        let holds = value.as_bool();
        holds.map_err(|found| failed(format!("wait_until: the condition gives true or false, not a {found}")))
    })?;
    if holds {
        return Ok(());
    }
    let seen = session.seen.borrow().as_ref().map(|seen| format!(": last seen: {seen}")).unwrap_or_default();
    Err(failed(format!("{what} did not hold within {timeout_ms} ms{seen}")))
}

fn register_is(session: &Session, wanted: &Wanted, timeout_ms: INT) -> Result<INT, Failure> {
    let timeout_ms = natural("timeout", timeout_ms)?;
    let mut last = 0;
    let is = again_and_again(session, timeout_ms, || {
        last = named::read(session, &wanted.register)?;
        Ok(wanted.is(last))
    })?;
    if is {
        return Ok(int(wanted.part(last)));
    }
    Err(failed(format!(
        "{} did not become {} within {timeout_ms} ms: last read {}",
        wanted.name(),
        wanted.shown(),
        wanted.register.decoded(last)
    )))
}

/// Whether it held before the time was over. It is asked at least once, and once more after the time is over.
fn again_and_again(
    session: &Session,
    timeout_ms: u64,
    mut ask: impl FnMut() -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let pause = session.device.pause.clone();
    let end = deadline(&*pause, Duration::from_millis(timeout_ms));
    let mut asked = 0;
    loop {
        let over = pause.now_ns() >= end;
        if ask()? {
            return Ok(true);
        }
        if over {
            return Ok(false);
        }
        session.go_on()?;
        asked += 1;
        if asked < EAGER { pause.relax() } else { pause.sleep(NAP) }
    }
}
