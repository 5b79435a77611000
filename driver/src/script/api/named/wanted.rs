//! What a register, or a field of it, shall be.

use std::rc::Rc;

use rhai::Dynamic;

use super::super::super::Session;
use super::super::super::failure::{Failure, about, failed};
use super::super::super::number::fitting;
use super::super::super::registers::Register;
use super::{field_value, named};

/// A value that a register, or one of its fields, shall have.
pub(in crate::script::api) struct Wanted {
    pub(in crate::script::api) register: Rc<Register>,
    /// Which of its fields; none for all of it.
    field: Option<usize>,
    value: u64,
}

impl Wanted {
    pub(in crate::script::api) fn whole(
        session: &Session,
        name: &str,
        value: &Dynamic,
    ) -> Result<Self, Failure> {
        let register = named(session, name)?;
        let number = value.as_int();
        let number =
            number.map_err(|found| failed(format!("{}: give a number, not a {found}", register.name)))?;
        let value = fitting(number, register.is.width.into());
        let value = value.map_err(|error| about(&register.name, *error))?;
        Ok(Self { register, field: None, value })
    }

    pub(in crate::script::api) fn field(
        session: &Session,
        name: &str,
        field: &str,
        value: &Dynamic,
    ) -> Result<Self, Failure> {
        let register = named(session, name)?;
        let found = register.field(field).map_err(failed)?;
        let value = field_value(&register, found, value)?;
        found.placed(value).map_err(|what| failed(format!("{}.{what}", register.name)))?;
        let index = register.is.fields.iter().position(|one| one.name == found.name);
        Ok(Self { register, field: index, value })
    }

    /// The part of the register's value that is meant.
    pub(in crate::script::api) fn part(&self, value: u64) -> u64 {
        self.field.map_or(value, |index| self.register.is.fields[index].of(value))
    }

    pub(in crate::script::api) fn is(&self, value: u64) -> bool {
        self.part(value) == self.value
    }

    pub(in crate::script::api) fn name(&self) -> String {
        match self.field {
            Some(index) => format!("{}.{}", self.register.name, self.register.is.fields[index].name),
            None => self.register.name.clone(),
        }
    }

    pub(in crate::script::api) fn shown(&self) -> String {
        match self.field {
            Some(index) => self.register.is.fields[index].shown(self.value),
            None => self.register.decoded(self.value),
        }
    }
}
