//! Numbers of scripts: 64 bits whose sign means nothing, and offsets and lengths, whose sign means a mistake.

use rhai::INT;

use super::failure::{Failure, failed};

/// The bits of a script's number.
pub(super) const fn bits(value: INT) -> u64 {
    u64::from_ne_bytes(value.to_ne_bytes())
}

/// A script's number of these bits.
pub(super) const fn int(bits: u64) -> INT {
    INT::from_ne_bytes(bits.to_ne_bytes())
}

/// A count of bytes or things as a script's number.
pub(super) fn count(count: usize) -> INT {
    INT::try_from(count).unwrap_or(INT::MAX)
}

/// A number that is 0 or more; `what` names it.
pub(super) fn natural(what: &str, value: INT) -> Result<u64, Failure> {
    u64::try_from(value).map_err(|_| failed(format!("{what} {value}: give 0 or more")))
}

/// As [`natural`], for places in memory.
pub(super) fn size(what: &str, value: INT) -> Result<usize, Failure> {
    usize::try_from(value).map_err(|_| failed(format!("{what} {value}: give 0 or more")))
}

/// As [`natural`], for small numbers such as vectors.
pub(super) fn small(what: &str, value: INT) -> Result<u32, Failure> {
    u32::try_from(value).map_err(|_| failed(format!("{what} {value}: give 0 to {}", u32::MAX)))
}

/// A width of an access in bytes.
pub(super) fn width(value: INT) -> Result<usize, Failure> {
    let wide = usize::try_from(value).ok().filter(|width| [1, 2, 4, 8].contains(width));
    wide.ok_or_else(|| failed(format!("width {value}: give 1, 2, 4 or 8 bytes")))
}

/// Checks that `value` fits into `width` bytes. A negative number fits if its sign does.
pub(super) fn fitting(value: INT, width: usize) -> Result<u64, Failure> {
    let used = 8 * width;
    let fits = width >= 8 || value >> used == 0 || value >> (used - 1) == -1;
    match fits {
        true if width >= 8 => Ok(bits(value)),
        true => Ok(bits(value) & ((1 << used) - 1)),
        false => Err(failed(format!("value {:#x} does not fit into {width} bytes", bits(value)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bits_of_a_register_survive_the_way_through_a_script() {
        for value in [0, 1, u64::MAX, 1 << 63, 0x8000_0000_0000_0001] {
            assert_eq!(bits(int(value)), value);
        }
    }

    #[test]
    fn a_value_fits_with_its_sign_or_without() {
        assert_eq!(fitting(0xff, 1).ok(), Some(0xff));
        assert_eq!(fitting(-1, 1).ok(), Some(0xff));
        assert_eq!(fitting(-128, 1).ok(), Some(0x80));
        assert!(fitting(0x100, 1).is_err() && fitting(-129, 1).is_err());
        assert_eq!(fitting(-1, 4).ok(), Some(0xffff_ffff));
        assert_eq!(fitting(INT::MIN, 8).ok(), Some(1 << 63));
        assert!(width(3).is_err() && size("offset", -1).is_err());
    }
}
