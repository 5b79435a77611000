//! Who the device is: its PCI identity and its capabilities, as data.

use ioat_spec::pci::{DEVICE_SKX, SUBSYSTEM_NETDMA, VENDOR_INTEL};
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
    /// MSI-X vectors. Channel c signals vector c modulo this; 0 leaves the capability out, and only INTx is there.
    pub vectors: u16,
    /// XFERCAP: binary logarithm of the largest transfer in bytes.
    pub xfercap_log2: u8,
    /// DMACAPABILITY.
    pub dma_capability: DmaCapability,
}

/// A channel count that the device cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} channels: a device has 1 to {max}", max = Profile::CHANNELS_MAX)]
pub struct ChannelsError(pub u8);

/// A vector count that the device cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{vectors} MSI-X vectors: a device of {channels} channels has 0 (line interrupts only) to {channels}"
)]
pub struct VectorsError {
    /// What was asked for.
    pub vectors: u16,
    /// The profile's channels.
    pub channels: u8,
}

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
        vectors: 4,
        xfercap_log2: 20,
        dma_capability: DmaCapability::new().with_fill(true),
    };

    /// What NetDMA 2.0 asks of an engine and no real one of version 3 offers: page breaks and DCA context changes.
    ///
    /// It is synthetic, and says so where nothing but people look: in the subsystem id, "ND". Vendor, device and
    /// version stay those of [`SKX`](Self::SKX), because drivers choose by them, and the two more bits of DMACAPABILITY
    /// hurt none: Linux `ioatdma` and DPDK read neither, SPDK only FILL. `ioatdma` would look for a DCA block if
    /// DCAOFFSET named one; it reads 0, as everywhere (device model 1.7, trap 9).
    pub const NETDMA: Self = Self {
        name: "netdma",
        subsystem: SUBSYSTEM_NETDMA,
        dma_capability: DmaCapability::new().with_fill(true).with_page_break(true).with_dca(true),
        ..Self::SKX
    };

    /// Every profile.
    pub const ALL: &'static [Self] = &[Self::SKX, Self::NETDMA];

    /// The profile of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|profile| profile.name == name).copied()
    }

    /// The same engine with another number of channels, and a vector for each.
    ///
    /// # Errors
    /// A count that is not 1 to [`CHANNELS_MAX`](Self::CHANNELS_MAX).
    pub fn with_channels(self, channels: u8) -> Result<Self, ChannelsError> {
        if (1..=Self::CHANNELS_MAX).contains(&channels) {
            Ok(Self { channels, vectors: channels.into(), ..self })
        } else {
            Err(ChannelsError(channels))
        }
    }

    /// The same engine with another number of MSI-X vectors. Say the channels first:
    /// [`with_channels`](Self::with_channels) makes it one vector per channel again.
    ///
    /// # Errors
    /// More vectors than channels.
    pub fn with_vectors(self, vectors: u16) -> Result<Self, VectorsError> {
        if vectors <= u16::from(self.channels) {
            Ok(Self { vectors, ..self })
        } else {
            Err(VectorsError { vectors, channels: self.channels })
        }
    }

    /// MSI-X vectors. Unless said otherwise one per channel, as Linux asks for exactly CHANCNT.
    #[must_use]
    pub const fn vectors(&self) -> u16 {
        self.vectors
    }

    /// The vector that a channel signals; none if there is no MSI-X.
    #[must_use]
    pub const fn vector_of(&self, channel: u8) -> Option<u16> {
        if self.vectors == 0 { None } else { Some(channel as u16 % self.vectors) }
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

    #[test]
    fn channels_share_the_vectors_that_there_are() {
        let two = Profile::NETDMA.with_vectors(2).unwrap();
        assert_eq!([0, 1, 2, 3].map(|channel| two.vector_of(channel)), [Some(0), Some(1), Some(0), Some(1)]);
        assert_eq!(Profile::SKX.with_vectors(0).unwrap().vector_of(3), None);
        assert_eq!(two.with_channels(8).unwrap().vectors(), 8);
        assert_eq!(
            Profile::SKX.with_vectors(5).unwrap_err().to_string(),
            "5 MSI-X vectors: a device of 4 channels has 0 (line interrupts only) to 4"
        );
    }

    #[test]
    fn the_synthetic_profile_is_found_by_name_and_told_from_the_real_one_by_its_subsystem() {
        let netdma = Profile::by_name("netdma").unwrap();
        assert!(netdma.dma_capability.page_break() && netdma.dma_capability.dca());
        assert_eq!((netdma.vendor, netdma.device, netdma.channels), (VENDOR_INTEL, DEVICE_SKX, 4));
        assert_ne!(netdma.subsystem, Profile::SKX.subsystem);
    }
}
