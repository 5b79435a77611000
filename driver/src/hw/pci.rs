//! What every way to the hardware does with configuration space, and with the bounds of a region.

use std::io;

use ioat_spec::pci::family;

use super::{HwError, Registers, Space};

/// Vendor and device id: offsets in configuration space.
const VENDOR_ID: u64 = 0x00;
const DEVICE_ID: u64 = 0x02;

/// The command register.
const PCICMD: u64 = 0x04;
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

/// Lets the function do DMA (and answer memory accesses), or forbids it DMA.
pub(crate) fn set_bus_master(registers: &dyn Registers, on: bool) -> Result<(), HwError> {
    let before = read16(registers, PCICMD)?;
    let after = if on { before | PCICMD_MEMORY | PCICMD_BUS_MASTER } else { before & !PCICMD_BUS_MASTER };
    registers.write(Space::Config, PCICMD, &after.to_le_bytes())
}

/// Checks that `[offset, offset + len)` lies inside a region of `size` bytes and that `len` is 1 to `most`.
pub(crate) fn check_access(offset: u64, len: usize, size: u64, most: usize) -> io::Result<()> {
    let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
    if (1..=most).contains(&len) && end.is_some_and(|end| end <= size) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("outside a region of {size:#x} bytes")))
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
