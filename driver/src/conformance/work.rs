//! Work that lasts: long enough for a check to stop a channel in the middle of it.

use std::sync::Arc;

use super::assembly::{Laid, TELLS, Taken, copy, failed, passive, with};
use super::bench::NotPassed;
use super::{ensure, ensure_eq};
use crate::contract::NetDmaDescriptor;
use crate::hw::DmaBuffer;

/// Bytes of one long copy: what every engine of NetDMA's takes in one descriptor would be a page, so it is asked.
const LONG_COPY: u32 = 1 << 20;

/// Pairs of long work to try with, in turn. In a guest on a busy host the check's own thread may be kept off the processor
/// for tens of milliseconds; the last ones take ten times that.
pub(super) const PATIENCE: [usize; 8] = [16, 64, 256, 1024, 2048, 2048, 2048, 2048];

/// Bytes of a mark, and the distance between two.
pub(super) const MARK: usize = 64;
const MARK_BYTES: u32 = 64;

/// Pairs of descriptors: a long copy, then a short one that leaves a mark of its own. The marks tell how far the
/// engine came.
pub(super) struct LongWork {
    /// Of even pairs, and of odd ones: each the same byte all over.
    sources: [Arc<DmaBuffer>; 2],
    scratch: Arc<DmaBuffer>,
    marks: Arc<DmaBuffer>,
    long: u32,
}

/// A long chain that was suspended with work left.
pub(super) struct Midway {
    /// The chain, from the first slot on.
    pub(super) laid: Laid,
    /// How many of its descriptors are finished: at least one.
    pub(super) finished: usize,
    /// The number of its last descriptor.
    pub(super) last_sequence: u64,
}

impl LongWork {
    /// Most pairs that it has marks for.
    pub(super) const PAIRS: usize = 2048;

    pub(super) fn new(taken: &Taken<'_>) -> Result<Self, NotPassed> {
        let long = LONG_COPY.min(taken.assembly.provider.identity().max_transfer());
        let sources = [taken.memory(long as usize)?, taken.memory(long as usize)?];
        sources[0].write(0, &vec![Self::BYTE; long as usize])?;
        sources[1].write(0, &vec![!Self::BYTE; long as usize])?;
        let [scratch, marks] = [taken.memory(long as usize)?, taken.memory(Self::PAIRS * MARK)?];
        Ok(Self { sources, scratch, marks, long })
    }

    /// What a mark consists of.
    pub(super) const BYTE: u8 = 0x5a;

    /// `pairs` pairs, of which the very last descriptor tells everything. Clears the marks.
    pub(super) fn descriptors(&self, pairs: usize) -> Vec<NetDmaDescriptor> {
        let cleared = self.marks.write(0, &vec![0; Self::PAIRS * MARK]);
        cleared.expect("the marks are inside their buffer");
        let pair = |number| [self.long_copy(number), self.mark(number)];
        let mut descriptors: Vec<_> = (0..pairs).flat_map(pair).collect();
        if let Some(last) = descriptors.last_mut() {
            *last = with(*last, TELLS);
        }
        descriptors
    }

    /// A copy that takes as long as one descriptor can.
    pub(super) fn long_copy(&self, number: usize) -> NetDmaDescriptor {
        copy((&self.sources[number % 2], 0), (&self.scratch, 0), self.long)
    }

    /// The copy that leaves the mark of this number.
    pub(super) fn mark(&self, number: usize) -> NetDmaDescriptor {
        copy((&self.sources[0], 0), (&self.marks, number * MARK), MARK_BYTES)
    }

    /// What the mark of this number is now: whole, or not there at all.
    pub(super) fn has_mark(&self, number: usize) -> Result<bool, NotPassed> {
        let mut found = [0; MARK];
        self.marks.read(number * MARK, &mut found)?;
        match found {
            _ if found == [Self::BYTE; MARK] => Ok(true),
            _ if found == [0; MARK] => Ok(false),
            _ => Err(failed(format!("mark {number} is torn: {found:x?}"))),
        }
    }

    /// Whether the last long copy was finished to its end: what it copied is the same byte all over.
    pub(super) fn is_whole(&self) -> Result<bool, NotPassed> {
        let mut found = vec![0; self.long as usize];
        self.scratch.read(0, &mut found)?;
        Ok(found.iter().all(|byte| *byte == found[0]))
    }

    /// How many marks there are; they are the first ones, without a gap.
    pub(super) fn marks(&self) -> Result<usize, NotPassed> {
        let found: Vec<bool> =
            (0..Self::PAIRS).map(|number| self.has_mark(number)).collect::<Result<_, _>>()?;
        let count = found.iter().take_while(|mark| **mark).count();
        match found[count..].iter().position(|mark| *mark) {
            None => Ok(count),
            Some(later) => Err(failed(format!("mark {} is there, and mark {count} is not", count + later))),
        }
    }
}

/// Starts long work and suspends the channel in the middle of it. The engine may be too fast or the check too slow,
/// so it is tried again with more.
pub(super) fn midway(taken: &Taken<'_>, work: &LongWork) -> Result<Midway, NotPassed> {
    for pairs in PATIENCE {
        let laid = taken.lay_at(0, &work.descriptors(pairs))?;
        let submitted = taken.start(&laid)?;
        // Something is to be finished, but not all.
        taken.assembly.until("the first mark is there", || work.has_mark(0).unwrap_or(true))?;
        let last = taken.net.suspend(&passive()?)?;
        let finished = match last {
            None => 0,
            Some(last) => {
                let position = laid.addresses.iter().position(|address| *address == last);
                position.ok_or_else(|| failed(format!("Suspend named {last}, which is not of the chain")))?
                    + 1
            }
        };
        // Room for the checks that edit what is left.
        if finished > 0 && finished + 6 <= laid.addresses.len() {
            return Ok(Midway { laid, finished, last_sequence: submitted.last_sequence });
        }
        taken.net.reset(&passive()?)?;
    }
    Err(failed("the channel could not be suspended before its work was finished"))
}

/// A page of one byte, and a page of zeros to copy parts of it to.
pub(super) struct Pages {
    pub(super) from: Arc<DmaBuffer>,
    pub(super) to: Arc<DmaBuffer>,
}

impl Pages {
    const BYTE: u8 = 0x77;

    pub(super) fn new(taken: &Taken<'_>) -> Result<Self, NotPassed> {
        let [from, to] = [taken.memory(4096)?, taken.memory(4096)?];
        from.write(0, &[Self::BYTE; 4096])?;
        Ok(Self { from, to })
    }

    /// Copies to the place of this number.
    pub(super) fn copy(&self, number: usize) -> NetDmaDescriptor {
        copy((&self.from, 0), (&self.to, number * MARK), MARK_BYTES)
    }

    /// The places, of the first `count`, that were written.
    pub(super) fn written(&self, count: usize) -> Result<Vec<usize>, NotPassed> {
        let mut found = vec![0; count * MARK];
        self.to.read(0, &mut found)?;
        let whole = |number: &usize| found[number * MARK..][..MARK].iter().all(|byte| *byte == Self::BYTE);
        let written: Vec<usize> = (0..count).filter(whole).collect();
        let touched = found.iter().filter(|byte| **byte != 0).count();
        ensure_eq!(touched, written.len() * MARK, "bytes written");
        Ok(written)
    }
}
