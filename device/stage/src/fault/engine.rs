//! The rules at work: counters shared by all channels, and what fired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Faults, Op, Point, Rule, Verdict};
use crate::sync::Mutex;

/// A rule that fired, resolved so that it can be repeated exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fired {
    /// The rule.
    pub rule: Rule,
    /// Which of the operations that the rule counts it was, from 1.
    pub nth: u64,
    /// The operation.
    pub op: Op,
    /// Which of its channel's operations at this point it was, from 1: `POINT[ch=..]: nth(..)` hits it again.
    pub channel_nth: u64,
}

struct Armed {
    rule: Rule,
    seen: AtomicU64,
}

/// All rules of a run, and the record of what fired.
pub struct FaultBook {
    armed: Vec<Armed>,
    fired: Mutex<Vec<Fired>>,
}

impl FaultBook {
    /// The most firings that are kept; a rule of `every(1)` must not eat the memory.
    const KEPT: usize = 4096;

    /// A book of these rules.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Arc<Self> {
        let armed = rules.into_iter().map(|rule| Armed { rule, seen: AtomicU64::new(0) }).collect();
        Arc::new(Self { armed, fired: Mutex::new(Vec::new()) })
    }

    /// The verdict giver of one channel, or of the accesses outside channels.
    #[must_use]
    pub fn faults(self: &Arc<Self>) -> RuleFaults {
        RuleFaults { book: Arc::clone(self), seen: [0; Point::ALL.len()] }
    }

    /// What has fired so far (the first 4,096), oldest first.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.fired.lock().clone()
    }

    fn record(&self, fired: Fired) {
        let Fired { rule, nth, op, channel_nth } = fired;
        match op.channel {
            Some(ch) => log::warn!(
                "fault fired: {rule} (operation {nth}; again with {}[ch={ch}]: nth({channel_nth})) at address {:#x}",
                rule.point,
                op.address
            ),
            None => log::warn!("fault fired: {rule} (operation {nth}) at address {:#x}", op.address),
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
    /// Operations of this channel so far, per point.
    seen: [u64; Point::ALL.len()],
}

impl Faults for RuleFaults {
    fn at(&mut self, point: Point, op: &Op) -> Verdict {
        let channel_nth = &mut self.seen[point as usize];
        *channel_nth += 1;
        let mut verdict = Verdict::Pass;
        for armed in &self.book.armed {
            let rule = armed.rule;
            if rule.point != point || (rule.channel.is_some() && rule.channel != op.channel) {
                continue;
            }
            // Relaxed: the count orders nothing, it only has to be taken once per operation.
            let nth = armed.seen.fetch_add(1, Ordering::Relaxed) + 1;
            // All rules count every operation; the first one that hits decides.
            if rule.trigger.hits(nth) && !verdict.is_fault() {
                verdict = rule.action.verdict();
                self.book.record(Fired { rule, nth, op: *op, channel_nth: *channel_nth });
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(channel: u8) -> Op {
        Op { channel: Some(channel), ..Op::default() }
    }

    #[test]
    fn a_global_nth_counts_all_channels_and_is_resolved_to_its_channels_own() {
        let book = FaultBook::new(["msix: nth(3) drop".parse().unwrap()]);
        let (mut zero, mut one) = (book.faults(), book.faults());
        assert_eq!(zero.at(Point::Msix, &op(0)), Verdict::Pass);
        assert_eq!(one.at(Point::Msix, &op(1)), Verdict::Pass);
        assert_eq!(one.at(Point::Copy, &op(1)), Verdict::Pass);
        assert_eq!(one.at(Point::Msix, &op(1)), Verdict::Drop);
        assert_eq!(zero.at(Point::Msix, &op(0)), Verdict::Pass);
        let fired = book.fired();
        assert_eq!(fired.len(), 1);
        assert_eq!((fired[0].nth, fired[0].channel_nth, fired[0].op.channel), (3, 2, Some(1)));
    }

    #[test]
    fn a_channel_filter_counts_that_channel_alone() {
        let book = FaultBook::new(["complete[ch=1]: every(2) drop".parse().unwrap()]);
        let (mut zero, mut one) = (book.faults(), book.faults());
        let verdicts: Vec<_> = (0..4)
            .map(|_| {
                assert_eq!(zero.at(Point::Complete, &op(0)), Verdict::Pass);
                one.at(Point::Complete, &op(1))
            })
            .collect();
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Drop, Verdict::Pass, Verdict::Drop]);
    }
}
