//! Bits of a channel's control, command and status registers.

use bitfield_struct::bitfield;

/// CHANCTRL: channel control (device model 2.5).
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct ChanCtrl {
    /// Set by the engine when it raises an interrupt; while set, no further one is sent. Writing 1 clears it
    /// ("re-arm"), writing 0 does nothing.
    pub int_dis: bool,
    __: bool,
    /// On an error, write the status to the completion location.
    pub err_cmp_en: bool,
    /// Abort on any error. The engine aborts anyway.
    pub any_err_abort_en: bool,
    /// On an error, raise the interrupt.
    pub err_int_en: bool,
    /// Snoop control of descriptor fetches; without effect.
    pub desc_snoop: bool,
    #[bits(2)]
    __: u8,
    /// Claimed by a driver: the first read after it was cleared returns 0 and sets it.
    pub in_use: bool,
    /// DCA for completions; without effect.
    pub cmpl_dca_en: bool,
    #[bits(2)]
    __: u8,
    /// Priority; reads 0.
    #[bits(4)]
    pub priority: u8,
}

/// CHANCMD: one command at a time (device model 3.5).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct ChanCmd {
    /// Version 1 heritage; nobody uses it on version 3.
    pub start: bool,
    /// Version 1 heritage; nobody uses it on version 3.
    pub append: bool,
    /// Stop at the next descriptor boundary.
    pub suspend: bool,
    /// Version 1 heritage; nobody uses it on version 3.
    pub abort: bool,
    /// Leave the suspended state.
    pub resume: bool,
    /// Back to the reset state; complete when the write returns.
    pub reset: bool,
    #[bits(2)]
    __: u8,
}

/// DCACTRL: the processor that cache hints go to (contract 3.4). Without DCA in DMACAPABILITY it is scratch.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct DcaCtrl {
    /// The processor's APIC id.
    pub apic_id: u16,
    /// The id holds.
    pub enable: bool,
    /// Kept, without effect.
    #[bits(15)]
    pub rest: u16,
}

/// The state field of CHANSTS and of a completion word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum ChannelState {
    /// Work remains.
    Active = 0,
    /// All submitted work is done.
    Idle = 1,
    /// Stopped at a descriptor boundary on request.
    Suspended = 2,
    /// Stopped by an error, or freshly reset.
    #[default]
    Halted = 3,
    /// CHAINADDR is written, DMACOUNT not yet.
    Armed = 4,
}

impl ChannelState {
    /// The three-bit code.
    #[must_use]
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// The state of a three-bit code; 5 to 7 are not defined.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code & ChanSts::STATE_MASK {
            0 => Some(Self::Active),
            1 => Some(Self::Idle),
            2 => Some(Self::Suspended),
            3 => Some(Self::Halted),
            4 => Some(Self::Armed),
            _ => None,
        }
    }
}

/// CHANSTS, and the completion word that the engine stores: address of the last completed descriptor, and state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChanSts(u64);

impl ChanSts {
    /// Bits 2:0.
    pub const STATE_MASK: u64 = 0x7;
    /// Bits 63:6.
    pub const ADDRESS_MASK: u64 = !0x3f;
    /// Bit 3: an error that belongs to no channel.
    pub const UNAFFILIATED_ERROR: u64 = 1 << 3;
    /// Bit 4: soft error.
    pub const SOFT_ERROR: u64 = 1 << 4;

    /// Builds the word; the low six bits of `completed` are dropped.
    #[must_use]
    pub const fn new(completed: u64, state: ChannelState) -> Self {
        Self((completed & Self::ADDRESS_MASK) | state.code())
    }

    /// Takes the word as it was read.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The word.
    #[must_use]
    pub const fn into_bits(self) -> u64 {
        self.0
    }

    /// Address of the last completed descriptor; 0 if none has completed since CHAINADDR.
    #[must_use]
    pub const fn completed(self) -> u64 {
        self.0 & Self::ADDRESS_MASK
    }

    /// The state, unless the code is one of the undefined ones.
    #[must_use]
    pub const fn state(self) -> Option<ChannelState> {
        ChannelState::from_code(self.0)
    }
}

impl core::fmt::Debug for ChanSts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}|", self.completed())?;
        match self.state() {
            Some(state) => write!(f, "{state:?}"),
            None => write!(f, "state {}", self.0 & Self::STATE_MASK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_that_drivers_write_decode_to_what_they_mean() {
        // Linux: re-arm, error completion, any-error abort, error interrupt.
        let linux = ChanCtrl::from_bits(0x001d);
        assert!(linux.int_dis() && linux.err_cmp_en() && linux.any_err_abort_en() && linux.err_int_en());
        // SPDK: no error completion.
        assert!(!ChanCtrl::from_bits(0x0008).err_cmp_en());
        assert!(ChanCmd::from_bits(0x20).reset() && ChanCmd::from_bits(0x04).suspend());
        assert!(ChanCtrl::from_bits(0x0100).in_use());
        assert_eq!(DcaCtrl::new().with_apic_id(0x12).with_enable(true).into_bits(), 0x1_0012);
    }

    #[test]
    fn a_reset_channel_reads_exactly_3_and_an_armed_one_exactly_4() {
        assert_eq!(ChanSts::new(0, ChannelState::Halted).into_bits(), 3);
        assert_eq!(ChanSts::new(0, ChannelState::Armed).into_bits(), 4);
    }

    #[test]
    fn undefined_state_codes_are_none() {
        assert_eq!(ChanSts::from_bits(0x1_2345_6045).state(), None);
        assert_eq!(ChanSts::from_bits(0x1_2345_6041).completed(), 0x1_2345_6040);
    }
}
