//! From when to when each event is drawn. A trace stamps the end of a stage; its begin is what is known to lie before.

use std::collections::BTreeMap;

use ioat_stage::{Event, Side, Stage};

use super::link::Linked;
use super::pairs::{processor_of, raised_after, vector_of};
use super::record::{Record, What};
use super::way::Point;

/// When each record begins, as far as can be told; it ends at its stamp.
///
/// - Stages 2 to 5: when the channel's stage before it ended; a fetch when the engine could turn to it.
/// - A message: when the stage before it ended, for its own stamp is late.
/// - A service routine: when it asked for its DPCs, which is inside it.
/// - A DPC: when it was asked for, or the processor's DPC before it ended: so its wait is in it.
/// - Everything else has no length.
#[must_use]
pub fn begins(records: &[Record], linked: &Linked) -> Vec<u64> {
    let known = Known::new(records, linked);
    let mut running = Running::default();
    let begin = |(index, record): (usize, &Record)| {
        let begin = match &record.what {
            What::Event(event) => {
                known.of(records, index, event).unwrap_or_else(|| running.of(record, event))
            }
            What::Executed(_) => known.begin.get(&index).copied().unwrap_or(record.t_ns),
            What::Lost(_) => record.t_ns,
        };
        running.pass(record);
        begin.min(record.t_ns)
    };
    records.iter().enumerate().map(begin).collect()
}

/// What the lives tell.
struct Known {
    begin: BTreeMap<usize, u64>,
}

impl Known {
    fn new(records: &[Record], linked: &Linked) -> Self {
        let mut begin = BTreeMap::new();
        for life in &linked.lives {
            if let (Some(first), Some(at)) = (life.point(Point::Fetch).or(life.done), life.begin) {
                begin.insert(first, at);
            }
            if let (Some(isr), Some(queue)) = (life.point(Point::Isr), life.point(Point::Queue)) {
                begin.insert(isr, records[queue].t_ns);
            }
        }
        Self { begin }
    }

    fn of(&self, records: &[Record], index: usize, event: &Event) -> Option<u64> {
        match event.stage {
            Stage::Msix => Some(records[raised_after(records, index)].t_ns),
            Stage::Fetch => Some(self.begin.get(&index).copied().unwrap_or(records[index].t_ns)),
            Stage::Isr => self.begin.get(&index).copied(),
            Stage::Doorbell
            | Stage::Translate
            | Stage::Copy
            | Stage::Complete
            | Stage::Queue
            | Stage::Dpc => None,
        }
    }
}

/// What ran last where.
#[derive(Default)]
struct Running {
    channel: BTreeMap<u8, u64>,
    processor: BTreeMap<u32, u64>,
    asked: BTreeMap<(u32, u32), u64>,
}

impl Running {
    fn of(&self, record: &Record, event: &Event) -> u64 {
        let before = match event.stage {
            Stage::Translate | Stage::Copy | Stage::Complete => self.channel.get(&event.channel).copied(),
            Stage::Dpc => {
                let processor = processor_of(event);
                let asked = self.asked.get(&(vector_of(event), processor)).copied();
                asked.map(|asked| asked.max(self.processor.get(&processor).copied().unwrap_or(0)))
            }
            Stage::Doorbell | Stage::Fetch | Stage::Msix | Stage::Isr | Stage::Queue => None,
        };
        before.unwrap_or(record.t_ns)
    }

    fn pass(&mut self, record: &Record) {
        match (record.side, &record.what) {
            (Side::Driver, What::Event(event)) if event.stage == Stage::Queue => {
                for bit in (0..64).filter(|bit| event.len >> bit & 1 == 1) {
                    self.asked.insert((vector_of(event), bit), record.t_ns);
                }
            }
            (Side::Driver, What::Event(event)) if event.stage == Stage::Dpc => {
                let processor = processor_of(event);
                self.asked.remove(&(vector_of(event), processor));
                self.processor.insert(processor, record.t_ns);
            }
            (Side::Device, What::Event(event)) if (Stage::Fetch..=Stage::Complete).contains(&event.stage) => {
                self.channel.insert(event.channel, record.t_ns);
            }
            _ => {}
        }
    }
}
