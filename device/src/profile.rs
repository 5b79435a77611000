//! Who the device is: its PCI identity and its capabilities, as data.

use ioat_spec::pci::{DEVICE_SKX, VENDOR_INTEL};
use ioat_spec::{CbVer, DmaCapability};

/// One engine. What a guest reads of it, and nothing that a guest can change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The name by which the program's options select it.
    pub name: &'static str,
    /// PCI vendor id.
    pub vendor: u16,
    /// PCI device id.
    pub device: u16,
    /// PCI revision.
    pub revision: u8,
    /// PCI subsystem vendor id.
    pub subsystem_vendor: u16,
    /// PCI subsystem id.
    pub subsystem: u16,
    /// CBVER.
    pub cbver: CbVer,
    /// CHANCNT.
    pub channels: u8,
    /// XFERCAP: binary logarithm of the largest transfer in bytes.
    pub xfercap_log2: u8,
    /// DMACAPABILITY.
    pub dma_capability: DmaCapability,
}

/// A channel count that the device cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} channels: a device has 1 to {max}", max = Profile::CHANNELS_MAX)]
pub struct ChannelsError(pub u8);

impl Profile {
    /// Most channels of one device.
    pub const CHANNELS_MAX: u8 = 8;

    /// Skylake/Cascade Lake (`8086:2021`), version 3.3, COPY, NULL and FILL: the engine that the stock drivers and
    /// the kernel's VFIO selftests know (device model 1.1, profile B), with four channels.
    pub const SKX: Self = Self {
        name: "skx",
        vendor: VENDOR_INTEL,
        device: DEVICE_SKX,
        revision: 0x04,
        subsystem_vendor: VENDOR_INTEL,
        subsystem: 0x0000,
        cbver: CbVer::new().with_major(3).with_minor(3),
        channels: 4,
        xfercap_log2: 20,
        dma_capability: DmaCapability::new().with_fill(true),
    };

    /// Every profile.
    pub const ALL: &'static [Self] = &[Self::SKX];

    /// The profile of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|profile| profile.name == name).copied()
    }

    /// The same engine with another number of channels.
    ///
    /// # Errors
    /// A count that is not 1 to [`CHANNELS_MAX`](Self::CHANNELS_MAX).
    pub fn with_channels(self, channels: u8) -> Result<Self, ChannelsError> {
        if (1..=Self::CHANNELS_MAX).contains(&channels) {
            Ok(Self { channels, ..self })
        } else {
            Err(ChannelsError(channels))
        }
    }

    /// MSI-X vectors: one per channel, as Linux asks for exactly CHANCNT.
    #[must_use]
    pub const fn vectors(&self) -> u16 {
        self.channels as u16
    }

    /// The largest transfer in bytes; the limit itself is legal.
    #[must_use]
    pub const fn transfer_max_bytes(&self) -> u64 {
        1 << self.xfercap_log2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_follow_channels_and_the_limits_are_kept() {
        assert_eq!(Profile::by_name("skx").unwrap().vectors(), 4);
        assert_eq!(Profile::SKX.with_channels(8).unwrap().vectors(), 8);
        assert_eq!(Profile::by_name("icx"), None);
        assert_eq!(Profile::SKX.with_channels(0).unwrap_err().to_string(), "0 channels: a device has 1 to 8");
        assert_eq!(Profile::SKX.with_channels(9), Err(ChannelsError(9)));
    }
}
