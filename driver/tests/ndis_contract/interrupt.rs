//! Registering and deregistering: IR-2, IR-3, IR-5.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};

use netdma::contract::CpuSet32;
use netdma::hw::Routed;
use netdma::irql::Irql;
use netdma::ndis::{
    DpcContext, DpcRequest, InterruptError, InterruptHandle, InterruptMode, InterruptType, NdisVersion,
    SynchronizeError, ndis_m_register_interrupt_ex,
};

use crate::rig::{Dpc, Held, LIMIT, Plan, QUIET, Rig, Script, asks, cpu, passive, processors};

#[test]
fn ir_02_the_isr_may_run_before_register_returns() {
    let processors = processors(2);
    let (ran, has_run) = channel();
    let ran = Mutex::new(ran);
    let source = Script::new(2);
    // Message 0 is being served when message 1 is routed, and registering does not go on before its ISR ran.
    source.on_route(move |script, vector| {
        if vector == 1 {
            script.fire(0);
            has_run.recv_timeout(LIMIT).unwrap();
        }
    });
    let isr = Box::new(move |_, _: &_| {
        ran.lock().unwrap().send(()).unwrap();
        asks(DpcRequest::DefaultCpu)
    });
    let rig = Rig::on(&processors, source, Plan { isr, ..Plan::default() });
    assert_eq!(rig.next().call.message.get(), 0);
}

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
        assert_eq!((info.mode, &info.routed), (InterruptMode::Latched, &Routed::NotApplicable));
    }
}

#[test]
fn ir_03_without_vectors_the_line_handlers_serve() {
    let processors = processors(1);
    let isr = Box::new(|_, _: &_| asks(DpcRequest::DefaultCpu));
    let rig = Rig::new(&processors, Plan { vectors: 0, isr, ..Plan::default() });
    assert_eq!(rig.interrupt.interrupt_type(), InterruptType::LineBased);
    assert!(rig.interrupt.message_info().is_none());
    rig.source.fire(0);
    assert!(rig.next().line);
}

#[test]
fn an_affinity_to_a_processor_that_is_not_there_is_an_error() {
    let processors = processors(2);
    let source = Script::new(1);
    let build = |_| {
        let plan = Rig::new(&processors, Plan::default());
        netdma::ndis::InterruptCharacteristics {
            version: NdisVersion::V6_20,
            line: plan.miniport.clone(),
            message: Some(plan.miniport.clone()),
            msi_sync_with_all_messages: false,
            affinity: vec![9],
        }
    };
    let error = ndis_m_register_interrupt_ex(&processors, source, build, &passive()).err().unwrap();
    assert!(matches!(error, InterruptError::NoSuchProcessor { message: 0, processor: 9, processors: 2 }));
}

#[test]
fn ir_05_deregister_waits_for_the_running_dpc_and_nothing_runs_after_it() {
    let processors = processors(2);
    let (started, has_started) = channel();
    let (release, released) = channel::<()>();
    let (started, released) = (Mutex::new(started), Mutex::new(released));
    let through = Arc::new(AtomicBool::new(false));
    let of_dpc = through.clone();
    let dpc = Box::new(|_| -> Dpc {
        Box::new(move |_, _| {
            started.lock().unwrap().send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            of_dpc.store(true, Ordering::SeqCst);
        })
    });
    let rig = Rig::new(&processors, Plan { dpc, ..Plan::default() });
    // Without `miniport`, so that the handlers go with the interrupt.
    let Rig { interrupt, handle, ran, source, miniport } = rig;
    drop(miniport);
    let message = handle.message(0).unwrap();
    assert_eq!(handle.queue_dpc(message, cpu(0), None).scheduled, cpu(0));
    has_started.recv_timeout(LIMIT).unwrap();
    assert_eq!(handle.queue_dpc(message, cpu(0), None).scheduled, cpu(0), "behind the one that runs");
    let (at_end, ends) = channel();
    let deregistering = std::thread::spawn(move || {
        interrupt.deregister(&passive());
        at_end.send(through.load(Ordering::SeqCst)).unwrap();
    });
    while handle.synchronize(message, &passive(), |_| true) != Err(SynchronizeError::NotRegistered) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(handle.queue_dpc(message, CpuSet32(0b11), None).scheduled, CpuSet32::EMPTY);
    assert_eq!(ends.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout), "the routine still runs");
    drop(release);
    assert_eq!(ends.recv_timeout(LIMIT), Ok(true), "it returned after the routine did");
    deregistering.join().unwrap();
    source.fire(0);
    assert_eq!(ran.iter().count(), 1, "the queued one was cancelled, and the handlers are gone");
}

#[test]
fn ir_05_a_cancelled_dpc_never_runs() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    let held = Held::processor(&processors, 0);
    assert_eq!(rig.queue(cpu(0), 1), cpu(0));
    rig.interrupt.deregister(&passive());
    drop(held);
    // The handlers went with the interrupt, and with them the sender: a run would have sent before.
    drop(rig.miniport);
    assert_eq!(rig.ran.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    assert_eq!(processors.counts()[0].dpcs_run, 1, "the holder's alone");
}
