//! BAR0's decoder: from (offset, length) to the registers that an access touches. What they mean is elsewhere.
//!
//! Accesses of any width and alignment are taken apart at register boundaries, so that every width is composed of
//! the same pieces (device model 2).

use ioat_spec::pci::{MSIX_PBA_OFFSET, MSIX_TABLE_OFFSET};
use ioat_spec::register::{CHANNEL_WINDOW, TailRegister};
use ioat_spec::{ChannelRegister, GeneralRegister, Located, locate};

use crate::profile::Profile;

/// Bytes of one MSI-X table entry.
pub(crate) const MSIX_ENTRY_SIZE: usize = 16;

/// Bytes of the pending-bit array.
const PBA_SIZE: usize = 8;

/// What a piece of an access touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    General(GeneralRegister),
    /// The channel is below CHANCNT.
    Channel(usize, ChannelRegister),
    /// Only with one channel; with more, the window of channel 1 is there.
    Tail(TailRegister),
    MsixTable,
    /// Only with MSI-X.
    MsixPba,
    /// Reads 0, ignores writes.
    Reserved,
}

/// Consecutive bytes of one register, touched by an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) target: Target,
    /// The first byte of the register that is touched.
    pub(crate) first: usize,
    /// How many are touched.
    pub(crate) count: usize,
    /// Where the first one is in the access's data.
    pub(crate) at: usize,
}

/// Bytes written to a register of at most 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    /// The bytes, each at its place in the register; zero elsewhere.
    pub(crate) bits: u64,
    /// All ones at the bytes that were written.
    pub(crate) mask: u64,
}

impl Written {
    /// The register after the write, if every written bit takes.
    pub(crate) fn onto(self, old: u64) -> u64 {
        (old & !self.mask) | self.bits
    }
}

impl Piece {
    /// Puts a register's value into the access's data.
    pub(crate) fn place(&self, value: u64, data: &mut [u8]) {
        self.place_bytes(&value.to_le_bytes(), data);
    }

    /// Puts the bytes of a register, or of an area, into the access's data.
    pub(crate) fn place_bytes(&self, bytes: &[u8], data: &mut [u8]) {
        data[self.at..self.at + self.count].copy_from_slice(&bytes[self.first..self.first + self.count]);
    }

    /// Takes what was written from the access's data.
    pub(crate) fn written(&self, data: &[u8]) -> Written {
        let (mut bits, mut mask) = ([0; 8], [0; 8]);
        bits[self.first..self.first + self.count].copy_from_slice(&data[self.at..self.at + self.count]);
        mask[self.first..self.first + self.count].fill(0xff);
        Written { bits: u64::from_le_bytes(bits), mask: u64::from_le_bytes(mask) }
    }
}

/// The pieces of an access of `len` bytes at `offset`, in ascending order.
pub(crate) fn pieces(profile: &Profile, offset: u64, len: usize) -> impl Iterator<Item = Piece> + use<> {
    let map = Map {
        channels: usize::from(profile.channels),
        table_size: usize::from(profile.vectors()) * MSIX_ENTRY_SIZE,
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        let (target, first, width) = match offset.checked_add(at as u64) {
            Some(offset) => map.at(offset),
            None => (Target::Reserved, 0, 1),
        };
        let piece = Piece { target, first, count: (width - first).min(len - at), at };
        at += piece.count;
        Some(piece)
    })
}

/// The register that the access at `offset` starts with, for whoever wants only to name it.
pub(crate) fn channel_at(profile: &Profile, offset: u64) -> Option<u8> {
    match pieces(profile, offset, 1).next()?.target {
        Target::Channel(channel, _) => u8::try_from(channel).ok(),
        _ => None,
    }
}

struct Map {
    channels: usize,
    table_size: usize,
}

impl Map {
    /// What is at `offset`, which byte of it that is, and how many bytes it has.
    fn at(&self, offset: u64) -> (Target, usize, usize) {
        match locate(offset, self.channels) {
            Located::General(register, byte) => (Target::General(register), byte, register.width()),
            Located::Channel(channel, register, byte) => {
                (Target::Channel(channel, register), byte, register.width())
            }
            Located::Reserved => self.beyond(offset),
        }
    }

    fn beyond(&self, offset: u64) -> (Target, usize, usize) {
        if let Some(byte) = within(offset, MSIX_TABLE_OFFSET, self.table_size) {
            return (Target::MsixTable, byte, self.table_size);
        }
        let pba_size = if self.table_size == 0 { 0 } else { PBA_SIZE };
        if let Some(byte) = within(offset, MSIX_PBA_OFFSET, pba_size) {
            return (Target::MsixPba, byte, PBA_SIZE);
        }
        if self.channels == 1 {
            let tail = offset.checked_sub(CHANNEL_WINDOW).and_then(TailRegister::at);
            if let Some(register) = tail {
                // `at` found it, so it starts at or before `offset`.
                let byte = usize::try_from(offset - CHANNEL_WINDOW - register.offset()).unwrap_or(0);
                return (Target::Tail(register), byte, register.width());
            }
        }
        (Target::Reserved, 0, 1)
    }
}

fn within(offset: u64, start: u32, size: usize) -> Option<usize> {
    let byte = usize::try_from(offset.checked_sub(u64::from(start))?).ok()?;
    (byte < size).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(profile: &Profile, offset: u64, len: usize) -> Vec<(Target, usize, usize, usize)> {
        pieces(profile, offset, len).map(|p| (p.target, p.first, p.count, p.at)).collect()
    }

    #[test]
    fn a_dword_at_0_touches_four_registers() {
        use GeneralRegister::{ChanCnt, GenCtrl, IntrCtrl, XferCap};
        assert_eq!(
            targets(&Profile::SKX, 0, 4),
            [ChanCnt, XferCap, GenCtrl, IntrCtrl]
                .into_iter()
                .enumerate()
                .map(|(n, register)| (Target::General(register), 0, 1, n))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_access_that_starts_and_ends_inside_registers_is_cut_there() {
        assert_eq!(
            targets(&Profile::SKX, 0x8c, 8),
            [
                (Target::Channel(0, ChannelRegister::ChanSts), 4, 4, 0),
                (Target::Channel(0, ChannelRegister::ChainAddr), 0, 4, 4),
            ]
        );
    }

    #[test]
    fn the_tail_answers_only_with_one_channel() {
        let one = Profile::SKX.with_channels(1).unwrap();
        assert_eq!(targets(&one, 0x140, 4), [(Target::Tail(TailRegister::LtrActive), 0, 4, 0)]);
        assert!(targets(&Profile::SKX, 0x140, 4).iter().all(|(target, ..)| *target == Target::Reserved));
    }

    #[test]
    fn the_table_ends_with_the_last_vector() {
        assert_eq!(targets(&Profile::SKX, 0x203c, 4), [(Target::MsixTable, 0x3c, 4, 0)]);
        assert_eq!(targets(&Profile::SKX, 0x2040, 1), [(Target::Reserved, 0, 1, 0)]);
        let one = Profile::SKX.with_vectors(1).unwrap();
        assert_eq!(targets(&one, 0x2010, 1), [(Target::Reserved, 0, 1, 0)]);
        let none = Profile::SKX.with_vectors(0).unwrap();
        for offset in [0x2000, 0x3000] {
            assert_eq!(targets(&none, offset, 1), [(Target::Reserved, 0, 1, 0)]);
        }
    }

    #[test]
    fn an_access_at_the_end_of_the_address_space_does_not_wrap() {
        assert!(
            targets(&Profile::SKX, u64::MAX - 1, 8).iter().all(|(target, ..)| *target == Target::Reserved)
        );
    }
}
