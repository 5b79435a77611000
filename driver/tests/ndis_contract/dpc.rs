//! DPC routines: DP-1 to DP-5.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ioat_stage::{Recorder, Stage};
use netdma::contract::CpuSet32;
use netdma::ndis::{DpcContext, DpcRequest, InterruptHandle, MessageId, ReceiveThrottleParameters};

use crate::rig::{Dpc, Plan, Rig, asks, cpu, processors, processors_with};

#[test]
fn dp_01_the_routine_gets_the_context_of_the_registration() {
    let processors = processors(1);
    let (one, other) = (Rig::new(&processors, Plan::default()), Rig::new(&processors, Plan::default()));
    assert_eq!(one.queue(cpu(0), 1).len() + other.queue(cpu(0), 1).len(), 2);
    assert_eq!(one.next().context_of_interrupt, Arc::as_ptr(&one.miniport) as usize);
    assert_eq!(other.next().context_of_interrupt, Arc::as_ptr(&other.miniport) as usize);
}

#[test]
fn th_01_without_a_cap_the_throttle_says_so() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    assert_eq!(rig.queue_message(1, cpu(0), 1), cpu(0));
    let ran = rig.next();
    assert_eq!(ran.call.throttle.max_nbls_to_indicate, ReceiveThrottleParameters::INDICATE_ALL);
}

#[test]
fn dp_04_a_dpc_asks_for_dpcs_on_other_processors_and_its_own() {
    let processors = processors(4);
    let dpc = |handle: InterruptHandle| -> Dpc {
        Box::new(move |call, _| {
            if call.context == Some(DpcContext(1)) {
                let all = handle.queue_dpc(call.message, CpuSet32(0b1111), Some(DpcContext(2)));
                assert_eq!(all.scheduled, CpuSet32(0b1111));
            }
        })
    };
    let rig = Rig::new(&processors, Plan { dpc: Box::new(dpc), ..Plan::default() });
    assert_eq!(rig.queue(cpu(2), 1), cpu(2));
    let mut ran: Vec<_> = (0..5).map(|_| rig.next()).map(|ran| (ran.context(), ran.cpu())).collect();
    ran.sort_unstable();
    assert_eq!(ran, [(Some(1), 2), (Some(2), 0), (Some(2), 1), (Some(2), 2), (Some(2), 3)]);
}

#[test]
fn dp_05_the_last_dpc_of_the_batch_is_the_one_that_unmasks() {
    const ALL: CpuSet32 = CpuSet32(0b1111);
    let processors = processors(4);
    let (left, unmasked) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
    let (in_isr, in_dpc, of_dpc) = (left.clone(), left.clone(), unmasked.clone());
    let isr = Box::new(move |_, _: &_| {
        in_isr.store(ALL.len(), Ordering::SeqCst);
        asks(DpcRequest::Cpus(ALL))
    });
    let dpc = Box::new(|_| -> Dpc {
        Box::new(move |call, _| {
            if in_dpc.fetch_sub(1, Ordering::SeqCst) == 1 {
                of_dpc.fetch_add(1, Ordering::SeqCst);
                call.address = 0x40;
            }
        })
    });
    let rig = Rig::new(&processors, Plan { isr, dpc, ..Plan::default() });
    for batch in 1..=50 {
        rig.source.fire(0);
        let ran: Vec<_> = (0..ALL.len()).map(|_| rig.next()).collect();
        assert_eq!(ran.iter().filter(|ran| ran.call.address == 0x40).count(), 1);
        assert_eq!((left.load(Ordering::SeqCst), unmasked.load(Ordering::SeqCst)), (0, batch));
    }
}

#[test]
fn a_panicking_routine_leaves_its_processor_to_the_others() {
    let processors = processors(1);
    let dpc = Box::new(|_| -> Dpc { Box::new(|_, _| panic!("in a DPC, on purpose")) });
    let (bad, good) =
        (Rig::new(&processors, Plan { dpc, ..Plan::default() }), Rig::new(&processors, Plan::default()));
    assert_eq!(bad.queue(cpu(0), 1), cpu(0));
    assert_eq!(good.queue(cpu(0), 2), cpu(0));
    assert_eq!(good.next().context(), Some(2));
}

#[test]
fn each_stage_of_an_interrupt_leaves_its_event() {
    static HANDLE: OnceLock<InterruptHandle> = OnceLock::new();
    let recorder = Recorder::new(16);
    let processors = processors_with(2, recorder.clone());
    let isr = Box::new(|message: MessageId, _: &_| {
        let queued = HANDLE.get().map(|handle| handle.queue_dpc(message, cpu(1), None));
        assert_eq!(queued.unwrap().scheduled, cpu(1));
        netdma::ndis::IsrResult { claimed: true, dpc: DpcRequest::None, address: 0x1040 }
    });
    let dpc = Box::new(|_| -> Dpc { Box::new(|call, _| call.address = 0x1080) });
    let rig = Rig::new(&processors, Plan { isr, dpc, ..Plan::default() });
    assert!(HANDLE.set(rig.handle.clone()).is_ok());
    rig.source.fire(1);
    rig.next();
    // The ISR's thread and the worker emit independently; both are through when their owners are.
    rig.interrupt.deregister(&crate::rig::passive());
    drop(processors);
    let events = recorder.events();
    let of = |stage| events.iter().find(|event| event.stage == stage).copied().unwrap();
    assert_eq!((of(Stage::Isr).channel, of(Stage::Isr).address), (1, 0x1040));
    assert_eq!((of(Stage::Queue).address, of(Stage::Queue).len), (0b10, 0b10));
    assert_eq!((of(Stage::Dpc).channel, of(Stage::Dpc).address), (1, 0x1080));
    assert_eq!(events.len(), 3);
}
