//! NdisMConfigMSIXTableEntry: contract 2.9.

use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};

use netdma::contract::CpuSet32;
use netdma::irql::Irql;
use netdma::ndis::{
    DpcRequest, InterruptHandle, MsixConfig, MsixConfigError, NdisVersion, ndis_m_config_msix_table_entry,
};

use crate::rig::{Dpc, LIMIT, Plan, QUIET, Rig, asks, cpu, processors};

/// An interrupt whose every message asks for its default DPC.
fn rig(vectors: u32) -> Rig {
    let isr = Box::new(|_, _: &_| asks(DpcRequest::DefaultCpu));
    Rig::new(&processors(2), Plan { vectors, isr, affinity: vec![0, 1, 0, 1], ..Plan::default() })
}

#[test]
fn an_entry_starts_with_the_message_of_its_number() {
    let rig = rig(3);
    for number in [2, 0, 1] {
        rig.source.fire(number);
        assert_eq!(rig.next().call.message.get(), number);
    }
}

#[test]
fn set_makes_the_isr_and_its_dpcs_those_of_the_other_message() {
    let rig = rig(2);
    ndis_m_config_msix_table_entry(&rig.handle, MsixConfig::Set { entry: 0, message: 1 }).unwrap();
    rig.source.fire(0);
    let ran = rig.next();
    assert_eq!((ran.call.message.get(), ran.cpu()), (1, 1), "message and processor");
    rig.source.fire(1);
    assert_eq!(rig.next().call.message.get(), 1, "entry 1 still delivers it too");
    assert_eq!(rig.interrupt.counts().iter().map(|counts| counts.isr_runs).collect::<Vec<_>>(), [0, 2]);
    ndis_m_config_msix_table_entry(&rig.handle, MsixConfig::Set { entry: 0, message: 0 }).unwrap();
    rig.source.fire(0);
    assert_eq!(rig.next().call.message.get(), 0, "and back");
}

#[test]
fn what_comes_while_an_entry_is_masked_is_delivered_once_when_it_is_unmasked() {
    let rig = rig(2);
    rig.handle.config_msix_table_entry(MsixConfig::Mask { entry: 0 }).unwrap();
    for arrived in 1..=3 {
        rig.source.fire(0);
        let until = std::time::Instant::now() + LIMIT;
        while rig.interrupt.counts()[0].interrupts < arrived {
            assert!(std::time::Instant::now() < until);
            std::thread::yield_now();
        }
    }
    rig.source.fire(1);
    assert_eq!(rig.next().call.message.get(), 1, "the other entry is free");
    rig.nothing_more();
    rig.handle.config_msix_table_entry(MsixConfig::Unmask { entry: 0 }).unwrap();
    assert_eq!(rig.next().call.message.get(), 0);
    rig.nothing_more();
    assert_eq!(rig.interrupt.counts()[0].isr_runs, 1);
    // Unmasked with nothing held back: nothing comes of it, and the entry works again.
    rig.handle.config_msix_table_entry(MsixConfig::Unmask { entry: 0 }).unwrap();
    rig.nothing_more();
    rig.source.fire(0);
    assert_eq!(rig.next().call.message.get(), 0);
}

#[test]
fn what_was_held_back_goes_to_the_message_that_the_entry_has_by_then() {
    let rig = rig(2);
    rig.handle.config_msix_table_entry(MsixConfig::Mask { entry: 0 }).unwrap();
    rig.source.fire(0);
    while rig.interrupt.counts()[0].interrupts == 0 {
        std::thread::yield_now();
    }
    rig.handle.config_msix_table_entry(MsixConfig::Set { entry: 0, message: 1 }).unwrap();
    rig.handle.config_msix_table_entry(MsixConfig::Unmask { entry: 0 }).unwrap();
    assert_eq!(rig.next().call.message.get(), 1);
}

#[test]
fn an_entry_beyond_the_messages_delivers_once_it_is_set() {
    // The table has 66 entries, and 64 messages are used at most.
    let rig = rig(66);
    assert_eq!(rig.interrupt.message_info().unwrap().messages.len(), 64);
    assert_eq!(rig.source.enabled(), 66);
    rig.source.fire(65);
    assert_eq!(rig.ran.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));
    rig.handle.config_msix_table_entry(MsixConfig::Set { entry: 65, message: 3 }).unwrap();
    assert_eq!(rig.next().call.message.get(), 3, "what waited for it");
    rig.source.fire(65);
    assert_eq!(rig.next().call.message.get(), 3);
}

