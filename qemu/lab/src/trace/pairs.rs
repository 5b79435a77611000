//! Which doorbell of the driver is which of the device, and which message is which service routine, without any clock.
//!
//! Both sides tell of the same happenings in the same order, so the order pairs them ([`align`](super::align)):
//! doorbells of one channel by the value written; messages of one vector by the address that the service routine read.
//! A message that was sent disables the next one until a DPC re-arms the channel, so the routine must have read the
//! address of a descriptor that was completed between this message and the next of the channel; an address of 0 says nothing.

use std::collections::BTreeMap;

use ioat_stage::{Event, Mark, Side, Stage};

use super::align::align;
use super::record::{Record, What};

/// Indices into the records: what the driver wrote, and what the device saw of it.
#[must_use]
pub fn doorbells(records: &[Record]) -> Vec<(usize, usize)> {
    let (written, seen) = (by_channel(records, Side::Driver), by_channel(records, Side::Device));
    let mut pairs = Vec::new();
    for (channel, written) in written {
        let Some(seen) = seen.get(&channel) else { continue };
        let same = |i: usize, j: usize| written[i].1 == seen[j].1;
        pairs.extend(
            align(written.len(), seen.len(), same).into_iter().map(|(i, j)| (written[i].0, seen[j].0)),
        );
    }
    pairs
}

/// The doorbells of a side with their values.
fn by_channel(records: &[Record], side: Side) -> BTreeMap<u8, Vec<(usize, u64)>> {
    let mut found: BTreeMap<u8, Vec<(usize, u64)>> = BTreeMap::new();
    for (index, event) in stage(records, side, Stage::Doorbell) {
        found.entry(event.channel).or_default().push((index, event.len));
    }
    found
}

/// Indices into the records: a message that was sent, and the service routine that it started.
#[must_use]
pub fn messages(records: &[Record]) -> Vec<(usize, usize)> {
    let windows = Windows::new(records);
    let (mut sent, mut taken): (BTreeMap<u32, Vec<_>>, BTreeMap<u32, Vec<_>>) = Default::default();
    for (index, event) in
        stage(records, Side::Device, Stage::Msix).filter(|(_, event)| event.mark == Mark::Ok)
    {
        sent.entry(vector_of(event)).or_default().push((index, windows.of(index, event)));
    }
    for (index, event) in stage(records, Side::Driver, Stage::Isr).filter(|(_, event)| event.mark == Mark::Ok)
    {
        taken.entry(vector_of(event)).or_default().push((index, event.address));
    }
    let mut pairs = Vec::new();
    for (vector, sent) in sent {
        let Some(taken) = taken.get(&vector) else { continue };
        let same = |i: usize, j: usize| taken[j].1 == 0 || sent[i].1.contains(&taken[j].1);
        pairs.extend(align(sent.len(), taken.len(), same).into_iter().map(|(i, j)| (sent[i].0, taken[j].0)));
    }
    pairs
}

/// The vector of a message, service routine, request or DPC, also of traces from before the field.
#[must_use]
pub fn vector_of(event: &Event) -> u32 {
    let older = if event.stage == Stage::Msix { event.address } else { event.channel.into() };
    event.vector.unwrap_or(u32::try_from(older).unwrap_or(u32::MAX))
}

/// The processor of a service routine or DPC.
#[must_use]
pub fn processor_of(event: &Event) -> u32 {
    event.processor.unwrap_or(u32::try_from(event.len).unwrap_or(u32::MAX))
}

/// The newest event of the message's own descriptor that is surely stamped before the message was sent. The message's
/// own stamp is not: it is taken when the message is under way, and the service routine may be there first.
#[must_use]
pub fn raised_after(records: &[Record], msix: usize) -> usize {
    let Some(message) = records[msix].event() else { return msix };
    let own = |record: &Record| match &record.what {
        What::Event(event) => {
            record.side == Side::Device
                && (event.channel, event.generation, event.sequence)
                    == (message.channel, message.generation, message.sequence)
                && event.stage != Stage::Doorbell
        }
        // Its stamp says when it was done, but it may be taken after the message.
        What::Executed(_) | What::Lost(_) => false,
    };
    let from = msix.saturating_sub(LOOK_BACK);
    records[from..msix].iter().rposition(own).map_or(msix, |at| from + at)
}

/// How many records back the stages of a message's own descriptor are looked for.
const LOOK_BACK: usize = 4096;

/// Events of one stage and side with their indices.
pub fn stage(records: &[Record], side: Side, stage: Stage) -> impl Iterator<Item = (usize, &Event)> {
    let all = records.iter().enumerate().filter(move |(_, record)| record.side == side);
    all.filter_map(|(index, record)| Some((index, record.event()?)))
        .filter(move |(_, event)| event.stage == stage)
}

/// What a channel completed.
struct Done {
    index: usize,
    generation: u32,
    sequence: u64,
    address: u64,
}

/// Which addresses a service routine may have read.
#[derive(Default)]
struct Windows {
    done: BTreeMap<u8, Vec<Done>>,
    sent: BTreeMap<u8, Vec<usize>>,
}

impl Windows {
    fn new(records: &[Record]) -> Self {
        let mut windows = Self::default();
        for (index, record) in records.iter().enumerate().filter(|(_, record)| record.side == Side::Device) {
            let (channel, generation, sequence, address) = match &record.what {
                What::Event(event) if event.stage == Stage::Complete => {
                    (event.channel, event.generation, event.sequence, event.address)
                }
                What::Executed(done) => (done.channel, done.generation, done.sequence, done.descriptor),
                What::Event(event) if event.stage == Stage::Msix && event.mark == Mark::Ok => {
                    windows.sent.entry(event.channel).or_default().push(index);
                    continue;
                }
                What::Event(_) | What::Lost(_) => continue,
            };
            windows.done.entry(channel).or_default().push(Done { index, generation, sequence, address });
        }
        windows
    }

    fn of(&self, msix: usize, event: &Event) -> Vec<u64> {
        let none = Vec::new();
        let (done, sent) = (self.done.get(&event.channel).unwrap_or(&none), self.sent.get(&event.channel));
        let before = done.partition_point(|done| done.index < msix);
        let own = |done: &Done| (done.generation, done.sequence) == (event.generation, event.sequence);
        let from = before.saturating_sub(LOOK_BACK);
        let first = done[from..before].iter().rposition(own).map_or(before.saturating_sub(1), |at| from + at);
        let next = sent.and_then(|sent| sent.get(sent.partition_point(|index| *index <= msix)));
        let end = next.map_or(done.len(), |next| done.partition_point(|done| done.index < *next));
        done[first.min(end)..end].iter().map(|done| done.address).collect()
    }
}
