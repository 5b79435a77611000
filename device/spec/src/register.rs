//! The register map of BAR0 as data: name, offset, width; and from an offset back to the name.

/// Bytes of one channel's register window.
pub const CHANNEL_WINDOW: u64 = 0x80;

/// Most channels that the map has room for before the MSI-X alias at 0x1000 (CHANCNT has five bits).
pub const CHANNELS_MAX: usize = 31;

/// Offset in BAR0 of channel `n`'s register window.
#[must_use]
pub const fn channel_base(n: usize) -> u64 {
    CHANNEL_WINDOW * (n as u64 + 1)
}

macro_rules! registers {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $offset:literal, $width:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every register of this block, in offset order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Byte offset from the block's start.
            #[must_use]
            pub const fn offset(self) -> u64 { match self { $(Self::$variant => $offset,)* } }

            /// Width in bytes.
            #[must_use]
            pub const fn width(self) -> usize { match self { $(Self::$variant => $width,)* } }

            /// The datasheet's name.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $text,)* } }

            /// The register that covers byte `offset` of the block.
            #[must_use]
            pub const fn at(offset: u64) -> Option<Self> {
                $(if matches!(offset.checked_sub($offset), Some(byte) if byte < $width) { return Some(Self::$variant); })*
                None
            }
        }
    };
}

registers! {
    /// General registers, from BAR0 + 0.
    GeneralRegister {
        /// Number of channels (bits 4:0).
        ChanCnt = 0x00, 1, "CHANCNT";
        /// Binary logarithm of the largest transfer (bits 4:0).
        XferCap = 0x01, 1, "XFERCAP";
        /// General control; scratch.
        GenCtrl = 0x02, 1, "GENCTRL";
        /// Interrupt control, see [`crate::IntrCtrl`].
        IntrCtrl = 0x03, 1, "INTRCTRL";
        /// One bit per channel that raised an interrupt event; clears when read.
        AttnStatus = 0x04, 4, "ATTNSTATUS";
        /// Version, see [`crate::CbVer`].
        CbVer = 0x08, 1, "CBVER";
        /// Per-port offset; reads 0.
        PerPortOffset = 0x0a, 2, "PERPORTOFFSET";
        /// Interrupt coalescing delay in microseconds (bits 13:0); bit 15 reads 1.
        IntrDelay = 0x0c, 2, "INTRDELAY";
        /// Device status; reads 0.
        CsStatus = 0x0e, 2, "CS_STATUS";
        /// Capabilities, see [`crate::DmaCapability`].
        DmaCapability = 0x10, 4, "DMACAPABILITY";
        /// Offset of the DCA block; 0 says that there is none.
        DcaOffset = 0x14, 2, "DCAOFFSET";
        /// Priority support; reads 0.
        CbPrio = 0x40, 1, "CBPRIO";
        /// Prefetch limit; scratch.
        ChwPrefLmt = 0x4c, 1, "CHWPREFLMT";
    }
}

registers! {
    /// Registers of one channel, from [`channel_base`].
    ChannelRegister {
        /// Channel control, see [`crate::ChanCtrl`].
        ChanCtrl = 0x00, 2, "CHANCTRL";
        /// Compatibility: which programming interfaces the channel understands.
        DmaComp = 0x02, 2, "DMA_COMP";
        /// Channel command, see [`crate::ChanCmd`].
        ChanCmd = 0x04, 1, "CHANCMD";
        /// Ring slots made valid since CHAINADDR, modulo 65536.
        DmaCount = 0x06, 2, "DMACOUNT";
        /// Channel status, see [`crate::ChanSts`].
        ChanSts = 0x08, 8, "CHANSTS";
        /// Address of the first descriptor; writing it arms the channel.
        ChainAddr = 0x10, 8, "CHAINADDR";
        /// Address of the 8-byte completion word.
        ChanCmp = 0x18, 8, "CHANCMP";
        /// Address of the current descriptor; no driver reads it.
        Cdar = 0x20, 8, "CDAR";
        /// Channel errors, see [`crate::ChanErr`]; write one to clear.
        ChanErr = 0x28, 4, "CHANERR";
        /// Channel error mask: a set bit is neither latched nor acted upon.
        ChanErrMsk = 0x2c, 4, "CHANERRMSK";
        /// Direct cache access control, see [`crate::DcaCtrl`].
        DcaCtrl = 0x30, 4, "DCACTRL";
    }
}

registers! {
    /// Scratch registers that version 3.3 and later keep beyond the channel's own window (3.3 of the device
    /// model, trap 3): with one channel they answer, with more they fall into the next channel's window.
    TailRegister {
        /// Descriptor ring size hints.
        DrsCtl = 0xb6, 2, "DRSCTL";
        /// Latency tolerance: 0 active, 1 idle.
        LtrSwSel = 0xbc, 1, "LTR_SWSEL";
        /// Latency tolerance while active.
        LtrActive = 0xc0, 4, "LTR_ACTIVE";
        /// Latency tolerance while idle.
        LtrIdle = 0xc4, 4, "LTR_IDLE";
    }
}

/// Value of DMA_COMP: compatible with version 2 (bit 1) and version 3 (bit 2).
pub const DMA_COMP_V2_V3: u16 = 0x0006;

/// What is at an offset of BAR0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Located {
    /// A general register, and the byte of it.
    General(GeneralRegister, usize),
    /// A channel's register, and the byte of it. The channel may be beyond CHANCNT: the caller checks.
    Channel(usize, ChannelRegister, usize),
    /// Nothing: reads 0, ignores writes.
    Reserved,
}

/// Finds what is at byte `offset` of BAR0, for an engine of `channels` channels.
#[must_use]
pub fn locate(offset: u64, channels: usize) -> Located {
    if offset < CHANNEL_WINDOW {
        return GeneralRegister::at(offset)
            .map_or(Located::Reserved, |reg| Located::General(reg, byte_of(offset, reg.offset())));
    }
    let Ok(window) = usize::try_from(offset / CHANNEL_WINDOW - 1) else { return Located::Reserved };
    if window >= channels {
        return Located::Reserved;
    }
    let within = offset % CHANNEL_WINDOW;
    ChannelRegister::at(within)
        .map_or(Located::Reserved, |reg| Located::Channel(window, reg, byte_of(within, reg.offset())))
}

fn byte_of(offset: u64, start: u64) -> usize {
    usize::try_from(offset - start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_general_register_is_found_at_each_of_its_bytes() {
        for reg in GeneralRegister::ALL {
            for byte in 0..reg.width() {
                assert_eq!(locate(reg.offset() + byte as u64, 4), Located::General(*reg, byte));
            }
        }
    }

    #[test]
    fn the_second_channel_is_0x80_further_and_one_beyond_the_count_is_reserved() {
        assert_eq!(locate(0x100 + 0x18, 4), Located::Channel(1, ChannelRegister::ChanCmp, 0));
        assert_eq!(locate(0x80 + 0x0c, 4), Located::Channel(0, ChannelRegister::ChanSts, 4));
        assert_eq!(locate(0x80 * 5 + 0x18, 4), Located::Reserved);
        assert_eq!(locate(0x09, 4), Located::Reserved);
        assert_eq!(locate(u64::MAX, 4), Located::Reserved);
    }

    #[test]
    fn registers_do_not_overlap() {
        let mut end = 0;
        for reg in ChannelRegister::ALL {
            assert!(reg.offset() >= end, "{}", reg.name());
            end = reg.offset() + reg.width() as u64;
        }
        assert!(end <= CHANNEL_WINDOW);
    }
}
