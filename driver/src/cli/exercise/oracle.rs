//! What memory must hold: computed here, byte by byte, without the engine's and the driver's help.
//!
//! A target is cut into places, each with guard bands before and behind what an operation may write.

use std::sync::Arc;

use netdma::client::{Driver, Error};
use netdma::hw::DmaBuffer;

use super::facts::{Found, Kind};
use crate::cli::data::Data;

/// Bytes before and behind each place that nothing may touch.
const GUARD: usize = 64;
/// An operation begins at any of so many offsets.
const OFFSETS: usize = 16;

/// A buffer, and what it must hold.
pub(crate) struct Shadow {
    buffer: Arc<DmaBuffer>,
    must: Vec<u8>,
    name: String,
    found: Found,
}

/// What one operation does: these bytes, at this place.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    place: usize,
    pub(crate) at: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Shadow {
    /// A buffer whose every byte is drawn from `data`.
    pub(crate) fn new(
        driver: &Driver,
        len: usize,
        name: String,
        data: &mut Data,
        found: &Found,
    ) -> Result<Self, Error> {
        let buffer = driver.allocate(len)?;
        let mut must = vec![0; buffer.len()];
        data.fill(&mut must);
        let shadow = Self { buffer, must, name, found: found.clone() };
        shadow.put(0, &shadow.must);
        Ok(shadow)
    }

    pub(crate) fn buffer(&self) -> &Arc<DmaBuffer> {
        &self.buffer
    }

    /// What must be there.
    pub(crate) fn bytes(&self, at: usize, len: usize) -> &[u8] {
        &self.must[at..at + len]
    }

    /// Compares all of it. False if a byte differs, which is noted.
    pub(crate) fn verify_all(&self, when: &str) -> bool {
        self.verify(0, self.must.len(), when)
    }

    fn verify(&self, at: usize, len: usize, when: &str) -> bool {
        let mut holds = vec![0; len];
        if let Err(error) = self.buffer.read(at, &mut holds) {
            self.found.note(Kind::Corruption, format!("{}: {error}", self.name));
            return false;
        }
        let must = self.bytes(at, len);
        let Some(index) = holds.iter().zip(must).position(|(holds, must)| holds != must) else { return true };
        let wrong = holds.iter().zip(must).filter(|(holds, must)| holds != must).count();
        let (holds, must) = (holds[index], must[index]);
        let text = format!(
            "{}, {when}: {wrong} wrong bytes, the first at {:#x} is {holds:#04x}, must be {must:#04x}",
            self.name,
            at + index
        );
        self.found.note(Kind::Corruption, text);
        false
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        if let Err(error) = self.buffer.write(at, bytes) {
            self.found.note(Kind::Corruption, format!("{}: {error}", self.name));
        }
    }

    fn restore(&self, at: usize, len: usize) {
        self.put(at, self.bytes(at, len));
    }
}

/// Places that operations write, each used by one operation at a time.
pub(crate) struct Target {
    pub(crate) shadow: Shadow,
    stride: usize,
    free: Vec<usize>,
}

impl Target {
    /// Bytes for `places` places of at most `bytes` bytes.
    pub(crate) fn size(places: usize, bytes: usize) -> usize {
        places * Self::stride(bytes)
    }

    fn stride(bytes: usize) -> usize {
        (bytes + 2 * GUARD + OFFSETS).next_multiple_of(OFFSETS)
    }

    pub(crate) fn new(shadow: Shadow, places: usize, bytes: usize) -> Self {
        Self { shadow, stride: Self::stride(bytes), free: (0..places).collect() }
    }

    /// An operation shall write `bytes` at a place that nobody uses. Until then memory holds their complement, so that
    /// a byte that is not written is seen whatever it was. None when every place is in use.
    pub(crate) fn take(&mut self, data: &mut Data, bytes: Vec<u8>) -> Option<Write> {
        if self.free.is_empty() {
            return None;
        }
        let place = self.free.swap_remove(data.below(self.free.len()));
        let at = place * self.stride + GUARD + data.below(OFFSETS);
        let spoiled: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        self.shadow.put(at, &spoiled);
        Some(Write { place, at, bytes })
    }

    /// The operation is told as done: the place, guards included, must be exactly as computed.
    pub(crate) fn done(&mut self, write: &Write, when: &str) -> bool {
        self.shadow.must[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
        let start = write.place * self.stride;
        let well = self.shadow.verify(start, self.stride, when);
        if !well {
            // One error is one fact; it must not show again in the next operation here.
            self.shadow.restore(start, self.stride);
        }
        self.free.push(write.place);
        well
    }

    /// The operation is told as failed: only its own bytes may differ. They are put back, so that a write that comes
    /// after the failure shows.
    pub(crate) fn failed(&mut self, write: &Write, when: &str) {
        let (start, behind) = (write.place * self.stride, write.at + write.bytes.len());
        self.shadow.verify(start, write.at - start, when);
        self.shadow.verify(behind, start + self.stride - behind, when);
        self.shadow.restore(start, self.stride);
        self.free.push(write.place);
    }
}
