//! What memory must hold: a plain copy of every buffer, kept without the engine's help.

use std::fmt;
use std::sync::Arc;

use netdma::client::{Batch, Driver};
use netdma::hw::DmaBuffer;

use crate::cli::data::Data;

/// Bytes before and after a destination that are verified with it.
pub(crate) const GUARD: usize = 256;

/// One byte that is not what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place} byte at offset {offset:#x} of the buffer: expected {expected:#04x}, found {found:#04x}")]
pub(crate) struct Mismatch {
    pub(crate) place: Place,
    pub(crate) offset: usize,
    pub(crate) expected: u8,
    pub(crate) found: u8,
}

/// Where a byte is, seen from the operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Source,
    Before,
    Destination,
    After,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Before => "guard before the destination,",
            Self::Destination => "destination",
            Self::After => "guard after the destination,",
        })
    }
}

/// A buffer, and what it must hold.
struct Shadowed {
    buffer: Arc<DmaBuffer>,
    must: Vec<u8>,
}

impl Shadowed {
    fn new(driver: &Driver, len: usize, data: &mut Data) -> anyhow::Result<Self> {
        let buffer = driver.allocate(len)?;
        let mut must = vec![0; buffer.len()];
        data.fill(&mut must);
        buffer.write(0, &must)?;
        Ok(Self { buffer, must })
    }

    fn first_wrong(&self, start: usize, end: usize) -> anyhow::Result<Option<(usize, u8, u8)>> {
        let mut found = vec![0; end - start];
        self.buffer.read(start, &mut found)?;
        let must = &self.must[start..end];
        if found == must {
            return Ok(None);
        }
        let at = must.iter().zip(&found).position(|(must, found)| must != found);
        Ok(at.map(|at| (start + at, must[at], found[at])))
    }
}

/// A source and a destination of one channel.
pub(crate) struct Memory {
    source: Shadowed,
    destination: Shadowed,
}

/// What an operation touches: ranges of a [`Memory`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// Start in the source; none for a fill.
    pub(crate) from: Option<usize>,
    /// Start in the destination.
    pub(crate) to: usize,
    pub(crate) len: usize,
}

impl Memory {
    pub(crate) fn new(driver: &Driver, len: usize, data: &mut Data) -> anyhow::Result<Self> {
        Ok(Self { source: Shadowed::new(driver, len, data)?, destination: Shadowed::new(driver, len, data)? })
    }

    /// Adds a copy to the batch, and expects it.
    pub(crate) fn copy(
        &mut self,
        batch: &mut Batch<'_>,
        from: usize,
        to: usize,
        len: usize,
    ) -> anyhow::Result<Range> {
        let data = self.source.must[from..from + len].to_vec();
        self.expect(to, &data)?;
        batch.copy(&self.source.buffer, from, &self.destination.buffer, to, len)?;
        Ok(Range { from: Some(from), to, len })
    }

    /// Adds a fill to the batch, and expects it.
    pub(crate) fn fill(
        &mut self,
        batch: &mut Batch<'_>,
        to: usize,
        len: usize,
        pattern: u64,
    ) -> anyhow::Result<Range> {
        let data: Vec<u8> = pattern.to_le_bytes().into_iter().cycle().take(len).collect();
        self.expect(to, &data)?;
        batch.fill(&self.destination.buffer, to, len, pattern)?;
        Ok(Range { from: None, to, len })
    }

    /// The engine shall write `data`. Until then memory holds its complement, so that a byte that is not
    /// written is seen whatever it was.
    fn expect(&mut self, to: usize, data: &[u8]) -> anyhow::Result<()> {
        let spoiled: Vec<u8> = data.iter().map(|byte| !byte).collect();
        self.destination.buffer.write(to, &spoiled)?;
        self.destination.must[to..to + data.len()].copy_from_slice(data);
        Ok(())
    }

    /// Verifies the destination with guards on both sides, and that the source is as it was. Returns the bytes of
    /// the destination.
    pub(crate) fn verify(&self, range: Range) -> anyhow::Result<u64> {
        let Range { from, to, len } = range;
        let (start, end) = (to.saturating_sub(GUARD), (to + len + GUARD).min(self.destination.must.len()));
        if let Some((offset, expected, found)) = self.destination.first_wrong(start, end)? {
            let place = match offset {
                _ if offset < to => Place::Before,
                _ if offset < to + len => Place::Destination,
                _ => Place::After,
            };
            return Err(Mismatch { place, offset, expected, found }.into());
        }
        if let Some(from) = from {
            if let Some((offset, expected, found)) = self.source.first_wrong(from, from + len)? {
                return Err(Mismatch { place: Place::Source, offset, expected, found }.into());
            }
        }
        Ok(len as u64)
    }

    /// Verifies both buffers whole: nothing anywhere was touched that should not be.
    pub(crate) fn verify_all(&self) -> anyhow::Result<()> {
        let whole = Range { from: Some(0), to: 0, len: self.destination.must.len() };
        self.verify(whole).map(drop)
    }

    /// After an operation that failed memory may hold anything: puts back what it must hold.
    pub(crate) fn restore(&self) -> anyhow::Result<()> {
        for side in [&self.source, &self.destination] {
            side.buffer.write(0, &side.must)?;
        }
        Ok(())
    }
}
