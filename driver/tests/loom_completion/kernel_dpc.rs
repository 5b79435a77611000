//! One kernel DPC for two channels, without a batch: insert, and the mark that refuses.

use super::*;

/// Two channels with a message each, and one kernel DPC for both, as Windows' own providers had it: no batch. The DPC
/// re-arms where it found something.
struct Kernel {
    plant: Plant,
    channels: [Channel; 2],
    vectors: [Vector; 2],
    queue: KernelQueue,
}

enum KernelQueue {
    Driver { queues: DpcQueues<()>, object: std::sync::Arc<KdpcObject> },
    Copy(Queue),
}

impl Kernel {
    fn new(plant: Plant, is_copy: bool) -> Arc<Self> {
        let queue = if is_copy {
            KernelQueue::Copy(Queue::copy(plant))
        } else {
            let queues = DpcQueues::new(1);
            queues.reserve(1);
            let object = std::sync::Arc::new(KdpcObject::new(Box::new(|_, _| {}), 0));
            KernelQueue::Driver { queues, object }
        };
        let channels = [Channel::new(), Channel::new()];
        Arc::new(Self { plant, channels, vectors: Default::default(), queue })
    }

    fn insert(&self) {
        match &self.queue {
            KernelQueue::Driver { queues, object } => drop(queues.insert(object, CPU, (0, 0))),
            KernelQueue::Copy(queue) => drop(queue.ask(None)),
        }
    }

    fn work(&self) {
        match &self.queue {
            KernelQueue::Driver { queues, .. } => {
                while let Some(_running) = queues.next(CPU) {
                    self.dpc();
                }
            }
            KernelQueue::Copy(queue) => queue.drain(|| self.dpc()),
        }
    }

    fn dpc(&self) {
        for channel in &self.channels {
            if channel.moved() {
                channel.report(self.plant);
                channel.rearm(self.plant);
                if channel.moved() {
                    self.insert();
                }
            }
        }
    }
}

fn kernel(plant: Plant, is_copy: bool, bounds: (usize, usize)) {
    explore(&format!("kernel DPC, {plant:?}"), bounds, move || {
        let kernel = Kernel::new(plant, is_copy);
        // Each engine completes one descriptor; its service routine follows at once.
        let engines = [0, 1].map(|index| {
            let kernel = kernel.clone();
            spawn(move || {
                kernel.channels[index].complete(0, plant, &kernel.vectors[index]);
                kernel.vectors[index].stop();
                while kernel.vectors[index].wait() {
                    kernel.insert();
                }
            })
        });
        kernel.work();
        engines.into_iter().for_each(|engine| engine.join().unwrap());
        kernel.work();
        kernel.channels.iter().for_each(|channel| channel.check(1));
    });
}

#[test]
fn a_kernel_dpc_for_two_channels_loses_nothing() {
    kernel(Plant::Nothing, false, WIDE);
}

#[test]
fn a_kernel_dpc_in_the_copy_of_the_queue_loses_nothing() {
    kernel(Plant::Nothing, true, WIDE);
}

#[test]
#[should_panic(expected = "was lost")]
fn clearing_a_kernel_dpcs_mark_by_a_plain_store_loses_a_completion() {
    kernel(Plant::PlainStore, true, BOUNDS);
}
