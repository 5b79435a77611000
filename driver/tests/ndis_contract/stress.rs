//! C-MT-02: refused requests lose no completion.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netdma::contract::{
    ChannelRequest, Completed, Completion, CompletionLocation, CompletionValue, CpuSet32, NetDmaChannel,
    NetDmaClient, NetDmaInterface, TransferStatus,
};
use netdma::irql::AtDispatch;
use netdma::ndis::{DpcCall, DpcRequest, MessageId};

use crate::netdma::{TestProvider, attributes, chain, characteristics, descriptor, link, memory};
use crate::rig::{Dpc, Held, LIMIT, Plan, Rig, asks, passive, pause, processors};

const CHANNELS: usize = 4;
const ROUNDS: u64 = 1_000;
/// Descriptors of one channel in one round.
const BATCH: u64 = 4;

/// Counts what was completed.
#[derive(Default)]
struct Count(AtomicU64);

impl NetDmaClient for Count {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        self.0.fetch_add(completed.count, Ordering::SeqCst);
    }

    fn attention(&self, _: &AtDispatch) {}
}

#[test]
fn c_mt_02_no_completion_is_lost_to_refused_requests() {
    let processors = processors(4);
    let interface = NetDmaInterface::new(pause(), 4);
    let provider = Arc::new(TestProvider::default());
    let registered = interface.register_provider(provider.clone(), characteristics(), &passive()).unwrap();
    let started = registered.start(attributes(), &passive()).unwrap();
    let memory = memory();
    for first in (0..CHANNELS as u64).map(|channel| channel * 8) {
        link(&memory, first + 7, first);
    }
    let counts: Vec<_> = (0..CHANNELS).map(|_| Arc::new(Count::default())).collect();
    let channels: Vec<NetDmaChannel> = (0..CHANNELS)
        .map(|index| {
            let completion = CompletionLocation::new(memory.clone(), 8 * index).unwrap();
            completion.store(CompletionValue(4));
            let request = ChannelRequest {
                completion,
                processors: CpuSet32(0b1111),
                group: None,
                priority: 0,
                max_outstanding: 8,
                anchor: None,
            };
            interface.allocate_channel(started.id(), request, counts[index].clone(), &passive()).unwrap()
        })
        .collect();
    // Every interrupt asks for a DPC on all processors, so several run for one channel: one lock for each
    // channel keeps its reads and reports in order.
    let of_provider = std::mem::take(&mut *provider.channels.lock().unwrap());
    let reports: Vec<_> = of_provider.into_iter().map(Mutex::new).collect();
    let in_dpc = interface.clone();
    let dpc = Box::new(|_| -> Dpc {
        Box::new(move |call: &mut DpcCall, level| {
            let report = reports[call.message.get() as usize].lock().unwrap();
            let (handle, word) = &*report;
            if let Completion::At { descriptor, .. } = word.load().decode() {
                in_dpc.net_dma_interrupt_dpc(handle, descriptor, level);
            }
        })
    });
    let isr = Box::new(|_: MessageId, _: &_| asks(DpcRequest::Cpus(CpuSet32(0b1111))));
    let plan = Plan { vectors: u32::try_from(CHANNELS).unwrap(), isr, dpc, ..Plan::default() };
    let rig = Rig::new(&processors, plan);
    // Refusals are certain: while a processor is held, only the first of many requests is taken.
    let held = Held::processor(&processors, 1);
    std::thread::scope(|scope| {
        for (index, channel) in channels.iter().enumerate() {
            let (memory, rig, count) = (&memory, &rig, &counts[index]);
            let (source, handle) = (rig.source.clone(), rig.handle.clone());
            scope.spawn(move || {
                let word = CompletionLocation::new(memory.clone(), 8 * index).unwrap();
                let vector = u32::try_from(index).unwrap();
                for round in 0..ROUNDS {
                    // Two halves of the channel's slots in turn, so that the last reported one is not reused.
                    let first = index as u64 * 8 + (round % 2) * BATCH;
                    let slots: Vec<_> = (first..first + BATCH).map(descriptor).collect();
                    let chain = chain(memory, &slots);
                    match round {
                        0 => channel.start(&chain, &passive()),
                        _ => channel.append(&chain, &passive()),
                    }
                    .unwrap();
                    for slot in &slots {
                        word.store(CompletionValue::new(*slot, TransferStatus::Active));
                        source.fire(vector);
                        // And somebody asks besides, from an ordinary thread.
                        let message = handle.message(vector).unwrap();
                        let _ = handle.queue_dpc(message, CpuSet32(0b1010), None);
                    }
                    let until = Instant::now() + LIMIT;
                    while count.0.load(Ordering::SeqCst) < (round + 1) * BATCH {
                        assert!(Instant::now() < until, "round {round} of channel {index} is incomplete");
                        std::thread::sleep(Duration::from_micros(50));
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(20));
        drop(held);
    });
    for (channel, count) in channels.iter().zip(&counts) {
        assert_eq!(channel.outstanding(), 0);
        assert_eq!(count.0.load(Ordering::SeqCst), ROUNDS * BATCH, "each exactly once");
    }
    let refused: u64 = processors.counts().iter().map(|counts| counts.refused).sum();
    assert!(refused > 0, "the stress refused nothing");
    rig.interrupt.deregister(&passive());
    started.stop(&passive()).deregister(&passive());
}
