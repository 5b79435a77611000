//! Descriptors from their doorbell to their completion: what they said when they were submitted.
//!
//! At the doorbell the lint walks the chain as the engine will, and keeps a copy of each descriptor. The fetch is compared
//! with it. The link of the last descriptor is software's until a doorbell goes beyond it (that is how chains grow), so
//! it is read again then; if the engine has read it before and it says something else now, the engine went another way.

use std::collections::VecDeque;
use std::sync::Arc;

use ioat_spec::Descriptor;
use ioat_stage::sync::Mutex;

use super::book::{Finding, LintBook, Place, Value};
use super::rule::Rule;
use super::submitted::{Submitted, differences};
use crate::fetch::{ALIGNMENT_MASK, Fetched};

/// Descriptors that one doorbell's walk reads at most. What is beyond is not watched: one register write must not read
/// 65,535 descriptors.
const WALK_MOST: u16 = 4096;
/// A step of DMACOUNT that counts as forward. Half the range, as serial numbers are compared.
const AHEAD_MOST: u16 = i16::MAX.unsigned_abs();
/// DMACOUNT counts modulo this.
const RANGE: u64 = 1 << u16::BITS;
/// Bytes of a completion word.
const WORD_BYTES: u64 = 8;

/// One channel's descriptors under way.
pub(crate) struct Watch {
    channel: u8,
    book: Arc<LintBook>,
    chain: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    /// There is a chain: CHAINADDR was heard in this generation.
    started: bool,
    generation: u32,
    /// DMACOUNT as the driver wrote it last.
    count: u16,
    /// Some doorbell has moved DMACOUNT since CHAINADDR.
    rung: bool,
    /// The number after the last submitted descriptor's.
    submitted: u64,
    /// The number after the last completed one's.
    completed: u64,
    /// Submitted and not completed, without a gap; the first has the number `first`.
    slots: VecDeque<Submitted>,
    first: u64,
    tail: Tail,
}

/// Where the next descriptor to be submitted is.
#[derive(Clone, Copy, Default)]
enum Tail {
    /// The lint has lost the thread, until the engine has fetched everything or a new chain begins.
    #[default]
    Unknown,
    /// Here: CHAINADDR says so.
    At(u64),
    /// Where the last submitted one links to; what the engine read there, if it has fetched it.
    Behind { last: u64, fetched_next: Option<u64> },
}

impl Watch {
    pub(super) fn new(channel: u8, book: Arc<LintBook>) -> Self {
        Self { channel, book, chain: Mutex::default() }
    }

    /// CHAINADDR began a chain.
    pub(super) fn start(&self, generation: u32, sequence: u64, address: u64) {
        *self.chain.lock() = UnderWay {
            started: true,
            generation,
            submitted: sequence,
            completed: sequence,
            first: sequence,
            tail: Tail::At(address),
            ..UnderWay::default()
        };
    }

    /// The chain is gone.
    pub(super) fn clear(&self, generation: u32) {
        *self.chain.lock() = UnderWay { generation, ..UnderWay::default() };
    }

    /// Software may have rewritten what is under way.
    pub(super) fn forget(&self) {
        self.chain.lock().lose();
    }

    /// There is a chain.
    pub(super) fn started(&self) -> bool {
        self.chain.lock().started
    }

    /// Something is submitted and not completed.
    pub(super) fn outstanding(&self) -> bool {
        let chain = self.chain.lock();
        chain.submitted != chain.completed
    }

    /// DMACOUNT was written, with CHANCMP as it is: walks what it covers.
    pub(super) fn submit(&self, count: u16, chan_cmp: u64, load: impl Fn(u64) -> Option<Descriptor>) {
        let mut chain = self.chain.lock();
        let old = std::mem::replace(&mut chain.count, count);
        let more = count.wrapping_sub(old);
        if more == 0 {
            return;
        }
        let outstanding = chain.submitted - chain.completed;
        // The first doorbell of a chain may cover all that DMACOUNT can count.
        let backwards = chain.rung && more > AHEAD_MOST;
        chain.rung = true;
        if backwards || outstanding + u64::from(more) > u64::from(u16::MAX) {
            // What the engine has left to do now is counted modulo DMACOUNT's range, as it counts itself.
            chain.submitted = chain.completed + (outstanding + u64::from(more)) % RANGE;
            chain.lose();
            let [found, expected] = [count, old].map(|count| Value::Count(count.into()));
            return self.note(Rule::DmaCountBackwards, Place::Register("DMACOUNT"), found, expected);
        }
        let mut next = self.link(&mut chain, &load);
        let number = chain.submitted;
        chain.submitted += u64::from(more);
        if chain.first + chain.slots.len() as u64 != number {
            // Some in between are not known, and there must be no gap.
            chain.slots.clear();
            chain.first = number;
        }
        for _ in 0..more.min(WALK_MOST) {
            let Some((address, said)) = next.and_then(|address| Some((address, read(address, &load)?)))
            else {
                chain.tail = Tail::Unknown;
                return;
            };
            if said.control().cmpl_wr() && chan_cmp == 0 {
                let (found, expected) = (Value::Hex(0), Value::Word("an address"));
                self.note(Rule::CompletionWithoutChanCmp, Place::Descriptor(address), found, expected);
            }
            chain.slots.push_back(Submitted { address, said, former_next: None });
            chain.tail = Tail::Behind { last: address, fetched_next: None };
            next = Some(said.next);
        }
        if more > WALK_MOST {
            chain.tail = Tail::Unknown;
        }
    }

