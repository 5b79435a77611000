//! Test cases, and errors that are expected.

use std::rc::Rc;

use rhai::{Dynamic, Engine, FnPtr, NativeCallContext};

use super::super::super::Session;
use super::super::super::error::explained;
use super::super::super::failure::{End, Failure};
use super::wish;

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("case", move |context: NativeCallContext, name: &str, body: FnPtr| {
        case(&it, &context, name, &body)
    });
    engine.register_fn("skip", |reason: &str| Err::<(), _>(End::Skipped(reason.to_owned()).thrown()));
    let it = session.clone();
    engine.register_fn("expect_error", move |context: NativeCallContext, body: FnPtr, part: &str| {
        expect_error(&it, &context, &body, part)
    });
}

/// Whether it passed. What ends the whole script is thrown on.
fn case(
    session: &Session,
    context: &NativeCallContext<'_>,
    name: &str,
    body: &FnPtr,
) -> Result<bool, Failure> {
    session.judge.begin(name);
    let result: Result<Dynamic, Failure> = body.call_within_context(context, ());
    let error = match result {
        Ok(_) => return Ok(session.judge.end(None)),
        Err(error) => error,
    };
    if let Some(End::Skipped(reason)) = End::of(&error) {
        session.judge.end(Some(reason));
        return Ok(true);
    }
    let ends = End::of(&error).is_some() || session.gone.borrow().is_some();
    if ends {
        // The script's own error is this one; here it is only noted whose case it was.
        session.judge.complain(explained(copied(&error)).complaint());
        session.judge.end(None);
        return Err(error);
    }
    session.complain(explained(*error).complaint());
    Ok(session.judge.end(None))
}

/// Errors cannot be copied; what a report needs of one can.
fn copied(error: &rhai::EvalAltResult) -> rhai::EvalAltResult {
    let text = End::of(error).map_or_else(|| error.to_string(), |end| end.says());
    rhai::EvalAltResult::ErrorRuntime(text.into(), error.position())
}

fn expect_error(
    session: &Session,
    context: &NativeCallContext<'_>,
    body: &FnPtr,
    part: &str,
) -> Result<bool, Failure> {
    let result: Result<Dynamic, Failure> = body.call_within_context(context, ());
    let error = match result {
        Ok(_) => {
            return wish(session, context, false, || {
                format!("nothing was thrown, expected an error with \"{part}\"")
            });
        }
        Err(error) => error,
    };
    if End::of(&error).is_some() {
        return Err(error);
    }
    let text = explained(*error).text;
    wish(session, context, text.contains(part), || {
        format!("thrown was \"{text}\", expected an error with \"{part}\"")
    })
}
