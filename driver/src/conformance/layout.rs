//! Layout and constants (contract 1.4, 1.5 and 4.1).

use std::mem::{offset_of, size_of};

use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::raw::{
    NetDmaChannelParameters, NetDmaPnpNotification, NetDmaProviderAttributes, RawDescriptor, model32,
};
use crate::contract::{ControlFlags, DcaContext, OpType, PnPEvent, PnpNotificationCode};
use crate::ndis::raw::{
    NDIS_CONNECT_LINE_BASED, NDIS_CONNECT_MESSAGE_BASED, NDIS_MINIPORT_INTERRUPT_REVISION_1,
    NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT,
};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-LY-01",
        c_ly_01_a_descriptor_has_64_bytes_and_its_fields_at_their_offsets,
        Documented,
        Library,
        "H08; ddi-2018 ns-netdma-_net_dma_descriptor (offsets computed)",
        "a descriptor has 64 bytes, and its fields are at 0, 4, 8, 16, 24, 32, 40, 48 and 56"
    ),
    statement!(
        "C-LY-02",
        c_ly_02_the_eight_bit_dca_context_leaves_the_flags,
        Documented,
        Library,
        "H08",
        "the 8-bit DCA context is the low byte of the first word, and writing it changes no control flag"
    ),
    statement!(
        "C-LY-03",
        c_ly_03_control_flags_have_their_values,
        Documented,
        Library,
        "H08, H7, H8",
        "each control flag has the value that the headers give it"
    ),
    statement!(
        "C-LY-04",
        c_ly_04_a_context_change_is_the_whole_top_byte,
        Inferred,
        Library,
        "H08",
        "a descriptor is a context change only if all eight bits of its top byte are set"
    ),
    statement!(
        "C-LY-05",
        c_ly_05_a_context_changes_low_bit_is_no_interrupt,
        Inferred,
        Library,
        "H08 (context flags block)",
        "the lowest bit of a context change does not ask for an interrupt"
    ),
    statement!(
        "C-LY-06",
        c_ly_06_channel_parameters_have_36_bytes_or_56,
        Documented,
        Library,
        "H7 (computed)",
        "channel parameters of revision 1 have at least 36 bytes, of revision 2 56 (48 with 32-bit pointers)"
    ),
    statement!(
        "C-LY-07",
        c_ly_07_attributes_have_32_bytes,
        Documented,
        Library,
        "H08 (computed)",
        "provider attributes have 32 bytes, with the highest address at 24"
    ),
    statement!(
        "C-LY-08",
        c_ly_08_power_notifications_are_5_and_6,
        Documented,
        Library,
        "H08",
        "codes 5 and 6 tell power down and power up, and 7 is no code"
    ),
    statement!(
        "C-LY-09",
        c_ly_09_interrupt_characteristics_have_type_84_and_revision_1,
        Documented,
        Library,
        "HN61 ndis.h, ntddndis.h; WINRS",
        "interrupt characteristics have type 0x84 and revision 1; a line is 1, messages are 2"
    ),
];

fn c_ly_01_a_descriptor_has_64_bytes_and_its_fields_at_their_offsets(_: &Bench<'_>) -> Verdict {
    ensure_eq!(size_of::<RawDescriptor>(), 64, "bytes of a descriptor");
    let raw = RawDescriptor {
        transfer_size: 1,
        control_flags: 2,
        source_address: 3,
        destination_address: 4,
        next_descriptor: 5,
        next_source_address: 6,
        next_destination_address: 7,
        user_context1: 8,
        user_context2: 9,
    };
    let bytes = zerocopy::IntoBytes::as_bytes(&raw).to_vec();
    for (offset, value) in [(0, 1), (4, 2), (8, 3), (16, 4), (24, 5), (32, 6), (40, 7), (48, 8), (56, 9)] {
        ensure_eq!(bytes[offset], value, "the byte at {offset}");
    }
    // The typed descriptor, which engines read, is the same in memory.
    let typed = crate::contract::NetDmaDescriptor::from(raw);
    ensure_eq!(zerocopy::IntoBytes::as_bytes(&typed).to_vec(), bytes, "the typed descriptor");
    ensure_eq!(RawDescriptor::from(typed), raw, "the way back");
    Ok(())
}

fn c_ly_02_the_eight_bit_dca_context_leaves_the_flags(_: &Bench<'_>) -> Verdict {
    let flags = ControlFlags::CONTEXT_CHANGE.0;
    let mut raw =
        RawDescriptor { transfer_size: 0xdead_beef, control_flags: flags, ..RawDescriptor::default() };
    raw.set_dca_context8(0x7a);
    ensure_eq!((raw.transfer_size, raw.control_flags), (0x7a, flags), "first word and flags");
    raw.set_dca_context32(0x1234_5678);
    let read = (raw.dca_context8(), raw.dca_context16(), raw.dca_context32());
    ensure_eq!(read, (0x78, 0x5678, 0x1234_5678), "the three readings of one word");
    Ok(())
}

fn c_ly_03_control_flags_have_their_values(_: &Bench<'_>) -> Verdict {
    for (flag, value) in [
        (ControlFlags::INTERRUPT_ON_COMPLETION, 0x1),
        (ControlFlags::SOURCE_NO_SNOOP, 0x2),
        (ControlFlags::DESTINATION_NO_SNOOP, 0x4),
        (ControlFlags::STATUS_UPDATE_ON_COMPLETION, 0x8),
        (ControlFlags::SERIALIZE_TRANSFER, 0x10),
        (ControlFlags::NULL_TRANSFER, 0x20),
        (ControlFlags::SOURCE_PAGE_BREAK, 0x40),
        (ControlFlags::DESTINATION_PAGE_BREAK, 0x80),
        (ControlFlags::DESTINATION_DCA_ENABLE, 0x200),
        (ControlFlags::CONTEXT_CHANGE, 0xff00_0001),
        (ControlFlags::OP_TYPE_MASK, 0xff00_0000),
    ] {
        ensure_eq!(flag.0, value, "a control flag");
    }
    Ok(())
}

