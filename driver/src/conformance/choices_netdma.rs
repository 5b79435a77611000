//! Choices of ours about NetDMA (contract part 1), where the documents are silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ioat_stage::Task;
use ioat_stage::pause::deadline;

use super::assembly::{LONG, failed, passive};
use super::scripted_provider::{
    Bed, Called, Scripted, Told, attributes, characteristics, interface, of_version, slot,
};
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{
    AllocateError, Call, Chain, ChannelError, ChannelState, CharacteristicsFlags, Completion,
    CompletionValue, ControlFlags, CpuNumber, CpuSet32, GroupAffinity, InterfaceOptions, InterfaceRevision,
    Mask, NetDmaStatus, NetDmaVersion, PnPEvent, PowerError, ProviderCharacteristics, RegisterError,
};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "L-ND-V1",
        l_nd_v1_flags_and_versions_that_nobody_defined_are_refused,
        Choice,
        Library,
        "contract 1.2, 1.5.4",
        "a version that was never defined, and a flag that the version or the interface lacks, are refused"
    ),
    statement!(
        "L-ND-F1",
        l_nd_f1_the_interface_keeps_a_copy_of_the_characteristics,
        Choice,
        Library,
        "contract ND-F1",
        "the interface copies a provider's characteristics; what becomes of the original does not matter"
    ),
    statement!(
        "L-ND-F2",
        l_nd_f2_a_provider_need_not_set_affinities,
        Choice,
        Library,
        "contract 1.5.4",
        "SetDmaChannelCpuAffinity is optional, and never called where it is absent"
    ),
    statement!(
        "L-ND-F5",
        l_nd_f5_a_stop_with_a_limit_ends_work_by_force_or_says_that_it_cannot,
        Choice,
        Library,
        "contract ND-F5",
        "a Stop with a limit aborts or resets what is outstanding then, and gives the handle back if that fails"
    ),
    statement!(
        "L-ND-I14",
        l_nd_i14_an_armed_word_has_no_address_for_the_isr,
        Choice,
        Library,
        "contract ND-I14",
        "before the first completion there is no address, so NetDmaIsr cannot be called"
    ),
    statement!(
        "L-ND-P5",
        l_nd_p5_a_start_over_a_list_must_not_name_what_is_under_way,
        Choice,
        Library,
        "contract ND-P5, 1.10",
        "a Start over a running list that names a descriptor of it is refused, and the list goes on"
    ),
    statement!(
        "L-ND-P7",
        l_nd_p7_the_interface_links_chains_of_1_x_and_takes_a_refused_link_back,
        Choice,
        Library,
        "contract ND-P7",
        "before an Append of 1.x the old last descriptor links to the new chain; a refused Append undoes it"
    ),
    statement!(
        "L-ND-P9",
        l_nd_p9_an_append_elsewhere_is_refused,
        Choice,
        Library,
        "contract ND-P9",
        "an Append of 2.0 that is not where the last chain said is refused; so is a chain that ends in zero"
    ),
    statement!(
        "L-ND-A3",
        l_nd_a3_a_context_change_goes_before_the_clients_chains,
        Choice,
        Library,
        "contract ND-A3",
        "a DCA provider gets its target right after Allocate, and again when an idle or new list allows it"
    ),
    statement!(
        "L-ND-W1",
        l_nd_w1_power_down_refuses_new_work_and_waits_for_the_old,
        Choice,
        Library,
        "contract ND-W1",
        "PowerDown tells the clients, refuses new work, and returns when what was outstanding is reported"
    ),
    statement!(
        "L-ND-W3",
        l_nd_w3_power_events_out_of_order_are_refused,
        Choice,
        Library,
        "contract ND-W1 to ND-W3, 1.9",
        "a 1.0 provider has no power notification, and one that is repeated is refused"
    ),
    statement!(
        "L-ND-P3",
        l_nd_p3_a_chosen_processor_is_numbered_on_from_group_to_group,
        Choice,
        Library,
        "contract ND-P3, MT-5, 1.5.3",
        "processor n of group g has the number 64 g + n; revision 2 is for providers with processor groups"
    ),
];

