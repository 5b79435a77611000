//! What is wrong with a write.

use super::place::{Register, Registers};
use super::table::{Access, Field, Forbid, State, Test};
use crate::hw::Device;

/// Why a write should not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// The register, with its window.
    pub(crate) register: String,
    pub(crate) reason: String,
    pub(crate) clause: String,
}

impl Registers {
    /// What is wrong with writing `value` to `register`. `own` are the bits that the writer means: those that it only
    /// writes back as they were are not held against it. Reads what the table's conditions ask for, before the write.
    pub(crate) fn faults(&self, device: &Device, register: &Register, value: u64, own: u64) -> Vec<Fault> {
        let is = &register.is;
        let fault = |reason: String, clause: &str| Fault {
            register: register.name.clone(),
            reason,
            clause: if clause.is_empty() { is.clause.clone() } else { clause.to_owned() },
        };
        if is.access == Access::Ro {
            return vec![fault("the register is read only".into(), "")];
        }
        let mut faults = Vec::new();
        let defined = is.fields.iter().fold(0, |bits, field| bits | field.bits.mask());
        let reserved = value & own & !defined;
        if !is.fields.is_empty() && reserved != 0 {
            faults.push(fault(format!("bits {reserved:#x} are reserved: write 0"), ""));
        }
        // A whole register may well have such a field; a write of the field alone is a mistake.
        let changes = |field: &&Field| field.access == Access::Ro && own == field.bits.mask();
        if let Some(field) = is.fields.iter().find(changes) {
            faults.push(fault(format!("the field {} is read only", field.name), ""));
        }
        let hit = is.forbid.iter().filter(|forbid| self.holds(device, register, forbid, value));
        faults.extend(hit.map(|forbid| fault(forbid.reason.clone(), &forbid.clause)));
        faults
    }

    fn holds(&self, device: &Device, register: &Register, forbid: &Forbid, value: u64) -> bool {
        let written = forbid.bits.of(value);
        let tested = match &forbid.test {
            Test::Any => true,
            Test::Is(values) => values.contains(&written),
            Test::IsNot(values) => !values.contains(&written),
            Test::Several => written.count_ones() > 1,
            // A register that does not answer is told by the write itself.
            Test::Changed => register.read(device).is_ok_and(|now| forbid.bits.of(now) != written),
        };
        tested && forbid.state.as_ref().is_none_or(|state| self.stands(device, register, state))
    }

    fn stands(&self, device: &Device, of: &Register, state: &State) -> bool {
        let Some(register) = self.beside(of, &state.register) else { return false };
        let Ok(now) = register.read(device) else { return false };
        let now = state.bits.map_or(now, |bits| bits.of(now));
        if state.is.is_empty() { now != 0 } else { state.is.contains(&now) }
    }
}
