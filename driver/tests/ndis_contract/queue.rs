//! NdisMQueueDpc: QD-1 to QD-15.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netdma::contract::{CpuNumber, CpuSet32, GroupAffinity};
use netdma::ndis::{DpcContext, InterruptHandle, MessageId, QueuedEx};

use crate::rig::{Dpc, Held, Plan, Rig, cpu, processors};

#[test]
fn qd_01_a_request_runs_one_dpc_on_each_processor_of_the_map() {
    let processors = processors(4);
    let rig = Rig::new(&processors, Plan::default());
    assert_eq!(rig.queue(CpuSet32(0b1011), 7), CpuSet32(0b1011));
    let mut ran: Vec<_> = (0..3).map(|_| rig.next().cpu()).collect();
    ran.sort_unstable();
    assert_eq!(ran, [0, 1, 3]);
    rig.nothing_more();
}

#[test]
fn qd_02_a_bit_is_one_for_exactly_the_processors_that_this_call_queued() {
    let processors = processors(4);
    let rig = Rig::new(&processors, Plan::default());
    let _held = [Held::processor(&processors, 0), Held::processor(&processors, 1)];
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    assert_eq!(rig.queue(CpuSet32(0b11), 2), cpu(1), "processor 0 was queued by the call before");
}

#[test]
fn qd_03_a_second_request_before_the_run_is_refused() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    let _held = Held::processor(&processors, 0);
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    let again = rig.handle.queue_dpc(rig.message(0), cpu(0), None);
    assert_eq!((again.scheduled, again.refused()), (CpuSet32::EMPTY, cpu(0)));
    assert_eq!(processors.counts()[0].refused, 1);
}

#[test]
fn qd_03_another_interrupts_dpc_on_that_processor_does_not_matter() {
    let processors = processors(2);
    let (rig, other) = (Rig::new(&processors, Plan::default()), Rig::new(&processors, Plan::default()));
    let _held = Held::processor(&processors, 0);
    assert_eq!(other.queue(cpu(0), 1), cpu(0));
    assert_eq!(rig.queue(cpu(0), 2), cpu(0));
}

#[test]
fn qd_04_the_result_is_a_subset_of_the_request() {
    let processors = processors(4);
    let rig = Rig::new(&processors, Plan::default());
    let _held = Held::processor(&processors, 2);
    for request in 0..64 {
        let queued = rig.handle.queue_dpc(rig.message(0), CpuSet32(request), None);
        assert_eq!(queued.requested, CpuSet32(request));
        assert!(queued.scheduled.without(queued.requested).is_empty(), "{queued:?}");
    }
}

#[test]
fn c_qd_05_one_processor_queued_and_one_free_gives_the_free_one() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    let _held = Held::processor(&processors, 0);
    assert_eq!(rig.queue(CpuSet32(0b01), 1), CpuSet32(0b01));
    assert_eq!(rig.queue(CpuSet32(0b11), 2), CpuSet32(0b10));
}

#[test]
fn qd_05_each_message_has_its_own_dpc_on_each_processor() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    let _held = [Held::processor(&processors, 0), Held::processor(&processors, 1)];
    assert_eq!(rig.queue_message(0, cpu(1), 1), cpu(1));
    assert_eq!(rig.queue_message(1, cpu(1), 2), cpu(1), "another message on the same processor");
    assert_eq!(rig.queue_message(0, cpu(0), 3), cpu(0), "the same message on another processor");
    assert_eq!(rig.queue_message(1, cpu(1), 4), CpuSet32::EMPTY);
}

#[test]
fn qd_06_a_message_beyond_the_table_is_an_error() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan { vectors: 3, ..Plan::default() });
    assert_eq!(rig.handle.message(2).unwrap().get(), 2);
    let error = rig.handle.message(3).unwrap_err();
    assert_eq!((error.message, error.messages), (3, 3));
    // An identifier from a larger interrupt reaches nothing here.
    let larger = Rig::new(&processors, Plan { vectors: 5, ..Plan::default() });
    assert_eq!(rig.handle.queue_dpc(larger.message(4), cpu(0), None).scheduled, CpuSet32::EMPTY);
}

#[test]
fn qd_06_a_line_interrupt_ignores_the_message() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan { messages: false, ..Plan::default() });
    let _held = Held::processor(&processors, 0);
    assert_eq!(rig.queue_message(0, cpu(0), 1), cpu(0));
    assert_eq!(rig.queue_message(1, cpu(0), 2), CpuSet32::EMPTY, "it is the same DPC");
}

#[test]
fn qd_07_an_empty_request_queues_nothing() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    assert_eq!(rig.queue(CpuSet32::EMPTY, 1), CpuSet32::EMPTY);
    rig.nothing_more();
}

#[test]
fn qd_08_a_bit_without_a_processor_comes_back_0() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    assert_eq!(rig.queue(CpuSet32(u32::MAX), 1), CpuSet32(0b11));
    assert_eq!(rig.queue(CpuSet32(0xffff_fffc), 1), CpuSet32::EMPTY);
    assert_eq!(CpuSet32::of(CpuNumber(32)), CpuSet32::EMPTY);
}

