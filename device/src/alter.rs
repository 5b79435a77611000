//! Data with a fault in it: flipped bits, or other bytes.

use ioat_stage::Action;

/// Changes `data` as `corrupt` and `set` say; any other action leaves it.
pub(crate) fn alter(action: Action, data: &mut [u8]) {
    match action {
        Action::Corrupt { offset, mask } => {
            let used = mask.to_le_bytes().into_iter().rposition(|byte| byte != 0).map_or(0, |last| last + 1);
            each(data, offset, &mask.to_le_bytes()[..used], |to, bits| *to ^= bits);
        }
        Action::Set { offset, value, bytes } => {
            let bytes = usize::from(bytes).min(size_of::<u64>());
            each(data, offset, &value.to_le_bytes()[..bytes], |to, byte| *to = byte);
        }
        _ => {}
    }
}

/// Each byte at its place, modulo the data's length; no more of them than there is data.
fn each(data: &mut [u8], offset: u64, bytes: &[u8], change: impl Fn(&mut u8, u8)) {
    let len = data.len();
    if len == 0 {
        return;
    }
    // Less than `len`, which is a `usize`.
    let start = usize::try_from(offset % len as u64).unwrap_or(0);
    for (at, byte) in bytes.iter().take(len).enumerate() {
        change(&mut data[(start + at) % len], *byte);
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
}