fn l_nd_v1_flags_and_versions_that_nobody_defined_are_refused(_: &Bench<'_>) -> Verdict {
    use InterfaceRevision::{Vista, VistaSp1, Windows7};
    let (v1_0, v1_1, v2_0) = (NetDmaVersion::V1_0, NetDmaVersion::V1_1, NetDmaVersion::V2_0);
    for (revision, version, dca, groups, taken) in [
        (Vista, v1_0, false, false, true),
        (Vista, v1_0, true, false, false),
        (Windows7, v1_1, true, false, false),
        (Windows7, v1_1, false, true, false),
        (VistaSp1, v2_0, true, false, true),
        (VistaSp1, v2_0, false, true, false),
        (Windows7, v2_0, true, true, true),
    ] {
        let middle = interface(InterfaceOptions { revision, ..InterfaceOptions::default() });
        let these = ProviderCharacteristics {
            dca_supported: dca,
            proc_groups_supported: groups,
            ..of_version(version)
        };
        let found = these.flags();
        let result = middle.register_provider(Arc::new(Scripted::default()), these, &passive()?);
        let permitted = CharacteristicsFlags::permitted(version, revision);
        let expected = (!taken).then_some(RegisterError::Flags { version, found, permitted });
        ensure_eq!(result.err(), expected, "flags {found:?} of {version} at {revision:?}");
    }
    let odd = NetDmaVersion { major: 1, minor: 7 };
    let middle = interface(InterfaceOptions::default());
    let provider = Arc::new(Scripted::default());
    let error = middle.register_provider(provider, of_version(odd), &passive()?).err();
    ensure_eq!(error, Some(RegisterError::UnknownVersion(odd)), "a version of 1.7");
    Ok(())
}

fn l_nd_f1_the_interface_keeps_a_copy_of_the_characteristics(_: &Bench<'_>) -> Verdict {
    let (middle, level) = (interface(InterfaceOptions::default()), &passive()?);
    let mut original = characteristics();
    let provider = Arc::new(Scripted::default());
    let registered = middle.register_provider(provider, original.clone(), level)?;
    original.friendly_name = Some("another".into());
    let _started = registered.start(attributes(), level).map_err(|(_, error)| error)?;
    let known = middle.providers().first().map(|(_, known, _)| known.clone());
    ensure_eq!(known, Some(characteristics()), "what clients see");
    Ok(())
}

fn l_nd_f2_a_provider_need_not_set_affinities(_: &Bench<'_>) -> Verdict {
    let provider = Scripted::bare();
    let middle = interface(InterfaceOptions::default());
    let _registered = middle.register_provider(provider.clone(), characteristics(), &passive()?)?;
    ensure_eq!(provider.calls(), vec![], "callbacks of a provider without it");
    Ok(())
}

fn l_nd_f5_a_stop_with_a_limit_ends_work_by_force_or_says_that_it_cannot(_: &Bench<'_>) -> Verdict {
    let (bed, level) = (Bed::new()?, &passive()?);
    let line = bed.line()?;
    bed.start(&line, 0..2)?;
    let (pending, other) = (line.channel.outstanding(), bed.line()?);
    bed.provider.refuse(Some(NetDmaStatus::UNSUCCESSFUL));
    bed.provider.news();
    let Bed { provider, started, .. } = bed;
    let limit = Duration::from_millis(5);
    let Err(stuck) = started.stop_within(limit, level) else {
        return Err(failed("a provider whose engine cannot be stopped has stopped"));
    };
    ensure_eq!(stuck.channels, vec![line.handle.number()], "the stuck channels");
    let expected = vec![Called::Abort(0), Called::Reset(0), Called::Free(1)];
    ensure_eq!(provider.news(), expected, "callbacks of the Stop that failed");
    ensure_eq!(
        (line.channel.outstanding(), other.channel.state()),
        (pending, ChannelState::Freed),
        "after it"
    );
    // Its engine comes back.
    provider.refuse(None);
    stuck.handle.stop_within(limit, level)?.deregister(level);
    ensure_eq!(provider.news(), vec![Called::Abort(0), Called::Free(0)], "callbacks of the Stop that worked");
    Ok(())
}

fn l_nd_i14_an_armed_word_has_no_address_for_the_isr(_: &Bench<'_>) -> Verdict {
    // Whatever its upper bits say, and they may say anything (ND-C6).
    for upper in [0, slot(0).get(), !0x3f] {
        ensure_eq!(CompletionValue(upper | 4).decode(), Completion::Armed, "an armed word");
    }
    Ok(())
}

