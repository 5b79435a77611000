//! What is wrong with a write.

use super::bits::Bits;
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

/// What is written to a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Write {
    pub(crate) value: u64,
    /// The bits that reach the register; nothing is known of the others.
    reached: u64,
    /// The bits that the writer means: those that it only writes back as they were are not held against it.
    own: u64,
}

impl Write {
    /// All of a register.
    pub(crate) fn whole(value: u64) -> Self {
        Self { value, reached: u64::MAX, own: u64::MAX }
    }

    /// All of it, for the sake of one field.
    pub(crate) fn field(value: u64, own: u64) -> Self {
        Self { value, reached: u64::MAX, own }
    }

    /// Those bytes of an access that lie inside `register`: a half of a 64-bit register, say.
    pub(crate) fn part(register: &Register, offset: u64, width: usize, value: u64) -> Self {
        let bytes = |count: u64| u32::try_from(count.saturating_mul(8)).unwrap_or(u32::MAX);
        let place = |bits: u64| {
            let up = bits.checked_shl(bytes(offset.saturating_sub(register.offset))).unwrap_or(0);
            let placed = up.checked_shr(bytes(register.offset.saturating_sub(offset))).unwrap_or(0);
            placed & Bits::all(register.is.width).mask()
        };
        let written = u64::MAX.checked_shr(64 - 8 * u32::try_from(width).unwrap_or(8)).unwrap_or(0);
        let reached = place(written);
        Self { value: place(value & written), reached, own: reached }
    }
}

impl Registers {
    /// What is wrong with a write to `register`. Reads what the table's conditions ask for, before the write.
    pub(crate) fn faults(&self, device: &Device, register: &Register, write: Write) -> Vec<Fault> {
        let Write { value, own, .. } = write;
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
        let hit = is.forbid.iter().filter(|forbid| self.holds(device, register, forbid, write));
        faults.extend(hit.map(|forbid| fault(forbid.reason.clone(), &forbid.clause)));
        faults
    }

    fn holds(&self, device: &Device, register: &Register, forbid: &Forbid, write: Write) -> bool {
        let written = forbid.bits.of(write.value);
        let known = forbid.bits.mask() & !write.reached == 0;
        let tested = match &forbid.test {
            Test::Any => forbid.bits.mask() & write.reached != 0,
            // A register that does not answer is told by the write itself.
            Test::Changed => {
                let written = forbid.bits.mask() & write.reached;
                register.read(device).is_ok_and(|now| (now ^ write.value) & written != 0)
            }
            // Of bits that are not all written, nothing can be said.
            _ if !known => false,
            Test::Is(values) => values.contains(&written),
            Test::IsNot(values) => !values.contains(&written),
            Test::Several => written.count_ones() > 1,
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
