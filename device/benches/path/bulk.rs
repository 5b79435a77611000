//! Copies through the device against plain memcpy of the same buffers.

use std::sync::Arc;
use std::time::Instant;

use crate::bare;
use crate::memory::{BASE, Memory, usize};
use crate::queue::{Job, Queue, ring_bytes};
use crate::report::{Line, Report, Target};

pub(crate) fn measure(report: &mut Report) {
    let limit = Target::AtLeast(0.9);
    through_device(report, "64 KiB copies, 256 queued", 64 << 10, 256, limit);
    through_device(report, "1 MiB copies, 8 queued", 1 << 20, 8, limit);
    through_device(report, "64 KiB copies, one at a time", 64 << 10, 1, Target::None);
    through_device(report, "1 MiB copies, one at a time", 1 << 20, 1, Target::None);
}

fn through_device(report: &mut Report, name: &str, size: u32, queued: usize, target: Target) {
    // Twice as many slots as buffers, so that the completion word tells a slot from the same buffer's last use.
    let buffers = queued.max(2);
    let slots = 2 * buffers;
    let data = BASE + ring_bytes(slots);
    let len = u64::from(size);
    let memory = Arc::new(Memory::whole(ring_bytes(slots) + 2 * len * buffers as u64));
    let jobs: Vec<Job> = (0..slots)
        .map(|slot| {
            let source = data + 2 * len * (slot % buffers) as u64;
            Job { size, source, destination: source + len }
        })
        .collect();
    let mut queue = Queue::start(memory.clone(), &jobs, 1);
    let copies = slots as u64;
    let (mut device, mut plain) = (0_f64, 0_f64);
    for _ in report.rounds() {
        queue.pump(copies, queued as u64);
        let start = Instant::now();
        queue.pump(copies, queued as u64);
        device = device.max(gigabytes_per_second(copies * len, start));

        copy_all(&memory, &jobs, copies);
        let start = Instant::now();
        copy_all(&memory, &jobs, copies);
        plain = plain.max(gigabytes_per_second(copies * len, start));
    }
    report.add(Line {
        name: name.to_owned(),
        unit: "GB/s",
        figure: device,
        baseline: ("memcpy", plain),
        target,
    });
}

fn copy_all(memory: &Memory, jobs: &[Job], copies: u64) {
    for job in jobs.iter().cycle().take(usize(copies)) {
        bare::copy(memory.host(job.source), memory.host(job.destination), usize(job.size.into()));
    }
}

fn gigabytes_per_second(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / start.elapsed().as_nanos() as f64
}
