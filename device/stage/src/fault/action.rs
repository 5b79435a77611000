//! What a stage can be told to do instead of what the specification says, in one word each.

use std::fmt;

use ioat_spec::ChanErr;

/// A deviation. Which point can carry out which, and on which operations, is [`super::catalog`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Leave it out: no store, no message, no effect.
    Drop,
    /// Do it this many nanoseconds later; what follows does not wait, unless it needs the result.
    Delay(u64),
    /// Do it twice.
    Duplicate,
    /// Do it after the next operation of the same point and channel.
    Reorder,
    /// Exclusive-or the bytes of `mask` (little-endian, up to its highest byte that is not 0) into the data, from byte
    /// `offset` on, modulo the data's length.
    Corrupt {
        /// The first byte.
        offset: u64,
        /// The bits to flip; never 0.
        mask: u64,
    },
    /// Overwrite `bytes` bytes of the data from `offset` on, modulo its length.
    Set {
        /// The first byte.
        offset: u64,
        /// What they become, little-endian.
        value: u64,
        /// How many: 1 to 8.
        bytes: u8,
    },
    /// Give what the operation gave before, again: a value that no longer changes.
    Stick,
    /// All ones, as from a device that is gone.
    AllOnes,
    /// All zeros.
    Zeros,
    /// An address, or a count, that is off by this (wrapping).
    Misaddress(i64),
    /// `complete`: store the word this far from where CHANCMP says (wrapping).
    Elsewhere(i64),
    /// Before what must come first: `complete` before the data, `msix` before the word.
    Early,
    /// Only this many bytes of it.
    Short(u64),
    /// This many bytes more than it should, beyond its end.
    Overrun(u64),
    /// This many more of it, one after the other.
    Storm(u32),
    /// The message of another vector.
    Vector(u16),
    /// Stop here, until a reset.
    Stall,
    /// Stop the channel with these CHANERR bits, as an error found by this stage; 0: halted without a reason.
    Halt(u32),
    /// The MSI-X table is as after power-on.
    Wipe,
    /// The device leaves the bus, for this many nanoseconds; 0: for good. Reads are all ones, writes are lost, no DMA, no
    /// interrupt.
    Remove(u64),
    /// The command register's bus master bit is cleared.
    BusMasterOff,
    /// The error interrupt of VFIO (index ERR) is raised.
    Error,
    /// The request interrupt of VFIO (index REQ) is raised: please let go of the device.
    Request,
    /// `transport`: answer with this errno.
    Fail(u32),
    /// `transport`: end the connection.
    Disconnect,
    /// The device's program ends at once. In the simulator: the device leaves the bus for good.
    Kill,
}

impl Action {
    /// The words, and how each is written.
    pub const FORMS: [(&'static str, &'static str); 26] = [
        ("drop", "drop"),
        ("delay", "delay(TIME)"),
        ("duplicate", "duplicate"),
        ("reorder", "reorder"),
        ("corrupt", "corrupt(OFFSET[, MASK])"),
        ("set", "set(OFFSET, VALUE[, BYTES])"),
        ("stick", "stick"),
        ("all-ones", "all-ones"),
        ("zeros", "zeros"),
        ("misaddress", "misaddress(+N|-N)"),
        ("elsewhere", "elsewhere(+N|-N)"),
        ("early", "early"),
        ("short", "short(BYTES)"),
        ("overrun", "overrun(BYTES)"),
        ("storm", "storm(TIMES)"),
        ("vector", "vector(N)"),
        ("stall", "stall"),
        ("halt", "halt(BIT|NAME[+...]|none)"),
        ("wipe", "wipe"),
        ("remove", "remove[(TIME)]"),
        ("bus-master-off", "bus-master-off"),
        ("error", "error"),
        ("request", "request"),
        ("fail", "fail(ERRNO)"),
        ("disconnect", "disconnect"),
        ("kill", "kill"),
    ];

