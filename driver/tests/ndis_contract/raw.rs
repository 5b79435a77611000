//! The structures as C has them: contract 2.1, 2.2 and 2.9. Their layouts are asserted where they are defined.

use std::ffi::c_void;

use netdma::contract::NtStatus;
use netdma::ndis::raw::{
    IoInterruptMessageInfo, NdisMiniportInterruptCharacteristics, NdisMsixConfigParameters, NdisObjectHeader,
    NdisReceiveThrottleParameters, RawError,
};
use netdma::ndis::{MsixConfig, ReceiveThrottleParameters};

use crate::rig::{Plan, Rig, processors};

extern "C" fn interrupt(_: *mut c_void, _: *mut u8, _: *mut u32) -> u8 {
    0
}
extern "C" fn dpc(_: *mut c_void, _: *mut c_void, _: *mut c_void, _: *mut c_void) {}
extern "C" fn switch(_: *mut c_void) {}
extern "C" fn message_interrupt(_: *mut c_void, _: u32, _: *mut u8, _: *mut u32) -> u8 {
    0
}
extern "C" fn message_dpc(_: *mut c_void, _: u32, _: *mut c_void, _: *mut c_void, _: *mut c_void) {}
extern "C" fn message_switch(_: *mut c_void, _: u32) {}

/// Characteristics as a miniport with all handlers gives them.
fn whole() -> NdisMiniportInterruptCharacteristics {
    NdisMiniportInterruptCharacteristics {
        header: NdisObjectHeader { object_type: 0x84, revision: 1, size: 96 },
        interrupt_handler: Some(interrupt),
        interrupt_dpc_handler: Some(dpc),
        disable_interrupt_handler: Some(switch),
        enable_interrupt_handler: Some(switch),
        msi_supported: 1,
        msi_sync_with_all_messages: 1,
        message_interrupt_handler: Some(message_interrupt),
        message_interrupt_dpc_handler: Some(message_dpc),
        disable_message_interrupt_handler: Some(message_switch),
        enable_message_interrupt_handler: Some(message_switch),
        interrupt_type: 0,
        message_info_table: std::ptr::null(),
    }
}

/// The status and the text for `whole()` after `spoil`.
fn refused(spoil: impl FnOnce(&mut NdisMiniportInterruptCharacteristics)) -> (NtStatus, String) {
    let mut raw = whole();
    spoil(&mut raw);
    let error: RawError = raw.validate().unwrap_err();
    (error.status(), error.to_string())
}

const BAD_VERSION: NtStatus = NtStatus(0xc001_0004);
const BAD_CHARACTERISTICS: NtStatus = NtStatus(0xc001_0005);

#[test]
fn whole_characteristics_become_routines() {
    let routines = whole().validate().unwrap();
    assert!(routines.message.is_some() && routines.msi_sync_with_all_messages);
    let mut line_only = whole();
    line_only.msi_supported = 0;
    line_only.message_interrupt_handler = None;
    line_only.message_interrupt_dpc_handler = None;
    line_only.disable_message_interrupt_handler = None;
    line_only.enable_message_interrupt_handler = None;
    assert!(line_only.validate().unwrap().message.is_none());
}

#[test]
fn a_wrong_header_names_field_found_and_expected() {
    let (status, text) = refused(|raw| raw.header.object_type = 0x80);
    assert_eq!(status, BAD_CHARACTERISTICS);
    assert!(text.contains("Header.Type is 0x80, expected 0x84"), "{text}");
    let (status, text) = refused(|raw| raw.header.revision = 2);
    assert_eq!(status, BAD_VERSION);
    assert!(text.contains("Header.Revision is 0x2, expected 1"), "{text}");
    let (status, text) = refused(|raw| raw.header.size = 95);
    assert_eq!(status, BAD_CHARACTERISTICS);
    assert!(text.contains("Header.Size is 0x5f, expected 0x60 at least"), "{text}");
}

