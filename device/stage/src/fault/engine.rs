//! The rules at work: counters shared by all channels, and what fired.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Faults, Op, Point, Rule, Trigger, Verdict, catalog};
use crate::sync::Mutex;

/// A rule that fired, resolved so that it can be repeated exactly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fired {
    /// The rule.
    pub rule: Rule,
    /// Which of the operations that the rule counts it was, from 1.
    pub nth: u64,
    /// The operation.
    pub op: Op,
    /// Which of its channel's operations at this point it was, from 1, counted since the rule was armed:
    /// [`again`](Self::again), armed at the same point of the same run, hits the same one.
    pub channel_nth: u64,
}

impl Fired {
    /// The rule that hits this operation alone, if it is armed where this one was. A rule of the start counts from the
    /// start; one that was armed at work counts from the channel's next step (points inside a step) or register access.
    /// An operation of no channel is counted with those of all channels, as its rule did.
    #[must_use]
    pub fn again(&self) -> Rule {
        let (channel, nth) = match self.op.channel {
            Some(channel) => (Some(channel), self.channel_nth),
            None => (self.rule.channel, self.nth),
        };
        Rule { channel, trigger: Trigger::Nth(nth), ..self.rule.clone() }
    }
}

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

struct Armed {
    id: RuleId,
    rule: Rule,
    seen: AtomicU64,
    fired: AtomicU64,
}

/// The rules of one moment. Whoever holds it goes on with it until it looks at the book's version again.
type Rules = Arc<[Arc<Armed>]>;

/// Is told of a firing, maybe under a channel's lock: it must not block, nor call back.
pub type OnFired = Box<dyn Fn(&Fired) + Send + Sync>;

/// All rules of a run, and the record of what fired.
pub struct FaultBook {
    rules: Mutex<Rules>,
    /// Counts the changes of `rules`.
    version: AtomicU64,
    last_id: AtomicU64,
    fired: Mutex<Vec<Fired>>,
    listener: OnceLock<OnFired>,
}

impl FaultBook {
    /// The most firings that are kept; a rule of `every(1)` must not eat the memory.
    const KEPT: usize = 4096;

    /// A book of these rules.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Arc<Self> {
        let book = Self {
            rules: Mutex::new(Arc::from([])),
            version: AtomicU64::new(0),
            last_id: AtomicU64::new(0),
            fired: Mutex::new(Vec::new()),
            listener: OnceLock::new(),
        };
        rules.into_iter().for_each(|rule| {
            book.arm(rule);
        });
        Arc::new(book)
    }

    /// Arms a rule: it counts the operations that come from now on. Rules are asked in the order of arming.
    pub fn arm(&self, rule: Rule) -> RuleId {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let armed = Arc::new(Armed { id, rule, seen: AtomicU64::new(0), fired: AtomicU64::new(0) });
        self.change(|rules| rules.iter().cloned().chain([armed.clone()]).collect());
        id
    }

    /// Takes a rule out. False if there is none of this number.
    pub fn disarm(&self, id: RuleId) -> bool {
        let mut found = false;
        self.change(|rules| {
            found = rules.iter().any(|armed| armed.id == id);
            rules.iter().filter(|armed| armed.id != id).cloned().collect()
        });
        found
    }

    /// The rules, in the order of arming.
    #[must_use]
    pub fn rules(&self) -> Vec<ArmedRule> {
        let count = |it: &AtomicU64| it.load(Ordering::Relaxed);
        let armed = self.rules.lock().clone();
        let all = armed.iter();
        all.map(|it| ArmedRule {
            id: it.id,
            rule: it.rule.clone(),
            seen: count(&it.seen),
            fired: count(&it.fired),
        })
        .collect()
    }

    /// Tells `listener` of every firing from now on. False if there is one already: there is room for one.
    pub fn listen(&self, listener: OnFired) -> bool {
        self.listener.set(listener).is_ok()
    }

    fn change(&self, change: impl FnOnce(&Rules) -> Rules) {
        let mut rules = self.rules.lock();
        *rules = change(&rules);
        // Release, and under the lock: who sees the new version finds the new rules.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The verdict giver of one channel, or of the accesses outside channels.
    #[must_use]
    pub fn faults(self: &Arc<Self>) -> RuleFaults {
        let (rules, version) = {
            let rules = self.rules.lock();
            (rules.iter().map(Counted::new).collect(), self.version.load(Ordering::Acquire))
        };
        RuleFaults { book: Arc::clone(self), rules, version }
    }

    /// What has fired so far (the first 4,096), oldest first.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.fired.lock().clone()
    }

    fn record(&self, fired: Fired) {
        let Fired { rule, nth, op, .. } = &fired;
        log::warn!(
            "fault fired: {rule} (operation {nth}; again with {}) at address {:#x}",
            fired.again(),
            op.address
        );
        if let Some(listener) = self.listener.get() {
            listener(&fired);
        }
        let mut kept = self.fired.lock();
        if kept.len() < Self::KEPT {
            kept.push(fired);
        }
    }
}

