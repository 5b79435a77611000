//! A batch over two processors: exactly one re-arming, and none while a DPC of it runs.

use super::*;

/// A message whose DPC runs on two processors at a time.
struct Spread {
    channel: Channel,
    batch: Batch,
    queues: DpcQueues<()>,
    objects: std::sync::Arc<DpcObjects<()>>,
    vector: Vector,
    working: AtomicU32,
    rearmings: AtomicU32,
}

impl Spread {
    fn new() -> Arc<Self> {
        let queues = DpcQueues::new(2);
        queues.reserve(1);
        let objects = std::sync::Arc::new(DpcObjects::new((), 1, &queues));
        Arc::new(Self {
            channel: Channel::new(),
            batch: Batch::default(),
            queues,
            objects,
            vector: Vector::default(),
            working: AtomicU32::new(0),
            rearmings: AtomicU32::new(0),
        })
    }

    fn work(&self, cpu: u32) {
        while let Some(_running) = self.queues.next(CpuNumber(cpu)) {
            self.working.fetch_add(1, Ordering::Relaxed);
            if self.channel.due.take(cpu) {
                self.channel.report(Plant::Nothing);
            }
            self.working.fetch_sub(1, Ordering::Relaxed);
            self.batch.end(self, 1);
        }
    }
}

impl Served for Spread {
    fn rearm(&self, _: u32) {
        assert_eq!(self.working.load(Ordering::Relaxed), 0, "re-armed while a DPC of the batch ran");
        self.rearmings.fetch_add(1, Ordering::Relaxed);
        self.channel.rearm(Plant::Nothing);
    }

    fn recheck(&self, _: u32) -> Option<(&DueOn, CpuNumber)> {
        self.channel.moved().then_some((&self.channel.due, CPU))
    }

    fn queue(&self, targets: Targets, context: Option<DpcContext>) -> u32 {
        let queued = targets.groups().map(|group| self.queues.queue(&self.objects, 0, group, context));
        queued.map(u64::count_ones).sum()
    }
}

#[test]
fn the_last_of_two_processors_rearms_once() {
    explore("two processors", BOUNDS, || {
        let spread = Spread::new();
        let (engine, second) = (spread.clone(), spread.clone());
        let engine = spawn(move || {
            engine.channel.complete(0, Plant::Nothing, &engine.vector);
            engine.batch.disarmed(1);
            engine.channel.due.set(CPU);
            let mut targets = Targets::of(CPU);
            targets.add(CpuNumber(1));
            engine.batch.ask(&*engine, targets, None);
        });
        let second = spawn(move || second.work(1));
        spread.work(0);
        engine.join().unwrap();
        second.join().unwrap();
        spread.work(0);
        spread.work(1);
        spread.channel.check(1);
        assert_eq!(spread.rearmings.load(Ordering::Relaxed), 1, "one re-arming for one batch");
    });
}
