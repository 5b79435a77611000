//! Fault rules: which there can be, which there are, and what they did.

use ioat_spec::ChanErr;
use ioat_stage::fault::catalog::CATALOG;
use ioat_stage::fault::{Action, Fired, RuleContext, RulePlace, check_all};
use ioat_stage::{Point, Rule};
use serde_json::{Value, json};

use crate::control::desk::{Answer, Desk};
use crate::control::given::{Given, invalid};
use crate::control::protocol::{Class, Complaint};

/// How many firings are listed unless told otherwise.
const LAST: usize = 256;

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn query_points(_: &Desk, _: &Given) -> Result<Answer, Complaint> {
    let point = |point: &Point| {
        let actions: Vec<_> =
            CATALOG.iter().filter(|entry| entry.point == *point).map(|entry| entry.action).collect();
        json!({ "name": point.name(), "actions": actions })
    };
    let action = |(word, form): &(&str, &str)| {
        let points: Vec<_> =
            CATALOG.iter().filter(|entry| entry.action == *word).map(|entry| entry.point.name()).collect();
        json!({ "name": word, "form": form, "points": points })
    };
    let bit = |(bit, name): &(u32, &str)| json!({ "bit": bit, "name": name });
    Ok(Answer::Now(json!({
        "shape": "POINT[ch=N]: TRIGGER ACTION",
        // Those that this device asks about; the driver's are not here.
        "points": Point::ALL.iter().filter(|point| !point.is_drivers()).map(point).collect::<Vec<_>>(),
        "actions": Action::FORMS.iter().map(action).collect::<Vec<_>>(),
        "triggers": [
            { "name": "nth", "form": "nth(N)", "says": "at the N-th operation since the rule was armed; the first is 1" },
            { "name": "every", "form": "every(K)", "says": "at the K-th, the 2K-th, and so on" },
        ],
        "chanerr-bits": ChanErr::NAMED.iter().map(bit).collect::<Vec<_>>(),
    })))
}

pub(crate) fn arm(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let text = given.text("rule").unwrap_or_default();
    let rule: Rule = text.parse().map_err(|error: ioat_stage::RuleError| invalid(error.to_string()))?;
    let profile = desk.controls.profile();
    let context = RuleContext::new(profile.channels, profile.vectors(), RulePlace::Device);
    let mut rules: Vec<_> = desk.book.rules().into_iter().map(|armed| armed.rule).collect();
    rules.push(rule.clone());
    check_all(&rules, &context).map_err(|error| invalid(error.to_string()))?;
    let words = rule.to_string();
    let id = desk.book.arm(rule);
    Ok(Answer::Now(json!({ "id": id, "rule": words })))
}

pub(crate) fn disarm(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let id = given.uint("id").unwrap_or_default();
    if desk.book.disarm(id) {
        return Ok(Answer::Now(json!({ "id": id })));
    }
    let ids: Vec<_> = desk.book.rules().iter().map(|armed| armed.id.to_string()).collect();
    let armed = if ids.is_empty() { "none is".to_owned() } else { ids.join(", ") };
    Err(Complaint::new(Class::NotFound, format!("no rule {id} is armed: armed are {armed}")))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn list(desk: &Desk, _: &Given) -> Result<Answer, Complaint> {
    let rules = desk.book.rules();
    let rule = |armed: &ioat_stage::ArmedRule| json!({ "id": armed.id, "rule": armed.rule.to_string(), "seen": armed.seen, "fired": armed.fired });
    Ok(Answer::Now(rules.iter().map(rule).collect()))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn fired(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let last = given.uint("last").map_or(LAST, |last| usize::try_from(last).unwrap_or(LAST));
    let fired = desk.book.fired();
    let from = fired.len().saturating_sub(last);
    Ok(Answer::Now(fired[from..].iter().map(fired_json).collect()))
}

pub(crate) fn fired_json(fired: &Fired) -> Value {
    json!({
        "rule": fired.rule.to_string(),
        "nth": fired.nth,
        "channel": fired.op.channel,
        "channel-nth": fired.channel_nth,
        "again": fired.again().to_string(),
        "sequence": fired.op.sequence,
        "address": fired.op.address,
        "len": fired.op.len,
    })
}
