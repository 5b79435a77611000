//! Data with a fault in it: flipped bits, or other bytes.

use ioat_stage::{Action, Verdict};

/// Changes `data` as `corrupt` and `set` say; any other action leaves it.
pub(crate) fn alter(action: Action, data: &mut [u8]) {
    if let Some(patch) = Patch::of(Some(action)) {
        let size = data.len() as u64;
        patch.apply(data, 0, size);
    }
}

/// Bytes that a fault alters in some data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Patch {
    offset: u64,
    value: [u8; 8],
    bytes: u8,
    /// They are flipped where `value` has ones; else they become it.
    flip: bool,
}

impl Patch {
    /// What `corrupt` and `set` do.
    pub(crate) fn of(verdict: Verdict) -> Option<Self> {
        match verdict? {
            Action::Corrupt { offset, mask } => {
                let bytes = u8::try_from((u64::BITS - mask.leading_zeros()).div_ceil(8)).unwrap_or(8);
                Some(Self { offset, value: mask.to_le_bytes(), bytes, flip: true })
            }
            Action::Set { offset, value, bytes } => {
                Some(Self { offset, value: value.to_le_bytes(), bytes, flip: false })
            }
            _ => None,
        }
    }

    /// Alters `part`, which begins at byte `at` of data of `size` bytes. What goes over the end goes on at its beginning.
    pub(crate) fn apply(&self, part: &mut [u8], at: u64, size: u64) {
        if size == 0 {
            return;
        }
        for (index, value) in (0..u64::from(self.bytes).min(size)).zip(self.value) {
            let place = (self.offset % size + index) % size;
            let byte = place.checked_sub(at).and_then(|place| part.get_mut(usize::try_from(place).ok()?));
            if let Some(byte) = byte {
                *byte = if self.flip { *byte ^ value } else { value };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn altered(action: &str, mut data: [u8; 4]) -> [u8; 4] {
        alter(Action::parse(action).unwrap(), &mut data);
        data
    }

    #[test]
    fn places_wrap_at_the_end_of_the_data_and_short_data_takes_what_it_holds() {
        assert_eq!(altered("corrupt(5, 0x8001)", [0; 4]), [0, 0x01, 0x80, 0]);
        assert_eq!(altered("corrupt(3, 0x0201)", [0; 4]), [0x02, 0, 0, 0x01]);
        assert_eq!(altered("set(1, 0xaabb, 2)", [1; 4]), [1, 0xbb, 0xaa, 1]);
        assert_eq!(altered("set(0, 0x0807060504030201)", [9; 4]), [1, 2, 3, 4]);
        assert_eq!(altered("drop", [7; 4]), [7; 4]);
        alter(Action::Corrupt { offset: 3, mask: 1 }, &mut []);
    }

    fn patched(action: &str, parts: &[usize]) -> Vec<u8> {
        let patch = Patch::of(Action::parse(action)).unwrap();
        let mut data = vec![0x11; parts.iter().sum()];
        let (size, mut at) = (data.len() as u64, 0);
        for len in parts {
            patch.apply(&mut data[at..at + len], at as u64, size);
            at += len;
        }
        data
    }

    #[test]
    fn a_patch_is_the_same_in_one_piece_and_in_many() {
        for action in ["corrupt(2, 0x80ff01)", "set(3, 0x0102030405060708)", "corrupt(13)", "set(6, 7, 1)"] {
            assert_eq!(patched(action, &[12]), patched(action, &[1; 12]), "{action}");
            assert_eq!(patched(action, &[12]), patched(action, &[4, 5, 3]), "{action}");
        }
    }

    #[test]
    fn a_patch_goes_over_the_end_to_the_beginning_but_not_twice_around() {
        assert_eq!(patched("corrupt(3, 0xf001)", &[4]), [0xe1, 0x11, 0x11, 0x10]);
        assert_eq!(patched("set(5, 0x0403020100)", &[3]), [1, 2, 0]);
        assert_eq!(patched("set(0, 0xff, 8)", &[1]), [0xff]);
    }
}