#[test]
fn masking_works_at_any_level_and_setting_not_in_an_isr() {
    let (told, tells) = channel();
    let told = Mutex::new(told);
    let handle = std::sync::Arc::new(std::sync::OnceLock::<InterruptHandle>::new());
    let (of_isr, of_dpc) = (handle.clone(), handle.clone());
    let isr = Box::new(move |_, _: &_| {
        let handle = of_isr.get().unwrap();
        let set = handle.config_msix_table_entry(MsixConfig::Set { entry: 0, message: 1 });
        let level = matches!(set, Err(MsixConfigError::Level { level: Irql::Device }));
        let mask = handle.config_msix_table_entry(MsixConfig::Mask { entry: 0 }).is_ok();
        told.lock().unwrap().send((level, mask)).unwrap();
        asks(DpcRequest::Cpus(CpuSet32(1)))
    });
    let dpc = Box::new(|_| -> Dpc {
        Box::new(move |call, _| {
            let handle = of_dpc.get().unwrap();
            let set = handle.config_msix_table_entry(MsixConfig::Set { entry: 1, message: 0 });
            let unmask = handle.config_msix_table_entry(MsixConfig::Unmask { entry: 0 });
            call.address = u64::from(set.is_ok() && unmask.is_ok());
        })
    });
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan { isr, dpc, ..Plan::default() });
    assert!(handle.set(rig.handle.clone()).is_ok());
    rig.source.fire(0);
    assert_eq!(tells.recv_timeout(LIMIT).unwrap(), (true, true), "in the ISR: set refused, mask done");
    assert_eq!(rig.next().call.address, 1, "in the DPC: set and unmask done");
    rig.source.fire(1);
    assert_eq!(rig.next().call.message.get(), 0);
}

#[test]
fn what_the_table_does_not_have_is_an_error_and_changes_nothing() {
    let rig = rig(2);
    let error = rig.handle.config_msix_table_entry(MsixConfig::Mask { entry: 2 }).unwrap_err();
    assert!(matches!(error, MsixConfigError::NoSuchEntry { entry: 2, entries: 2 }));
    let error = rig.handle.config_msix_table_entry(MsixConfig::Set { entry: 0, message: 2 }).unwrap_err();
    assert!(matches!(error, MsixConfigError::Message(error) if (error.message, error.messages) == (2, 2)));
    rig.source.fire(0);
    assert_eq!(rig.next().call.message.get(), 0);
    let handle = rig.handle.clone();
    drop(rig);
    let error = handle.config_msix_table_entry(MsixConfig::Unmask { entry: 0 }).unwrap_err();
    assert!(matches!(error, MsixConfigError::NotRegistered));
}

#[test]
fn ndis_6_0_and_lines_have_no_table() {
    let processors = processors(1);
    let old = Rig::new(&processors, Plan { version: NdisVersion::V6_0, ..Plan::default() });
    let error = old.handle.config_msix_table_entry(MsixConfig::Mask { entry: 0 }).unwrap_err();
    assert!(
        matches!(error, MsixConfigError::Version(error) if error.since == NdisVersion::V6_1 && error.clause == "2.9")
    );
    let line = Rig::new(&processors, Plan { vectors: 0, ..Plan::default() });
    let error = line.handle.config_msix_table_entry(MsixConfig::Mask { entry: 0 }).unwrap_err();
    assert!(matches!(error, MsixConfigError::Type(_)));
}

#[test]
fn ndis_6_1_configures_the_table_and_has_no_group_form_of_queueing() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan { version: NdisVersion::V6_1, ..Plan::default() });
    rig.handle.config_msix_table_entry(MsixConfig::Mask { entry: 0 }).unwrap();
    let targets = netdma::contract::GroupAffinity { group: 0, mask: 1 };
    let error = rig.handle.queue_dpc_ex(rig.message(0), targets, None).unwrap_err();
    assert_eq!((error.version, error.since, error.clause), (NdisVersion::V6_1, NdisVersion::V6_20, "2.6"));
    assert_eq!(processors.counts()[0].queued, 0);
    assert_eq!(rig.queue(cpu(0), 1), cpu(0), "the plain form is there");
}
