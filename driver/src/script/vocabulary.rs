//! The names of a session's registers, and what their values mean, for whoever talks with a person. Nothing here
//! touches the device.

use super::number::bits;
use super::{Session, registers::Register};

/// A register's name with those of its fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisterNames {
    /// As a script writes it.
    pub name: String,
    /// Its fields, each with the words for its values.
    pub fields: Vec<(String, Vec<String>)>,
}

impl Session {
    /// The device, as a person knows it.
    #[must_use]
    pub fn device_name(&self) -> String {
        self.device.name.clone()
    }

    /// All registers that have a name, in the order of their tables.
    #[must_use]
    pub fn vocabulary(&self) -> Vec<RegisterNames> {
        self.registers.borrow().all().iter().map(|register| names(register)).collect()
    }

    /// What the register of this name is, with its fields; none if there is no such register.
    #[must_use]
    pub fn described(&self, name: &str) -> Option<String> {
        self.registers.borrow().named(name).ok().map(|register| register.described())
    }

    /// What a value that was read from this register, or from this field of it, means; none if there is no such.
    #[must_use]
    pub fn decoded(&self, register: &str, field: Option<&str>, value: i64) -> Option<String> {
        let registers = self.registers.borrow();
        let register = registers.named(register).ok()?;
        let value = bits(value);
        Some(match field {
            None => format!("{} = {}", register.name, register.decoded(value)),
            Some(field) => {
                let field = register.field(field).ok()?;
                let word = field.word(value).map_or(String::new(), |word| format!(" {word}"));
                format!("{}.{} = {value} ({value:#x}){word}", register.name, field.name)
            }
        })
    }
}

fn names(register: &Register) -> RegisterNames {
    let fields = register.is.fields.iter();
    let fields = fields.map(|field| (field.name.clone(), field.words.values().cloned().collect()));
    RegisterNames { name: register.name.clone(), fields: fields.collect() }
}
