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
//!    channels that share a vector melt together), the first on the vector that ends after the message was raised.
//! 6. The request is the vector's last before the service routine ended (the routine asks before it ends), or the first
//!    after it.
//! 7. The DPC is the first after the fetch that reported this descriptor or a later one of the generation: the address
//!    that a DPC reports is that of the newest descriptor there which was fetched before. Where a DPC reports none (a halt),
//!    it is the first on the vector after the request, on a processor that was asked for.
//!
//! What finds no partner stays alone, and is counted ([`Linked::tally`]).

use std::collections::BTreeMap;

use ioat_stage::{Event, Mark, Side, Stage};

use super::pairs::{self, processor_of, raised_after, stage, vector_of};
use super::record::{Record, What};
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

    /// When it is known to have begun.
    fn fetched(&self, records: &[Record]) -> u64 {
        match (self.at[Point::Fetch as usize], self.done) {
            (Some(fetch), _) => records[fetch].t_ns,
            (None, Some(done)) => records[done].t_ns.saturating_sub(RECORD_SLACK_NS),
            (None, None) => 0,
        }
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
    let unseen = report(records, &mut lives);
    fall_back(records, &mut lives, &unseen);
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
        let fetched = life.fetched(records);
        if let Some(rung) = rung.get(&(life.channel, life.generation)) {
            let covers = rung.iter().find(|rung| rung.end > life.sequence && rung.t_ns <= fetched);
            let before = || rung[..rung.partition_point(|rung| rung.t_ns <= fetched)].last();
            if let Some(rung) = covers.or_else(before) {
                life.at[Point::Doorbell as usize] = Some(rung.index);
                life.at[Point::Written as usize] = written.get(&rung.index).copied();
                life.begin = Some(life.begin.unwrap_or(0).max(rung.t_ns));
            }
        }
        // What another generation left behind, or a record's own stamp, may be later.
        life.begin =
            life.begin.filter(|begin| *begin <= fetched.max(life.done.map_or(0, |done| records[done].t_ns)));
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

/// Rules 4 to 6.
fn announce(records: &[Record], lives: &mut [Life]) {
    let served = served(records);
    let mut sent: BTreeMap<(u8, u32), Vec<(u64, usize)>> = BTreeMap::new();
    for (index, event) in
        stage(records, Side::Device, Stage::Msix).filter(|(_, event)| event.mark != Mark::Held)
    {
        sent.entry((event.channel, event.generation)).or_default().push((event.sequence, index));
    }
    // Held ones go out later: the order of time is not quite that of the sequence.
    sent.values_mut().for_each(|sent| sent.sort_unstable());
    let asked = asked(records);
    for life in lives {
        let Some(sent) = sent.get(&(life.channel, life.generation)) else { continue };
        let Some((sequence, msix)) =
            sent.get(sent.partition_point(|(sequence, _)| *sequence < life.sequence))
        else {
            continue;
        };
        life.announced = *sequence == life.sequence;
        life.at[Point::Msix as usize] = Some(*msix);
        life.at[Point::Isr as usize] = served.get(msix).copied();
        life.at[Point::Queue as usize] = served.get(msix).and_then(|isr| asked.get(isr)).copied();
    }
}

/// Rule 5: the service routine of each message.
fn served(records: &[Record]) -> BTreeMap<usize, usize> {
    let mut served: BTreeMap<usize, usize> = pairs::messages(records).into_iter().collect();
    let isrs = by_vector(records, Stage::Isr);
    let raised = |msix: usize| records[raised_after(records, msix)].t_ns;
    served.retain(|msix, isr| records[*isr].t_ns >= raised(*msix));
    for (msix, event) in stage(records, Side::Device, Stage::Msix).filter(|(_, event)| event.mark == Mark::Ok)
    {
        if served.contains_key(&msix) {
            continue;
        }
        let isrs = isrs.get(&vector_of(event)).map_or(&[][..], Vec::as_slice);
        let at = isrs.partition_point(|isr| records[*isr].t_ns < raised(msix));
        if let Some(isr) = isrs.get(at) {
            served.insert(msix, *isr);
        }
    }
    served
}

/// Rule 6: the request of each service routine.
fn asked(records: &[Record]) -> BTreeMap<usize, usize> {
    let queues = by_vector(records, Stage::Queue);
    let mut asked = BTreeMap::new();
    for (vector, isrs) in by_vector(records, Stage::Isr) {
        let queues = queues.get(&vector).map_or(&[][..], Vec::as_slice);
        let mut from = 0;
        for (n, isr) in isrs.iter().enumerate() {
            let before = queues.partition_point(|queue| queue < isr);
            let next = isrs.get(n + 1).copied().unwrap_or(usize::MAX);
            let own = if before > from { before.checked_sub(1) } else { Some(before) };
            if let Some(queue) = own.and_then(|own| queues.get(own)).filter(|queue| **queue < next) {
                asked.insert(*isr, *queue);
            }
            from = before;
        }
    }
    asked
}

fn by_vector(records: &[Record], of: Stage) -> BTreeMap<u32, Vec<usize>> {
    let mut found: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, event) in stage(records, Side::Driver, of) {
        found.entry(vector_of(event)).or_default().push(index);
    }
    found
}