fn l_nd_p5_a_start_over_a_list_must_not_name_what_is_under_way(_: &Bench<'_>) -> Verdict {
    let (bed, level) = (Bed::new()?, &passive()?);
    let line = bed.line()?;
    bed.start(&line, 0..4)?;
    bed.provider.news();
    for suspended in [false, true] {
        if suspended {
            line.channel.suspend(level)?;
            bed.provider.news();
        }
        let before = (line.channel.state(), line.channel.outstanding(), line.channel.counts());
        let (first, descriptors) = bed.chain(3..6)?;
        let result = line.channel.start(&Chain { first, descriptors: &descriptors }, level);
        ensure_eq!(result, Err(ChannelError::UnderWay { address: slot(3) }), "a Start on slot 3");
        let after = (line.channel.state(), line.channel.outstanding(), line.channel.counts());
        ensure_eq!(after, before, "the channel");
        ensure_eq!(bed.provider.news(), vec![], "callbacks");
    }
    let submitted = bed.start(&line, 4..6)?;
    ensure_eq!(submitted.forgotten, 4, "descriptors of the old list");
    // A late report of the old list finishes nothing of the new one.
    bed.report(&line, Some(slot(3)));
    ensure_eq!((line.client.news(), line.channel.outstanding()), (vec![], 2), "after a late report");
    Ok(())
}

fn l_nd_p7_the_interface_links_chains_of_1_x_and_takes_a_refused_link_back(_: &Bench<'_>) -> Verdict {
    for version in [NetDmaVersion::V1_0, NetDmaVersion::V1_1] {
        let bed = Bed::with(of_version(version), InterfaceOptions::default())?;
        let line = bed.line()?;
        bed.link(0, slot(1).get())?;
        bed.start(&line, 0..2)?;
        bed.append(&line, 7..8)?;
        ensure_eq!(bed.next_of(1)?, slot(7).get(), "the link of the old last descriptor");
        bed.provider.refuse(Some(NetDmaStatus::UNSUCCESSFUL));
        ensure!(bed.append(&line, 9..10).is_err(), "a provider that refuses is not heard");
        ensure_eq!(bed.next_of(7)?, 0, "the link that a refused Append leaves");
        bed.provider.refuse(None);
        bed.append(&line, 9..10)?;
        ensure_eq!((bed.next_of(7)?, line.channel.outstanding()), (slot(9).get(), 4), "link and outstanding");
        // A chain of 1.x ends with a zero, or the engine would run on.
        bed.link(20, slot(21).get())?;
        let (first, descriptors) = bed.chain(20..21)?;
        let result = line.channel.append(&Chain { first, descriptors: &descriptors }, &passive()?);
        let expected = ChannelError::NoEnd { last: slot(20), next: slot(21).get() };
        ensure_eq!(result, Err(expected), "a chain without an end");
    }
    Ok(())
}

fn l_nd_p9_an_append_elsewhere_is_refused(_: &Bench<'_>) -> Verdict {
    let (bed, level) = (Bed::new()?, &passive()?);
    let line = bed.line()?;
    bed.start(&line, 0..2)?;
    bed.provider.news();
    let (first, descriptors) = bed.chain(3..4)?;
    let result = line.channel.append(&Chain { first, descriptors: &descriptors }, level);
    let expected = ChannelError::NotNext { found: slot(3), expected: slot(2).get() };
    ensure_eq!(result, Err(expected), "an Append at slot 3");
    bed.link(2, 0)?;
    let (first, descriptors) = bed.chain(2..3)?;
    let result = line.channel.append(&Chain { first, descriptors: &descriptors }, level);
    ensure_eq!(result, Err(ChannelError::EndsInZero { last: slot(2) }), "a chain that ends in zero");
    ensure_eq!((bed.provider.news(), line.channel.outstanding()), (vec![], 2), "callbacks and outstanding");
    bed.link(2, slot(3).get())?;
    bed.append(&line, 2..3)?;
    Ok(())
}

