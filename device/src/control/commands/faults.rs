//! Fault rules: which there can be, which there are, and what they did.

use ioat_spec::ChanErr;
use ioat_stage::fault::catalog::{CATALOG, Entry};
use ioat_stage::fault::{Action, ERRATA, Erratum, FILTERS, Fired, Form, SHAPE, TRIGGERS, expand_all};
use ioat_stage::{Access, Point, Rule, RuleId};
use serde_json::{Value, json};

use crate::control::desk::{Answer, Desk};
use crate::control::given::{Given, invalid};
use crate::control::protocol::{Class, Complaint};

/// How many firings are listed unless told otherwise.
const LAST: usize = 256;

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn query_points(_: &Desk, _: &Given) -> Result<Answer, Complaint> {
    // Those that this device asks about; the driver's are not here.
    let rows = || CATALOG.iter().filter(|entry| !entry.point.is_drivers());
    let point = |point: &Point| {
        let actions: Vec<_> =
            rows().filter(|entry| entry.point == *point).map(|entry| entry.action).collect();
        let filters: Vec<_> = point.filters().map(|form| form.word).collect();
        json!({ "name": point.name(), "actions": actions, "filters": filters })
    };
    let action = |(word, form): &(&str, &str)| {
        let points: Vec<_> =
            rows().filter(|entry| entry.action == *word).map(|entry| entry.point.name()).collect();
        json!({ "name": word, "form": form, "points": points })
    };
    let bit = |(bit, name): &(u32, &str)| json!({ "bit": bit, "name": name });
    Ok(Answer::Now(json!({
        "shape": SHAPE,
        "points": Point::ALL.iter().filter(|point| !point.is_drivers()).map(point).collect::<Vec<_>>(),
        "actions": Action::FORMS.iter().map(action).collect::<Vec<_>>(),
        "filters": FILTERS.iter().map(form_json).collect::<Vec<_>>(),
        "triggers": TRIGGERS.iter().map(form_json).collect::<Vec<_>>(),
        "errata": ERRATA.iter().map(erratum_json).collect::<Vec<_>>(),
        "catalog": rows().map(entry_json).collect::<Vec<_>>(),
        "chanerr-bits": ChanErr::NAMED.iter().map(bit).collect::<Vec<_>>(),
    })))
}

fn form_json(form: &Form) -> Value {
    json!({ "name": form.word, "form": form.form, "says": form.says, "example": form.example })
}

fn erratum_json(erratum: &Erratum) -> Value {
    let Erratum { name, says, opt_in, rules } = erratum;
    json!({ "name": name, "says": says, "opt-in": opt_in, "rules": rules })
}

fn entry_json(entry: &Entry) -> Value {
    let (reach, why) = entry.reach.in_words();
    json!({
        "point": entry.point.name(),
        "action": entry.action,
        "class": entry.class.name(),
        "only": entry.only.map(Access::name),
        "samples": entry.samples,
        "reach": reach,
        "why": why,
        "says": entry.says,
    })
}

pub(crate) fn arm(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let rules = match (given.text("rule"), given.text("name")) {
        (Some(rules), None) => expand_all(rules.lines().filter(|line| !line.trim().is_empty())),
        (None, Some(name)) => return wake(desk, name),
        (None, None) => return Err(invalid("neither 'rule' nor 'name' is given: give one".to_owned())),
        (Some(_), Some(_)) => return Err(invalid("'rule' and 'name' are given: give one".to_owned())),
    };
    let rules = rules.map_err(|error| invalid(error.to_string()))?;
    let words: Vec<_> = rules.iter().map(Rule::to_string).collect();
    let ids = desk.book.admit(rules).map_err(|error| invalid(error.to_string()))?;
    let row = |(id, rule): (RuleId, String)| json!({ "id": id, "rule": rule });
    let mut rows: Vec<_> = ids.into_iter().zip(words).map(row).collect();
    match rows.len() {
        0 => Err(invalid("'rule' is empty: it takes a rule, or several, one in each line".to_owned())),
        1 => Ok(Answer::Now(rows.remove(0))),
        _ => Ok(Answer::Now(Value::Array(rows))),
    }
}

/// The rule of this name rests no longer.
fn wake(desk: &Desk, name: &str) -> Result<Answer, Complaint> {
    let rules = desk.book.rules();
    if let Some(id) = desk.book.arm_named(name) {
        let rule = rules.iter().find(|armed| armed.id == id).map(|armed| armed.rule.to_string());
        return Ok(Answer::Now(json!({ "id": id, "rule": rule })));
    }
    let rests = rules.iter().filter(|armed| armed.rule.rests()).filter_map(|armed| armed.rule.name.clone());
    let names: Vec<_> = rests.collect();
    let there = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
    let name: String = name.chars().take(64).collect();
    let desc = format!("no rule '{name}' with 'armed=command' is here: {there}");
    Err(Complaint::new(Class::NotFound, desc))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn clear(desk: &Desk, _: &Given) -> Result<Answer, Complaint> {
    desk.book.clear();
    Ok(Answer::Now(json!({})))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn census(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let on = given.text("switch") == Some("on");
    desk.book.census(on);
    Ok(Answer::Now(json!({ "switch": if on { "on" } else { "off" } })))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn query_operations(desk: &Desk, _: &Given) -> Result<Answer, Complaint> {
    let accesses = desk.book.accesses();
    let of = |point, channel, access| accesses.get(&(point, channel, access)).copied().unwrap_or(0);
    let row = |((point, channel), count): ((Point, Option<u8>), u64)| {
        let (reads, writes) =
            (of(point, channel, Some(Access::Read)), of(point, channel, Some(Access::Write)));
        json!({ "point": point.name(), "channel": channel, "count": count, "reads": reads, "writes": writes })
    };
    Ok(Answer::Now(desk.book.operations().into_iter().map(row).collect()))
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