/// [`Faults`] by rules.
pub struct RuleFaults {
    book: Arc<FaultBook>,
    /// The book's rules of `version`.
    rules: Vec<Counted>,
    version: u64,
}

/// A rule, with this giver's own count of its operations, by channel.
struct Counted {
    armed: Arc<Armed>,
    seen: BTreeMap<Option<u8>, u64>,
}

impl Counted {
    fn new(armed: &Arc<Armed>) -> Self {
        Self { armed: Arc::clone(armed), seen: BTreeMap::new() }
    }
}

impl RuleFaults {
    /// Takes the book's rules, if they are others now. Those that stay keep their counts.
    fn renew(&mut self) {
        let version = self.book.version.load(Ordering::Acquire);
        if version != self.version {
            // Those may already be newer than `version`: then they are taken once more.
            let rules = self.book.rules.lock().clone();
            let mut old = std::mem::take(&mut self.rules);
            let mut keep = |armed: &Arc<Armed>| {
                let kept = old.iter().position(|counted| counted.armed.id == armed.id);
                kept.map_or_else(|| Counted::new(armed), |at| old.swap_remove(at))
            };
            self.rules = rules.iter().map(&mut keep).collect();
            self.version = version;
        }
    }
}

impl Faults for RuleFaults {
    fn armed(&mut self) -> bool {
        self.renew();
        self.rules.iter().any(|counted| Point::INSIDE.contains(&counted.armed.rule.point))
    }

