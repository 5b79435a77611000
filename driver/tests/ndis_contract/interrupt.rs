//! Registering and deregistering, beyond what the conformance checks of IR say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use netdma::contract::CpuSet32;
use netdma::hw::Routed;
use netdma::irql::Irql;
use netdma::ndis::raw::NDIS_STATUS_RESOURCE_CONFLICT;
use netdma::ndis::{
    DpcContext, DpcRequest, InterruptCharacteristics, InterruptError, InterruptHandle, InterruptMode,
    InterruptPolarity, InterruptType, MessageHandlers, NdisVersion, Processors, ndis_m_register_interrupt_ex,
};

use crate::rig::{Dpc, LIMIT, Plan, QUIET, Rig, Script, asks, cpu, passive, processors};

#[test]
fn ir_02_the_handle_given_to_the_handlers_works_in_the_first_isr() {
    let processors = processors(2);
    let queued = Arc::new(AtomicU64::new(u64::MAX));
    let of_dpc = queued.clone();
    let dpc = Box::new(|handle: InterruptHandle| -> Dpc {
        Box::new(move |call, _| {
            if call.context.is_none() {
                let again = handle.queue_dpc(call.message, cpu(1), Some(DpcContext(5)));
                of_dpc.store(u64::from(again.scheduled.0), Ordering::SeqCst);
            }
        })
    });
    let isr = Box::new(|_, _: &_| asks(DpcRequest::DefaultCpu));
    let source = Script::new(1);
    source.fire(0);
    let rig = Rig::on(&processors, source, Plan { isr, dpc, ..Plan::default() });
    let mut contexts = [rig.next().context(), rig.next().context()];
    contexts.sort_unstable();
    assert_eq!((contexts, queued.load(Ordering::SeqCst)), ([None, Some(5)], 0b10));
}

#[test]
fn ir_03_a_source_with_vectors_grants_messages_and_their_table() {
    let processors = processors(4);
    let rig = Rig::new(&processors, Plan { vectors: 3, affinity: vec![2], ..Plan::default() });
    assert_eq!(rig.interrupt.interrupt_type(), InterruptType::MessageBased);
    let table = rig.interrupt.message_info().unwrap();
    assert_eq!(table.unified_irql, Irql::Device);
    let targets: Vec<_> = table.messages.iter().map(|info| info.target_processor_set.mask).collect();
    assert_eq!(targets, [0b100, 0b10, 0b100]);
    for (index, info) in table.messages.iter().enumerate() {
        assert_eq!(info.message.get() as usize, index);
        assert_eq!((info.mode, info.polarity), (InterruptMode::Latched, InterruptPolarity::ActiveHigh));
        assert_eq!((info.irql, &info.routed), (Irql::Device, &Routed::NotApplicable));
        // VFIO hides these.
        assert_eq!((info.message_address.0, info.message_data, info.vector), (0, 0, 0));
    }
}

/// Registers handlers for messages, or for a line alone, on `source`.
fn refused(
    processors: &Arc<Processors>,
    source: Arc<Script>,
    messages: bool,
    affinity: Vec<u32>,
) -> InterruptError {
    let donor = Rig::new(processors, Plan::default());
    let build = |_| InterruptCharacteristics {
        version: NdisVersion::V6_20,
        line: donor.miniport.clone(),
        message: messages.then(|| donor.miniport.clone() as Arc<dyn MessageHandlers>),
        msi_sync_with_all_messages: false,
        affinity,
    };
    let error = ndis_m_register_interrupt_ex(processors, source, build, &passive()).err().unwrap();
    assert_eq!(Arc::strong_count(&donor.miniport), 3, "ours, and the donor's line and message handlers");
    error
}

#[test]
fn ir_03_a_device_with_nothing_that_the_handlers_serve_is_an_error() {
    let processors = processors(1);
    for (vectors, messages) in [(0, true), (2, false)] {
        let source = Script::without_line(vectors);
        let error = refused(&processors, source.clone(), messages, Vec::new());
        assert!(matches!(
            error,
            InterruptError::NothingToConnect { vectors: found, message_handlers } if found == vectors && message_handlers == messages
        ));
        assert_eq!((error.status(), error.clause()), (NDIS_STATUS_RESOURCE_CONFLICT, "IR-3"));
        assert_eq!(source.enabled(), 0);
    }
}

#[test]
fn a_registration_that_fails_leaves_nothing_and_the_source_can_be_registered_again() {
    let processors = processors(1);
    let source = Script::new(2);
    let error = refused(&processors, source.clone(), true, vec![0, 9]);
    assert!(matches!(error, InterruptError::NoSuchProcessor { message: 1, processor: 9, processors: 1 }));
    assert_eq!(source.enabled(), 0);
    let isr = Box::new(|_, _: &_| asks(DpcRequest::DefaultCpu));
    let rig = Rig::on(&processors, source, Plan { isr, ..Plan::default() });
    rig.source.fire(1);
    assert_eq!(rig.next().call.message.get(), 1);
}

#[test]
fn ir_05_deregister_ends_dpcs_that_go_on_asking_for_themselves() {
    let processors = processors(2);
    let dpc = |handle: InterruptHandle| -> Dpc {
        Box::new(move |call, _| {
            let _ = handle.queue_dpc(call.message, CpuSet32(0b11), None);
        })
    };
    let rig = Rig::new(&processors, Plan { dpc: Box::new(dpc), ..Plan::default() });
    assert_eq!(rig.queue(CpuSet32(0b11), 0), CpuSet32(0b11));
    for _ in 0..50 {
        rig.next();
    }
    let (handle, message, source) = (rig.handle.clone(), rig.message(0), rig.source.clone());
    rig.interrupt.deregister(&passive());
    assert_eq!(source.enabled(), 0);
    assert_eq!(handle.queue_dpc(message, cpu(0), None).scheduled, CpuSet32::EMPTY);
    let run: u64 = processors.counts().iter().map(|counts| counts.dpcs_run).sum();
    std::thread::sleep(QUIET);
    assert_eq!(processors.counts().iter().map(|counts| counts.dpcs_run).sum::<u64>(), run);
}

#[test]
fn an_interrupt_dropped_above_passive_level_stays_registered() {
    let processors = processors(1);
    let isr = Box::new(|_, _: &_| asks(DpcRequest::DefaultCpu));
    let rig = Rig::new(&processors, Plan { isr, ..Plan::default() });
    let dropped = Mutex::new(Some(rig.interrupt));
    let dpc = Box::new(|_| -> Dpc { Box::new(move |_, _| drop(dropped.lock().unwrap().take())) });
    let dropper = Rig::new(&processors, Plan { dpc, ..Plan::default() });
    assert_eq!(dropper.queue(cpu(0), 0), cpu(0));
    dropper.next();
    rig.source.fire(0);
    assert_eq!(rig.ran.recv_timeout(LIMIT).unwrap().call.message.get(), 0);
}