    /// The action's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Delay(_) => "delay",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Corrupt { .. } => "corrupt",
            Self::Set { .. } => "set",
            Self::Stick => "stick",
            Self::AllOnes => "all-ones",
            Self::Zeros => "zeros",
            Self::Misaddress(_) => "misaddress",
            Self::Elsewhere(_) => "elsewhere",
            Self::Early => "early",
            Self::Short(_) => "short",
            Self::Overrun(_) => "overrun",
            Self::Storm(_) => "storm",
            Self::Vector(_) => "vector",
            Self::Stall => "stall",
            Self::Halt(_) => "halt",
            Self::Wipe => "wipe",
            Self::Remove(_) => "remove",
            Self::BusMasterOff => "bus-master-off",
            Self::Error => "error",
            Self::Request => "request",
            Self::Fail(_) => "fail",
            Self::Disconnect => "disconnect",
            Self::Kill => "kill",
        }
    }

    /// Reads an action in the form that [`fmt::Display`] writes. None: no such action, or its arguments are wrong.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (word, argument) = call(text)?;
        Some(match (word, argument) {
            ("drop", None) => Self::Drop,
            ("duplicate", None) => Self::Duplicate,
            ("reorder", None) => Self::Reorder,
            ("stick", None) => Self::Stick,
            ("all-ones", None) => Self::AllOnes,
            ("zeros", None) => Self::Zeros,
            ("early", None) => Self::Early,
            ("stall", None) => Self::Stall,
            ("wipe", None) => Self::Wipe,
            ("remove", None) => Self::Remove(0),
            ("bus-master-off", None) => Self::BusMasterOff,
            ("error", None) => Self::Error,
            ("request", None) => Self::Request,
            ("disconnect", None) => Self::Disconnect,
            ("kill", None) => Self::Kill,
            ("delay", Some(time)) => Self::Delay(duration_ns(time)?),
            ("remove", Some(time)) => Self::Remove(duration_ns(time)?),
            ("corrupt", Some(arguments)) => corrupt(arguments)?,
            ("set", Some(arguments)) => set(arguments)?,
            ("misaddress", Some(delta)) => Self::Misaddress(signed(delta).filter(|delta| *delta != 0)?),
            ("elsewhere", Some(delta)) => Self::Elsewhere(signed(delta).filter(|delta| *delta != 0)?),
            ("short", Some(bytes)) => Self::Short(unsigned(bytes)?),
            ("overrun", Some(bytes)) => Self::Overrun(unsigned(bytes).filter(|n| (1..=4096).contains(n))?),
            ("storm", Some(times)) => {
                Self::Storm(u32::try_from(unsigned(times)?).ok().filter(|n| (1..=1_000_000).contains(n))?)
            }
            ("vector", Some(vector)) => Self::Vector(u16::try_from(unsigned(vector)?).ok()?),
            ("halt", Some(bits)) => Self::Halt(halt(bits)?),
            ("fail", Some(errno)) => {
                Self::Fail(u32::try_from(unsigned(errno)?).ok().filter(|n| (1..=133).contains(n))?)
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match *self {
            Self::Delay(ns) => write!(f, "({})", Duration(ns)),
            Self::Remove(ns) if ns != 0 => write!(f, "({})", Duration(ns)),
            Self::Corrupt { offset, mask } => write!(f, "({offset}, {mask:#x})"),
            Self::Set { offset, value, bytes } => write!(f, "({offset}, {value:#x}, {bytes})"),
            Self::Misaddress(delta) | Self::Elsewhere(delta) => write!(f, "({delta:+})"),
            Self::Short(bytes) | Self::Overrun(bytes) => write!(f, "({bytes})"),
            Self::Storm(times) => write!(f, "({times})"),
            Self::Vector(vector) => write!(f, "({vector})"),
            Self::Fail(errno) => write!(f, "({errno})"),
            Self::Halt(0) => f.write_str("(none)"),
            Self::Halt(bits) => {
                let set = (0..32).filter(|bit| bits & (1 << bit) != 0).map(|bit: u32| bit.to_string());
                write!(f, "({})", set.collect::<Vec<_>>().join("+"))
            }
            _ => Ok(()),
        }
    }
}

/// A time as it is written: the largest unit that it is a whole number of.
pub(super) struct Duration(pub(super) u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
        let (scale, unit) =
            units.into_iter().find(|(scale, _)| self.0 % scale == 0 && self.0 != 0).unwrap_or((1, "ns"));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

/// `name(argument)` or `name`.
pub(super) fn call(word: &str) -> Option<(&str, Option<&str>)> {
    match word.split_once('(') {
        None => Some((word, None)),
        Some((name, argument)) => Some((name.trim(), Some(argument.strip_suffix(')')?.trim()))),
    }
}

/// Decimal or 0x-hexadecimal.
pub(super) fn unsigned(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) if !hex.starts_with(['+', '-']) => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.starts_with(['+', '-']) => None,
        None => text.parse().ok(),
    }
}

