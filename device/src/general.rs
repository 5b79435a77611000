//! What the general registers mean: those of the whole function, and the scratch ones behind a single channel.

use ioat_spec::general::{INTRDELAY_MASK, INTRDELAY_SUPPORTED};
use ioat_spec::register::TailRegister;
use ioat_spec::{GeneralRegister, IntrCtrl};

use crate::profile::Profile;
use crate::registers::{MSIX_ENTRY_SIZE, Piece, Written};

/// The registers that belong to no channel.
pub(crate) struct General {
    gen_ctrl: u8,
    /// Only the two bits that software sets; the others are computed.
    intr_ctrl: IntrCtrl,
    attn_status: u32,
    intr_delay: u16,
    chw_pref_lmt: u8,
    drs_ctl: u16,
    ltr_sw_sel: u8,
    ltr_active: u32,
    ltr_idle: u32,
    /// The MSI-X table as it was written. Who delivers messages keeps one of its own.
    msix_table: Box<[u8]>,
}

impl General {
    /// The registers after a reset.
    pub(crate) fn new(profile: &Profile) -> Self {
        let msix_table = vec![0; usize::from(profile.vectors()) * MSIX_ENTRY_SIZE].into_boxed_slice();
        let mut general = Self {
            gen_ctrl: 0,
            intr_ctrl: IntrCtrl::new(),
            attn_status: 0,
            intr_delay: INTRDELAY_SUPPORTED,
            chw_pref_lmt: 0,
            drs_ctl: 0,
            ltr_sw_sel: 0,
            ltr_active: 0,
            ltr_idle: 0,
            msix_table,
        };
        general.wipe_table();
        general
    }

    /// The MSI-X table as after power-on: no addresses, and every vector masked (PCI).
    pub(crate) fn wipe_table(&mut self) {
        self.msix_table.fill(0);
        self.msix_table.chunks_exact_mut(MSIX_ENTRY_SIZE).for_each(|entry| entry[12] = 1);
    }

    /// A read, with what reading does.
    pub(crate) fn read(&mut self, register: GeneralRegister, profile: &Profile) -> u64 {
        let value = self.peek(register, profile);
        match register {
            // Clear on read (2.1): without it, an INTx handler never comes to an end.
            GeneralRegister::AttnStatus => self.attn_status = 0,
            // The handler writes back what it read, and so sets the bit again.
            GeneralRegister::IntrCtrl => self.intr_ctrl.set_master_int_en(false),
            _ => {}
        }
        value
    }

    /// What a register holds, without what reading does.
    pub(crate) fn peek(&self, register: GeneralRegister, profile: &Profile) -> u64 {
        match register {
            GeneralRegister::ChanCnt => profile.channels.into(),
            GeneralRegister::XferCap => profile.xfercap_log2.into(),
            GeneralRegister::GenCtrl => self.gen_ctrl.into(),
            GeneralRegister::IntrCtrl => {
                let live = self.intr_ctrl.with_int_status(self.attn_status != 0).with_int(self.asserts());
                live.into_bits().into()
            }
            GeneralRegister::AttnStatus => self.attn_status.into(),
            GeneralRegister::CbVer => profile.cbver.into_bits().into(),
            GeneralRegister::IntrDelay => self.intr_delay.into(),
            GeneralRegister::DmaCapability => profile.dma_capability.into_bits().into(),
            GeneralRegister::ChwPrefLmt => self.chw_pref_lmt.into(),
            GeneralRegister::PerPortOffset
            | GeneralRegister::CsStatus
            | GeneralRegister::DcaOffset
            | GeneralRegister::CbPrio => 0,
        }
    }

    /// A write.
    pub(crate) fn write(&mut self, register: GeneralRegister, written: Written) {
        match register {
            GeneralRegister::GenCtrl => store8(&mut self.gen_ctrl, written),
            GeneralRegister::IntrCtrl => {
                let asked = IntrCtrl::from_bits(low8(written.bits));
                self.intr_ctrl = IntrCtrl::new()
                    .with_master_int_en(asked.master_int_en())
                    .with_msix_vector_control(asked.msix_vector_control());
            }
            GeneralRegister::IntrDelay => {
                store16(&mut self.intr_delay, written);
                self.intr_delay = (self.intr_delay & INTRDELAY_MASK) | INTRDELAY_SUPPORTED;
            }
            GeneralRegister::ChwPrefLmt => store8(&mut self.chw_pref_lmt, written),
            GeneralRegister::ChanCnt
            | GeneralRegister::XferCap
            | GeneralRegister::AttnStatus
            | GeneralRegister::CbVer
            | GeneralRegister::PerPortOffset
            | GeneralRegister::CsStatus
            | GeneralRegister::DmaCapability
            | GeneralRegister::DcaOffset
            | GeneralRegister::CbPrio => {}
        }
    }

    /// A read of a scratch register behind the only channel.
    pub(crate) fn read_tail(&self, register: TailRegister) -> u64 {
        match register {
            TailRegister::DrsCtl => self.drs_ctl.into(),
            TailRegister::LtrSwSel => self.ltr_sw_sel.into(),
            TailRegister::LtrActive => self.ltr_active.into(),
            TailRegister::LtrIdle => self.ltr_idle.into(),
        }
    }

    /// A write to one.
    pub(crate) fn write_tail(&mut self, register: TailRegister, written: Written) {
        match register {
            TailRegister::DrsCtl => store16(&mut self.drs_ctl, written),
            TailRegister::LtrSwSel => store8(&mut self.ltr_sw_sel, written),
            TailRegister::LtrActive => store32(&mut self.ltr_active, written),
            TailRegister::LtrIdle => store32(&mut self.ltr_idle, written),
        }
    }

    /// A read of the MSI-X table.
    pub(crate) fn read_table(&self, piece: &Piece, data: &mut [u8]) {
        piece.place_bytes(&self.msix_table, data);
    }

    /// A write to it.
    pub(crate) fn write_table(&mut self, piece: &Piece, data: &[u8]) {
        self.msix_table[piece.first..piece.first + piece.count]
            .copy_from_slice(&data[piece.at..piece.at + piece.count]);
    }

    /// A channel raised an interrupt event.
    pub(crate) fn set_attention(&mut self, channel: u8) {
        self.attn_status |= 1 << channel;
    }

    /// The level of INTx, but for what PCI has to say about it (2.4).
    pub(crate) fn asserts(&self) -> bool {
        self.intr_ctrl.master_int_en() && self.attn_status != 0
    }
}

/// The low byte.
fn low8(bits: u64) -> u8 {
    bits.to_le_bytes()[0]
}

fn store8(register: &mut u8, written: Written) {
    *register = low8(written.onto((*register).into()));
}

/// Stores what was written of a 16-bit scratch register.
pub(crate) fn store16(register: &mut u16, written: Written) {
    let [a, b, ..] = written.onto((*register).into()).to_le_bytes();
    *register = u16::from_le_bytes([a, b]);
}

/// Stores what was written of a 32-bit scratch register.
pub(crate) fn store32(register: &mut u32, written: Written) {
    let [a, b, c, d, ..] = written.onto((*register).into()).to_le_bytes();
    *register = u32::from_le_bytes([a, b, c, d]);
}
