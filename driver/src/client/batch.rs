//! Operations collected to be submitted together, with one doorbell and one interrupt.

use std::sync::Arc;

use ioat_spec::{Control, Opcode};

use super::channel::Channel;
use super::segments::{self, Segment};
use super::{Error, Submission};
use crate::contract::NetDmaDescriptor;
use crate::hw::DmaBuffer;

/// A list of operations for one channel. Nothing happens before [`Batch::submit`]; the engine does them in order.
///
/// Every call that adds an operation is one operation, numbered from 0, however many descriptors it takes:
/// [`Submission::results`] tells of each.
#[must_use = "a batch does nothing until it is submitted"]
pub struct Batch<'a> {
    channel: &'a Channel,
    pub(super) descriptors: Vec<NetDmaDescriptor>,
    pub(super) keep: Vec<Arc<DmaBuffer>>,
    pub(super) bytes: u64,
    /// For each operation, how many descriptors there are up to its end.
    pub(super) ends: Vec<usize>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(channel: &'a Channel) -> Self {
        Self { channel, descriptors: Vec::new(), keep: Vec::new(), bytes: 0, ends: Vec::new() }
    }

    /// Copies `len` bytes from `from_offset` of `from` to `to_offset` of `to`. The ranges must not overlap. More
    /// than the engine's largest transfer becomes several descriptors; nothing becomes a NULL.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; the batch is as before.
    pub fn copy(
        &mut self,
        from: &Arc<DmaBuffer>,
        from_offset: usize,
        to: &Arc<DmaBuffer>,
        to_offset: usize,
        len: usize,
    ) -> Result<&mut Self, Error> {
        let source = address(from, from_offset, len)?;
        let destination = address(to, to_offset, len)?;
        self.hold(from);
        self.hold(to);
        self.split(len, |done, size| NetDmaDescriptor {
            size,
            source: source + done,
            destination: destination + done,
            ..NetDmaDescriptor::default()
        });
        self.end_operation();
        Ok(self)
    }

    /// Copies the bytes of `from`, one segment after the other, into the segments of `to` (scatter-gather). Segments
    /// of the two sides need not end at the same places; no segment of `to` may overlap one of `from`. It is one
    /// operation, of at least one descriptor for each stretch that lies in one segment on both sides.
    ///
    /// # Errors
    /// [`Error::SegmentLengths`] when the two sides differ in length, [`Error::OutOfRange`]; the batch is as before.
    pub fn copy_segments(&mut self, from: &[Segment], to: &[Segment]) -> Result<&mut Self, Error> {
        let stretches = segments::stretches(from, to)?;
        from.iter().chain(to).for_each(|segment| self.hold(&segment.buffer));
        for stretch in &stretches {
            self.split(stretch.len, |done, size| NetDmaDescriptor {
                size,
                source: stretch.source + done,
                destination: stretch.destination + done,
                ..NetDmaDescriptor::default()
            });
        }
        if stretches.is_empty() {
            self.push_null();
        }
        self.end_operation();
        Ok(self)
    }

    /// Fills `len` bytes at `to_offset` of `to` with the eight bytes of `pattern`, little-endian, over and over.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], or [`Error::NotOffered`] by an engine without FILL; the batch is as before.
    pub fn fill(
        &mut self,
        to: &Arc<DmaBuffer>,
        to_offset: usize,
        len: usize,
        pattern: u64,
    ) -> Result<&mut Self, Error> {
        if !self.channel.identity().capability.fill() {
            return Err(Error::NotOffered("FILL"));
        }
        let destination = address(to, to_offset, len)?;
        self.hold(to);
        let control = Control::new().with_opcode(Opcode::Fill as u8).into_bits();
        // XFERCAP is a multiple of 8, so the pattern goes on where a descriptor ends.
        self.split(len, |done, size| NetDmaDescriptor {
            size,
            control,
            source: pattern,
            destination: destination + done,
            ..NetDmaDescriptor::default()
        });
        self.end_operation();
        Ok(self)
    }

    /// Moves nothing, but completes in its turn.
    pub fn null(&mut self) -> &mut Self {
        self.push_null();
        self.end_operation();
        self
    }

    /// The next operation is read only after everything before it in the batch has been written.
    pub fn fence(&mut self) -> &mut Self {
        if let Some(last) = self.descriptors.last_mut() {
            last.control |= Control::new().with_fence(true).into_bits();
        }
        self
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.ends.len()
    }

    /// Descriptors so far: ring slots that it will take.
    #[must_use]
    pub fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// Gives the batch to the engine. While the ring is full this waits, up to the channel's timeout; a batch
    /// larger than the ring goes in several parts. An empty batch is a NULL.
    ///
    /// # Errors
    /// As [`Channel::copy`].
    pub fn submit(self) -> Result<Submission, Error> {
        self.channel.submit(self, true)
    }

    /// As [`Self::submit`], but fails where that would wait.
    ///
    /// # Errors
    /// [`Error::RingFull`], and as [`Channel::copy`].
    pub fn try_submit(self) -> Result<Submission, Error> {
        self.channel.submit(self, false)
    }

    fn split(&mut self, len: usize, descriptor: impl Fn(u64, u32) -> NetDmaDescriptor) {
        let limit = self.channel.identity().max_transfer();
        let (mut done, mut left) = (0, len as u64);
        loop {
            let size = u32::try_from(left).map_or(limit, |left| left.min(limit));
            self.push(descriptor(done, size));
            done += u64::from(size);
            left -= u64::from(size);
            if left == 0 {
                break;
            }
        }
        self.bytes += len as u64;
    }

    fn push_null(&mut self) {
        let control = Control::new().with_null(true).into_bits();
        self.push(NetDmaDescriptor { size: 1, control, ..NetDmaDescriptor::default() });
    }

    fn end_operation(&mut self) {
        self.ends.push(self.descriptors.len());
    }

    fn push(&mut self, descriptor: NetDmaDescriptor) {
        self.descriptors.push(descriptor);
    }

    fn hold(&mut self, buffer: &Arc<DmaBuffer>) {
        // Runs of one pair of buffers are common; the rest of the list is not searched.
        if !self.keep.iter().rev().take(2).any(|kept| Arc::ptr_eq(kept, buffer)) {
            self.keep.push(buffer.clone());
        }
    }
}

pub(super) fn address(buffer: &DmaBuffer, offset: usize, len: usize) -> Result<u64, Error> {
    let size = buffer.len();
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(buffer.iova() + offset as u64),
        _ => Err(Error::OutOfRange { offset, len, size }),
    }
}
