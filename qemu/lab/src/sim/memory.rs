//! The oracle's memory: what every byte of a buffer must be, kept without the engine's and the driver's help.
//!
//! A buffer is cut into places, each with guard bands before and behind what an operation may write. The expected
//! bytes are computed here, byte by byte, by a second implementation of copy and fill.

use std::sync::Arc;

use netdma::hw::DmaBuffer;

use super::random::Random;
use super::world::{self, Wrong};

/// Bytes before and behind each place that nothing may touch.
pub(super) const GUARD: usize = 64;

/// A buffer and what it must hold.
pub(super) struct Shadow {
    buffer: Arc<DmaBuffer>,
    must: Vec<u8>,
    name: String,
}

/// What one operation does to memory.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// These bytes of a source, taken when the operation was made.
    Copy(Vec<u8>),
    /// Eight bytes, over and over, from the first byte on.
    Fill(u64),
}

/// A place in a target, and what an operation does there.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) place: usize,
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) effect: Effect,
}

impl Shadow {
    /// A buffer whose every byte is drawn from `random`.
    pub(super) fn new(buffer: Arc<DmaBuffer>, name: String, random: &mut Random) -> Self {
        let mut must = vec![0; buffer.len()];
        random.fill(&mut must);
        let shadow = Self { buffer, must, name };
        shadow.restore(0, shadow.must.len());
        shadow
    }

    pub(super) fn buffer(&self) -> &Arc<DmaBuffer> {
        &self.buffer
    }

    /// What must be there.
    pub(super) fn bytes(&self, at: usize, len: usize) -> &[u8] {
        &self.must[at..at + len]
    }

    /// An operation is done: its bytes are what it computes.
    pub(super) fn apply(&mut self, write: &Write) {
        for index in 0..write.len {
            self.must[write.at + index] = match &write.effect {
                Effect::Copy(bytes) => bytes[index],
                Effect::Fill(pattern) => pattern.to_le_bytes()[index % 8],
            };
        }
    }

    /// Compares a range. False if a byte differs, which is a finding.
    pub(super) fn verify(&self, at: usize, len: usize, when: &str) -> bool {
        let mut found = vec![0; len];
        if let Err(error) = self.buffer.read(at, &mut found) {
            world::find(Wrong::Corruption, format!("{}: {error}", self.name));
            return false;
        }
        let must = &self.must[at..at + len];
        if found == must {
            return true;
        }
        let index = found.iter().zip(must).position(|(found, must)| found != must).unwrap_or(0);
        let (found, must) = (found[index], must[index]);
        let at = at + index;
        let name = &self.name;
        let text = format!("{name}, {when}: byte {at:#x} is {found:#04x}, must be {must:#04x}");
        world::find(Wrong::Corruption, text);
        false
    }

    /// Compares all of it.
    pub(super) fn verify_all(&self, when: &str) -> bool {
        self.verify(0, self.must.len(), when)
    }

    /// Writes what must be there, where nobody knows what is.
    pub(super) fn restore(&self, at: usize, len: usize) {
        if let Err(error) = self.buffer.write(at, &self.must[at..at + len]) {
            world::find(Wrong::Corruption, format!("{}: {error}", self.name));
        }
    }
}

/// A target: places that operations write, each used by one operation at a time.
pub(super) struct Target {
    pub(super) shadow: Shadow,
    stride: usize,
    free: Vec<usize>,
}

impl Target {
    /// Bytes for `places` places of at most `bytes` bytes.
    pub(super) fn size(places: usize, bytes: usize) -> usize {
        places * Self::stride(bytes)
    }

    fn stride(bytes: usize) -> usize {
        // Room to begin at any of sixteen offsets.
        (bytes + 2 * GUARD + 16).next_multiple_of(16)
    }

    pub(super) fn new(shadow: Shadow, places: usize, bytes: usize) -> Self {
        Self { shadow, stride: Self::stride(bytes), free: (0..places).collect() }
    }

    /// A place that nobody uses, and where an operation shall begin in it.
    pub(super) fn take(&mut self, random: &mut Random, aligned: bool) -> Option<(usize, usize)> {
        if self.free.is_empty() {
            return None;
        }
        let place = self.free.swap_remove(random.index(self.free.len()));
        let offset = if aligned { 8 * random.index(2) } else { random.index(16) };
        Some((place, place * self.stride + GUARD + offset))
    }

    /// The operation has succeeded: the place, guards included, must be exactly as computed.
    pub(super) fn done(&mut self, write: &Write, when: &str) -> bool {
        self.shadow.apply(write);
        let well = self.shadow.verify(write.place * self.stride, self.stride, when);
        if !well {
            // One error is one finding; it must not show again in the next operation here.
            self.shadow.restore(write.place * self.stride, self.stride);
        }
        self.free.push(write.place);
        well
    }

    /// The operation has failed: only its own bytes may differ. They are put back, so that a write that comes after
    /// the failure shows.
    pub(super) fn failed(&mut self, write: &Write, when: &str) -> bool {
        let start = write.place * self.stride;
        let before = self.shadow.verify(start, write.at - start, when);
        let behind = write.at + write.len;
        let after = self.shadow.verify(behind, start + self.stride - behind, when);
        self.shadow.restore(start, self.stride);
        self.free.push(write.place);
        before && after
    }
}
