//! A request's arguments, checked against what the command takes.

use serde_json::{Map, Value};

use super::catalog::{Argument, Kind};
use super::protocol::{Class, Complaint};

/// Checked arguments: each is one that the command has, of its type, and those that must be there are.
#[derive(Debug)]
pub(crate) struct Given(Map<String, Value>);

impl Given {
    pub(crate) fn check(arguments: Map<String, Value>, takes: &[Argument]) -> Result<Self, Complaint> {
        for (name, value) in &arguments {
            let Some(argument) = takes.iter().find(|argument| argument.name == name) else {
                return Err(invalid(format!("unknown argument '{name}': it takes {}", list(takes))));
            };
            if !fits(value, argument.kind) {
                return Err(invalid(format!(
                    "argument '{name}' is {}, expected {}",
                    short(value),
                    argument.kind.says()
                )));
            }
        }
        let missing =
            takes.iter().find(|argument| argument.required && !arguments.contains_key(argument.name));
        match missing {
            Some(Argument { name, kind, .. }) => {
                Err(invalid(format!("argument '{name}' is missing: {}", kind.says())))
            }
            None => Ok(Self(arguments)),
        }
    }

    pub(crate) fn uint(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

pub(crate) fn invalid(desc: String) -> Complaint {
    Complaint::new(Class::InvalidArgument, desc)
}

fn fits(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Uint { min, max } => value.as_u64().is_some_and(|number| (min..=max).contains(&number)),
        Kind::Text => value.is_string(),
        Kind::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
    }
}

fn list(takes: &[Argument]) -> String {
    let names: Vec<_> = takes.iter().map(|argument| argument.name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A value in an error: not all of 64 KiB.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { text.chars().take(40).chain("...".chars()).collect() }
}
