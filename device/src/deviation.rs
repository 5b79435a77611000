//! What the faults of stages 2 to 5 make of a chain: the verdicts on the descriptor under way, and what they need of
//! those before it.
//!
//! A chain keeps it from step to step, so that a fault does the same in one step as in many. There is none before a rule was
//! armed, and the loop that no rule can touch does not know of it.

use ioat_stage::{Action, Described, Mark, Verdict};

use crate::memory::GuestMemory;
use crate::postponed::{self, What};

/// When data is written again that no further descriptor follows.
const AGAIN_NS: u64 = 1_000_000;

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Deviation {
    /// On the descriptor under way.
    pub(crate) verdicts: Verdicts,
    /// It is to be carried out once more.
    pub(crate) twice: bool,
    /// The step is to end inside it.
    pub(crate) cut: Option<Cut>,
    /// The descriptor that this chain fetched last.
    pub(crate) fetched: Option<[u64; 8]>,
    /// The word that it stored last.
    pub(crate) stored: Option<u64>,
    /// Data of the descriptor under way that is to be written again after the next one, and where.
    pub(crate) fresh: Vec<(u64, Box<[u8]>)>,
    /// The same of the one before it.
    due: Vec<(u64, Box<[u8]>)>,
    /// What comes later than its descriptor, and by how many nanoseconds.
    pub(crate) later: Vec<(u64, What)>,
}

/// What was said of one descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts {
    /// What rules see of it, from stage 3 on.
    pub(crate) described: Option<Described>,
    /// Some rule fired at it.
    pub(crate) fired: bool,
    /// How far off its destination was translated.
    pub(crate) shift: i64,
    /// Its data was asked about.
    pub(crate) asked: bool,
    /// On its data as a whole, on reading, and on writing it.
    pub(crate) copy: Verdict,
    pub(crate) read: Verdict,
    pub(crate) write: Verdict,
}

/// How a fault ends a step inside a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// It goes on after so many nanoseconds.
    Delay(u64),
    /// It goes on no more: ACTIVE until a reset.
    Stall,
    /// The device leaves the bus.
    Kill,
}

impl Cut {
    /// The cut that an action is.
    pub(crate) fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Some(Action::Delay(ns)) => Some(Self::Delay(ns)),
            Some(Action::Stall) => Some(Self::Stall),
            Some(Action::Kill) => Some(Self::Kill),
            _ => None,
        }
    }
}

impl Verdicts {
    /// The data is to be moved otherwise than as it is.
    pub(crate) fn alter(&self) -> bool {
        self.shift != 0 || self.about_data()
    }

    /// A rule fired at stage 4.
    pub(crate) fn about_data(&self) -> bool {
        self.copy.is_some() || self.read.is_some() || self.write.is_some()
    }

    /// The error that stage 4 is told to find.
    pub(crate) fn halt(&self) -> Option<u32> {
        [self.copy, self.read, self.write].into_iter().find_map(|verdict| match verdict {
            Some(Action::Halt(bits)) => Some(bits),
            _ => None,
        })
    }
}

impl Deviation {
    /// Something is not carried out yet: the chain is to stay on the way of the faults, even if no rule is armed any more.
    pub(crate) fn pending(&self) -> bool {
        let Verdicts { fired, asked, .. } = self.verdicts;
        fired || asked || self.twice || !self.due.is_empty()
    }

    /// A descriptor is done, or has failed: the next one is judged anew. Returns what the trace is to be told.
    #[cold]
    pub(crate) fn conclude<M: GuestMemory>(&mut self, mark: Mark, memory: &M) -> Mark {
        for (iova, bytes) in self.due.drain(..) {
            postponed::store(memory, iova, &bytes);
        }
        std::mem::swap(&mut self.due, &mut self.fresh);
        let verdicts = std::mem::take(&mut self.verdicts);
        if verdicts.fired { Mark::Faulted } else { mark }
    }

    /// A step is over: what comes later goes to `postponed`. `drained`: no descriptor follows for now, so what waits for one
    /// comes later, too.
    pub(crate) fn hand_over(&mut self, drained: bool, postponed: &mut Vec<(u64, What)>) {
        postponed.append(&mut self.later);
        if drained {
            let again = self.due.drain(..).map(|(iova, bytes)| (AGAIN_NS, What::Store { iova, bytes }));
            postponed.extend(again);
        }
    }
}

/// Bytes that a fault alters in some data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Patch {
    offset: u64,
    value: [u8; 8],
    bytes: u8,
    /// They are flipped where `value` has ones; else they become it.
    flip: bool,
}

impl Patch {
    /// What `corrupt` and `set` do.
    pub(crate) fn of(verdict: Verdict) -> Option<Self> {
        match verdict? {
            Action::Corrupt { offset, mask } => {
                let bytes = u8::try_from((u64::BITS - mask.leading_zeros()).div_ceil(8)).unwrap_or(8);
                Some(Self { offset, value: mask.to_le_bytes(), bytes, flip: true })
            }
            Action::Set { offset, value, bytes } => {
                Some(Self { offset, value: value.to_le_bytes(), bytes, flip: false })
            }
            _ => None,
        }
    }

    /// Alters all of some data.
    pub(crate) fn apply_all(&self, data: &mut [u8]) {
        let size = data.len() as u64;
        self.apply(data, 0, size);
    }

    /// Alters `part`, which begins at byte `at` of data of `size` bytes. What goes over the end goes on at its beginning.
    pub(crate) fn apply(&self, part: &mut [u8], at: u64, size: u64) {
        if size == 0 {
            return;
        }
        for (index, value) in (0..u64::from(self.bytes).min(size)).zip(self.value) {
            let place = (self.offset % size + index) % size;
            let byte = place.checked_sub(at).and_then(|place| part.get_mut(usize::try_from(place).ok()?));
            if let Some(byte) = byte {
                *byte = if self.flip { *byte ^ value } else { value };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(action: &str, parts: &[usize]) -> Vec<u8> {
        let patch = Patch::of(Action::parse(action)).unwrap();
        let mut data = vec![0x11; parts.iter().sum()];
        let (size, mut at) = (data.len() as u64, 0);
        for len in parts {
            patch.apply(&mut data[at..at + len], at as u64, size);
            at += len;
        }
        data
    }

    #[test]
    fn a_patch_is_the_same_in_one_piece_and_in_many() {
        for action in ["corrupt(2, 0x80ff01)", "set(3, 0x0102030405060708)", "corrupt(13)", "set(6, 7, 1)"] {
            assert_eq!(patched(action, &[12]), patched(action, &[1; 12]), "{action}");
            assert_eq!(patched(action, &[12]), patched(action, &[4, 5, 3]), "{action}");
        }
    }

    #[test]
    fn a_patch_goes_over_the_end_to_the_beginning_but_not_twice_around() {
        assert_eq!(patched("corrupt(3, 0xf001)", &[4]), [0xe1, 0x11, 0x11, 0x10]);
        assert_eq!(patched("set(5, 0x0403020100)", &[3]), [1, 2, 0]);
        assert_eq!(patched("set(0, 0xff, 8)", &[1]), [0xff]);
    }

    #[test]
    fn no_data_is_patched_into_none() {
        Patch::of(Action::parse("corrupt(0)")).unwrap().apply(&mut [], 0, 0);
    }
}
