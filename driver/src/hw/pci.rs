//! What every way to the hardware does with configuration space, and with the bounds of a region.

use std::io;

use ioat_spec::pci::family;

use super::{HwError, Registers, Space};

/// Vendor and device id: offsets in configuration space.
const VENDOR_ID: u64 = 0x00;
const DEVICE_ID: u64 = 0x02;

/// The BARs of a function that is no bridge.
const BARS: [u64; 6] = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24];
/// BAR: it is in the space of I/O ports.
const BAR_IO: u32 = 1 << 0;
/// BAR of memory: the bits of its type, and the type whose next BAR is its upper half.
const BAR_TYPE: u32 = 0b110;
const BAR_64: u32 = 0b100;

/// The command register.
const PCICMD: u64 = 0x04;
/// Command: the function answers accesses to I/O ports.
const PCICMD_IO: u16 = 1 << 0;
/// Command: the function answers memory accesses.
const PCICMD_MEMORY: u16 = 1 << 1;
/// Command: the function may do DMA and send message interrupts.
const PCICMD_BUS_MASTER: u16 = 1 << 2;

/// Checks that the function is an I/OAT v3 engine. The error is one line that says what it is instead.
pub(crate) fn identify(registers: &dyn Registers) -> Result<&'static str, String> {
    let vendor = read16(registers, VENDOR_ID).map_err(|error| error.to_string())?;
    let device = read16(registers, DEVICE_ID).map_err(|error| error.to_string())?;
    family(vendor, device).ok_or_else(|| not_an_engine(vendor, device))
}

/// What to say of a function that is none of ours.
pub(crate) fn not_an_engine(vendor: u16, device: u16) -> String {
    format!(
        "this function is {vendor:04x}:{device:04x}, not an I/OAT v3 engine: `netdma list` shows this host's engines"
    )
}

/// Lets the function do DMA (and answer accesses to whatever BARs it has), or forbids it DMA.
pub(crate) fn set_bus_master(registers: &dyn Registers, on: bool) -> Result<(), HwError> {
    let before = read16(registers, PCICMD)?;
    let after = if on {
        let ports = if has_ports(registers)? { PCICMD_IO } else { 0 };
        before | ports | PCICMD_MEMORY | PCICMD_BUS_MASTER
    } else {
        before & !PCICMD_BUS_MASTER
    };
    registers.write(Space::Config, PCICMD, &after.to_le_bytes())
}

/// Whether one of its BARs is a range of I/O ports.
fn has_ports(registers: &dyn Registers) -> Result<bool, HwError> {
    let mut upper_half = false;
    for offset in BARS {
        let mut bar = [0; 4];
        registers.read(Space::Config, offset, &mut bar)?;
        let bar = u32::from_le_bytes(bar);
        // An upper half is an address, whose lowest bit says nothing.
        if !upper_half && bar & BAR_IO != 0 {
            return Ok(true);
        }
        upper_half = !upper_half && bar & BAR_TYPE == BAR_64;
    }
    Ok(false)
}

/// Checks that `[offset, offset + len)` lies inside a region of `size` bytes and that `len` is 1 to `most`.
pub(crate) fn check_access(offset: u64, len: usize, size: u64, most: usize) -> io::Result<()> {
    let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
    if size == 0 {
        return invalid("the function has no such region".into());
    }
    if !(1..=most).contains(&len) {
        return invalid(format!("an access is 1 to {most} bytes"));
    }
    if end.is_none_or(|end| end > size) {
        return invalid(format!("outside a region of {size:#x} bytes"));
    }
    Ok(())
}

/// The spaces whose numbers in VFIO's list of regions are the BARs', and configuration space.
pub(crate) const SPACES: [(u32, Space); 8] = [
    (0, Space::Bar(0)),
    (1, Space::Bar(1)),
    (2, Space::Bar(2)),
    (3, Space::Bar(3)),
    (4, Space::Bar(4)),
    (5, Space::Bar(5)),
    (6, Space::Bar(6)),
    (7, Space::Config),
];

/// The number of a space in that list; none of a BAR that no function has.
pub(crate) fn region_number(space: Space) -> Option<usize> {
    match space {
        Space::Bar(number @ 0..=6) => Some(number.into()),
        Space::Bar(_) => None,
        Space::Config => Some(7),
    }
}

/// Checks that an access was not cut short.
pub(crate) fn whole(done: usize, width: usize) -> io::Result<()> {
    if done == width {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the device did {done} bytes of {width}")))
}

fn read16(registers: &dyn Registers, offset: u64) -> Result<u16, HwError> {
    let mut data = [0; 2];
    registers.read(Space::Config, offset, &mut data)?;
    Ok(u16::from_le_bytes(data))
}
