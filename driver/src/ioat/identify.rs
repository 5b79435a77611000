//! Which engine is it, and what can it do: read before anything is written.

use ioat_spec::pci::family;
use ioat_spec::register::CHANNELS_MAX;
use ioat_spec::{CbVer, DmaCapability, GeneralRegister};

use super::IoatError;
use super::registers::general8;
use crate::hw::{Device, Space};

/// What an engine says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device.
    pub device: u16,
    /// The processor family that it is part of.
    pub family: &'static str,
    /// CBVER.
    pub version: CbVer,
    /// CHANCNT.
    pub channels: u8,
    /// XFERCAP: binary logarithm of the largest transfer.
    pub xfercap: u8,
    /// DMACAPABILITY.
    pub capability: DmaCapability,
}

impl Identity {
    /// Bytes of the largest transfer.
    #[must_use]
    pub const fn max_transfer(&self) -> u32 {
        1 << self.xfercap
    }
}

/// Identifies the engine behind `device`.
///
/// # Errors
/// When it is none of version 3, or says what cannot be.
pub fn identify(device: &Device) -> Result<Identity, IoatError> {
    let [vendor, id] = [device.read16(Space::Config, 0)?, device.read16(Space::Config, 2)?];
    if vendor == u16::MAX {
        return Err(IoatError::Gone { register: "the PCI vendor id" });
    }
    let family = family(vendor, id).ok_or(IoatError::NotIoat { vendor, device: id })?;
    let version = CbVer::from_bits(general8(device, GeneralRegister::CbVer)?);
    if version.major() != 3 {
        return Err(IoatError::Version { version });
    }
    let channels = general8(device, GeneralRegister::ChanCnt)? & 0x1f;
    if channels == 0 || usize::from(channels) > CHANNELS_MAX {
        return Err(IoatError::ChannelCount { count: channels });
    }
    let xfercap = general8(device, GeneralRegister::XferCap)? & 0x1f;
    // 0 means 4 GiB to some drivers and an oops to others (device model 1.7, trap 6); below a page NetDMA has no use.
    if !(12..=20).contains(&xfercap) {
        return Err(IoatError::TransferCapacity { xfercap });
    }
    let capability = device.read32(Space::BAR0, GeneralRegister::DmaCapability.offset())?;
    if capability == u32::MAX {
        return Err(IoatError::Gone { register: GeneralRegister::DmaCapability.name() });
    }
    let capability = DmaCapability::from_bits(capability);
    Ok(Identity { vendor, device: id, family, version, channels, xfercap, capability })
}
