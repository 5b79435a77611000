//! The digest as one JSON object, for programs.

use serde_json::{Value, json};

use super::digest::{Cell, Digest, Group};
use super::interval::wilson;
use crate::experiments::Class;

pub(super) fn json(digest: &Digest) -> String {
    let mut text = value(digest).to_string();
    text.push('\n');
    text
}

pub(super) fn value(digest: &Digest) -> Value {
    let cells = digest.cells.iter().map(
        |(fault, cell)| json!({ "point": fault.point, "action": fault.action, "classes": counts(cell), "total": cell.total() }),
    );
    json!({
        "header": digest.header,
        "experiments": digest.outcomes.len(),
        "activated": digest.activated(),
        "classes": classes(digest),
        "cells": cells.collect::<Vec<_>>(),
        "findings": digest.groups.iter().map(|it| group(digest, it)).collect::<Vec<_>>(),
        "new-findings": digest.new_findings().count(),
        "expected-but-gone": digest.gone,
    })
}

fn classes(digest: &Digest) -> Value {
    let fired = digest.activated();
    let row = |class: Class| {
        let count = digest.classes.count(class);
        let interval = wilson(count, fired);
        json!({ "class": class, "count": count, "finding": class.is_finding(), "low": interval.low, "high": interval.high })
    };
    Class::ALL.map(row).into_iter().collect()
}

fn counts(cell: &Cell) -> Value {
    Value::Object(cell.classes.iter().map(|(class, count)| (class.to_string(), json!(count))).collect())
}

fn group(digest: &Digest, group: &Group) -> Value {
    let minimal = group.ids.iter().find_map(|id| digest.minimal.get(id));
    json!({
        "signature": group.signature,
        "class": group.class,
        "count": group.ids.len(),
        "ids": group.ids,
        "reason": group.first.reason,
        "rules": group.first.rules,
        "replay": group.first.replay,
        "known": group.known,
        "minimal": minimal,
    })
}