    /// The engine has fetched a descriptor.
    pub(super) fn fetched(&self, generation: u32, fetched: &Fetched) {
        let Fetched { descriptor, address, sequence } = fetched;
        let mut chain = self.chain.lock();
        if chain.generation != generation {
            return;
        }
        let last = sequence + 1 == chain.submitted;
        let slot = sequence.checked_sub(chain.first).and_then(|index| usize::try_from(index).ok());
        let slot = slot.and_then(|index| chain.slots.get(index));
        let mut lost = false;
        if let Some(Submitted { address: submitted, said, former_next }) = slot {
            lost = submitted != address || (!last && said.next != descriptor.next);
            if submitted == address {
                self.compare(*address, said, descriptor, *former_next, last);
            }
        }
        if lost {
            chain.lose();
        }
        if last {
            // From here on even a chain that was lost is known again.
            chain.tail = Tail::Behind { last: *address, fetched_next: Some(descriptor.next) };
        }
    }

    /// A descriptor is about to be reported.
    pub(super) fn completing(&self, generation: u32, sequence: u64) {
        let mut chain = self.chain.lock();
        if chain.generation != generation {
            return;
        }
        chain.completed = chain.completed.max(sequence + 1);
        while chain.first < chain.completed && chain.slots.pop_front().is_some() {
            chain.first += 1;
        }
        chain.first = chain.first.max(chain.completed);
    }

    /// What of `[first, last]` the engine still needs, if anything.
    pub(super) fn needs(&self, first: u64, last: u64, chan_cmp: u64) -> Option<Finding> {
        let chain = self.chain.lock();
        if chain.submitted == chain.completed {
            return None;
        }
        let touched =
            |address: u64, len: u64| len > 0 && address <= last && first <= address.saturating_add(len - 1);
        let place = if chan_cmp != 0 && touched(chan_cmp, WORD_BYTES) {
            Some(Place::CompletionWord(chan_cmp))
        } else {
            chain.slots.iter().find_map(|slot| slot.names(&touched))
        };
        let (found, expected) = (Value::Hex(first), Value::Word("no unmap before completion"));
        place.map(|place| self.finding(Rule::UnmappedTooEarly, place, found, expected))
    }

    /// Where the first descriptor of a doorbell is. The last one's link may have been changed since, if the engine has
    /// not read it.
    fn link(&self, chain: &mut UnderWay, load: &impl Fn(u64) -> Option<Descriptor>) -> Option<u64> {
        let (last, fetched_next) = match chain.tail {
            Tail::Unknown => return None,
            Tail::At(address) => return Some(address),
            Tail::Behind { last, fetched_next } => (last, fetched_next),
        };
        let now = read(last, load).map(|descriptor| descriptor.next);
        if let Some(read) = fetched_next {
            if let Some(now) = now.filter(|now| *now != read) {
                let place = Place::Field(last, "next");
                self.note(Rule::LinkChangedAfterFetch, place, Value::Hex(now), Value::Hex(read));
            }
            return Some(read);
        }
        let slot = chain.slots.back_mut()?;
        let now = now?;
        if now != slot.said.next {
            slot.former_next = Some(std::mem::replace(&mut slot.said.next, now));
        }
        Some(now)
    }

    fn compare(
        &self,
        address: u64,
        said: &Descriptor,
        fetched: &Descriptor,
        former_next: Option<u64>,
        last: bool,
    ) {
        for (field, expected, found) in differences(said, fetched) {
            let place = Place::Field(address, field);
            self.note(Rule::DescriptorChanged, place, Value::Hex(found), Value::Hex(expected));
        }
        if !last && said.next != fetched.next {
            // The engine read the link before it was changed to let the chain grow.
            let late = former_next == Some(fetched.next);
            let rule = if late { Rule::LinkChangedAfterFetch } else { Rule::DescriptorChanged };
            let place = Place::Field(address, "next");
            self.note(rule, place, Value::Hex(fetched.next), Value::Hex(said.next));
        }
    }

    fn note(&self, rule: Rule, place: Place, found: Value, expected: Value) {
        self.book.note(self.finding(rule, place, found, expected));
    }

    fn finding(&self, rule: Rule, place: Place, found: Value, expected: Value) -> Finding {
        Finding { rule, channel: Some(self.channel), place, found, expected }
    }
}

impl UnderWay {
    /// What is submitted is not known any more, nor what follows it.
    fn lose(&mut self) {
        self.slots.clear();
        self.tail = Tail::Unknown;
    }
}

fn read(address: u64, load: &impl Fn(u64) -> Option<Descriptor>) -> Option<Descriptor> {
    if address & ALIGNMENT_MASK == 0 { load(address) } else { None }
}
