//! Rule 7 of [`link`](mod@super::link): the DPC that reports a descriptor.

use std::collections::BTreeMap;

use ioat_stage::{Event, Side, Stage};

use super::link::Life;
use super::pairs::{processor_of, stage, vector_of};
use super::record::{Record, What};
use super::way::Point;

/// The first half: by what the DPCs report.
pub(super) fn report(records: &[Record], lives: &mut [Life]) {
    let reports = Reports::new(records, lives);
    let mut last: BTreeMap<(u8, u32), (u64, usize)> = BTreeMap::new();
    for life in lives {
        let Some(reports) = reports.by_chain.get(&(life.channel, life.generation)) else { continue };
        let fetched = life.seen_from(records);
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
}

/// What the DPCs reported.
struct Reports {
    /// By channel and generation, in the order of time: up to which sequence, and the DPC.
    by_chain: BTreeMap<(u8, u32), Vec<(u64, usize)>>,
}

impl Reports {
    fn new(records: &[Record], lives: &[Life]) -> Self {
        let mut places: BTreeMap<u64, Vec<(u64, usize)>> = BTreeMap::new();
        for (n, life) in lives.iter().enumerate() {
            if let Some(address) = descriptor_of(records, life) {
                places.entry(address).or_default().push((life.seen_from(records), n));
            }
        }
        let mut reports = Self { by_chain: BTreeMap::new() };
        for (dpc, event) in stage(records, Side::Driver, Stage::Dpc) {
            let here = places.get(&event.address).map_or(&[][..], Vec::as_slice);
            let before = &here[..here.partition_point(|(fetched, _)| *fetched <= records[dpc].t_ns)];
            if let Some((_, life)) = before.last().filter(|_| event.address != 0) {
                let life = &lives[*life];
                reports
                    .by_chain
                    .entry((life.channel, life.generation))
                    .or_default()
                    .push((life.sequence, dpc));
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

/// The second half: by the request.
pub(super) fn fall_back(records: &[Record], lives: &mut [Life]) {
    let mut dpcs: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (dpc, event) in stage(records, Side::Driver, Stage::Dpc) {
        dpcs.entry(vector_of(event)).or_default().push(dpc);
    }
    for life in lives.iter_mut().filter(|life| life.point(Point::Dpc).is_none()) {
        let Some((at, queue)) = life.point(Point::Queue).and_then(|at| Some((at, records[at].event()?)))
        else {
            continue;
        };
        let asked = |dpc: &usize| {
            let bit = records[*dpc].event().map_or(0, |event| 1_u64 << (processor_of(event) % 64));
            queue.address & bit != 0
        };
        let dpcs = dpcs.get(&vector_of(queue)).map_or(&[][..], Vec::as_slice);
        let after = &dpcs[dpcs.partition_point(|dpc| *dpc < at)..];
        life.at[Point::Dpc as usize] = after.iter().copied().find(asked);
    }
}
