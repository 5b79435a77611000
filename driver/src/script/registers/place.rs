//! The registers that the device at hand has: the windows counted, the capabilities found.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::table::{Description, Home, Table, Window};
use crate::hw::{Device, HwError, Space};
use crate::script::capabilities::{self, Capability};

/// One register of the device.
#[derive(Debug)]
pub(crate) struct Register {
    /// With its window's name and number: `CHAN0.CHANSTS`.
    pub(crate) name: String,
    pub(crate) space: Space,
    pub(crate) offset: u64,
    pub(crate) is: Rc<Description>,
    /// What stands before the names of its neighbours, with the dot.
    prefix: String,
}

/// All registers of the device that have a name.
#[derive(Debug, Default)]
pub(crate) struct Registers {
    /// In the order of the tables.
    all: Vec<Rc<Register>>,
    /// Indices into it, by name in capitals.
    by_name: BTreeMap<String, usize>,
}

impl Registers {
    /// Finds the registers of these tables on `device`. A name that two of them have is the first one's.
    ///
    /// # Errors
    /// When the device does not answer.
    pub(crate) fn on(device: &Device, tables: &[Table]) -> Result<Self, HwError> {
        let found = capabilities::of(device)?;
        let mut registers = Self::default();
        for table in tables {
            registers.add(device, table, &found)?;
        }
        Ok(registers)
    }

    /// The register of this name; capitals do not matter. The error names those that are like it.
    pub(crate) fn named(&self, name: &str) -> Result<&Rc<Register>, String> {
        let wanted = name.to_ascii_uppercase();
        let index = self.by_name.get(&wanted);
        index.map(|index| &self.all[*index]).ok_or_else(|| self.no_such(name, &wanted))
    }

    /// All, in the order of the tables.
    pub(crate) fn all(&self) -> &[Rc<Register>] {
        &self.all
    }

    /// The registers that an access touches.
    pub(crate) fn at(&self, space: Space, offset: u64, width: usize) -> impl Iterator<Item = &Rc<Register>> {
        let end = offset.saturating_add(u64::try_from(width).unwrap_or(u64::MAX));
        let touches = move |it: &&Rc<Register>| {
            it.space == space && it.offset < end && offset < it.offset + u64::from(it.is.width)
        };
        self.all.iter().filter(touches)
    }

    /// The register that `of` calls so: one of its window, or of its table.
    pub(super) fn beside(&self, of: &Register, name: &str) -> Option<&Rc<Register>> {
        self.named(&format!("{}{name}", of.prefix)).ok()
    }

    fn add(&mut self, device: &Device, table: &Table, found: &[Capability]) -> Result<(), HwError> {
        let prefix = table.prefix.as_ref().map_or(String::new(), |prefix| format!("{prefix}."));
        for description in &table.registers {
            self.place(description, &prefix, 0, found);
        }
        for window in &table.windows {
            for copy in 0..self.copies(device, window, &prefix)? {
                let prefix = format!("{prefix}{}{copy}.", window.name);
                let base = window.offset + u64::from(copy) * window.stride;
                for description in &window.registers {
                    self.place(description, &prefix, base, found);
                }
            }
        }
        Ok(())
    }

    fn copies(&self, device: &Device, window: &Window, prefix: &str) -> Result<u32, HwError> {
        let Some(from) = &window.count_from else { return Ok(window.count) };
        let Ok(register) = self.named(&format!("{prefix}{from}")) else { return Ok(0) };
        // Its first field, if it has one, is the count.
        let value = register.read(device)?;
        let count = register.is.fields.first().map_or(value, |field| field.bits.of(value));
        Ok(u32::try_from(count).unwrap_or(u32::MAX).min(window.count))
    }

    fn place(&mut self, is: &Rc<Description>, prefix: &str, base: u64, found: &[Capability]) {
        let (space, base) = match is.home {
            Home::Bar(number) => (Space::Bar(number), base),
            Home::Config => (Space::Config, base),
            Home::Capability(id) => match found.iter().find(|capability| capability.is_plain(id)) {
                Some(capability) => (Space::Config, capability.offset),
                // The device has not got it, and so has not got the register.
                None => return,
            },
        };
        let name = format!("{prefix}{}", is.name);
        let index = self.all.len();
        if let std::collections::btree_map::Entry::Vacant(place) =
            self.by_name.entry(name.to_ascii_uppercase())
        {
            place.insert(index);
            let (is, offset, prefix) = (is.clone(), base + is.offset, prefix.to_owned());
            self.all.push(Rc::new(Register { name, space, offset, is, prefix }));
        }
    }

    fn no_such(&self, name: &str, wanted: &str) -> String {
        const SHOWN: usize = 5;
        if self.all.is_empty() {
            return format!(
                "no register is called \"{name}\": there is no table for this device: give --registers"
            );
        }
        let last = wanted.rsplit('.').next().unwrap_or(wanted);
        let close = |it: &&Rc<Register>| {
            let own = it.name.to_ascii_uppercase();
            let own_last = own.rsplit('.').next().unwrap_or(&own);
            own_last.contains(last) || last.contains(own_last) || differ(own_last, last) <= 2
        };
        let near: Vec<&str> = self.all.iter().filter(close).take(SHOWN).map(|it| it.name.as_str()).collect();
        match near.is_empty() {
            true => format!("no register is called \"{name}\": registers() has all names"),
            false => format!("no register is called \"{name}\": there is {}", near.join(", ")),
        }
    }
}

impl Register {
    /// Reads it in one access.
    pub(crate) fn read(&self, device: &Device) -> Result<u64, HwError> {
        let mut data = [0; 8];
        device.registers.read(self.space, self.offset, &mut data[..usize::from(self.is.width)])?;
        Ok(u64::from_le_bytes(data))
    }

    /// Writes it in one access.
    pub(crate) fn write(&self, device: &Device, value: u64) -> Result<(), HwError> {
        device.registers.write(self.space, self.offset, &value.to_le_bytes()[..usize::from(self.is.width)])
    }
}

/// How many letters to change, add or take away.
fn differ(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, c) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = index + 1;
        for (at, o) in other.iter().enumerate() {
            let changed = corner + usize::from(c != *o);
            corner = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::differ;

    #[test]
    fn a_slip_of_the_finger_is_one_or_two_letters() {
        assert_eq!(differ("CHANSTS", "CHANSTS"), 0);
        assert_eq!(differ("CHANSTS", "CHNSTS"), 1);
        assert_eq!(differ("CHANSTS", "CHANSTAT"), 2);
        assert_eq!(differ("", "ABC"), 3);
    }
}
