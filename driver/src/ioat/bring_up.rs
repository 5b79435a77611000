//! From a function that the system has enabled to channels that can be used: bus mastering, resets, interrupts. Again
//! after its state was lost.

use ioat_spec::{GeneralRegister, IntrCtrl};

use super::delivery::Delivery;
use super::registers::{ChannelRegisters, LineRegisters};
use super::{Identity, IoatError};
use crate::hw::{Device, HwError, Space};

/// Offset of the PCI command register, and its bits for memory space, bus mastering and "no INTx".
const PCI_COMMAND: u64 = 4;
const MEMORY_BUS_MASTER: u16 = 1 << 1 | 1 << 2;
const NO_INTX: u16 = 1 << 10;

/// How the function's interrupts come. Where it has messages they must be used (ND-I1): NetDMA aims interrupts channel
/// by channel.
pub(super) fn delivery(device: &Device, identity: &Identity) -> Result<Delivery, IoatError> {
    let messages = device.interrupts.vectors();
    let line = match messages {
        0 if !device.interrupts.has_line() => return Err(IoatError::NoInterrupt),
        0 => Some(LineRegisters::new(device.clone())),
        1.. => None,
    };
    Ok(Delivery::new(identity.channels, messages, line))
}

/// Makes the engine ready: every channel is in its reset state, no error is latched, interrupts are wanted. Where a
/// channel's own reset does not end, that of the whole function is tried, once: nobody works with it yet, or any more.
pub(super) fn bring_up(
    device: &Device,
    channels: &[ChannelRegisters],
    delivery: &Delivery,
) -> Result<(), IoatError> {
    let stuck = match make_ready(device, channels, delivery) {
        Err(error @ IoatError::ResetStuck { .. }) => error,
        outcome => return outcome,
    };
    log::warn!("{}: {stuck}; resetting the function", device.name);
    match device.registers.reset() {
        Ok(()) => make_ready(device, channels, delivery),
        Err(HwError::Reset(error)) => {
            // A function that cannot be reset: what it says is the channel's trouble, not this one.
            log::warn!("{}: the function cannot be reset: {error}", device.name);
            Err(stuck)
        }
        Err(error) => Err(error.into()),
    }
}

fn make_ready(device: &Device, channels: &[ChannelRegisters], delivery: &Delivery) -> Result<(), IoatError> {
    let command = device.read16(Space::Config, PCI_COMMAND)?;
    if command == u16::MAX {
        return Err(IoatError::Gone { register: "the PCI command register" });
    }
    let intx = if delivery.line.is_some() { 0 } else { NO_INTX };
    device.write16(Space::Config, PCI_COMMAND, command & !NO_INTX | MEMORY_BUS_MASTER | intx)?;
    for channel in channels {
        // A predecessor may have left it running; what does not stop is stopped by the reset.
        if let Err(error) = channel.suspend() {
            match error {
                IoatError::StopStuck { .. } => log::warn!("{error}; resetting it"),
                other => return Err(other),
            }
        }
        channel.reset()?;
    }
    match &delivery.line {
        Some(line) => {
            // What a predecessor's channels wanted is nobody's.
            line.take_attention()?;
            line.set_master(true)
        }
        None => {
            let control = IntrCtrl::new().with_master_int_en(true).with_msix_vector_control(true);
            Ok(device.write8(Space::BAR0, GeneralRegister::IntrCtrl.offset(), control.into_bits())?)
        }
    }
}
