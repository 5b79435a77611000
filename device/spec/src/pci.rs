//! PCI identity and the device's own configuration registers.

/// Intel's PCI vendor id.
pub const VENDOR_INTEL: u16 = 0x8086;

/// Device id of the Skylake/Cascade Lake engine (`8086:2021`), the one that the kernel's VFIO selftests match.
pub const DEVICE_SKX: u16 = 0x2021;

/// Device id of the Ice Lake engine (`8086:0b00`).
pub const DEVICE_ICX: u16 = 0x0b00;

/// Subsystem id of the synthetic profile "netdma", the letters "ND": no real function carries it, and no driver looks.
pub const SUBSYSTEM_NETDMA: u16 = 0x4e44;

/// Class code: system peripheral, other (base class 08, subclass 80, programming interface 00).
pub const CLASS_CODE: u32 = 0x08_80_00;

/// Bytes of BAR0, the engine's only BAR: 64-bit, not prefetchable.
pub const BAR0_SIZE: u64 = 0x4000;

/// Offset of the MSI-X table in BAR0. Never in page 0: DPDK and SPDK map that page.
pub const MSIX_TABLE_OFFSET: u32 = 0x2000;

/// Offset of the MSI-X pending-bit array in BAR0.
pub const MSIX_PBA_OFFSET: u32 = 0x3000;

/// Bytes of configuration space, with the extended part.
pub const CONFIG_SIZE: usize = 4096;

/// DMAUNCERRSTS: uncorrectable error status, 32 bits, write one to clear.
pub const DMAUNCERRSTS: usize = 0x148;

/// DMAUNCERRMSK: uncorrectable error mask, 32 bits, scratch.
pub const DMAUNCERRMSK: usize = 0x14c;

/// DMAUNCERRSEV: uncorrectable error severity, 32 bits, scratch.
pub const DMAUNCERRSEV: usize = 0x150;

/// CHANERR_INT: the channel errors again, 32 bits, write one to clear, sticky across a channel reset.
pub const CHANERR_INT: usize = 0x180;

/// CHANERRMSK_INT: mask of the above, 32 bits, scratch.
pub const CHANERRMSK_INT: usize = 0x184;

/// CHANERRSEV_INT: severity of the above, 32 bits, scratch.
pub const CHANERRSEV_INT: usize = 0x188;

/// Registers of the device's configuration space, by PCI's words and the datasheet's: name, offset, width. Those of the MSI-X
/// capability (`MSIX_...`) are there only with it.
pub const REGISTERS: &[(&str, usize, usize)] = &[
    ("VENDOR_ID", 0x00, 2),
    ("DEVICE_ID", 0x02, 2),
    ("COMMAND", 0x04, 2),
    ("STATUS", 0x06, 2),
    ("REVISION_ID", 0x08, 1),
    ("CLASS_CODE", 0x09, 3),
    ("CACHE_LINE_SIZE", 0x0c, 1),
    ("HEADER_TYPE", 0x0e, 1),
    ("BAR0", 0x10, 8),
    ("SUBSYSTEM_VENDOR_ID", 0x2c, 2),
    ("SUBSYSTEM_ID", 0x2e, 2),
    ("CAPABILITIES", 0x34, 1),
    ("INTERRUPT_LINE", 0x3c, 1),
    ("INTERRUPT_PIN", 0x3d, 1),
    ("DEVCFG", 0x60, 2),
    ("MSIX_CONTROL", 0x82, 2),
    ("MSIX_TABLE", 0x84, 4),
    ("MSIX_PBA", 0x88, 4),
    ("DEVCAP", 0x94, 4),
    ("DEVCTL", 0x98, 2),
    ("DEVSTA", 0x9a, 2),
    ("LNKCAP", 0x9c, 4),
    ("LNKCTL", 0xa0, 2),
    ("LNKSTA", 0xa2, 2),
    ("PMC", 0xe2, 2),
    ("PMCSR", 0xe4, 2),
    ("DMAUNCERRSTS", DMAUNCERRSTS, 4),
    ("DMAUNCERRMSK", DMAUNCERRMSK, 4),
    ("DMAUNCERRSEV", DMAUNCERRSEV, 4),
    ("CHANERR_INT", CHANERR_INT, 4),
    ("CHANERRMSK_INT", CHANERRMSK_INT, 4),
    ("CHANERRSEV_INT", CHANERRSEV_INT, 4),
];

/// (vendor, device, family) of every engine of version 3 that the known drivers list.
pub const V3_DEVICES: &[(u16, core::ops::RangeInclusive<u16>, &str)] = &[
    (VENDOR_INTEL, 0x3429..=0x342c, "TBG"),
    (VENDOR_INTEL, 0x3430..=0x3433, "TBG"),
    (VENDOR_INTEL, 0x3710..=0x3719, "JSF"),
    (VENDOR_INTEL, 0x3c20..=0x3c27, "SNB-EP"),
    (VENDOR_INTEL, 0x3c2e..=0x3c2f, "SNB-EP"),
    (VENDOR_INTEL, 0x0e20..=0x0e27, "IVB-EP"),
    (VENDOR_INTEL, 0x0e2e..=0x0e2f, "IVB-EP"),
    (VENDOR_INTEL, 0x2f20..=0x2f27, "HSW-EP"),
    (VENDOR_INTEL, 0x2f2e..=0x2f2f, "HSW-EP"),
    (VENDOR_INTEL, 0x6f20..=0x6f27, "BDX-EP"),
    (VENDOR_INTEL, 0x6f2e..=0x6f2f, "BDX-EP"),
    (VENDOR_INTEL, DEVICE_SKX..=DEVICE_SKX, "SKX"),
    (VENDOR_INTEL, 0x0c50..=0x0c53, "BWD"),
    (VENDOR_INTEL, 0x6f50..=0x6f53, "BDX-DE"),
    (VENDOR_INTEL, DEVICE_ICX..=DEVICE_ICX, "ICX"),
];

/// The family name of an I/OAT v3 function, if `vendor:device` is one.
#[must_use]
pub fn family(vendor: u16, device: u16) -> Option<&'static str> {
    V3_DEVICES.iter().find(|(v, ids, _)| *v == vendor && ids.contains(&device)).map(|(_, _, family)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skylake_is_known_and_a_network_card_is_not() {
        assert_eq!(family(VENDOR_INTEL, DEVICE_SKX), Some("SKX"));
        assert_eq!(family(VENDOR_INTEL, 0x10d3), None);
        assert_eq!(family(0x1af4, DEVICE_SKX), None);
    }
}
