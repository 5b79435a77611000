//! Ranges as rules write them: `A..B` without B, `A..`, `..B`, or one number.

use super::action::{Duration, time_ns, unsigned};

/// Numbers from one up to another that is not among them; never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    from: u64,
    /// None: without end.
    until: Option<u64>,
}

impl Range {
    /// `from..until`; none if nothing is in it.
    #[must_use]
    pub const fn new(from: u64, until: Option<u64>) -> Option<Self> {
        match until {
            Some(until) if until <= from => None,
            _ => Some(Self { from, until }),
        }
    }

    /// `number` is in it.
    #[must_use]
    pub const fn contains(self, number: u64) -> bool {
        self.touches(number, 1)
    }

    /// One of `len` numbers from `first` on is in it; of none, none is.
    #[must_use]
    pub const fn touches(self, first: u64, len: u64) -> bool {
        if len == 0 {
            return false;
        }
        let begins = match self.until {
            None => true,
            Some(until) => first < until,
        };
        begins && first.saturating_add(len - 1) >= self.from
    }

    /// The first number that is no longer in it, if there is an end.
    #[must_use]
    pub const fn until(self) -> Option<u64> {
        self.until
    }

    /// The first one.
    #[must_use]
    pub const fn from(self) -> u64 {
        self.from
    }

    /// Numbers, decimal or hexadecimal. None: it cannot be read, or is empty.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text.split_once("..") {
            Some(ends) => Self::ends(ends, unsigned),
            None => {
                let from = unsigned(text)?;
                Self::new(from, from.checked_add(1))
            }
        }
    }

    /// Times with their units; always with `..`, for one nanosecond is no window.
    pub(super) fn read_times(text: &str) -> Option<Self> {
        Self::ends(text.split_once("..")?, time_ns)
    }

    fn ends((from, until): (&str, &str), number: impl Fn(&str) -> Option<u64>) -> Option<Self> {
        let (from, until) = (from.trim(), until.trim());
        let from = if from.is_empty() { 0 } else { number(from)? };
        let until = if until.is_empty() { None } else { Some(number(until)?) };
        Self::new(from, until)
    }

    /// As it is read by [`read_times`](Self::read_times): one number is no window, so both ends are written.
    pub(super) fn times(self) -> String {
        self.written(false, |ns| Duration(ns).to_string())
    }

    /// As it is read, with hexadecimal numbers.
    pub(super) fn addresses(self) -> String {
        self.written(true, |address| format!("{address:#x}"))
    }

    /// As it is read, with decimal numbers.
    pub(super) fn counts(self) -> String {
        self.written(true, |count| count.to_string())
    }

    fn written(self, shorten: bool, number: impl Fn(u64) -> String) -> String {
        match self.until {
            None => format!("{}..", number(self.from)),
            Some(until) if shorten && until - self.from == 1 => number(self.from),
            Some(until) => format!("{}..{}", number(self.from), number(until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_before_its_second_number() {
        let range = Range::read("0x10..0x20").unwrap();
        assert!(
            range.contains(0x10) && range.contains(0x1f) && !range.contains(0x20) && !range.contains(0xf)
        );
        assert!(range.touches(0, 0x11) && !range.touches(0, 0x10) && !range.touches(0x20, 64));
        assert!(!range.touches(0x12, 0), "nothing is nowhere");
        assert!(Range::read("7").unwrap().contains(7) && !Range::read("7").unwrap().contains(8));
        assert!(Range::read("7..").unwrap().contains(u64::MAX) && Range::read("..7").unwrap().contains(0));
        assert!(Range::read("0xffffffffffffffff").unwrap().contains(u64::MAX));
    }

    #[test]
    fn what_is_empty_or_no_range_is_none() {
        for text in ["", "4..4", "5..4", "a..b", "1..2..3", "-1..2", "0x..5", "..0"] {
            assert_eq!(Range::read(text), None, "{text}");
        }
        for text in ["5ms", "5..6", "2ms..1ms", "..", "1ms..2"] {
            assert_eq!(
                Range::read_times(text),
                if text == ".." { Range::new(0, None) } else { None },
                "{text}"
            );
        }
    }
}
