//! The capability lists of configuration space, as PCI and PCI Express have them.

use crate::hw::{Device, HwError, Space};

/// One capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Capability {
    pub(super) id: u16,
    pub(super) offset: u64,
    pub(super) extended: bool,
}

/// Offsets of the header: STATUS, and the pointer to the first capability.
const STATUS: u64 = 0x06;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const POINTER: u64 = 0x34;
/// Where the lists may begin.
const FIRST: u64 = 0x40;
const FIRST_EXTENDED: u64 = 0x100;
/// What fits into either space; a list that is longer goes in a circle.
const MOST: usize = 48;
const MOST_EXTENDED: usize = 960;

const NAMES: &[(u16, &str)] = &[
    (0x01, "PM"),
    (0x02, "AGP"),
    (0x03, "VPD"),
    (0x04, "SLOTID"),
    (0x05, "MSI"),
    (0x06, "HOTSWAP"),
    (0x07, "PCI-X"),
    (0x08, "HT"),
    (0x09, "VENDOR"),
    (0x0a, "DEBUG"),
    (0x0c, "HOTPLUG"),
    (0x0d, "SSVID"),
    (0x0f, "SECURE"),
    (0x10, "PCIE"),
    (0x11, "MSI-X"),
    (0x12, "SATA"),
    (0x13, "AF"),
    (0x14, "EA"),
];

const EXTENDED_NAMES: &[(u16, &str)] = &[
    (0x0001, "AER"),
    (0x0002, "VC"),
    (0x0003, "DSN"),
    (0x0004, "POWER"),
    (0x000b, "VENDOR"),
    (0x000d, "ACS"),
    (0x000e, "ARI"),
    (0x000f, "ATS"),
    (0x0010, "SRIOV"),
    (0x0013, "PRI"),
    (0x0015, "REBAR"),
    (0x0017, "TPH"),
    (0x0018, "LTR"),
    (0x0019, "PCIE2"),
    (0x001b, "PASID"),
    (0x001e, "L1SS"),
    (0x0023, "DVSEC"),
    (0x0025, "DLF"),
    (0x0026, "PL16G"),
];

impl Capability {
    pub(super) fn is_plain(self, id: u8) -> bool {
        !self.extended && self.id == u16::from(id)
    }

    /// Its short name, or its number.
    pub(super) fn name(self) -> String {
        let names = if self.extended { EXTENDED_NAMES } else { NAMES };
        let known = names.iter().find(|(id, _)| *id == self.id);
        known.map_or_else(|| format!("{:#x}", self.id), |(_, name)| (*name).to_owned())
    }
}

/// Both lists, in their order.
///
/// # Errors
/// When configuration space does not answer.
pub(super) fn of(device: &Device) -> Result<Vec<Capability>, HwError> {
    let mut all = plain(device)?;
    all.extend(extended(device));
    Ok(all)
}

fn plain(device: &Device) -> Result<Vec<Capability>, HwError> {
    let mut all = Vec::new();
    if device.read16(Space::Config, STATUS)? & STATUS_CAPABILITIES == 0 {
        return Ok(all);
    }
    let mut next = device.read8(Space::Config, POINTER)?;
    while all.len() < MOST {
        // The two low bits are reserved, and to be masked.
        let offset = u64::from(next & !3);
        if offset < FIRST {
            break;
        }
        let id = u16::from(device.read8(Space::Config, offset)?);
        all.push(Capability { id, offset, extended: false });
        next = device.read8(Space::Config, offset + 1)?;
    }
    Ok(all)
}

/// A function without extended space does not answer there, or reads nothing or all ones: then there is no list.
fn extended(device: &Device) -> Vec<Capability> {
    let mut all = Vec::new();
    let mut offset = FIRST_EXTENDED;
    while all.len() < MOST_EXTENDED {
        let Ok(header) = device.read32(Space::Config, offset) else { break };
        let [a, b, ..] = header.to_le_bytes();
        let id = u16::from_le_bytes([a, b]);
        if header == 0 || header == u32::MAX {
            break;
        }
        all.push(Capability { id, offset, extended: true });
        offset = u64::from(header >> 20 & 0xffc);
        if offset < FIRST_EXTENDED {
            break;
        }
    }
    all
}
