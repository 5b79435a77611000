//! Answers and events for people: tables where there are rows, names and values where not.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::table::Table;

/// Members that are addresses or bits.
const HEX: &[&str] = &[
    "address",
    "completed",
    "chanerr",
    "chainaddr",
    "chancmp",
    "cdar",
    "value",
    "offset",
    "vendor",
    "device",
    "revision",
    "subsystem-vendor",
    "subsystem",
];
/// Members that come first in a row, in this order; the others follow by name.
const FIRST: &[&str] = &["id", "name", "space", "channel", "state", "rule", "offset", "width", "value"];

/// What a command returned.
pub(super) fn value(command: &str, value: &Value) -> String {
    if command == "query-commands" {
        return help(value, None).unwrap_or_default();
    }
    block(value)
}

/// One event, one line.
pub(super) fn event(event: &Value) -> String {
    let stamp = &event["timestamp"];
    let name = event["event"].as_str().unwrap_or("?");
    let seconds = stamp["seconds"].as_u64().unwrap_or_default();
    let micros = stamp["microseconds"].as_u64().unwrap_or_default();
    let data = event["data"].as_object().map(pairs).unwrap_or_default();
    format!("{seconds}.{micros:06} {name} {data}").trim_end().to_owned() + "\n"
}

/// The command of this name in what `query-commands` returned.
pub(super) fn command<'a>(catalog: &'a Value, name: &str) -> Option<&'a Value> {
    catalog["commands"].as_array()?.iter().find(|command| command["name"] == name)
}

/// Help on one command, or all.
pub(super) fn help(catalog: &Value, name: Option<&str>) -> Result<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(name) = name {
        let command =
            command(catalog, name).ok_or_else(|| format!("no command '{name}': `help` lists them"))?;
        let mut help = format!("{name}: {}\n", text(&command["says"]));
        for argument in command["arguments"].as_array().into_iter().flatten() {
            let must = if argument["required"] == true { "" } else { ", may be left out" };
            let (name, kind) = (text(&argument["name"]), text(&argument["type"]));
            let _ = writeln!(help, "  {name}=<{kind}>  {}{must}", text(&argument["says"]));
        }
        let errors = command["errors"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        let _ = writeln!(help, "  returns {}\n  errors: {}", text(&command["returns"]), errors.join(", "));
        return Ok(help);
    }
    let mut table = Table::new(&["command", "arguments", "what it does"]);
    for command in catalog["commands"].as_array().into_iter().flatten() {
        let arguments = command["arguments"].as_array().into_iter().flatten().map(|argument| {
            let name = text(&argument["name"]);
            if argument["required"] == true { name } else { format!("[{name}]") }
        });
        let arguments = arguments.collect::<Vec<_>>().join(" ");
        table.row([text(&command["name"]), arguments, text(&command["says"])]);
    }
    let mut events = Table::new(&["event", "what it says"]);
    for event in catalog["events"].as_array().into_iter().flatten() {
        events.row([text(&event["name"]), text(&event["says"])]);
    }
    Ok(format!("{table}\n{events}"))
}

fn block(value: &Value) -> String {
    match value {
        Value::Array(rows) if rows.is_empty() => "none\n".to_owned(),
        Value::Array(rows) if rows.iter().all(Value::is_object) => rows_table(rows),
        Value::Object(members) if members.is_empty() => "done\n".to_owned(),
        Value::Object(members) => members_block(members),
        other => cell("", other) + "\n",
    }
}

/// Plain members first, then a block for each list of rows.
fn members_block(members: &Map<String, Value>) -> String {
    let is_rows = |value: &Value| {
        value.as_array().is_some_and(|rows| !rows.is_empty() && rows.iter().all(Value::is_object))
    };
    let mut out = String::new();
    let width = members.keys().map(String::len).max().unwrap_or(0);
    for name in ordered(members.keys()) {
        if !is_rows(&members[name]) {
            let _ = writeln!(out, "{name:<width$}  {}", cell(name, &members[name]));
        }
    }
    for name in ordered(members.keys()) {
        if let Some(rows) = members[name].as_array().filter(|_| is_rows(&members[name])) {
            let _ = write!(out, "\n{name}:\n{}", rows_table(rows));
        }
    }
    out
}

fn rows_table(rows: &[Value]) -> String {
    let rows: Vec<_> = rows.iter().filter_map(Value::as_object).collect();
    let mut names: Vec<&String> = rows.iter().flat_map(|row| row.keys()).collect();
    names.sort();
    names.dedup();
    let names = ordered(names);
    let mut table = Table::new(&names);
    for row in rows {
        table
            .row(names.iter().map(|name| row.get(*name).map_or_else(String::new, |value| cell(name, value))));
    }
    table.to_string()
}

fn ordered<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.sort_by_key(|name| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
    names
}

fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) if HEX.contains(&name) => {
            number.as_u64().map_or_else(|| number.to_string(), |bits| format!("{bits:#x}"))
        }
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| cell(name, item)).collect::<Vec<_>>().join(", "),
        Value::Object(members) => pairs(members),
    }
}

fn pairs(members: &Map<String, Value>) -> String {
    let names = ordered(members.keys());
    names.iter().map(|name| format!("{name}={}", cell(name, &members[*name]))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_become_a_table_with_hexadecimal_addresses() {
        let rows =
            json!([{ "channel": 0, "state": "idle", "chainaddr": 4096, "paused": false, "vector": null }]);
        assert_eq!(
            value("query-channels", &rows),
            "channel  state  chainaddr  paused  vector\n0         idle     0x1000      no  -\n"
        );
        assert_eq!(value("fault-list", &json!([])), "none\n");
        assert_eq!(value("reset", &json!({})), "done\n");
    }

    #[test]
    fn an_event_is_a_line() {
        let event_json = json!({
            "event": "CHANNEL_HALTED",
            "data": { "channel": 1, "chanerr-bits": ["control"] },
            "timestamp": { "seconds": 5, "microseconds": 42, "t_ns": 1 },
        });
        assert_eq!(event(&event_json), "5.000042 CHANNEL_HALTED channel=1 chanerr-bits=control\n");
    }
}
