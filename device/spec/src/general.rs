//! Bits of the general registers.

use bitfield_struct::bitfield;

/// CBVER: the engine's version.
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct CbVer {
    /// Minor version.
    #[bits(4)]
    pub minor: u8,
    /// Major version.
    #[bits(4)]
    pub major: u8,
}

/// INTRCTRL: interrupt control (device model 2.4).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct IntrCtrl {
    /// Gate of INTx and MSI, cleared by reading the register. MSI-X ignores it.
    pub master_int_en: bool,
    /// Read-only: ATTNSTATUS is not zero.
    pub int_status: bool,
    /// Read-only: the line is asserted, `int_status` and `master_int_en`.
    pub int: bool,
    /// Kept, without effect.
    pub msix_vector_control: bool,
    #[bits(4)]
    __: u8,
}

/// INTRDELAY bit 15: coalescing is supported. Reads 1.
pub const INTRDELAY_SUPPORTED: u16 = 0x8000;

/// INTRDELAY bits 13:0: the delay in microseconds.
pub const INTRDELAY_MASK: u16 = 0x3fff;

/// DMACAPABILITY: what the engine can do (device model 2.3).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct DmaCapability {
    /// Page breaks.
    pub page_break: bool,
    /// CRC.
    pub crc: bool,
    /// Marker skip.
    pub marker_skip: bool,
    /// The XOR of version 1, deprecated.
    pub old_xor: bool,
    /// Direct cache access.
    pub dca: bool,
    /// Move with CRC.
    pub move_crc: bool,
    /// Block fill.
    pub fill: bool,
    /// 32-bit APIC ids.
    pub apic_id_32: bool,
    /// XOR and XOR validate.
    pub xor: bool,
    /// PQ and PQ validate.
    pub pq: bool,
    /// Data integrity field.
    pub dif: bool,
    #[bits(2)]
    __: u8,
    /// Descriptor write-back error status.
    pub dwbes: bool,
    #[bits(3)]
    __: u8,
    /// Sixteen sources through super extended descriptors.
    pub raid16ss: bool,
    /// Multicast.
    pub multicast: bool,
    /// Completion timeout.
    pub completion_timeout: bool,
    #[bits(3)]
    __: u8,
    /// Descriptor prefetch.
    pub dps: bool,
    #[bits(8)]
    __: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_sit_where_the_datasheet_has_them() {
        assert_eq!(DmaCapability::new().with_fill(true).into_bits(), 1 << 6);
        assert_eq!(DmaCapability::new().with_dwbes(true).into_bits(), 1 << 13);
        assert_eq!(DmaCapability::new().with_raid16ss(true).into_bits(), 1 << 17);
        assert_eq!(DmaCapability::new().with_dps(true).into_bits(), 1 << 23);
        assert_eq!(CbVer::new().with_major(3).with_minor(3).into_bits(), 0x33);
        assert_eq!(IntrCtrl::new().with_master_int_en(true).with_msix_vector_control(true).into_bits(), 0x09);
    }
}
