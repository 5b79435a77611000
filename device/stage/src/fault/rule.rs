//! The one-line form of a rule: `POINT[ch=N]: TRIGGER ACTION`, for example `msix[ch=0]: nth(3) drop`.

use std::fmt;
use std::str::FromStr;

use super::{Point, Verdict};

/// When a rule fires, counted over the operations that its point and filter match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// At the n-th only; the first is 1.
    Nth(u64),
    /// At the k-th, the 2k-th, and so on.
    Every(u64),
}

impl Trigger {
    /// The operation with this number (from 1) is hit.
    #[must_use]
    pub const fn hits(self, number: u64) -> bool {
        match self {
            Self::Nth(n) => number == n,
            Self::Every(k) => number % k == 0,
        }
    }
}

/// What a rule does; the same set as [`Verdict`], without `Pass`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// [`Verdict::Drop`]
    Drop,
    /// [`Verdict::Early`]
    Early,
    /// [`Verdict::Misaddress`]
    Misaddress(i64),
    /// [`Verdict::Halt`]: CHANERR's bit number.
    Halt(u32),
    /// [`Verdict::Corrupt`]: byte offset and mask.
    Corrupt(u64, u8),
    /// [`Verdict::AllOnes`]
    AllOnes,
}

impl Action {
    /// The words of the actions, and the points that can apply each.
    pub const TABLE: [(&'static str, &'static [Point]); 6] = [
        ("drop", &[Point::Complete, Point::Msix]),
        ("early", &[Point::Complete]),
        ("misaddress", &[Point::Complete]),
        ("halt", &[Point::Fetch, Point::Translate, Point::Copy]),
        ("corrupt", &[Point::Copy]),
        ("all-ones", &[Point::Register]),
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Early => "early",
            Self::Misaddress(_) => "misaddress",
            Self::Halt(_) => "halt",
            Self::Corrupt(..) => "corrupt",
            Self::AllOnes => "all-ones",
        }
    }

    /// The verdict that carries it out.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Drop => Verdict::Drop,
            Self::Early => Verdict::Early,
            Self::Misaddress(delta) => Verdict::Misaddress { delta },
            Self::Halt(bit) => Verdict::Halt { chanerr: 1 << bit },
            Self::Corrupt(offset, mask) => Verdict::Corrupt { offset, mask },
            Self::AllOnes => Verdict::AllOnes,
        }
    }
}

/// One rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Where.
    pub point: Point,
    /// Only on this channel; none: on all, counted together.
    pub channel: Option<u8>,
    /// When.
    pub trigger: Trigger,
    /// What.
    pub action: Action,
}

/// Why a rule cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuleError {
    /// No `:` between the point and the rest.
    #[error(
        "fault rule '{0}': expected 'POINT[ch=N]: TRIGGER ACTION', for example 'msix[ch=0]: nth(3) drop'"
    )]
    Shape(String),
    /// No such point.
    #[error(
        "fault rule '{rule}': '{word}' is no point; the points are register, doorbell, fetch, translate, copy, complete, msix, isr, queue, dpc"
    )]
    Point {
        /// The whole rule.
        rule: String,
        /// The word.
        word: String,
    },
    /// The filter is not `ch=N`.
    #[error("fault rule '{rule}': filter '{word}' is not 'ch=N' with N from 0 to 30")]
    Filter {
        /// The whole rule.
        rule: String,
        /// The filter's text.
        word: String,
    },
    /// The trigger is neither `nth(N)` nor `every(K)`.
    #[error(
        "fault rule '{rule}': trigger '{word}' is not 'nth(N)' or 'every(K)' with a number of at least 1"
    )]
    Trigger {
        /// The whole rule.
        rule: String,
        /// The trigger's text.
        word: String,
    },
    /// No such action, or its arguments are wrong.
    #[error(
        "fault rule '{rule}': action '{word}' is not drop, early, misaddress(+N|-N), halt(BIT|NAME), corrupt(OFFSET[, MASK]) or all-ones"
    )]
    Action {
        /// The whole rule.
        rule: String,
        /// The action's text.
        word: String,
    },
    /// The point cannot do that.
    #[error(
        "fault rule '{rule}': it would never fire, because {point} cannot {action}; {action} works at {places}"
    )]
    Never {
        /// The whole rule.
        rule: String,
        /// The point.
        point: Point,
        /// The action's word.
        action: &'static str,
        /// Where the action works.
        places: String,
    },
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let rule = || text.to_owned();
        let (place, rest) = text.split_once(':').ok_or_else(|| RuleError::Shape(rule()))?;
        let (place, filter) = split_filter(place.trim()).ok_or_else(|| RuleError::Shape(rule()))?;
        let point = Point::ALL
            .into_iter()
            .find(|point| point.name() == place)
            .ok_or_else(|| RuleError::Point { rule: rule(), word: place.to_owned() })?;
        let channel = match filter {
            None => None,
            Some(word) => Some(
                parse_filter(word)
                    .ok_or_else(|| RuleError::Filter { rule: rule(), word: word.to_owned() })?,
            ),
        };
        let (trigger, action) = split_call(rest.trim()).ok_or_else(|| RuleError::Shape(rule()))?;
        let trigger = parse_trigger(trigger)
            .ok_or_else(|| RuleError::Trigger { rule: rule(), word: trigger.to_owned() })?;
        let action = parse_action(action)
            .ok_or_else(|| RuleError::Action { rule: rule(), word: action.to_owned() })?;
        let points =
            Action::TABLE.iter().find(|(word, _)| *word == action.word()).map_or(&[][..], |(_, p)| p);
        if !points.contains(&point) {
            let places = points.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ");
            return Err(RuleError::Never { rule: rule(), point, action: action.word(), places });
        }
        Ok(Self { point, channel, trigger, action })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.point)?;
        if let Some(channel) = self.channel {
            write!(f, "[ch={channel}]")?;
        }
        match self.trigger {
            Trigger::Nth(n) => write!(f, ": nth({n}) ")?,
            Trigger::Every(k) => write!(f, ": every({k}) ")?,
        }
        match self.action {
            Action::Misaddress(delta) => write!(f, "misaddress({delta:+})"),
            Action::Halt(bit) => write!(f, "halt({bit})"),
            Action::Corrupt(offset, mask) => write!(f, "corrupt({offset}, {mask:#x})"),
            action => f.write_str(action.word()),
        }
    }
}

