//! A register by its name, and the accesses that touch it.

use ioat_spec::pci;
use ioat_spec::register::{CHANNEL_WINDOW, CHANNELS_MAX, TailRegister};
use ioat_spec::{ChannelRegister, GeneralRegister};

use super::{Point, Range};

/// A register of BAR0 or of configuration space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// One for all channels.
    General(GeneralRegister),
    /// One of each channel.
    Channel(ChannelRegister),
    /// One beyond the window of an engine's only channel.
    Tail(TailRegister),
    /// One of configuration space: its place in [`pci::REGISTERS`].
    Config(usize),
}

impl Register {
    /// The register of a name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|register| register.name().eq_ignore_ascii_case(name))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let general = GeneralRegister::ALL.iter().map(|register| Self::General(*register));
        let channel = ChannelRegister::ALL.iter().map(|register| Self::Channel(*register));
        let tail = TailRegister::ALL.iter().map(|register| Self::Tail(*register));
        general.chain(channel).chain(tail).chain((0..pci::REGISTERS.len()).map(Self::Config))
    }

    /// Its name: the datasheet's, or PCI's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::General(register) => register.name(),
            Self::Channel(register) => register.name(),
            Self::Tail(register) => register.name(),
            Self::Config(index) => pci::REGISTERS.get(index).map_or("", |(name, ..)| name),
        }
    }

    /// The point that its accesses are asked about.
    #[must_use]
    pub const fn point(self) -> Point {
        match self {
            Self::Config(_) => Point::Config,
            _ => Point::Register,
        }
    }

    /// An access of `len` bytes at `offset` of its space touches it.
    #[must_use]
    pub fn touched(self, offset: u64, len: u64) -> bool {
        match self {
            Self::Channel(register) => {
                // In the windows of the channels, which repeat; what lies behind them has no channel.
                let windows = CHANNEL_WINDOW..CHANNEL_WINDOW * (CHANNELS_MAX as u64 + 1);
                let (at, width) = (register.offset(), register.width() as u64);
                windows.contains(&offset) && span(at, width).touches(offset % CHANNEL_WINDOW, len)
            }
            _ => self.range().is_some_and(|range| range.touches(offset, len)),
        }
    }

    /// Where it lies in its space; none for one of each channel.
    #[must_use]
    pub fn range(self) -> Option<Range> {
        match self {
            Self::General(register) => Some(span(register.offset(), register.width() as u64)),
            Self::Channel(_) => None,
            Self::Tail(register) => Some(span(CHANNEL_WINDOW + register.offset(), register.width() as u64)),
            Self::Config(index) => {
                pci::REGISTERS.get(index).map(|(_, offset, width)| span(*offset as u64, *width as u64))
            }
        }
    }
}

/// `width` bytes from `at` on; no register is empty.
fn span(at: u64, width: u64) -> Range {
    Range::new(at, Some(at + width)).unwrap_or_else(|| unreachable!("a register of no bytes at {at:#x}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ioat_spec::register::channel_base;

    use super::*;

    #[test]
    fn each_name_is_one_register() {
        let mut seen = BTreeSet::new();
        for register in Register::all() {
            assert!(seen.insert(register.name()), "{}", register.name());
            assert_eq!(Register::named(&register.name().to_lowercase()), Some(register));
        }
        assert_eq!(Register::named("CHANSTATUS"), None);
    }

    #[test]
    fn a_channels_register_is_touched_in_every_window_and_by_either_half() {
        let status = Register::named("CHANSTS").unwrap();
        for channel in [0, 1, 7] {
            let base = channel_base(channel);
            assert!(status.touched(base + 8, 8) && status.touched(base + 12, 4) && status.touched(base, 16));
            assert!(!status.touched(base + 16, 8) && !status.touched(base, 8));
        }
        assert!(!status.touched(8, 8), "before the windows");
        assert!(!status.touched(0x2008, 8), "the MSI-X table");
        let errors = Register::named("CHANERR_INT").unwrap();
        assert_eq!(errors.point(), Point::Config);
        assert!(errors.touched(0x180, 4) && !errors.touched(0x184, 4));
    }
}
