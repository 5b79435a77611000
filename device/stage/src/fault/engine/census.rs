//! The census: how many operations there are at each point, for a sweep to know what it can hit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{Access, Op, Point};

/// The channels of a register map, and one lane for operations of none.
pub(super) const LANES: usize = 32;
const _: () = assert!(ioat_spec::register::CHANNELS_MAX < LANES);

/// The lane of a channel.
pub(super) fn lane(channel: Option<u8>) -> usize {
    channel.map_or(LANES - 1, |channel| usize::from(channel).min(LANES - 1))
}

/// Counters by point, channel and direction.
pub(super) struct Census(Box<[[[AtomicU64; 3]; LANES]]>);

impl Census {
    pub(super) fn new() -> Self {
        let none = || std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)));
        Self(Point::ALL.iter().map(|_| none()).collect())
    }

    pub(super) fn count(&self, point: Point, op: &Op) {
        self.0[point as usize][lane(op.channel)][direction(op.access)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        let all = self.0.iter().flatten().flatten();
        all.for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// What is not 0.
    pub(super) fn rows(&self) -> BTreeMap<(Point, Option<u8>, Option<Access>), u64> {
        let mut rows = BTreeMap::new();
        for (point, lanes) in Point::ALL.into_iter().zip(&self.0) {
            for (number, directions) in (0..).zip(lanes) {
                let channel = (usize::from(number) < LANES - 1).then_some(number);
                for (access, count) in DIRECTIONS.into_iter().zip(directions) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        rows.insert((point, channel, access), count);
                    }
                }
            }
        }
        rows
    }
}

const DIRECTIONS: [Option<Access>; 3] = [None, Some(Access::Read), Some(Access::Write)];

const fn direction(access: Option<Access>) -> usize {
    match access {
        None => 0,
        Some(Access::Read) => 1,
        Some(Access::Write) => 2,
    }
}
