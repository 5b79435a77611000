//! What each channel asks: the book's rules of one moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::{Faults, Op, Point, Verdict};
use super::book::{FaultBook, Table};
use super::fired::Fired;

/// [`Faults`] by rules.
pub struct RuleFaults {
    book: Arc<FaultBook>,
    /// The book's rules of `version`.
    table: Arc<Table>,
    version: u64,
}

impl RuleFaults {
    pub(super) fn new(book: &Arc<FaultBook>) -> Self {
        let (table, version) = book.table();
        Self { book: Arc::clone(book), table, version }
    }

    /// Takes the book's rules, if they are others now.
    #[inline]
    fn renew(&mut self) {
        if self.book.version.load(Ordering::Acquire) != self.version {
            (self.table, self.version) = self.book.table();
        }
    }

    /// All rules of the point count the operation; the first one that hits decides. Apart, for most operations end before.
    #[inline(never)]
    fn ask(&self, point: Point, op: &Op) -> Verdict {
        if let Some(census) = &self.table.census {
            census.count(point, op);
        }
        let mut hit = None;
        for armed in self.table.at(point) {
            let Some(counted) = armed.count(op, || self.book.now_ns()) else { continue };
            if hit.is_none() && armed.hits(op, counted) {
                hit = Some((armed, counted));
            }
        }
        let (armed, counted) = hit?;
        // Not before all were asked: what comes after this rule begins with the next operation.
        armed.open();
        let rule = Arc::clone(&armed.rule);
        let action = rule.action;
        self.book.record(Fired { rule, nth: counted.nth, op: *op, channel_nth: counted.channel_nth });
        Some(action)
    }
}

impl Faults for RuleFaults {
    fn armed(&mut self) -> bool {
        self.renew();
        self.table.asked & INSIDE != 0 || self.table.early
    }

    fn foresees(&mut self, point: Point, op: &Op) -> Verdict {
        self.renew();
        let hit = self.table.at(point).iter().find(|armed| armed.would_hit(op, || self.book.now_ns()))?;
        Some(hit.rule.action)
    }

    fn at(&mut self, point: Point, op: &Op) -> Verdict {
        self.renew();
        if self.table.asked & bit(point) == 0 {
            return None;
        }
        self.ask(point, op)
    }
}

/// A point's bit.
pub(super) const fn bit(point: Point) -> u32 {
    1 << point as u32
}

/// The points inside a step.
const INSIDE: u32 = {
    let (mut bits, mut at) = (0, 0);
    while at < Point::INSIDE.len() {
        bits |= bit(Point::INSIDE[at]);
        at += 1;
    }
    bits
};