    fn at(&mut self, point: Point, op: &Op) -> Verdict {
        self.renew();
        let mut verdict = None;
        for Counted { armed, seen } in &mut self.rules {
            let rule = &armed.rule;
            let only = catalog::entry(rule.point, rule.action.word()).and_then(|entry| entry.only);
            if only.is_some() && only != op.access {
                continue;
            }
            if rule.point != point || (rule.channel.is_some() && rule.channel != op.channel) {
                continue;
            }
            let channel_nth = seen.entry(op.channel).or_default();
            *channel_nth += 1;
            // Relaxed: the count orders nothing, it only has to be taken once per operation.
            let nth = armed.seen.fetch_add(1, Ordering::Relaxed) + 1;
            // All rules count every operation; the first one that hits decides.
            if rule.trigger.hits(nth) && verdict.is_none() {
                verdict = Some(rule.action);
                armed.fired.fetch_add(1, Ordering::Relaxed);
                self.book.record(Fired { rule: rule.clone(), nth, op: *op, channel_nth: *channel_nth });
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Action};
    use super::*;

    fn op(channel: u8) -> Op {
        Op { channel: Some(channel), ..Op::default() }
    }

    #[test]
    fn a_global_nth_counts_all_channels_and_is_resolved_to_its_channels_own() {
        let book = FaultBook::new(["msix: nth(3) drop".parse().unwrap()]);
        let (mut zero, mut one) = (book.faults(), book.faults());
        assert_eq!(zero.at(Point::Msix, &op(0)), None);
        assert_eq!(one.at(Point::Msix, &op(1)), None);
        assert_eq!(one.at(Point::Copy, &op(1)), None);
        assert_eq!(one.at(Point::Msix, &op(1)), Some(Action::Drop));
        assert_eq!(zero.at(Point::Msix, &op(0)), None);
        let fired = book.fired();
        assert_eq!(fired.len(), 1);
        assert_eq!((fired[0].nth, fired[0].channel_nth, fired[0].op.channel), (3, 2, Some(1)));
    }

    #[test]
    fn a_rule_armed_at_work_counts_from_there_and_ends_when_it_is_disarmed() {
        let book = FaultBook::new([]);
        let mut zero = book.faults();
        assert_eq!(zero.at(Point::Msix, &op(0)), None);
        let id = book.arm("msix: every(2) drop".parse().unwrap());
        let verdicts: Vec<_> = (0..4).map(|_| zero.at(Point::Msix, &op(0))).collect();
        assert_eq!(verdicts, [None, Some(Action::Drop), None, Some(Action::Drop)]);
        assert_eq!((book.rules()[0].id, book.rules()[0].seen, book.rules()[0].fired), (id, 4, 2));
        assert_eq!((book.disarm(id), book.disarm(id)), (true, false));
        assert_eq!(zero.at(Point::Msix, &op(0)), None);
        assert_eq!(zero.at(Point::Msix, &op(0)), None);
    }

    #[test]
    fn what_fired_is_named_so_that_a_rule_armed_at_the_same_point_hits_it_again() {
        let ops = [0, 1, 1, 0, 1, 1].map(op);
        let fire = |rule: Rule| {
            let book = FaultBook::new([]);
            let (mut zero, mut one) = (book.faults(), book.faults());
            let mut ask =
                |op: &Op| if op.channel == Some(0) { &mut zero } else { &mut one }.at(Point::Msix, op);
            ops[..2].iter().for_each(|op| assert_eq!(ask(op), None));
            book.arm(rule);
            let hit = ops[2..].iter().position(|op| ask(op) == Some(Action::Drop));
            (hit, book.fired())
        };
        let (hit, fired) = fire("msix: nth(3) drop".parse().unwrap());
        assert_eq!((hit, fired[0].nth, fired[0].channel_nth), (Some(2), 3, 2));
        assert_eq!(fired[0].again().to_string(), "msix[ch=1]: nth(2) drop");
        assert_eq!(fire(fired[0].again()).0, Some(2));
    }

    #[test]
    fn a_giver_that_counts_several_channels_tells_them_apart() {
        let book = FaultBook::new(["register: nth(3) all-ones".parse().unwrap()]);
        let mut registers = book.faults();
        [None, Some(1), Some(0)].into_iter().for_each(|channel| {
            registers.at(Point::Register, &Op { channel, access: Some(Access::Read), ..Op::default() });
        });
        assert_eq!(book.fired()[0].again().to_string(), "register[ch=0]: nth(1) all-ones");
    }

    #[test]
    fn a_step_need_ask_only_if_a_rule_is_inside_it() {
        let book = FaultBook::new([]);
        let mut zero = book.faults();
        assert!(!zero.armed());
        book.arm("msix: nth(1) drop".parse().unwrap());
        assert!(!zero.armed());
        let id = book.arm("copy: nth(1) halt(0)".parse().unwrap());
        assert!(zero.armed());
        book.disarm(id);
        assert!(!zero.armed());
    }

    #[test]
    fn a_channel_filter_counts_that_channel_alone() {
        let book = FaultBook::new(["complete[ch=1]: every(2) drop".parse().unwrap()]);
        let (mut zero, mut one) = (book.faults(), book.faults());
        let verdicts: Vec<_> = (0..4)
            .map(|_| {
                assert_eq!(zero.at(Point::Complete, &op(0)), None);
                one.at(Point::Complete, &op(1))
            })
            .collect();
        assert_eq!(verdicts, [None, Some(Action::Drop), None, Some(Action::Drop)]);
    }
}
