//! PCI configuration space: 4 KiB of bytes, each bit read-only, writable, or cleared by writing one.
//!
//! Layout: device model 1.3 and 1.4. Two writes mean more than a stored bit, and are reported: COMMAND, and FLR.

use ioat_spec::ChanErr;
use ioat_spec::pci::{
    BAR0_SIZE, CHANERR_INT, CHANERRMSK_INT, CHANERRSEV_INT, CLASS_CODE, CONFIG_SIZE, DMAUNCERRMSK,
    DMAUNCERRSEV, DMAUNCERRSTS, MSIX_PBA_OFFSET, MSIX_TABLE_OFFSET,
};

use crate::profile::Profile;

const VENDOR: usize = 0x00;
const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const REVISION: usize = 0x08;
const CACHE_LINE: usize = 0x0c;
const BAR0: usize = 0x10;
const SUBSYSTEM: usize = 0x2c;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;
const INTERRUPT_PIN: usize = 0x3d;
/// DEVCFG: scratch.
const DEVCFG: usize = 0x60;

const MSIX: u8 = 0x80;
const PCIE: u8 = 0x90;
const PM: u8 = 0xe0;

/// PCI Express device control: its offset, and the bit that starts a function-level reset.
const DEVCTL: usize = PCIE as usize + 0x08;
const DEVCTL_FLR_BYTE: usize = DEVCTL + 1;
const DEVCTL_FLR: u8 = 0x80;

/// COMMAND: memory space enable.
const COMMAND_MEMORY: u16 = 1 << 1;
/// COMMAND: bus master enable.
pub(crate) const COMMAND_BUS_MASTER: u16 = 1 << 2;
/// COMMAND: INTx disable.
pub(crate) const COMMAND_INTX_DISABLE: u16 = 1 << 10;
/// STATUS: an INTx interrupt is pending; and a capability list is there.
const STATUS_INTERRUPT: u8 = 1 << 3;
const STATUS_CAPABILITIES: u16 = 1 << 4;

/// What a write did beyond storing bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wrote {
    /// COMMAND was touched.
    pub(crate) command: bool,
    /// A function-level reset was asked for.
    pub(crate) function_reset: bool,
}

/// The configuration space of one function.
pub(crate) struct ConfigSpace {
    bytes: Box<[u8; CONFIG_SIZE]>,
    writable: Box<[u8; CONFIG_SIZE]>,
    clear_on_one: Box<[u8; CONFIG_SIZE]>,
}

impl ConfigSpace {
    /// The space as it is after a reset.
    pub(crate) fn new(profile: &Profile) -> Self {
        let mut space = Self {
            bytes: Box::new([0; CONFIG_SIZE]),
            writable: Box::new([0; CONFIG_SIZE]),
            clear_on_one: Box::new([0; CONFIG_SIZE]),
        };
        space.header(profile);
        space.msix_capability(profile);
        space.pcie_capability();
        space.pm_capability();
        space.device_registers();
        space
    }

