//! The lines: what a request is, and how replies and events look.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// The longest line of a client, newline included.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// Clients at once; one more is told so, and turned away.
pub const MAX_PEERS: usize = 128;

/// What kind of error it is, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Not a request: no JSON, no object, too long, members missing or unknown.
    InvalidRequest,
    /// No such command.
    CommandNotFound,
    /// An argument is missing, unknown, or not what it should be.
    InvalidArgument,
    /// There is no such channel, rule or register.
    NotFound,
    /// Not in this state.
    Refused,
    /// The system said no.
    IoError,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::InvalidRequest,
        Self::CommandNotFound,
        Self::InvalidArgument,
        Self::NotFound,
        Self::Refused,
        Self::IoError,
    ];

    /// Its word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::CommandNotFound => "CommandNotFound",
            Self::InvalidArgument => "InvalidArgument",
            Self::NotFound => "NotFound",
            Self::Refused => "Refused",
            Self::IoError => "IoError",
        }
    }
}

/// Why a request was not carried out. Nothing is changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{desc}")]
pub(crate) struct Complaint {
    pub(crate) class: Class,
    pub(crate) desc: String,
}

impl Complaint {
    pub(crate) fn new(class: Class, desc: impl Into<String>) -> Self {
        Self { class, desc: desc.into() }
    }
}

/// A line that is a request.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Request {
    pub(crate) execute: String,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) id: Option<Value>,
}

/// Reads a line. With what is wrong, the `id`, if there was one to be found.
pub(crate) fn read(line: &[u8]) -> Result<Request, (Complaint, Option<Value>)> {
    let invalid = |desc: String| Complaint::new(Class::InvalidRequest, desc);
    // serde_json refuses bad UTF-8, and more than 128 levels of nesting.
    let value =
        serde_json::from_slice(line).map_err(|error| (invalid(format!("not JSON: {error}")), None))?;
    let Value::Object(mut members) = value else {
        return Err((invalid("a request is an object with the member 'execute'".into()), None));
    };
    let id = members.remove("id");
    let refused = |desc| Err((invalid(desc), id.clone()));
    let execute = match members.remove("execute") {
        Some(Value::String(name)) => name,
        Some(_) => return refused("'execute' is a string: the command's name".into()),
        None => return refused("a request has the member 'execute'".into()),
    };
    let arguments = match members.remove("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return refused("'arguments' is an object".into()),
    };
    if let Some(name) = members.keys().next() {
        return refused(format!("unknown member '{name}': a request has execute, arguments and id"));
    }
    Ok(Request { execute, arguments, id })
}

/// The reply's line.
pub(crate) fn reply(outcome: Result<Value, Complaint>, id: Option<Value>) -> Vec<u8> {
    let mut reply = match outcome {
        Ok(value) => json!({ "return": value }),
        Err(Complaint { class, desc }) => json!({ "error": { "class": class.name(), "desc": desc } }),
    };
    if let Some(id) = id {
        reply["id"] = id;
    }
    line(&reply)
}

/// When an event was: by the clock on the wall, and by the clock of trace files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) wall: SystemTime,
    pub(crate) t_ns: u64,
}

/// An event's line.
pub(crate) fn event(name: &str, data: &Value, stamp: Stamp) -> Vec<u8> {
    let wall = stamp.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    line(&json!({
        "event": name,
        "data": data,
        "timestamp": { "seconds": wall.as_secs(), "microseconds": wall.subsec_micros(), "t_ns": stamp.t_ns },
    }))
}

pub(crate) fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(line: &[u8]) -> (String, Option<Value>) {
        let (complaint, id) = read(line).unwrap_err();
        assert_eq!(complaint.class, Class::InvalidRequest);
        (complaint.desc, id)
    }

    #[test]
    fn a_line_that_is_no_request_says_why_and_keeps_its_id() {
        for (line, part) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("\u{0}", "not JSON"),
            ("[1]", "a request is an object"),
            ("{}", "has the member 'execute'"),
            (r#"{"execute": 1}"#, "'execute' is a string"),
            (r#"{"execute": "a", "arguments": 1}"#, "'arguments' is an object"),
            (r#"{"execute": "a", "run": 1}"#, "unknown member 'run'"),
        ] {
            assert!(refusal(line.as_bytes()).0.contains(part), "{line}");
        }
        assert!(refusal(b"{\"execute\": \"\xff\"}").0.contains("not JSON"));
        assert!(refusal("[".repeat(60_000).as_bytes()).0.contains("not JSON"));
        assert_eq!(refusal(br#"{"execute": 1, "id": [7]}"#).1, Some(json!([7])));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&line);
        }
    }
}