#[test]
fn each_missing_line_handler_is_named() {
    type Spoil = fn(&mut NdisMiniportInterruptCharacteristics);
    let missing: [(&str, Spoil); 4] = [
        ("InterruptHandler", |raw| raw.interrupt_handler = None),
        ("InterruptDpcHandler", |raw| raw.interrupt_dpc_handler = None),
        ("DisableInterruptHandler", |raw| raw.disable_interrupt_handler = None),
        ("EnableInterruptHandler", |raw| raw.enable_interrupt_handler = None),
    ];
    for (field, spoil) in missing {
        let (status, text) = refused(spoil);
        assert_eq!(status, BAD_CHARACTERISTICS);
        assert!(text.contains(&format!(".{field} is NULL, expected a function")), "{text}");
    }
}

#[test]
fn message_handlers_are_there_exactly_with_msi_supported() {
    type Spoil = fn(&mut NdisMiniportInterruptCharacteristics);
    let missing: [(&str, Spoil); 4] = [
        ("MessageInterruptHandler", |raw| raw.message_interrupt_handler = None),
        ("MessageInterruptDpcHandler", |raw| raw.message_interrupt_dpc_handler = None),
        ("DisableMessageInterruptHandler", |raw| raw.disable_message_interrupt_handler = None),
        ("EnableMessageInterruptHandler", |raw| raw.enable_message_interrupt_handler = None),
    ];
    for (field, spoil) in missing {
        let (status, text) = refused(spoil);
        assert_eq!(status, BAD_CHARACTERISTICS);
        assert!(
            text.contains(&format!(".{field} is NULL, expected a function, for MsiSupported is TRUE")),
            "{text}"
        );
    }
    let (status, text) = refused(|raw| raw.msi_supported = 0);
    assert_eq!(status, BAD_CHARACTERISTICS);
    assert!(text.contains("expected NULL, for MsiSupported is FALSE"), "{text}");
}

#[test]
fn msix_parameters_become_an_operation_or_an_error() {
    let raw = |config_operation| NdisMsixConfigParameters {
        header: NdisObjectHeader { object_type: 0x80, revision: 1, size: 16 },
        config_operation,
        table_entry: 3,
        message_number: 1,
    };
    assert_eq!(raw(0).validate(), Ok(MsixConfig::Set { entry: 3, message: 1 }));
    assert_eq!(raw(1).validate(), Ok(MsixConfig::Mask { entry: 3 }));
    assert_eq!(raw(2).validate(), Ok(MsixConfig::Unmask { entry: 3 }));
    let error = raw(3).validate().unwrap_err();
    assert_eq!(error.status(), NtStatus::INVALID_PARAMETER);
    assert!(error.to_string().contains("ConfigOperation is 3"), "{error}");
    let header = NdisObjectHeader { object_type: 0x84, ..raw(0).header };
    assert!(NdisMsixConfigParameters { header, ..raw(0) }.validate().is_err());
}

#[test]
fn the_message_table_in_c_is_the_typed_one() {
    let rig = Rig::new(&processors(2), Plan { vectors: 3, affinity: vec![1], ..Plan::default() });
    let raw = IoInterruptMessageInfo::of(rig.interrupt.message_info().unwrap());
    assert_eq!((raw.message_count, raw.unified_irql), (3, raw.message_info[2].irql));
    assert!(raw.unified_irql > 2, "a device's level is above DISPATCH_LEVEL");
    let targets: Vec<_> = raw.message_info[..3].iter().map(|entry| entry.target_processor_set).collect();
    assert_eq!(targets, [0b10, 0b10, 0b1]);
    let first = &raw.message_info[0];
    assert_eq!((first.mode, first.polarity), (1, 1), "latched, active high");
    assert_eq!((first.message_address, first.message_data, first.vector), (0, 0, 0), "hidden by VFIO");
    assert!(first.interrupt_object.is_null());
}

#[test]
fn the_throttle_goes_to_c_and_back() {
    let typed = ReceiveThrottleParameters { max_nbls_to_indicate: 5, more_nbls_pending: true };
    let raw = NdisReceiveThrottleParameters::from(typed);
    assert_eq!((raw.max_nbls_to_indicate, raw.more_nbls_pending), (5, 1));
    assert_eq!(ReceiveThrottleParameters::from(raw), typed);
    // Bit 0 alone is the field.
    let other_bits = NdisReceiveThrottleParameters { max_nbls_to_indicate: 5, more_nbls_pending: 0xfffe };
    assert!(!ReceiveThrottleParameters::from(other_bits).more_nbls_pending);
}