#[test]
fn qd_09_refused_request_keeps_the_first_context() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    let held = Held::processor(&processors, 0);
    assert_eq!(rig.queue(cpu(0), 11), cpu(0));
    assert_eq!(rig.queue(cpu(0), 22), CpuSet32::EMPTY);
    drop(held);
    assert_eq!(rig.next().context(), Some(11));
    rig.nothing_more();
}

#[test]
fn qd_10_a_request_from_inside_the_running_dpc_succeeds_and_runs_once_more() {
    let processors = processors(1);
    let answer = Arc::new(AtomicU64::new(0));
    let of_dpc = answer.clone();
    let dpc = Box::new(|handle: InterruptHandle| -> Dpc {
        Box::new(move |call, _| {
            if call.context == Some(DpcContext(1)) {
                let again = handle.queue_dpc(call.message, cpu(call.processor), Some(DpcContext(2)));
                of_dpc.store(u64::from(again.scheduled.0), Ordering::SeqCst);
            }
        })
    });
    let rig = Rig::new(&processors, Plan { dpc, ..Plan::default() });
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    assert_eq!((rig.next().context(), rig.next().context()), (Some(1), Some(2)));
    assert_eq!(answer.load(Ordering::SeqCst), 1);
    rig.nothing_more();
}

#[test]
fn qd_11_any_number_of_refused_requests_give_one_run_for_each_processor() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    let held = [Held::processor(&processors, 0), Held::processor(&processors, 1)];
    let scheduled: u32 = (0..100).map(|n| rig.queue(CpuSet32(0b11), n).len()).sum();
    assert_eq!(scheduled, 2);
    drop(held);
    let mut ran = [rig.next().cpu(), rig.next().cpu()];
    ran.sort_unstable();
    assert_eq!(ran, [0, 1]);
    rig.nothing_more();
}

#[test]
fn qd_12_each_scheduled_bit_is_one_later_run_there_with_that_context() {
    let processors = processors(4);
    let rig = Rig::new(&processors, Plan::default());
    let mut promised = Vec::new();
    for context in 0..200 {
        let targets = CpuSet32(u32::try_from(context % 16).unwrap());
        promised.extend(rig.queue(targets, context).iter().map(|cpu| (cpu.0, Some(context))));
    }
    let mut ran: Vec<_> = promised.iter().map(|_| rig.next()).map(|ran| (ran.cpu(), ran.context())).collect();
    promised.sort_unstable();
    ran.sort_unstable();
    assert_eq!(ran, promised);
    rig.nothing_more();
}

fn group(group: u16, mask: u64) -> GroupAffinity {
    GroupAffinity { group, mask }
}

fn queue_ex(rig: &Rig, targets: GroupAffinity) -> QueuedEx {
    rig.handle.queue_dpc_ex(rig.message(0), targets, None).unwrap()
}

#[test]
fn qd_13_a_call_for_one_group_reaches_no_other() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    assert_eq!(queue_ex(&rig, group(1, u64::MAX)).scheduled, 0, "all our processors are in group 0");
    rig.nothing_more();
}

#[test]
fn qd_14_the_plain_form_is_the_group_form_with_group_0() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    let _held = Held::processor(&processors, 0);
    let queued = queue_ex(&rig, group(0, 1 | 1 << 40));
    assert_eq!(queued, QueuedEx { requested: group(0, 1 | 1 << 40), scheduled: 1 });
    assert_eq!(rig.queue(cpu(0), 1), CpuSet32::EMPTY, "it is the same DPC");
}

#[test]
fn qd_15_work_published_before_a_refused_request_is_seen_by_the_queued_run() {
    let processors = processors(1);
    let work = Arc::new(AtomicU64::new(0));
    let seen = Arc::new(AtomicU64::new(0));
    let (of_dpc, seen_by_dpc) = (work.clone(), seen.clone());
    let plan = Plan {
        dpc: Box::new(|_| {
            Box::new(move |_, _| {
                seen_by_dpc.fetch_add(of_dpc.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            })
        }),
        ..Plan::default()
    };
    let rig = Rig::new(&processors, plan);
    let held = Held::processor(&processors, 0);
    work.fetch_add(1, Ordering::Relaxed);
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    work.fetch_add(1, Ordering::Relaxed);
    assert_eq!(rig.queue(cpu(0), 2), CpuSet32::EMPTY);
    drop(held);
    rig.next();
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

#[test]
fn kd_05_dpcs_of_one_processor_run_in_the_order_of_queueing() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan { vectors: 4, ..Plan::default() });
    let held = Held::processor(&processors, 0);
    for message in [2, 0, 3, 1] {
        assert_eq!(rig.queue_message(message, cpu(0), 0), cpu(0));
    }
    drop(held);
    let ran: Vec<_> = (0..4).map(|_| rig.next().call.message).map(MessageId::get).collect();
    assert_eq!(ran, [2, 0, 3, 1]);
}