/// `msix[ch=0]` into `msix` and `ch=0`.
fn split_filter(place: &str) -> Option<(&str, Option<&str>)> {
    match place.split_once('[') {
        None => Some((place, None)),
        Some((point, filter)) => Some((point.trim(), Some(filter.strip_suffix(']')?.trim()))),
    }
}

/// `nth(3) drop` into `nth(3)` and `drop`.
fn split_call(rest: &str) -> Option<(&str, &str)> {
    let end = rest.find(')')? + 1;
    let (trigger, action) = rest.split_at(end);
    Some((trigger.trim(), action.trim()))
}

fn parse_filter(word: &str) -> Option<u8> {
    let channel: u8 = word.strip_prefix("ch=")?.trim().parse().ok()?;
    (channel < 31).then_some(channel)
}

fn parse_trigger(word: &str) -> Option<Trigger> {
    let (name, argument) = call(word)?;
    let number = argument?.parse().ok().filter(|n| *n >= 1)?;
    match name {
        "nth" => Some(Trigger::Nth(number)),
        "every" => Some(Trigger::Every(number)),
        _ => None,
    }
}

fn parse_action(word: &str) -> Option<Action> {
    match call(word)? {
        ("drop", None) => Some(Action::Drop),
        ("early", None) => Some(Action::Early),
        ("all-ones", None) => Some(Action::AllOnes),
        ("misaddress", Some(delta)) => parse_number(delta).filter(|d| *d != 0).map(Action::Misaddress),
        ("halt", Some(bit)) => parse_halt(bit),
        ("corrupt", Some(arguments)) => {
            let (offset, mask) = arguments.split_once(',').unwrap_or((arguments, "1"));
            let offset = u64::try_from(parse_number(offset.trim())?).ok()?;
            let mask = u8::try_from(parse_number(mask.trim())?).ok().filter(|mask| *mask != 0)?;
            Some(Action::Corrupt(offset, mask))
        }
        _ => None,
    }
}

fn parse_halt(bit: &str) -> Option<Action> {
    let number = bit.parse().ok().or_else(|| {
        ioat_spec::ChanErr::NAMED.iter().find(|(_, name)| *name == bit).map(|(number, _)| *number)
    });
    number.filter(|number| *number < 32).map(Action::Halt)
}

/// `name(argument)` or `name`.
fn call(word: &str) -> Option<(&str, Option<&str>)> {
    match word.split_once('(') {
        None => Some((word, None)),
        Some((name, argument)) => Some((name.trim(), Some(argument.strip_suffix(')')?.trim()))),
    }
}

/// Decimal or 0x-hexadecimal, with an optional sign.
fn parse_number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.ok().map(|value: i64| sign * value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_six_rules_and_early_are_read() {
        for (text, action) in [
            ("msix[ch=0]: nth(3) drop", Action::Drop),
            ("complete: every(2) drop", Action::Drop),
            ("complete[ch=1]: nth(1) misaddress(+0x40)", Action::Misaddress(64)),
            ("complete: nth(1) misaddress(-64)", Action::Misaddress(-64)),
            ("fetch: nth(5) halt(descriptor)", Action::Halt(3)),
            ("copy: nth(5) halt(8)", Action::Halt(8)),
            ("copy: nth(2) corrupt(17, 0x80)", Action::Corrupt(17, 0x80)),
            ("copy: nth(2) corrupt(0)", Action::Corrupt(0, 1)),
            ("register: nth(9) all-ones", Action::AllOnes),
            ("complete: nth(1) early", Action::Early),
        ] {
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.action, action, "{text}");
            assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule, "{text}");
        }
    }

    #[test]
    fn a_rule_that_cannot_be_read_says_what_was_expected() {
        for (text, part) in [
            ("", "expected 'POINT"),
            ("msix drop", "expected 'POINT"),
            ("irq: nth(1) drop", "'irq' is no point"),
            ("msix[0]: nth(1) drop", "'0' is not 'ch=N'"),
            ("msix[ch=31]: nth(1) drop", "is not 'ch=N'"),
            ("msix: nth(0) drop", "trigger 'nth(0)'"),
            ("msix: sometimes(1) drop", "trigger 'sometimes(1)'"),
            ("msix: nth(1) explode", "action 'explode'"),
            ("copy: nth(1) corrupt(0, 0)", "action 'corrupt(0, 0)'"),
            ("copy: nth(1) halt(32)", "action 'halt(32)'"),
            ("msix: nth(1) misaddress(+64)", "it would never fire, because msix cannot misaddress"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Rule>();
        }

        #[test]
        fn near_rules_do_not_panic(text in "(msix|copy|complete)(\\[ch=[0-9]{0,4}\\])?: (nth|every)\\([0-9]{0,25}\\) (drop|halt|corrupt|misaddress)(\\([-+0-9a-fx, ]{0,25}\\))?") {
            let _ = text.parse::<Rule>();
        }
    }
}
