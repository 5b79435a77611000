//! A rule that is armed: its counters, and what of it is resolved once instead of at each operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::trigger::Chance;
use super::super::{Access, Filter, Op, Range, Rule, Trigger, catalog};
use super::census::lane;

/// The number of a rule in its book, given when it was armed. Numbers start at 1 and are not used again.
pub type RuleId = u64;

/// A rule in a book, and how far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArmedRule {
    /// Its number.
    pub id: RuleId,
    /// The rule.
    pub rule: Rule,
    /// Operations that it has counted since it was armed.
    pub seen: u64,
    /// How often it fired.
    pub fired: u64,
}

/// A name, and whether its rule has fired.
pub(super) type Gate = Arc<AtomicBool>;

/// A rule at work. Relaxed everywhere: the counts order nothing, they only have to be taken once per operation.
pub(super) struct Armed {
    pub(super) id: RuleId,
    pub(super) rule: Arc<Rule>,
    /// The catalog's: other operations do not count.
    only: Option<Access>,
    window: Option<Range>,
    /// Open once the rule of `after=NAME` fired.
    after: Option<Gate>,
    /// This rule's own.
    own: Option<Gate>,
    rests: AtomicBool,
    times: Option<u64>,
    chance: Option<Chance>,
    /// A hash of the rule's text.
    salt: u64,
    seen: AtomicU64,
    fired: AtomicU64,
    /// Operations at its point, by channel, whether they match or not.
    by_channel: [AtomicU64; super::census::LANES],
}

/// An operation that a rule has counted.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) nth: u64,
    pub(super) channel_nth: u64,
}

impl Armed {
    /// `gate` gives the gate of a name.
    pub(super) fn new(id: RuleId, rule: Rule, mut gate: impl FnMut(&str) -> Gate) -> Self {
        let own = rule.name.as_deref().map(&mut gate);
        if let Some(own) = &own {
            // A name that was used before starts anew.
            own.store(false, Ordering::Relaxed);
        }
        let times = rule.triggers.iter().find_map(|trigger| match trigger {
            Trigger::Times(times) => Some(*times),
            _ => None,
        });
        let chance = rule.triggers.iter().find_map(|trigger| match trigger {
            Trigger::Chance(chance) => Some(*chance),
            _ => None,
        });
        let window = rule.filters.iter().find_map(|filter| match filter {
            Filter::Time(range) => Some(*range),
            _ => None,
        });
        Self {
            id,
            only: catalog::entry(rule.point, rule.action.word()).and_then(|entry| entry.only),
            window,
            after: rule.after().map(gate),
            own,
            rests: AtomicBool::new(rule.rests()),
            times,
            chance,
            // Only a probability needs it.
            salt: chance.map_or(0, |_| hash(&rule.clone().seeded(0).to_string())),
            rule: Arc::new(rule),
            seen: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            by_channel: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(super) fn row(&self) -> ArmedRule {
        let count = |it: &AtomicU64| it.load(Ordering::Relaxed);
        let rule = Rule::clone(&self.rule);
        ArmedRule { id: self.id, rule, seen: count(&self.seen), fired: count(&self.fired) }
    }

    /// It rests no longer. False if it did not.
    pub(super) fn wake(&self) -> bool {
        self.rests.swap(false, Ordering::Relaxed)
    }

    /// Counts an operation of its point, if it matches. `now_ns` is asked only by a rule with a window.
    pub(super) fn count(&self, op: &Op, now_ns: impl Fn() -> Option<u64>) -> Option<Counted> {
        if !self.may_count(op) {
            return None;
        }
        let channel_nth = self.by_channel[lane(op.channel)].fetch_add(1, Ordering::Relaxed) + 1;
        if !self.matches(op, now_ns) {
            return None;
        }
        Some(Counted { nth: self.seen.fetch_add(1, Ordering::Relaxed) + 1, channel_nth })
    }

    /// It would fire at this operation, if it came next.
    pub(super) fn would_hit(&self, op: &Op, now_ns: impl Fn() -> Option<u64>) -> bool {
        if !self.may_count(op) || !self.matches(op, now_ns) {
            return false;
        }
        let next = |count: &AtomicU64| count.load(Ordering::Relaxed) + 1;
        let counted =
            Counted { nth: next(&self.seen), channel_nth: next(&self.by_channel[lane(op.channel)]) };
        let left = self.times.is_none_or(|times| self.fired.load(Ordering::Relaxed) < times);
        left && self.rule.triggers.iter().all(|trigger| trigger.hits(counted.nth))
            && self.chance.is_none_or(|chance| chance.hits(self.draw(chance, op, counted)))
    }

    fn may_count(&self, op: &Op) -> bool {
        (self.only.is_none() || self.only == op.access) && op.can(self.rule.point, self.rule.action)
    }

    fn matches(&self, op: &Op, now_ns: impl Fn() -> Option<u64>) -> bool {
        let shut = |gate: &Gate| !gate.load(Ordering::Relaxed);
        !self.rests.load(Ordering::Relaxed)
            && !self.after.as_ref().is_some_and(shut)
            && self.rule.filters.iter().all(|filter| filter.matches(self.rule.point, op))
            && self.window.is_none_or(|window| now_ns().is_some_and(|now| window.contains(now)))
    }

    /// It fires at the operation that was counted so.
    pub(super) fn hits(&self, op: &Op, counted: Counted) -> bool {
        self.rule.triggers.iter().all(|trigger| trigger.hits(counted.nth))
            && self.chance.is_none_or(|chance| chance.hits(self.draw(chance, op, counted)))
            && self.spend()
    }

    /// 64 bits that depend on the seed, the rule, the channel and the operation's number in it, and on nothing else: neither
    /// other rules nor the order in which channels come shift them.
    fn draw(&self, chance: Chance, op: &Op, counted: Counted) -> u64 {
        let words = [chance.seed.unwrap_or(0), lane(op.channel) as u64, counted.channel_nth];
        words.into_iter().fold(self.salt, |state, word| mixed(state ^ mixed(word)))
    }

    /// One of its firings, if there is one left.
    fn spend(&self) -> bool {
        let Some(times) = self.times else {
            self.fired.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let next = |fired| (fired < times).then_some(fired + 1);
        self.fired.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Those that come after it may begin.
    pub(super) fn open(&self) {
        if let Some(own) = &self.own {
            own.store(true, Ordering::Relaxed);
        }
    }
}

/// FNV-1a of a text.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One step of splitmix64: all bits of a word depend on all bits of the other.
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
