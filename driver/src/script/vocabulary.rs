//! The names of a session's registers, and what their values mean, for whoever talks with a person.

use super::Session;

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

    /// All registers that have a name.
    #[must_use]
    pub fn vocabulary(&self) -> Vec<RegisterNames> {
        Vec::new()
    }

    /// What a register is, with its fields.
    #[must_use]
    pub fn described(&self, _name: &str) -> Option<String> {
        None
    }

    /// What a value of this register, or of one of its fields, means.
    #[must_use]
    pub fn decoded(&self, _register: &str, _field: Option<&str>, _value: i64) -> Option<String> {
        None
    }
}
