//! CHANERR: the channel error bits (device model 5.2).

use core::fmt;

/// A set of CHANERR bits. The engine reports one bit per fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChanErr(u32);

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl ChanErr {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every named bit: number, name in the fault language, set.
            pub const NAMED: &'static [(u32, &'static str)] = &[$(($bit, $text),)*];
        }
    };
}

errors! {
    /// Source address error: not mapped or not translatable.
    SOURCE_ADDRESS = 0, "source-address";
    /// Destination address error.
    DESTINATION_ADDRESS = 1, "destination-address";
    /// Next descriptor address error: the second or a later descriptor is not mapped.
    NEXT_DESCRIPTOR_ADDRESS = 2, "next-descriptor-address";
    /// Descriptor error: the fetch failed, or `next` is misaligned.
    DESCRIPTOR = 3, "descriptor";
    /// Chain address value error: CHAINADDR misaligned, or the first descriptor not mapped.
    CHAIN_ADDRESS = 4, "chain-address";
    /// CHANCMD error: several command bits at once.
    CHANCMD = 5, "chancmd";
    /// Chipset data integrity error.
    CHIPSET_INTEGRITY = 6, "chipset-integrity";
    /// DMA data integrity error.
    DMA_INTEGRITY = 7, "dma-integrity";
    /// Read data error.
    READ_DATA = 8, "read-data";
    /// Write data error.
    WRITE_DATA = 9, "write-data";
    /// Control error: unknown opcode or unsupported control bits. DPDK calls it "invalid length"; Linux,
    /// FreeBSD and the datasheet do not, and they are followed.
    CONTROL = 10, "control";
    /// Length error: size 0 without NULL, or above XFERCAP.
    LENGTH = 11, "length";
    /// Completion address error: CHANCMP misaligned, or the store failed.
    COMPLETION_ADDRESS = 12, "completion-address";
    /// Interrupt configuration error.
    INTERRUPT_CONFIGURATION = 13, "interrupt-configuration";
    /// Super extended descriptor address error.
    SED_ADDRESS = 14, "sed-address";
    /// Unaffiliated error.
    UNAFFILIATED = 15, "unaffiliated";
    /// XOR or P mismatch.
    XOR_P = 16, "xor-p";
    /// Q mismatch.
    Q = 17, "q";
    /// Descriptor count error: an extension is needed but DMACOUNT is exhausted.
    DESCRIPTOR_COUNT = 18, "descriptor-count";
}

impl ChanErr {
    /// No error.
    pub const NONE: Self = Self(0);

    /// Takes the register as it was read.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The register's value.
    #[must_use]
    pub const fn into_bits(self) -> u32 {
        self.0
    }

    /// The set of the single bit `number`, if that is below 32.
    #[must_use]
    pub const fn from_bit_number(number: u32) -> Option<Self> {
        if number < 32 { Some(Self(1 << number)) } else { None }
    }

    /// The set of the single bit with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(_, text)| *text == name).map(|(bit, _)| Self(1 << bit))
    }

    /// No bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for ChanErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ChanErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)?;
        let mut separator = " (";
        for (bit, name) in Self::NAMED {
            if self.0 & (1 << bit) != 0 {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn an_error_names_itself_and_its_name_leads_back() {
        assert_eq!(ChanErr::LENGTH.to_string(), "0x800 (length)");
        assert_eq!(ChanErr::XOR_P.union(ChanErr::Q).to_string(), "0x30000 (xor-p, q)");
        assert_eq!(ChanErr::NONE.to_string(), "0x0");
        for (bit, name) in ChanErr::NAMED {
            assert_eq!(ChanErr::from_name(name), ChanErr::from_bit_number(*bit));
        }
    }
}