fn l_nd_a3_a_context_change_goes_before_the_clients_chains(_: &Bench<'_>) -> Verdict {
    let options = InterfaceOptions {
        processors: 4,
        apic_id: |cpu| u8::try_from(cpu.0 * 2 + 0x10).unwrap_or(0),
        ..InterfaceOptions::default()
    };
    let bed = Bed::with(ProviderCharacteristics { dca_supported: true, ..characteristics() }, options)?;
    let (line, level) = (bed.line_with(true)?, &passive()?);
    let counts = line.channel.counts();
    ensure_eq!(
        (counts.context_changes, counts.submitted),
        (1, 0),
        "context changes, and client's descriptors"
    );
    ensure_eq!(
        line.channel.state(),
        ChannelState::Fresh,
        "the channel: its client's first call is still Start"
    );
    ensure!(bed.append(&line, 0..1).is_err(), "the client's first call is an Append");
    bed.start(&line, 0..2)?;
    bed.provider.news();
    // With work outstanding there is no place for it: it waits, and the list is not touched.
    line.channel.suspend(level)?;
    line.channel.resume(level)?;
    ensure_eq!(
        bed.provider.news(),
        vec![Called::Suspend(0), Called::Resume(0)],
        "callbacks while it is busy"
    );
    bed.report(&line, Some(slot(1)));
    bed.append(&line, 2..3)?;
    let calls = bed.provider.news();
    let [Called::Start { first, count: 1, descriptor, .. }, Called::Append { first: appended, .. }] =
        &calls[..]
    else {
        return Err(failed(format!("a context change and an Append were expected, found {calls:?}")));
    };
    ensure_eq!(descriptor.control, ControlFlags::CONTEXT_CHANGE.0, "its flags");
    // Processor 3 was the last acceptable one.
    ensure_eq!((*first, descriptor.dca_context8()), (slot(63), 0x16), "where it is, and its APIC id");
    ensure_eq!((descriptor.next, *appended), (slot(2).get(), slot(2)), "where the list goes on");
    // A power-up loses it too: the Start of the interface's own carries it.
    bed.report(&line, Some(slot(2)));
    bed.started.pnp_event_notify(PnPEvent::PowerDown, level)?;
    bed.started.pnp_event_notify(PnPEvent::PowerUp, level)?;
    let calls = bed.provider.news();
    let [Called::Start { descriptor, .. }] = &calls[..] else {
        return Err(failed(format!("one Start was expected, found {calls:?}")));
    };
    ensure_eq!((descriptor.control, descriptor.next), (ControlFlags::CONTEXT_CHANGE.0, slot(3).get()), "it");
    Ok(())
}

fn l_nd_w1_power_down_refuses_new_work_and_waits_for_the_old(_: &Bench<'_>) -> Verdict {
    let bed = Bed::new()?;
    let line = bed.line()?;
    bed.start(&line, 0..2)?;
    let (first, descriptors) = bed.chain(2..3)?;
    let (down, pause) = (Arc::new(AtomicBool::new(false)), bed.pause.clone());
    let Bed { interface, started, .. } = bed;
    let of_task = down.clone();
    let body = Box::new(move || {
        let Ok(level) = passive() else { return };
        let told = started.pnp_event_notify(PnPEvent::PowerDown, &level);
        of_task.store(told.is_ok(), Ordering::Release);
    });
    let powering = pause.spawn(Task { name: "power".into(), cpu: None }, body)?;
    let until = deadline(&*pause, LONG);
    let mut told = Vec::new();
    while told.is_empty() {
        ensure!(pause.now_ns() < until, "the client is not told");
        pause.sleep(Duration::from_millis(1));
        told = line.client.news();
    }
    ensure_eq!(told, vec![Told::PowerDown], "what the client is told");
    let refused = line.channel.append(&Chain { first, descriptors: &descriptors }, &passive()?);
    ensure_eq!(refused, Err(ChannelError::PoweredDown), "new work");
    ensure!(!down.load(Ordering::Acquire), "PowerDown has returned with work outstanding");
    crate::irql::at_dispatch(|level| interface.net_dma_interrupt_dpc(&line.handle, Some(slot(1)), level));
    ensure!(powering.join(), "the task that powers down has panicked");
    ensure!(down.load(Ordering::Acquire), "PowerDown was refused");
    Ok(())
}

