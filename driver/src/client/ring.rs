//! The descriptor ring: slots linked in a circle for good, filled from the tail.

use std::sync::Arc;

use ioat_spec::descriptor::DESCRIPTOR_SIZE;
use zerocopy::IntoBytes;

use super::Error;
use crate::contract::{AnchorSlot, Chain, CompletionLocation, DescriptorAddr, DmaLocation, NetDmaDescriptor};
use crate::hw::{DmaBuffer, DmaMemory};

/// Most slots: DMACOUNT counts modulo 65536, and one slot stays free.
const SLOTS_MAX: usize = 1 << 16;

/// The completion word lies behind the slots, with a page between, so that a wild store to one spares the other.
const WORD_GAP: usize = 4096;

/// The ring's memory and its tail.
pub(super) struct Ring {
    buffer: Arc<DmaBuffer>,
    slots: usize,
    /// Every slot's address, twice in a row, so that a stretch over the end is one slice.
    addresses: Vec<DescriptorAddr>,
    tail: usize,
}

impl Ring {
    /// A ring of `slots` slots, and the place of its completion word.
    pub(super) fn new(memory: &dyn DmaMemory, slots: usize) -> Result<(Self, CompletionLocation), Error> {
        if !slots.is_power_of_two() || !(2..=SLOTS_MAX).contains(&slots) {
            return Err(Error::RingSize(slots));
        }
        let bytes = slots * DESCRIPTOR_SIZE;
        let word = bytes.next_multiple_of(WORD_GAP) + WORD_GAP;
        let buffer = Arc::new(memory.allocate(word + WORD_GAP)?);
        let completion = CompletionLocation::new(buffer.clone(), word)
            .expect("the place is inside, and on a page boundary like the buffer");
        let address =
            |slot: usize| DescriptorAddr::new(buffer.iova() + (slot % slots * DESCRIPTOR_SIZE) as u64);
        let addresses = (0..slots * 2).map(|slot| address(slot).expect("slots are aligned, and not at 0"));
        let addresses = addresses.collect();
        Ok((Self { buffer, slots, addresses, tail: 0 }, completion))
    }

    /// Descriptors that may be under way: one slot stays free, because the engine's last completed descriptor
    /// is the anchor from which it goes on.
    pub(super) fn capacity(&self) -> usize {
        self.slots - 1
    }

    pub(super) fn buffer(&self) -> &Arc<DmaBuffer> {
        &self.buffer
    }

    /// A slot for the interface's own descriptor, in the page of the completion word.
    pub(super) fn anchor(&self) -> AnchorSlot {
        AnchorSlot::new(self.buffer.clone(), self.buffer.len() - WORD_GAP / 2)
            .expect("the place is inside, and aligned like the buffer")
    }

    /// Writes `descriptors` behind the tail, which stays where it is until [`Self::advance`]. The slot behind them is made
    /// one that the engine refuses: one whose count goes too far halts there, and carries no old descriptor out again.
    pub(super) fn fill(&self, descriptors: &[NetDmaDescriptor]) {
        self.refuse((self.tail + descriptors.len()) % self.slots);
        for (index, descriptor) in descriptors.iter().enumerate() {
            let slot = (self.tail + index) % self.slots;
            let next = self.addresses[slot + 1].get();
            let linked = NetDmaDescriptor { next, ..*descriptor };
            let (head, rest) = linked.as_bytes().split_at(8);
            let written = self.buffer.write(slot * DESCRIPTOR_SIZE + 8, rest);
            written.expect("slots are inside the buffer");
            // Size and ControlFlags last: until then the engine refuses it.
            let head = u64::from_le_bytes(head.try_into().expect("it was split at 8"));
            let stored = self.buffer.store_u64(slot * DESCRIPTOR_SIZE, head);
            stored.expect("slots are inside the buffer");
        }
    }

    /// Size and ControlFlags of 0, a length error (device model 3.7). It is a free slot, if only the anchor: the link from
    /// there, where the engine goes on, stays. One store of 8 bytes for each submission.
    fn refuse(&self, slot: usize) {
        let stored = self.buffer.store_u64(slot * DESCRIPTOR_SIZE, 0);
        stored.expect("slots are inside the buffer");
    }

    /// The chain of `count` descriptors behind the tail.
    pub(super) fn chain(&self, count: usize) -> Chain<'_> {
        let offset = self.tail * DESCRIPTOR_SIZE;
        let first = DmaLocation::new(self.buffer.clone(), offset, DESCRIPTOR_SIZE, DESCRIPTOR_SIZE);
        Chain {
            first: first.expect("slots are inside the buffer, and aligned"),
            descriptors: &self.addresses[self.tail..self.tail + count],
        }
    }

    /// How many descriptors were filled after the one at `address`; none if that is no slot.
    pub(super) fn behind_tail(&self, address: DescriptorAddr) -> Option<usize> {
        let offset = usize::try_from(address.get().checked_sub(self.buffer.iova())?).ok()?;
        let slot = offset / DESCRIPTOR_SIZE;
        (slot < self.slots).then(|| (self.tail + self.slots - 1 - slot) % self.slots)
    }

    /// The `count` descriptors behind the tail are the engine's now.
    pub(super) fn advance(&mut self, count: usize) {
        self.tail = (self.tail + count) % self.slots;
    }
}
