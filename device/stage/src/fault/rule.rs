//! A rule: where, which operations, when, and what.

use std::fmt;

use super::trigger::Chance;
use super::{Action, Filter, Point, Trigger};

/// The shape of a rule in one line.
pub const SHAPE: &str = "[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION";

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// For other rules (`after=NAME`) and for commands (`armed=command`).
    pub name: Option<String>,
    /// Where.
    pub point: Point,
    /// Which operations it counts: those that match all of them. Each word at most once, in the order of
    /// [`FILTERS`](super::FILTERS).
    pub filters: Vec<Filter>,
    /// At which of those it fires: where all of them hold. At least one; each word at most once, in the order of
    /// [`TRIGGERS`](super::TRIGGERS).
    pub triggers: Vec<Trigger>,
    /// What.
    pub action: Action,
}

impl Rule {
    /// The rule that hits one operation: the n-th of this point and channel; without a channel, the n-th of those that have
    /// none, or, where each has one, of all.
    #[must_use]
    pub fn nth(point: Point, channel: Option<u8>, n: u64, action: Action) -> Self {
        let filters = match channel {
            Some(_) => vec![Filter::Channel(channel)],
            None if point.channels() == Channels::Some => vec![Filter::Channel(None)],
            None => Vec::new(),
        };
        Self { name: None, point, filters, triggers: vec![Trigger::Nth(n)], action }
    }

    /// The rule, with this seed for a probability that has none of its own.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        for trigger in &mut self.triggers {
            if let Trigger::Chance(Chance { seed: own @ None, .. }) = trigger {
                *own = Some(seed);
            }
        }
        self
    }

    /// The channel that it is limited to.
    #[must_use]
    pub fn channel(&self) -> Option<u8> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::Channel(channel) => *channel,
            _ => None,
        })
    }

    /// The name of the rule that must have fired before.
    #[must_use]
    pub fn after(&self) -> Option<&str> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::After(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// It rests until a command arms it.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.filters.contains(&Filter::ByCommand)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} = ")?;
        }
        write!(f, "{}", self.point)?;
        for (index, filter) in self.filters.iter().enumerate() {
            write!(f, "{}{filter}", if index == 0 { "[" } else { ", " })?;
        }
        f.write_str(if self.filters.is_empty() { ":" } else { "]:" })?;
        self.triggers.iter().try_for_each(|trigger| write!(f, " {trigger}"))?;
        write!(f, " {}", self.action)
    }
}

/// A name: letters, digits, `-` and `_`, at most 64 of them.
pub(super) fn is_name(text: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    (1..=64).contains(&text.len()) && text.chars().all(is_part)
}

/// Whether the operations of a point are those of channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channels {
    /// None is.
    None,
    /// Some are, some are not.
    Some,
    /// All are.
    All,
}

impl Point {
    /// Whether its operations are those of channels.
    #[must_use]
    pub const fn channels(self) -> Channels {
        match self {
            Self::Config | Self::Transport => Channels::None,
            Self::Register | Self::Reset | Self::Pcie | Self::Isr | Self::Queue | Self::Dpc => Channels::Some,
            _ => Channels::All,
        }
    }
}
