//! Rules 4 to 6 of [`link`](mod@super::link): the message that announces a descriptor, its service routine, its request.

use std::collections::BTreeMap;

use ioat_stage::{Mark, Side, Stage};

use super::link::Life;
use super::pairs::{self, raised_after, stage, vector_of};
use super::record::Record;
use super::way::Point;

/// Rules 4 to 6.
pub(super) fn announce(records: &[Record], lives: &mut [Life]) {
    let asked = asked(records);
    let served = served(records, &asked);
    let mut sent: BTreeMap<(u8, u32), Vec<(u64, usize)>> = BTreeMap::new();
    for (index, event) in
        stage(records, Side::Device, Stage::Msix).filter(|(_, event)| event.mark != Mark::Held)
    {
        sent.entry((event.channel, event.generation)).or_default().push((event.sequence, index));
    }
    // Held ones go out later: the order of time is not quite that of the sequence.
    sent.values_mut().for_each(|sent| sent.sort_unstable());
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
fn served(records: &[Record], asked: &BTreeMap<usize, usize>) -> BTreeMap<usize, usize> {
    let mut served: BTreeMap<usize, usize> = pairs::messages(records).into_iter().collect();
    let isrs = by_vector(records, Stage::Isr);
    let raised = |msix: usize| records[raised_after(records, msix)].t_ns;
    // Its request is inside it: one that asked before this message was raised is an earlier one's.
    let ran = |isr: usize| {
        let asked = asked.get(&isr).map(|queue| records[*queue].t_ns);
        asked.map_or(records[isr].t_ns, |asked| asked.min(records[isr].t_ns))
    };
    served.retain(|msix, isr| ran(*isr) >= raised(*msix));
    for (msix, event) in stage(records, Side::Device, Stage::Msix).filter(|(_, event)| event.mark == Mark::Ok)
    {
        if served.contains_key(&msix) {
            continue;
        }
        let isrs = isrs.get(&vector_of(event)).map_or(&[][..], Vec::as_slice);
        let raised = raised(msix);
        let from = isrs.partition_point(|isr| records[*isr].t_ns < raised);
        if let Some(isr) = isrs[from..].iter().find(|isr| ran(**isr) >= raised) {
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
            let own = if before > from { before - 1 } else { from };
            if let Some(queue) = queues.get(own).filter(|queue| **queue < next) {
                asked.insert(*isr, *queue);
                from = own + 1;
            }
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