/// A whole number with its unit: `200ns`, `5us`, `3ms`, `1s`; in nanoseconds, never 0.
pub(super) fn duration_ns(text: &str) -> Option<u64> {
    time_ns(text).filter(|ns| *ns > 0)
}

/// The same, and 0 with a unit.
pub(super) fn time_ns(text: &str) -> Option<u64> {
    let units = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let (digits, scale) =
        units.into_iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    unsigned(digits.trim())?.checked_mul(scale)
}

/// With an optional sign.
fn signed(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = i64::try_from(unsigned(digits)?).ok()?;
    Some(if negative { -value } else { value })
}

fn corrupt(arguments: &str) -> Option<Action> {
    let (offset, mask) = arguments.split_once(',').unwrap_or((arguments, "1"));
    let mask = unsigned(mask.trim()).filter(|mask| *mask != 0)?;
    Some(Action::Corrupt { offset: unsigned(offset.trim())?, mask })
}

fn set(arguments: &str) -> Option<Action> {
    let mut words = arguments.split(',').map(str::trim);
    let (offset, value) = (unsigned(words.next()?)?, unsigned(words.next()?)?);
    let bytes = match words.next() {
        None => 8,
        Some(bytes) => u8::try_from(unsigned(bytes)?).ok().filter(|bytes| (1..=8).contains(bytes))?,
    };
    let fits = bytes == 8 || value >> (8 * u32::from(bytes)) == 0;
    (words.next().is_none() && fits).then_some(Action::Set { offset, value, bytes })
}

fn halt(bits: &str) -> Option<u32> {
    if bits == "none" {
        return Some(0);
    }
    bits.split('+').try_fold(0, |set, bit| {
        let bit = bit.trim();
        let named = || ChanErr::NAMED.iter().find(|(_, name)| *name == bit).map(|(number, _)| *number);
        let number = bit.parse().ok().or_else(named).filter(|number| *number < 32)?;
        Some(set | 1 << number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_written_as_it_is_read() {
        for text in [
            "drop",
            "delay(200us)",
            "duplicate",
            "reorder",
            "corrupt(17, 0x80)",
            "set(4, 0xff, 1)",
            "stick",
            "all-ones",
            "zeros",
            "misaddress(+64)",
            "misaddress(-64)",
            "elsewhere(+8)",
            "early",
            "short(4)",
            "overrun(16)",
            "storm(100)",
            "vector(3)",
            "stall",
            "halt(3)",
            "halt(3+8)",
            "halt(none)",
            "wipe",
            "remove",
            "remove(5ms)",
            "bus-master-off",
            "error",
            "request",
            "fail(22)",
            "disconnect",
            "kill",
        ] {
            let action = Action::parse(text).unwrap();
            assert_eq!(action.to_string(), text);
            assert!(Action::FORMS.iter().any(|(word, _)| *word == action.word()), "{text}");
        }
    }

    #[test]
    fn what_is_left_out_has_a_default_and_names_stand_for_bits() {
        assert_eq!(Action::parse("corrupt(0)"), Some(Action::Corrupt { offset: 0, mask: 1 }));
        assert_eq!(Action::parse("set(0, 1)"), Some(Action::Set { offset: 0, value: 1, bytes: 8 }));
        assert_eq!(Action::parse("misaddress(0x40)"), Some(Action::Misaddress(64)));
        assert_eq!(Action::parse("halt(descriptor+read-data)"), Some(Action::Halt(1 << 3 | 1 << 8)));
    }

    #[test]
    fn arguments_that_make_no_sense_are_no_action() {
        for text in [
            "",
            "explode",
            "drop(1)",
            "delay",
            "delay(5)",
            "delay(0ms)",
            "corrupt(0, 0)",
            "corrupt(-1)",
            "halt(32)",
            "halt()",
            "set(0, 256, 1)",
            "set(0, 1, 9)",
            "set(0)",
            "misaddress(0)",
            "storm(0)",
            "overrun(0)",
            "vector(65536)",
            "fail(0)",
            "short(-1)",
            "delay(99999999999999999999s)",
        ] {
            assert_eq!(Action::parse(text), None, "{text}");
        }
    }
}
