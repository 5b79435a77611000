//! Triggers: at which of the operations that it counts a rule fires.

use std::fmt;

use super::action::{call, unsigned};
use super::filter::names;
use super::form::{Form, form};

/// One trigger. All of a rule's triggers must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// At the n-th only; the first is 1.
    Nth(u64),
    /// At the k-th, the 2k-th, and so on.
    Every(u64),
    /// At the first n.
    First(u64),
    /// At every one after the n-th.
    After(u64),
    /// At every one.
    Always,
    /// At each with this probability.
    Chance(Chance),
    /// So many times at most.
    Times(u64),
}

/// All triggers.
pub const TRIGGERS: &[Form] = &[
    form("nth", "nth(N)", "at the N-th operation that the rule counts; the first is 1", "msix: nth(3) drop"),
    form("every", "every(K)", "at the K-th, the 2K-th, and so on", "complete: every(2) drop"),
    form("first", "first(N)", "at the first N", "doorbell: first(2) delay(50us)"),
    form("after", "after(N)", "at every one after the N-th", "register[op=read]: after(20) all-ones"),
    form("always", "always", "at every one", "config[reg=CHANERR_INT, op=read]: always all-ones"),
    form(
        "p",
        "p(P[, SEED])",
        "at each with probability P; which, is a function of the seed, the rule and the operation's number in its channel",
        "copy: p(0.01, 7) corrupt(0)",
    ),
    form(
        "times",
        "times(N)",
        "N times at most, together with other triggers or alone",
        "msix: p(0.5) times(2) drop",
    ),
];

/// A probability in billionths, and what chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chance {
    billionths: u32,
    /// None: that of the run, see [`super::Rule::seeded`]; else 0.
    pub(super) seed: Option<u64>,
}

impl Chance {
    const WHOLE: u32 = 1_000_000_000;

    /// So many billionths; none unless there are 1 to 1,000,000,000.
    #[must_use]
    pub const fn new(billionths: u32, seed: Option<u64>) -> Option<Self> {
        if billionths == 0 || billionths > Self::WHOLE {
            return None;
        }
        Some(Self { billionths, seed })
    }

    /// Whether `draw`, any 64 bits, is a hit.
    pub(super) fn hits(self, draw: u64) -> bool {
        (u128::from(draw) * u128::from(Self::WHOLE)) >> 64 < u128::from(self.billionths)
    }

    fn read(text: &str) -> Option<Self> {
        let (share, seed) = match text.split_once(',') {
            None => (text, None),
            Some((share, seed)) => (share.trim(), Some(unsigned(seed.trim())?)),
        };
        // In digits, so that what is written is what is read.
        let (whole, part) = share.split_once('.').unwrap_or((share, ""));
        if part.len() > 9 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let whole = if whole.is_empty() && !part.is_empty() { 0 } else { unsigned(whole)? };
        let part: u32 = format!("{part:0<9}").parse().ok()?;
        let whole = u32::try_from(whole).ok()?.checked_mul(Self::WHOLE)?;
        Self::new(whole.checked_add(part)?, seed)
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.billionths / Self::WHOLE, self.billionths % Self::WHOLE);
        write!(f, "{whole}")?;
        if part != 0 {
            write!(f, ".{}", format!("{part:09}").trim_end_matches('0'))?;
        }
        self.seed.map_or(Ok(()), |seed| write!(f, ", {seed}"))
    }
}

impl Trigger {
    /// Reads a trigger. The error is what was expected.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let unknown = || format!("a trigger: {}", names(TRIGGERS.iter().map(|form| form.form)));
        let (word, argument) = call(text).ok_or_else(unknown)?;
        let form = TRIGGERS.iter().find(|form| form.word == word).ok_or_else(unknown)?;
        Self::of(word, argument).ok_or_else(|| {
            let more = match word {
                "always" => "",
                "p" => " with P above 0, at most 1, of at most 9 decimals",
                _ => " with a number of at least 1",
            };
            format!("'{}'{more}", form.form)
        })
    }

    /// A trigger by its word and its argument.
    pub(super) fn of(word: &str, argument: Option<&str>) -> Option<Self> {
        let number = || argument?.parse().ok().filter(|number| *number >= 1);
        match word {
            "nth" => number().map(Self::Nth),
            "every" => number().map(Self::Every),
            "first" => number().map(Self::First),
            "after" => number().map(Self::After),
            "times" => number().map(Self::Times),
            "always" => argument.is_none().then_some(Self::Always),
            "p" => Chance::read(argument?).map(Self::Chance),
            _ => None,
        }
    }

    /// The trigger's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nth(_) => "nth",
            Self::Every(_) => "every",
            Self::First(_) => "first",
            Self::After(_) => "after",
            Self::Always => "always",
            Self::Chance(_) => "p",
            Self::Times(_) => "times",
        }
    }

    /// The operation with this number (from 1) is hit, as far as its number says.
    #[must_use]
    pub const fn hits(self, number: u64) -> bool {
        match self {
            Self::Nth(n) => number == n,
            Self::Every(k) => number % k == 0,
            Self::First(n) => number <= n,
            Self::After(n) => number > n,
            Self::Always | Self::Chance(_) | Self::Times(_) => true,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Nth(n) | Self::Every(n) | Self::First(n) | Self::After(n) | Self::Times(n) => {
                write!(f, "({n})")
            }
            Self::Always => Ok(()),
            Self::Chance(chance) => write!(f, "({chance})"),
        }
    }
}
