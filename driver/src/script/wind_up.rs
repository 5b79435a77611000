//! What is left of a device when a script has ended: nothing that could still happen.

use ioat_spec::pci::family;

use super::Session;
use crate::hw::{Device, HwError, Space};

/// Offsets in configuration space, and the bit that lets a function do DMA.
const VENDOR: u64 = 0x00;
const DEVICE: u64 = 0x02;
const COMMAND: u64 = 0x04;
const COMMAND_BUS_MASTER: u16 = 1 << 2;

/// Interrupts first, so that nobody hears the rest; then DMA is stopped where it comes from, forbidden on the bus, and
/// last its memory is taken away. What could not be done is returned in words. A device that is gone can do nothing.
pub(super) fn device(session: &Session) -> Vec<String> {
    let Session { device, interrupts, buffers, .. } = session;
    let mut left = Vec::new();
    let mut step = |what: &str, result: Result<(), HwError>| match result {
        Ok(()) | Err(HwError::Gone(_)) => {}
        Err(error) => left.push(format!("{what}: {error}")),
    };
    step("interrupts may still be enabled", interrupts.end());
    step("the engine's channels may still run", stop_channels(device));
    step("the function may still do DMA", forbid_dma(device));
    left.extend(buffers.end());
    left
}

/// An engine of ours has one stop for all of its channels. Of other functions nothing is known but what all have.
fn stop_channels(device: &Device) -> Result<(), HwError> {
    let (vendor, id) = (device.read16(Space::Config, VENDOR)?, device.read16(Space::Config, DEVICE)?);
    if family(vendor, id).is_some() { device.registers.reset() } else { Ok(()) }
}

fn forbid_dma(device: &Device) -> Result<(), HwError> {
    let command = device.read16(Space::Config, COMMAND)?;
    device.write16(Space::Config, COMMAND, command & !COMMAND_BUS_MASTER)
}
