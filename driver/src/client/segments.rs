//! Scatter-gather: two lists of segments, cut into stretches that lie in one segment on both sides.

use std::fmt;
use std::sync::Arc;

use super::Error;
use super::batch::address;
use crate::hw::DmaBuffer;

/// A piece of a buffer.
#[derive(Clone)]
pub struct Segment {
    /// The buffer.
    pub buffer: Arc<DmaBuffer>,
    /// Where the piece begins, in bytes.
    pub offset: usize,
    /// Its bytes.
    pub len: usize,
}

impl Segment {
    /// `len` bytes at `offset` of `buffer`. Whether they are inside is asked when the segment is used.
    #[must_use]
    pub fn new(buffer: &Arc<DmaBuffer>, offset: usize, len: usize) -> Self {
        Self { buffer: buffer.clone(), offset, len }
    }

    /// A whole buffer.
    #[must_use]
    pub fn all(buffer: &Arc<DmaBuffer>) -> Self {
        Self::new(buffer, 0, buffer.len())
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { buffer, offset, len } = self;
        write!(f, "Segment({len} bytes at {offset} of {:#x}+{})", buffer.iova(), buffer.len())
    }
}

/// Bytes that are contiguous on both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) source: u64,
    pub(super) destination: u64,
    pub(super) len: usize,
}

/// Cuts at every end of a segment, on either side.
pub(super) fn stretches(from: &[Segment], to: &[Segment]) -> Result<Vec<Stretch>, Error> {
    let (from, to) = (located(from)?, located(to)?);
    let total = |side: &[(u64, usize)]| side.iter().map(|(_, len)| *len as u64).sum::<u64>();
    let lengths = (total(&from), total(&to));
    if lengths.0 != lengths.1 {
        return Err(Error::SegmentLengths { from: lengths.0, to: lengths.1 });
    }
    let (mut from, mut to) = (from.into_iter(), to.into_iter());
    let (mut source, mut destination) = ((0, 0), (0, 0));
    let mut stretches = Vec::new();
    loop {
        if source.1 == 0 {
            let Some(next) = from.next() else { return Ok(stretches) };
            source = next;
        }
        if destination.1 == 0 {
            let Some(next) = to.next() else { return Ok(stretches) };
            destination = next;
        }
        let len = source.1.min(destination.1);
        stretches.push(Stretch { source: source.0, destination: destination.0, len });
        source = (source.0 + len as u64, source.1 - len);
        destination = (destination.0 + len as u64, destination.1 - len);
    }
}

/// Address and length of each segment that is not empty.
fn located(side: &[Segment]) -> Result<Vec<(u64, usize)>, Error> {
    let mut located = Vec::with_capacity(side.len());
    for Segment { buffer, offset, len } in side {
        let address = address(buffer, *offset, *len)?;
        if *len > 0 {
            located.push((address, *len));
        }
    }
    Ok(located)
}
