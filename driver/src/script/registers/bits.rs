//! A range of bits.

use std::fmt;

/// Bits `low` to `high` of a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bits {
    pub(crate) high: u32,
    pub(crate) low: u32,
}

impl Bits {
    /// Reads `7:4` or `3`, for a register of `width` bytes. The error says what is wrong.
    pub(super) fn parse(text: &str, width: u8) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let (high, low) = match text.split_once(':') {
            Some((high, low)) => (number(high), number(low)),
            None => (number(text), number(text)),
        };
        let (Some(high), Some(low)) = (high, low) else {
            return Err(format!("bits \"{text}\": write \"HIGH:LOW\" or one number"));
        };
        let last = 8 * u32::from(width) - 1;
        if low > high || high > last {
            return Err(format!("bits \"{text}\": give the higher one first, and at most {last}"));
        }
        Ok(Self { high, low })
    }

    /// All bits of a register of so many bytes.
    pub(super) fn all(width: u8) -> Self {
        Self { high: 8 * u32::from(width) - 1, low: 0 }
    }

    /// The bits in their place.
    pub(crate) fn mask(self) -> u64 {
        (u64::MAX >> (63 - (self.high - self.low))) << self.low
    }

    /// What a register's value has there.
    pub(crate) fn of(self, value: u64) -> u64 {
        (value & self.mask()) >> self.low
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.high == self.low {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}:{}", self.high, self.low)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_a_mask_and_a_place() {
        let bits = Bits::parse("63:6", 8).unwrap();
        assert_eq!((bits.mask(), bits.of(0x1234_5678)), (!0x3f, 0x1234_5678 >> 6));
        assert_eq!(Bits::parse("3", 1).unwrap().mask(), 8);
        assert_eq!(Bits::all(8).mask(), u64::MAX);
        assert!(Bits::parse("4:7", 1).unwrap_err().contains("higher one first"));
        assert!(Bits::parse("8", 1).unwrap_err().contains("at most 7"));
        assert!(Bits::parse("a:b", 1).unwrap_err().contains("HIGH:LOW"));
    }
}
