//! Service routines: IS-1 to IS-4.

use std::sync::atomic::{AtomicU32, Ordering};

use netdma::contract::CpuSet32;
use netdma::irql::{self, Irql};
use netdma::ndis::{DpcRequest, IsrResult};

use crate::rig::{Plan, Rig, asks, processors};

#[test]
fn is_03_the_map_of_the_isr_queues_one_dpc_on_each_of_its_processors() {
    let processors = processors(4);
    let isr = Box::new(|_, _: &_| asks(DpcRequest::Cpus(CpuSet32(0b101))));
    let rig = Rig::new(&processors, Plan { isr, ..Plan::default() });
    rig.source.fire(1);
    let (a, b) = (rig.next(), rig.next());
    let mut ran = [a.cpu(), b.cpu()];
    ran.sort_unstable();
    assert_eq!((ran, a.call.message.get()), ([0, 2], 1));
    rig.nothing_more();
}

#[test]
fn is_03_an_isr_that_asks_for_nothing_queues_nothing() {
    let processors = processors(2);
    let rig = Rig::new(&processors, Plan::default());
    rig.source.fire(0);
    rig.nothing_more();
    assert_eq!(rig.interrupt.counts()[0].isr_runs, 1);
}

#[test]
fn is_04_the_default_dpc_runs_where_the_isr_ran() {
    let processors = processors(4);
    let isr = Box::new(|_, _: &_| asks(DpcRequest::DefaultCpu));
    let rig = Rig::new(&processors, Plan { isr, affinity: vec![3, 1], ..Plan::default() });
    rig.source.fire(0);
    assert_eq!(rig.next().cpu(), 3);
    rig.source.fire(1);
    assert_eq!(rig.next().cpu(), 1);
}

#[test]
fn is_02_dpcs_are_queued_even_if_the_interrupt_is_not_claimed() {
    let processors = processors(2);
    let isr = Box::new(|_, _: &_| IsrResult { claimed: false, dpc: DpcRequest::DefaultCpu, address: 0 });
    let rig = Rig::new(&processors, Plan { isr, messages: false, ..Plan::default() });
    rig.source.fire(0);
    assert!(rig.next().line);
}

#[test]
fn c_is_05_the_isr_runs_at_the_devices_level_and_the_dpc_at_dispatch() {
    static LEVEL: AtomicU32 = AtomicU32::new(0);
    let processors = processors(1);
    let isr = Box::new(|_, _: &_| {
        LEVEL.store(irql::current() as u32, Ordering::SeqCst);
        asks(DpcRequest::DefaultCpu)
    });
    let rig = Rig::new(&processors, Plan { isr, ..Plan::default() });
    rig.source.fire(0);
    assert_eq!(rig.next().irql, Irql::Dispatch);
    assert_eq!(LEVEL.load(Ordering::SeqCst), Irql::Device as u32);
}
