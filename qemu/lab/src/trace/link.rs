//! The life of each descriptor: which events of both sides are about it.
//!
//! The rules. Both sides must be on one clock ([`super::merge`] puts them there).
//!
//! 1. A life is one descriptor of (channel, generation, sequence). It begins with its fetch, or is its record where
//!    stages were not recorded. Translate, copy and complete of the same three belong to it.
//! 2. Its doorbell on the device is the first of its generation whose count covers it: DMACOUNT counts the
//!    generation's descriptors modulo 65,536, from the sequence that its first doorbell names. Where that begin was
//!    not recorded, it is the last doorbell before the fetch.
//! 3. Its doorbell of the driver is the one that [`pairs::doorbells`] pairs with that.
//! 4. Its message is the first of its generation, sent or lost by a fault, of its own or a later sequence: one message
//!    announces everything before it.
//! 5. The service routine is the one that [`pairs::messages`] pairs with the message; if it has none (messages of
//!    channels that share a vector melt together), the first on the vector that asked for its DPCs, or ended without
//!    asking, after the message was raised.
//! 6. The request is the vector's last before the service routine ended (the routine asks before it ends), or the first
//!    after it.
//! 7. The DPC is the first after the fetch that reported this descriptor or a later one of the generation: the address
//!    that a DPC reports is that of the newest descriptor there which was fetched before. Where none reported it (after a
//!    halt, and where one DPC served several channels: it names only one), it is the vector's first after the request,
//!    on a processor that was asked for.
//! 8. A DPC may report a descriptor before the message that announces it is served, for it reads the completion word
//!    anew. The service routine and the request are not on its way then, nor is a later descriptor's message.
//!
//! What finds no partner stays alone, and is counted ([`Linked::tally`]).

use std::collections::BTreeMap;

use ioat_stage::{Mark, Side, Stage};

use super::announce::announce;
use super::pairs::{self, stage};
use super::record::{Record, What};
use super::report::{fall_back, report};
use super::way::Point;

/// A descriptor and what is known of it: indices into the records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Life {
    /// Its channel.
    pub channel: u8,
    /// Chain starts before it.
    pub generation: u32,
    /// Its number on the channel.
    pub sequence: u64,
    /// Its event at each [`Point`].
    pub at: [Option<usize>; Point::ALL.len()],
    /// Its record, where stages 2 to 5 were not recorded.
    pub done: Option<usize>,
    /// When the engine could turn to it: its doorbell was heard and what came before it was done.
    pub begin: Option<u64>,
    /// The message carries its own sequence; else a later descriptor's message announces it.
    pub announced: bool,
}

impl Life {
    /// Its event at a point.
    #[must_use]
    pub fn point(&self, point: Point) -> Option<usize> {
        self.at[point as usize]
    }

    /// When it is known to have been under way.
    pub(super) fn started(&self, records: &[Record]) -> u64 {
        self.point(Point::Fetch).or(self.done).map_or(0, |at| records[at].t_ns)
    }

    /// When a DPC may have seen it first.
    pub(super) fn seen_from(&self, records: &[Record]) -> u64 {
        let slack = if self.point(Point::Fetch).is_some() { 0 } else { RECORD_SLACK_NS };
        self.started(records).saturating_sub(slack)
    }
}

/// A descriptor's record may be stamped so much after the driver saw its completion.
const RECORD_SLACK_NS: u64 = 50_000;

/// Events of one stage: how many there are, and how many belong to a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Recorded.
    pub events: usize,
    /// Part of a life.
    pub linked: usize,
}

/// What linking found.
#[derive(Clone, Debug, Default)]
pub struct Linked {
    /// In the order of their fetch.
    pub lives: Vec<Life>,
    /// By side and stage.
    pub tally: Vec<(Side, Stage, Tally)>,
}

impl Linked {
    /// Events that belong to no life.
    #[must_use]
    pub fn unlinked(&self) -> usize {
        self.tally.iter().map(|(.., tally)| tally.events - tally.linked).sum()
    }
}

/// Links records that are on one clock and in its order.
#[must_use]
pub fn link(records: &[Record]) -> Linked {
    let mut lives = born(records);
    ring(records, &mut lives);
    announce(records, &mut lives);
    report(records, &mut lives);
    fall_back(records, &mut lives);
    lives.iter_mut().for_each(|life| leave_out_what_came_after(records, life));
    let tally = tally(records, &lives);
    Linked { lives, tally }
}

