//! Rule 7 of [`link`](super::link): the DPC that reports a descriptor.

use std::collections::BTreeMap;

use ioat_stage::{Event, Side, Stage};

use super::link::Life;
use super::pairs::{processor_of, stage, vector_of};
use super::record::{Record, What};
use super::way::Point;

/// Rule 7. Gives the DPCs that reported nothing that is known.
pub(super) fn report(records: &[Record], lives: &mut [Life]) -> Vec<usize> {
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
pub(super) fn fall_back(records: &[Record], lives: &mut [Life], unseen: &[usize]) {
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