fn l_nd_w3_power_events_out_of_order_are_refused(_: &Bench<'_>) -> Verdict {
    let level = &passive()?;
    let old = Bed::with(of_version(NetDmaVersion::V1_0), InterfaceOptions::default())?;
    let result = old.started.pnp_event_notify(PnPEvent::PowerDown, level);
    ensure_eq!(result, Err(PowerError::Version(NetDmaVersion::V1_0)), "a notification by 1.0");
    let bed = Bed::with(of_version(NetDmaVersion::V1_1), InterfaceOptions::default())?;
    let notify = |event| bed.started.pnp_event_notify(event, level);
    ensure_eq!(notify(PnPEvent::PowerUp), Err(PowerError::Repeated(PnPEvent::PowerUp)), "up while it is up");
    notify(PnPEvent::PowerDown)?;
    let again = notify(PnPEvent::PowerDown);
    ensure_eq!(again, Err(PowerError::Repeated(PnPEvent::PowerDown)), "down while it is down");
    let allocated = bed.allocate(bed.request(0, false)?)?.err();
    ensure_eq!(allocated, Some(AllocateError::PoweredDown), "a channel while it is down");
    notify(PnPEvent::PowerUp)?;
    let line = bed.line()?;
    bed.start(&line, 0..1)?;
    bed.report(&line, Some(slot(0)));
    notify(PnPEvent::PowerDown)?;
    for (call, result) in
        [(Call::Suspend, line.channel.suspend(level).map(drop)), (Call::Reset, line.channel.reset(level))]
    {
        ensure_eq!(result, Err(ChannelError::PoweredDown), "{call:?} while the power is down");
    }
    line.channel.free(level)?;
    Ok(())
}

fn l_nd_p3_a_chosen_processor_is_numbered_on_from_group_to_group(_: &Bench<'_>) -> Verdict {
    ensure_eq!(CpuNumber::in_group(2, 5), CpuNumber(133), "processor 5 of group 2");
    ensure_eq!((CpuNumber(133).group(), CpuNumber(133).bit()), (2, 1 << 5), "group and bit of processor 133");
    let options = InterfaceOptions { processors: 100, ..InterfaceOptions::default() };
    let with_groups = ProviderCharacteristics { proc_groups_supported: true, ..characteristics() };
    let bed = Bed::with(with_groups, options)?;
    bed.provider.news();
    let asked = GroupAffinity { mask: 0b111 << 34, group: 1 };
    let line =
        bed.allocate(crate::contract::ChannelRequest { group: Some(asked), ..bed.request(0, false)? })??;
    // Processors 98 and 99 are there, and 100 is not.
    let wide = Some(GroupAffinity { mask: 0b11 << 34, group: 1 });
    ensure_eq!(bed.provider.news(), vec![Called::Allocate { mask: CpuSet32::EMPTY, wide }], "the parameters");
    ensure_eq!(line.channel.cpu_number(), CpuNumber(99), "the processor chosen");
    // A provider without groups gets revision 1, whatever is asked.
    let bed = Bed::with(characteristics(), options)?;
    bed.provider.news();
    let _line =
        bed.allocate(crate::contract::ChannelRequest { group: Some(asked), ..bed.request(0, false)? })??;
    let narrow = Called::Allocate { mask: CpuSet32(u32::MAX), wide: None };
    ensure_eq!(bed.provider.news(), vec![narrow], "the parameters of revision 1");
    // A processor outside the mask is no success (C-CH-02).
    let (provider, level) = (Scripted::naming(CpuNumber(7)), &passive()?);
    let registered = bed.interface.register_provider(provider.clone(), characteristics(), level)?;
    let started = registered.start(attributes(), level).map_err(|(_, error)| error)?;
    let request = crate::contract::ChannelRequest { processors: CpuSet32(0b11), ..bed.request(1, false)? };
    let client = Arc::new(super::scripted_provider::Client::default());
    let result = bed.interface.allocate_channel(started.id(), request, client, level).err();
    let (mask, chosen) = (Mask::Low(CpuSet32(0b11)), Some(CpuNumber(7)));
    ensure_eq!(result, Some(AllocateError::WrongProcessor { mask, chosen }), "a processor not asked for");
    ensure_eq!(provider.calls().last(), Some(&Called::Free(0)), "the last callback");
    Ok(())
}