fn c_ly_04_a_context_change_is_the_whole_top_byte(_: &Bench<'_>) -> Verdict {
    for top in 0..=u8::MAX {
        let expected = match top {
            0 => OpType::StandardDma,
            0xff => OpType::ContextChange,
            other => OpType::Other(other),
        };
        ensure_eq!(ControlFlags(u32::from(top) << 24 | 1).op_type(), expected, "top byte {top:#x}");
    }
    Ok(())
}

fn c_ly_05_a_context_changes_low_bit_is_no_interrupt(_: &Bench<'_>) -> Verdict {
    ensure!(ControlFlags(1).interrupts(), "bit 0 of an ordinary descriptor asks for an interrupt");
    ensure!(!ControlFlags::CONTEXT_CHANGE.interrupts(), "bit 0 of a context change does not");
    Ok(())
}

fn c_ly_06_channel_parameters_have_36_bytes_or_56(_: &Bench<'_>) -> Verdict {
    ensure_eq!(NetDmaChannelParameters::REVISION_1_BYTES, 36, "least size of revision 1");
    let end = offset_of!(NetDmaChannelParameters, cpu_number) + 4;
    ensure_eq!(end, 36, "the end of CpuNumber");
    let expected = if cfg!(target_pointer_width = "64") { 56 } else { 48 };
    ensure_eq!(size_of::<NetDmaChannelParameters>(), expected, "size of revision 2");
    ensure_eq!(size_of::<model32::NetDmaChannelParameters>(), 48, "size of revision 2 with 32-bit pointers");
    let mut word = 0_u64;
    let sound = NetDmaChannelParameters {
        revision: 1,
        size: 36,
        completion_virtual_address: (&raw mut word).cast(),
        completion_physical_address: 0x1000,
        ..NetDmaChannelParameters::default()
    };
    sound.check()?;
    for (field, broken) in [
        ("Size", NetDmaChannelParameters { size: 35, ..sound }),
        ("Size", NetDmaChannelParameters { revision: 2, size: 40, ..sound }),
        ("Revision", NetDmaChannelParameters { revision: 3, ..sound }),
        ("Flags", NetDmaChannelParameters { flags: 1, ..sound }),
        ("CompletionPhysicalAddress", NetDmaChannelParameters { completion_physical_address: 4, ..sound }),
    ] {
        ensure_eq!(broken.check().map_err(|error| error.field).err(), Some(field), "the field named");
    }
    let mut wide = NetDmaChannelParameters { revision: 2, size: 56, ..sound };
    wide.check()?;
    wide.processor_affinity_mask_ex.reserved[2] = 1;
    ensure_eq!(wide.check().map_err(|error| error.field).err(), Some("Reserved"), "the field named");
    Ok(())
}

fn c_ly_07_attributes_have_32_bytes(_: &Bench<'_>) -> Verdict {
    ensure_eq!(size_of::<NetDmaProviderAttributes>(), 32, "size");
    ensure_eq!(offset_of!(NetDmaProviderAttributes, maximum_address_space), 24, "the highest address");
    let typed = super::scripted_provider::attributes();
    let raw = NetDmaProviderAttributes::from(typed);
    ensure_eq!(raw.check()?, typed, "there and back");
    let short = NetDmaProviderAttributes { size: 31, ..raw };
    ensure_eq!(short.check().map_err(|error| (error.field, error.found)), Err(("Size", 31)), "a wrong size");
    let flagged = NetDmaProviderAttributes { flags: 2, ..raw };
    ensure_eq!(flagged.check().map_err(|error| (error.field, error.found)), Err(("Flags", 2)), "a flag");
    Ok(())
}

fn c_ly_08_power_notifications_are_5_and_6(_: &Bench<'_>) -> Verdict {
    ensure_eq!(PnpNotificationCode::MAX, 7, "the sentinel");
    ensure_eq!(PnpNotificationCode::new(7), None, "what the sentinel is");
    for (code, event) in [(5, PnPEvent::PowerDown), (6, PnPEvent::PowerUp)] {
        let raw = NetDmaPnpNotification::from(event);
        ensure_eq!(raw.notification_code, code, "the code of {event:?}");
        ensure_eq!(raw.check()?, event, "the event of code {code}");
    }
    let raw = NetDmaPnpNotification::from(PnPEvent::PowerUp);
    for code in [-1, 0, 1, 2, 3, 4, 7] {
        let other = NetDmaPnpNotification { notification_code: code, ..raw };
        let field = other.check().map_err(|error| error.field).err();
        ensure_eq!(field, Some("NotificationCode"), "what is wrong with code {code} from a provider");
    }
    let old = NetDmaPnpNotification { structure_revision: 0, ..raw };
    ensure_eq!(old.check().map_err(|error| error.field).err(), Some("StructureRevision"), "the field named");
    let loaded = NetDmaPnpNotification { buffer_length: 1, ..raw };
    ensure_eq!(loaded.check().map_err(|error| error.field).err(), Some("BufferLength"), "the field named");
    Ok(())
}

fn c_ly_09_interrupt_characteristics_have_type_84_and_revision_1(_: &Bench<'_>) -> Verdict {
    ensure_eq!(NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT, 0x84, "the type");
    ensure_eq!(NDIS_MINIPORT_INTERRUPT_REVISION_1, 1, "the revision");
    ensure_eq!((NDIS_CONNECT_LINE_BASED, NDIS_CONNECT_MESSAGE_BASED), (1, 2), "line and messages");
    Ok(())
}
