//! The one-line form of a rule: `POINT[ch=N]: TRIGGER ACTION`, for example `msix[ch=0]: nth(3) drop`.

use std::fmt;
use std::str::FromStr;

use super::action::call;
use super::catalog::{self, CATALOG};
use super::{Action, Point};

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

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    #[error("fault rule '{rule}': '{word}' is no point; the points are {points}")]
    Point {
        /// The whole rule.
        rule: String,
        /// The word.
        word: String,
        /// Those that there are.
        points: String,
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
    #[error("fault rule '{rule}': '{word}' is no action; the actions are {forms}")]
    Action {
        /// The whole rule.
        rule: String,
        /// The action's text.
        word: String,
        /// Those that there are.
        forms: String,
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
        let point = Point::named(place).ok_or_else(|| {
            let points = Point::ALL.map(Point::name).join(", ");
            RuleError::Point { rule: rule(), word: place.to_owned(), points }
        })?;
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
        let action = Action::parse(action).ok_or_else(|| {
            let forms = Action::FORMS.map(|(_, form)| form).join(", ");
            RuleError::Action { rule: rule(), word: action.to_owned(), forms }
        })?;
        if catalog::entry(point, action.word()).is_none() {
            let able = CATALOG.iter().filter(|entry| entry.action == action.word());
            let places = able.map(|entry| entry.point.name()).collect::<Vec<_>>().join(", ");
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
        write!(f, "{}", self.action)
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
            ("fetch: nth(5) halt(descriptor)", Action::Halt(1 << 3)),
            ("copy: nth(5) halt(8)", Action::Halt(1 << 8)),
            ("copy: nth(2) corrupt(17, 0x80)", Action::Corrupt { offset: 17, mask: 0x80 }),
            ("copy: nth(2) corrupt(0)", Action::Corrupt { offset: 0, mask: 1 }),
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
            ("msix: nth(1) explode", "'explode' is no action"),
            ("copy: nth(1) corrupt(0, 0)", "'corrupt(0, 0)' is no action"),
            ("copy: nth(1) halt(32)", "'halt(32)' is no action"),
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
