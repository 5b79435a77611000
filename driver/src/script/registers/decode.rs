//! What a register's value means: its fields, and their values' words.

use std::fmt::Write as _;

use super::place::Register;
use super::table::{Access, Field};

impl Register {
    /// The field of this name; capitals do not matter. The error names those that it has.
    pub(crate) fn field(&self, name: &str) -> Result<&Field, String> {
        let found = self.is.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let names: Vec<&str> = self.is.fields.iter().map(|field| field.name.as_str()).collect();
            match names.is_empty() {
                true => format!("{} has no fields", self.name),
                false => format!("{} has no field \"{name}\": it has {}", self.name, names.join(", ")),
            }
        })
    }

    /// A value in hexadecimal, as wide as the register, and decoded: `0x0000000000000001 STATUS=IDLE(1)`.
    pub(crate) fn decoded(&self, value: u64) -> String {
        let digits = 2 * usize::from(self.is.width);
        let mut text = format!("{value:#0width$x}", width = digits + 2);
        for field in &self.is.fields {
            // Writing to a String cannot fail.
            let _ = write!(text, " {}={}", field.name, field.shown(field.of(value)));
        }
        text
    }

    /// What it is, for people.
    pub(crate) fn described(&self) -> String {
        let is = &self.is;
        let mut text = format!(
            "{}: {} + {:#x}, {} bytes, {}",
            self.name,
            self.space,
            self.offset,
            is.width,
            access(is.access)
        );
        let mut add = |what: &str, said: &str| {
            if !said.is_empty() {
                let _ = write!(text, "\n  {what}{said}");
            }
        };
        add("", &is.doc);
        add("source: ", &is.clause);
        add("after a reset: ", &is.reset.map_or(String::new(), |value| self.decoded(value)));
        add("reading it: ", is.reading.as_deref().unwrap_or_default());
        for field in &is.fields {
            let values: Vec<String> =
                field.words.iter().map(|(value, word)| format!("{word}({value:#x})")).collect();
            let values = if values.is_empty() { String::new() } else { format!(" {}", values.join(", ")) };
            let said = format!(
                "{:<8} {:<20} {:<10} {}{values}",
                field.bits.to_string(),
                field.name,
                access(field.access),
                field.doc
            );
            add("", said.trim_end());
        }
        for forbid in &is.forbid {
            add("forbidden: ", &format!("{} ({})", forbid.reason, forbid.clause));
        }
        text
    }
}

impl Field {
    /// What a register's value has there.
    pub(crate) fn of(&self, value: u64) -> u64 {
        if self.address { value & self.bits.mask() } else { self.bits.of(value) }
    }

    /// A field's value in its place. The error says what fits.
    pub(crate) fn placed(&self, value: u64) -> Result<u64, String> {
        let most = self.of(u64::MAX);
        let fits = if self.address { value & !most == 0 } else { value <= most };
        match fits {
            true if self.address => Ok(value),
            true => Ok(value << self.bits.low),
            false if self.address => {
                Err(format!("{}: {value:#x} has bits outside of {}", self.name, self.bits))
            }
            false => Err(format!("{}: {value:#x} does not fit into bits {}", self.name, self.bits)),
        }
    }

    /// The word for a value.
    pub(crate) fn word(&self, value: u64) -> Option<&str> {
        self.words.get(&value).map(String::as_str)
    }

    /// The value that a word stands for; capitals do not matter. The error names the words that there are.
    pub(crate) fn number(&self, word: &str) -> Result<u64, String> {
        let found = self.words.iter().find(|(_, known)| known.eq_ignore_ascii_case(word));
        found.map(|(value, _)| *value).ok_or_else(|| {
            let words: Vec<&str> = self.words.values().map(String::as_str).collect();
            match words.is_empty() {
                true => format!("{}: its values have no words: give a number, not \"{word}\"", self.name),
                false => {
                    format!("{}: no value is called \"{word}\": there is {}", self.name, words.join(", "))
                }
            }
        })
    }

    /// A value with its word, if it has one: `IDLE(1)`.
    pub(crate) fn shown(&self, value: u64) -> String {
        match self.word(value) {
            Some(word) => format!("{word}({value})"),
            None if value < 10 => value.to_string(),
            None => format!("{value:#x}"),
        }
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Ro => "read only",
        Access::Rw => "read/write",
        Access::W1c => "write 1 to clear",
        Access::Wo => "write only",
    }
}