/// Rule 1.
fn born(records: &[Record]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut newest: BTreeMap<(u8, u32, u64), usize> = BTreeMap::new();
    let mut busy_until: BTreeMap<u8, u64> = BTreeMap::new();
    for (index, record) in records.iter().enumerate().filter(|(_, record)| record.side == Side::Device) {
        let (key, point) = match &record.what {
            What::Event(event) => match point_of(event.stage) {
                Some(point) => ((event.channel, event.generation, event.sequence), Some(point)),
                None => continue,
            },
            What::Executed(done) => ((done.channel, done.generation, done.sequence), None),
            What::Lost(_) => continue,
        };
        let known = newest.get(&key).copied().filter(|_| point.is_some_and(|point| point != Point::Fetch));
        let life = known.unwrap_or_else(|| {
            let (channel, generation, sequence) = key;
            let begin = busy_until.get(&channel).copied();
            let (at, done, announced) = ([None; Point::ALL.len()], None, false);
            lives.push(Life { channel, generation, sequence, at, done, begin, announced });
            lives.len() - 1
        });
        newest.insert(key, life);
        match point {
            Some(point) => lives[life].at[point as usize] = Some(index),
            None => lives[life].done = Some(index),
        }
        busy_until.insert(key.0, record.t_ns);
    }
    lives
}

/// Stages 2 to 5, which are the descriptor's own.
fn point_of(stage: Stage) -> Option<Point> {
    match stage {
        Stage::Fetch => Some(Point::Fetch),
        Stage::Translate => Some(Point::Translate),
        Stage::Copy => Some(Point::Copy),
        Stage::Complete => Some(Point::Complete),
        Stage::Doorbell | Stage::Msix | Stage::Isr | Stage::Queue | Stage::Dpc => None,
    }
}

/// A doorbell that the device heard.
struct Rung {
    index: usize,
    t_ns: u64,
    /// The first sequence that it does not cover.
    end: u64,
}

/// Rules 2 and 3, and the begin of each life.
fn ring(records: &[Record], lives: &mut [Life]) {
    let rung = rung(records);
    let written: BTreeMap<usize, usize> =
        pairs::doorbells(records).into_iter().map(|(driver, device)| (device, driver)).collect();
    for life in lives {
        let started = life.started(records);
        if let Some(rung) = rung.get(&(life.channel, life.generation)) {
            let covers = rung.iter().find(|rung| rung.end > life.sequence && rung.t_ns <= started);
            let before = || rung[..rung.partition_point(|rung| rung.t_ns <= started)].last();
            if let Some(rung) = covers.or_else(before) {
                life.at[Point::Doorbell as usize] = Some(rung.index);
                life.at[Point::Written as usize] = written.get(&rung.index).copied();
                life.begin = Some(life.begin.unwrap_or(0).max(rung.t_ns));
            }
        }
        // What another generation left behind may be later.
        life.begin = life.begin.filter(|begin| *begin <= started);
    }
}

fn rung(records: &[Record]) -> BTreeMap<(u8, u32), Vec<Rung>> {
    let mut rung: BTreeMap<(u8, u32), Vec<Rung>> = BTreeMap::new();
    let heard = stage(records, Side::Device, Stage::Doorbell).filter(|(_, event)| event.mark == Mark::Ok);
    let mut counts: BTreeMap<(u8, u32), u64> = BTreeMap::new();
    for (index, event) in heard {
        let key = (event.channel, event.generation);
        let count = counts.entry(key).or_insert(0);
        let all = rung.entry(key).or_default();
        let end = all.last().map_or(event.sequence, |last: &Rung| last.end);
        let more = event.len.wrapping_sub(*count) & 0xffff;
        *count = event.len;
        all.push(Rung { index, t_ns: records[index].t_ns, end: end.saturating_add(more) });
    }
    rung
}

/// Rule 8.
fn leave_out_what_came_after(records: &[Record], life: &mut Life) {
    let Some(dpc) = life.point(Point::Dpc).map(|dpc| records[dpc].t_ns) else { return };
    let later = |point: Point| life.point(point).is_some_and(|at| records[at].t_ns > dpc);
    // The routine's stamp is of its end, which may well be after the DPC; its request is not.
    if later(Point::Queue) || life.point(Point::Queue).is_none() && later(Point::Isr) {
        (life.at[Point::Isr as usize], life.at[Point::Queue as usize]) = (None, None);
        if !life.announced {
            life.at[Point::Msix as usize] = None;
        }
    }
}

fn tally(records: &[Record], lives: &[Life]) -> Vec<(Side, Stage, Tally)> {
    let mut linked = vec![false; records.len()];
    lives.iter().flat_map(|life| life.at.iter().flatten()).for_each(|index| linked[*index] = true);
    let known: std::collections::BTreeSet<_> =
        lives.iter().map(|life| (life.channel, life.generation, life.sequence)).collect();
    let mut tally = Vec::new();
    for side in [Side::Device, Side::Driver] {
        for of in Stage::ALL {
            let mut sum = Tally::default();
            for (index, event) in stage(records, side, of) {
                sum.events += 1;
                // A message that is held back belongs to the descriptor that it names.
                let held = event.mark == Mark::Held && event.stage == Stage::Msix;
                let own = held && known.contains(&(event.channel, event.generation, event.sequence));
                sum.linked += usize::from(linked[index] || own);
            }
            if sum.events > 0 {
                tally.push((side, of, sum));
            }
        }
    }
    tally
}