    /// Reads; bytes beyond the space read 0. `interrupt` is the live bit of STATUS.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8], interrupt: bool) {
        for (at, byte) in data.iter_mut().enumerate() {
            let Some(offset) = index(offset, at) else {
                *byte = 0;
                continue;
            };
            *byte = self.bytes[offset];
            if offset == STATUS && interrupt {
                *byte |= STATUS_INTERRUPT;
            }
        }
    }

    /// Writes; bytes beyond the space are ignored.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Wrote {
        let mut wrote = Wrote::default();
        for (at, byte) in data.iter().enumerate() {
            let Some(offset) = index(offset, at) else { continue };
            let (writable, clear) = (self.writable[offset], self.clear_on_one[offset]);
            let old = self.bytes[offset];
            self.bytes[offset] = ((old & !writable) | (byte & writable)) & !(byte & clear);
            wrote.command |= offset == COMMAND || offset == COMMAND + 1;
            wrote.function_reset |= offset == DEVCTL_FLR_BYTE && byte & DEVCTL_FLR != 0;
        }
        wrote
    }

    /// COMMAND.
    pub(crate) fn command(&self) -> u16 {
        u16::from_le_bytes([self.bytes[COMMAND], self.bytes[COMMAND + 1]])
    }

    /// Clears COMMAND's bus master bit.
    pub(crate) fn clear_bus_master(&mut self) {
        let [low, high] = (self.command() & !COMMAND_BUS_MASTER).to_le_bytes();
        (self.bytes[COMMAND], self.bytes[COMMAND + 1]) = (low, high);
    }

    /// Sets bits of CHANERR_INT, with CHANERR (device model 5.1); it is cleared by itself.
    pub(crate) fn latch_chanerr(&mut self, chanerr: ChanErr) {
        for (at, bits) in chanerr.into_bits().to_le_bytes().into_iter().enumerate() {
            self.bytes[CHANERR_INT + at] |= bits;
        }
    }

    fn header(&mut self, profile: &Profile) {
        self.put16(VENDOR, profile.vendor);
        self.put16(VENDOR + 2, profile.device);
        self.allow16(COMMAND, COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE);
        self.put16(STATUS, STATUS_CAPABILITIES);
        self.put32(REVISION, CLASS_CODE << 8 | u32::from(profile.revision));
        self.allow16(CACHE_LINE, 0x00ff);
        // 64-bit, not prefetchable; the writable bits are the size.
        self.put32(BAR0, 0b100);
        let [low, high] = halves(!(BAR0_SIZE - 1));
        self.allow32(BAR0, low);
        self.allow32(BAR0 + 4, high);
        self.put16(SUBSYSTEM, profile.subsystem_vendor);
        self.put16(SUBSYSTEM + 2, profile.subsystem);
        self.bytes[CAPABILITIES] = if profile.vectors() == 0 { PCIE } else { MSIX };
        self.writable[INTERRUPT_LINE] = 0xff;
        self.bytes[INTERRUPT_PIN] = 1;
    }

    /// Without vectors there is no capability: its table size counts from one.
    fn msix_capability(&mut self, profile: &Profile) {
        let Some(last) = profile.vectors().checked_sub(1) else { return };
        let at = self.capability(MSIX, 0x11, PCIE);
        self.put16(at + 2, last);
        // Enable and function mask. They are kept for who reads them: SET_IRQS says whether MSI-X is on.
        self.allow16(at + 2, 0xc000);
        self.put32(at + 4, MSIX_TABLE_OFFSET);
        self.put32(at + 8, MSIX_PBA_OFFSET);
    }

    fn pcie_capability(&mut self) {
        let at = self.capability(PCIE, 0x10, PM);
        // Version 2, port type 0: an endpoint.
        self.put16(at + 2, 0x0002);
        // DEVCAP: function-level reset (28), role-based error reporting (15).
        self.put32(at + 4, 1 << 28 | 1 << 15);
        // DEVCTL: relaxed ordering, no snoop, 512-byte reads; FLR (15) always reads 0.
        self.put16(DEVCTL, 0x2810);
        self.allow16(DEVCTL, 0x7fff);
        // DEVSTA: errors detected.
        self.clear16(at + 0x0a, 0x000f);
        // LNKCAP, LNKCTL, LNKSTA: one lane at the first speed.
        self.put32(at + 0x0c, 0x0011);
        self.allow16(at + 0x10, 0x01fb);
        self.put16(at + 0x12, 0x0011);
    }

    fn pm_capability(&mut self) {
        let at = self.capability(PM, 0x01, 0);
        self.put16(at + 2, 0x0003);
        // PMCSR: PowerState reads back; NoSoftReset, so nothing is lost in D3hot.
        self.put16(at + 4, 1 << 3);
        self.allow16(at + 4, 0x0003);
    }

    fn device_registers(&mut self) {
        self.allow16(DEVCFG, 0xffff);
        for scratch in [DMAUNCERRMSK, DMAUNCERRSEV, CHANERRMSK_INT, CHANERRSEV_INT] {
            self.allow32(scratch, u32::MAX);
        }
        for sticky in [DMAUNCERRSTS, CHANERR_INT] {
            self.clear16(sticky, 0xffff);
            self.clear16(sticky + 2, 0xffff);
        }
    }

    fn capability(&mut self, at: u8, id: u8, next: u8) -> usize {
        let at = usize::from(at);
        self.bytes[at] = id;
        self.bytes[at + 1] = next;
        at
    }

    fn put16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn allow16(&mut self, at: usize, bits: u16) {
        self.writable[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    }

    fn allow32(&mut self, at: usize, bits: u32) {
        self.writable[at..at + 4].copy_from_slice(&bits.to_le_bytes());
    }

    fn clear16(&mut self, at: usize, bits: u16) {
        self.clear_on_one[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    }
}

/// The low and the high half of a 64-bit register.
fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn index(offset: u64, at: usize) -> Option<usize> {
    let offset = usize::try_from(offset).ok()?.checked_add(at)?;
    (offset < CONFIG_SIZE).then_some(offset)
}