/// Rule 7. Gives the DPCs that reported nothing that is known.
fn report(records: &[Record], lives: &mut [Life]) -> Vec<usize> {
    let reports = Reports::new(records, lives);
    let mut last: BTreeMap<(u8, u32), (u64, usize)> = BTreeMap::new();
    for life in lives {
        let Some(reports) = reports.by_chain.get(&(life.channel, life.generation)) else { continue };
        let fetched = life.fetched(records);
        // Lives of a chain come in the order of their sequence; a run that was repeated begins anew.
        let (sequence, from) = last.entry((life.channel, life.generation)).or_insert((0, 0));
        if life.sequence < *sequence {
            *from = 0;
        }
        while reports
            .get(*from)
            .is_some_and(|(upto, dpc)| *upto < life.sequence || records[*dpc].t_ns < fetched)
        {
            *from += 1;
        }
        *sequence = life.sequence;
        life.at[Point::Dpc as usize] = reports.get(*from).map(|(_, dpc)| *dpc);
    }
    reports.unknown
}

/// What the DPCs reported.
struct Reports {
    /// By channel and generation, in the order of time: up to which sequence, and the DPC.
    by_chain: BTreeMap<(u8, u32), Vec<(u64, usize)>>,
    unknown: Vec<usize>,
}

impl Reports {
    fn new(records: &[Record], lives: &[Life]) -> Self {
        let mut places: BTreeMap<u64, Vec<(u64, usize)>> = BTreeMap::new();
        for (n, life) in lives.iter().enumerate() {
            if let Some(address) = descriptor_of(records, life) {
                places.entry(address).or_default().push((life.fetched(records), n));
            }
        }
        let mut reports = Self { by_chain: BTreeMap::new(), unknown: Vec::new() };
        for (dpc, event) in stage(records, Side::Driver, Stage::Dpc) {
            let here = places.get(&event.address).map_or(&[][..], Vec::as_slice);
            let before = &here[..here.partition_point(|(fetched, _)| *fetched <= records[dpc].t_ns)];
            match before.last().filter(|_| event.address != 0) {
                Some((_, life)) => {
                    let life = &lives[*life];
                    reports
                        .by_chain
                        .entry((life.channel, life.generation))
                        .or_default()
                        .push((life.sequence, dpc));
                }
                None => reports.unknown.push(dpc),
            }
        }
        reports
    }
}

/// Where a descriptor lies.
fn descriptor_of(records: &[Record], life: &Life) -> Option<u64> {
    let index = life.point(Point::Fetch).or(life.done)?;
    Some(match &records[index].what {
        What::Executed(done) => done.descriptor,
        What::Event(Event { address, .. }) => *address,
        What::Lost(_) => return None,
    })
}

/// The second half of rule 7.
fn fall_back(records: &[Record], lives: &mut [Life], unseen: &[usize]) {
    for life in lives.iter_mut().filter(|life| life.announced && life.point(Point::Dpc).is_none()) {
        let Some(queue) = life.point(Point::Queue).and_then(|queue| records[queue].event()) else { continue };
        let (queue_at, mask) = (life.point(Point::Queue).unwrap_or(0), queue.address);
        let serves = |dpc: &usize| {
            records[*dpc].event().is_some_and(|event| {
                let bit = 1_u64.checked_shl(processor_of(event) % 64).unwrap_or(0);
                vector_of(event) == vector_of(queue) && mask & bit != 0
            })
        };
        let after = unseen.partition_point(|dpc| *dpc < queue_at);
        life.at[Point::Dpc as usize] = unseen[after..].iter().copied().find(serves);
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
