//! From a function that the system has enabled to channels that can be used: bus mastering, resets, MSI-X.

use ioat_spec::{GeneralRegister, IntrCtrl};

use super::registers::ChannelRegisters;
use super::{Identity, IoatError};
use crate::hw::{Device, Space};

/// Offset of the PCI command register, and its bits for memory space, bus mastering and "no INTx".
const PCI_COMMAND: u64 = 4;
const MEMORY_BUS_MASTER_NO_INTX: u16 = 1 << 1 | 1 << 2 | 1 << 10;

/// Makes the engine ready: every channel is in its reset state, no error is latched, messages are wanted.
pub(super) fn bring_up(device: &Device, identity: &Identity) -> Result<Vec<ChannelRegisters>, IoatError> {
    let channels = u32::from(identity.channels);
    let offered = device.interrupts.vectors();
    // ND-I1: on a system with MSI-X a provider must use it; NetDMA aims interrupts channel by channel.
    if offered < channels {
        return Err(IoatError::Vectors { offered, channels });
    }
    let command = device.read16(Space::Config, PCI_COMMAND)?;
    if command == u16::MAX {
        return Err(IoatError::Gone { register: "the PCI command register" });
    }
    device.write16(Space::Config, PCI_COMMAND, command | MEMORY_BUS_MASTER_NO_INTX)?;
    let channels: Vec<_> =
        (0..identity.channels).map(|channel| ChannelRegisters::new(device.clone(), channel)).collect();
    for channel in &channels {
        // A predecessor may have left it running; what does not stop is stopped by the reset.
        if let Err(error) = channel.suspend() {
            match error {
                IoatError::StopStuck { .. } => log::warn!("{error}; resetting it"),
                other => return Err(other),
            }
        }
        channel.reset()?;
    }
    let control = IntrCtrl::new().with_master_int_en(true).with_msix_vector_control(true);
    device.write8(Space::Bar0, GeneralRegister::IntrCtrl.offset(), control.into_bits())?;
    Ok(channels)
}
