//! 64-byte descriptors against a bare loop that follows the links and does the same memory operations.

use std::sync::Arc;
use std::time::Instant;

use crate::bare;
use crate::memory::{BASE, Memory, PAGE, random};
use crate::queue::{Job, Queue, ring_bytes, write_ring};
use crate::report::{Line, Report, Target};

const SIZE: u32 = 64;
/// Maps of a guest behind a virtual IOMMU.
const SCATTERED: u64 = 16_384;

pub(crate) fn measure(report: &mut Report) {
    for batch in [64, 256, 4096] {
        let memory = Memory::whole(SCATTERED * PAGE);
        let name = format!("64 B descriptors, {batch} per doorbell, one map");
        // A driver's own buffers, in a row.
        let mut next = 0;
        let in_a_row = move |_| {
            next += 1;
            next - 1
        };
        through_device(report, name, memory, batch, in_a_row, Target::AtMost(3.0));
    }
    for batch in [64, 256, 4096] {
        let memory = Memory::scattered(SCATTERED, &mut random());
        let name = format!("64 B descriptors, {batch} per doorbell, 16,384 maps");
        // Sources and destinations at random: nearly every one is in another map.
        through_device(report, name, memory, batch, random(), Target::AtMost(15.0));
    }
}

/// `choose` gives the places of sources and destinations, one after the other: a number below the one that it is given.
fn through_device(
    report: &mut Report,
    name: String,
    memory: Memory,
    batch: usize,
    mut choose: impl FnMut(u64) -> u64,
    target: Target,
) {
    let memory = Arc::new(memory);
    let slots = 4096.max(4 * batch);
    let rings = 2 * ring_bytes(slots);
    let mut place = || BASE + rings + choose((memory.len() - rings) / 64) * 64;
    let jobs: Vec<Job> =
        (0..slots).map(|_| Job { size: SIZE, source: place(), destination: place() }).collect();

    // The bare loop's ring has the same links and the same places, at addresses of this program.
    let host = |iova| memory.host(iova).expose_provenance() as u64;
    let bare_ring = BASE + ring_bytes(slots);
    write_ring(&memory, bare_ring, &jobs, batch, host);
    let word = memory.host(bare_ring + ring_bytes(slots) - 64);
    let mut at = host(bare_ring);

    let mut queue = Queue::start(memory.clone(), &jobs, batch);
    // The worker stays busy: half of the ring is always queued.
    let queued = (slots / batch / 2) as u64;
    let round = (slots / batch) as u64;
    let batches = 4 * round;
    let descriptors = batches * batch as u64;
    let (mut device, mut loops) = (f64::MAX, f64::MAX);
    for _ in report.rounds() {
        // One time around first: the other side's processor has the memory in its cache.
        queue.pump(round, queued);
        let start = Instant::now();
        queue.pump(batches, queued);
        device = device.min(nanoseconds_each(descriptors, start));

        at = bare::follow(at, slots as u64, word);
        let start = Instant::now();
        at = bare::follow(at, descriptors, word);
        loops = loops.min(nanoseconds_each(descriptors, start));
    }
    report.add(Line { name, unit: "ns each", figure: device, baseline: ("bare loop", loops), target });
}

fn nanoseconds_each(descriptors: u64, start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / descriptors as f64
}
