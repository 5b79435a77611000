//! The provider's life (contract 1.7, 1.9, 1.13 and 4.3).

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
use crate::contract::raw::{NetDmaChannelCpuAffinity, NetDmaProviderCharacteristicsV1};
use crate::contract::{
    AllocateError, Call, Chain, ChannelError, ChannelState, InterfaceOptions, InterfaceRevision,
    NetDmaDescriptor, NetDmaVersion, NtStatus, PnPEvent, ProviderAttributes, ProviderCharacteristics,
    RegisterError, StartError,
};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-PR-01",
        c_pr_01_registering_gives_a_handle_or_one_of_two_statuses,
        Documented,
        Library,
        "ddi nf-netdma-netdmaregisterprovider",
        "registering gives a handle that works, or fails with one of the two failure statuses"
    ),
    statement!(
        "C-PR-02",
        c_pr_02_registering_tells_the_processors_of_all_channels,
        Documented,
        Library,
        "ddi nf-netdma-netdmaregisterprovider; con/setting-the-netdma-interrupt-cpu-affinities",
        "with MSI-X, before it is registered, a provider is told a processor for each channel it may have"
    ),
    statement!(
        "C-PR-03",
        c_pr_03_affinities_are_counted_in_bytes,
        Documented,
        Library,
        "ddi nc-netdma-dma_channels_cpu_affinity_handler",
        "the length of the affinity array is in bytes, eight for each entry"
    ),
    statement!(
        "C-PR-04",
        c_pr_04_no_channel_callback_comes_before_start,
        Documented,
        Library,
        "con/netdma-provider-services",
        "no channel callback comes before the provider is started"
    ),
    statement!(
        "C-PR-05",
        c_pr_05_stop_waits_for_what_is_outstanding,
        Documented,
        Library,
        "ddi nf-netdma-netdmaproviderstop",
        "Stop does not return while work of the provider is outstanding"
    ),
    statement!(
        "C-PR-06",
        c_pr_06_stop_frees_every_channel,
        Documented,
        Library,
        "ddi nf-netdma-netdmaproviderstop",
        "when Stop returns, every channel that was allocated has been freed, once"
    ),
    statement!(
        "C-PR-07",
        c_pr_07_start_and_stop_alternate_with_new_attributes,
        Documented,
        Library,
        "ddi nf-netdma-netdmaproviderstop, -netdmaproviderstart",
        "Start and Stop may follow each other again, and each Start's attributes count"
    ),
    statement!(
        "C-PR-08",
        c_pr_08_deregister_follows_stop,
        Documented,
        Library,
        "ddi nf-netdma-netdmaderegisterprovider",
        "a provider is deregistered only after Stop: a started one has no such call"
    ),
    statement!(
        "C-PR-09",
        c_pr_09_the_version_word_has_major_above_minor,
        Documented,
        Library,
        "ddi nf-netdma-netdmagetversion",
        "the version word has the major number in its high half, the minor in its low half"
    ),
    statement!(
        "C-PR-10",
        c_pr_10_a_version_above_the_interfaces_is_refused,
        Inferred,
        Library,
        "ddi nf-netdma-netdmagetversion (the requirement is documented, the refusal inferred)",
        "a provider of a version above the interface's is not registered"
    ),
    statement!(
        "C-PR-11",
        c_pr_11_four_callbacks_must_be_there_and_the_others_need_not,
        Inferred,
        Library,
        "con/netdma-provider-services (the rejection is inferred)",
        "a provider without Allocate, Free, Start or Append is invalid; one without the others is not"
    ),
    statement!(
        "C-PR-12",
        c_pr_12_suspend_needs_resume,
        Inferred,
        Library,
        "ddi nc-netdma-dma_resume_handler (the rejection is inferred)",
        "a provider that can suspend and not resume is invalid"
    ),
    statement!(
        "C-PR-13",
        c_pr_13_a_provider_of_2_0_has_a_friendly_name,
        Documented,
        Library,
        "con/specifying-a-netdma-provider-friendly-name",
        "a provider of version 2.0 must have a friendly name"
    ),
    statement!(
        "C-PR-14",
        c_pr_14_a_transfer_of_less_than_a_page_is_refused,
        Inferred,
        Library,
        "ddi ns-netdma-_net_dma_provider_attributes; H08 (the rejection is inferred)",
        "a provider whose largest transfer is below 4096 bytes is not started"
    ),
    statement!(
        "C-PR-15",
        c_pr_15_after_power_up_each_channel_gets_start,
        Documented,
        Library,
        "con/netdma-2-0-extensions-for-netdma-1-1-and-later-providers",
        "after a power-up the next transfer call of every allocated channel is Start, never Append"
    ),
];

fn c_pr_01_registering_gives_a_handle_or_one_of_two_statuses(_: &Bench<'_>) -> Verdict {
    let (middle, level) = (interface(InterfaceOptions::default()), &passive()?);
    let provider = Arc::new(Scripted::default());
    let registered = middle.register_provider(provider.clone(), characteristics(), level)?;
    let started = registered.start(attributes(), level).map_err(|(_, error)| error)?;
    ensure_eq!(middle.providers().len(), 1, "started providers");
    started.stop(level).deregister(level);
    for status in [crate::contract::NetDmaStatus::RESOURCES, crate::contract::NetDmaStatus::UNSUCCESSFUL] {
        provider.refuse(Some(status));
        let error = middle.register_provider(provider.clone(), characteristics(), level).err();
        ensure_eq!(error, Some(RegisterError::Affinity(status)), "why it is not registered");
        ensure_eq!(error.map(|error| error.status()), Some(status.status()), "the status word");
    }
    provider.refuse(None);
    let nameless = ProviderCharacteristics { friendly_name: None, ..characteristics() };
    let error = middle.register_provider(provider, nameless, level).err();
    ensure_eq!(error.map(|error| error.status()), Some(NtStatus::UNSUCCESSFUL), "the status word");
    Ok(())
}

fn c_pr_02_registering_tells_the_processors_of_all_channels(_: &Bench<'_>) -> Verdict {
    let (options, level) = (InterfaceOptions { processors: 3, ..InterfaceOptions::default() }, &passive()?);
    let provider = Arc::new(Scripted::default());
    let _registered = interface(options).register_provider(provider.clone(), characteristics(), level)?;
    let calls = provider.news();
    let [Called::Affinity(affinities)] = &calls[..] else {
        return Err(failed(format!("one affinity callback was expected, found {calls:?}")));
    };
    let found: Vec<_> = affinities.iter().map(|entry| (entry.dma_channel, entry.cpu_number.0)).collect();
    ensure_eq!(found, vec![(0, 0), (1, 1), (2, 2), (3, 0)], "channels and processors");
    let options = InterfaceOptions { message_interrupts: false, ..options };
    let _registered = interface(options).register_provider(provider.clone(), characteristics(), level)?;
    ensure_eq!(provider.news(), vec![], "callbacks on a system without MSI-X");
    Ok(())
}

fn c_pr_03_affinities_are_counted_in_bytes(_: &Bench<'_>) -> Verdict {
    ensure_eq!(size_of::<NetDmaChannelCpuAffinity>(), 8, "bytes of an entry");
    ensure_eq!(NetDmaChannelCpuAffinity::entries(32), Ok(4), "entries in 32 bytes");
    let cut = NetDmaChannelCpuAffinity::entries(31).map_err(|error| (error.clause, error.found));
    ensure_eq!(cut, Err(("ND-P1", 31)), "a cut entry");
    Ok(())
}

fn c_pr_04_no_channel_callback_comes_before_start(_: &Bench<'_>) -> Verdict {
    let bed = Bed::new()?;
    let request = bed.request(0, false)?;
    let level = &passive()?;
    let provider = Arc::new(Scripted::default());
    let registered = bed.interface.register_provider(provider.clone(), characteristics(), level)?;
    provider.news();
    let client = Arc::new(super::scripted_provider::Client::default());
    let allocated = bed.interface.allocate_channel(registered.id(), request, client, level);
    ensure_eq!(allocated.err(), Some(AllocateError::NotStarted), "a channel of a provider not started");
    ensure_eq!(provider.news(), vec![], "callbacks before Start");
    ensure!(bed.interface.providers().len() == 1, "clients see the started provider alone");
    Ok(())
}

fn c_pr_05_stop_waits_for_what_is_outstanding(_: &Bench<'_>) -> Verdict {
    let bed = Bed::new()?;
    let line = bed.line()?;
    bed.start(&line, 0..4)?;
    let (first, descriptors) = bed.chain(4..5)?;
    let (stopped, pause) = (Arc::new(AtomicBool::new(false)), bed.pause.clone());
    let Bed { interface, provider, started, .. } = bed;
    let of_task = stopped.clone();
    let body = Box::new(move || {
        let Ok(level) = passive() else { return };
        let registered = started.stop(&level);
        of_task.store(true, Ordering::Release);
        registered.deregister(&level);
    });
    let stopping = pause.spawn(Task { name: "stop".into(), cpu: None }, body)?;
    // A chain that cannot be appended (it is refused before) tells when Stop has begun.
    let until = deadline(&*pause, LONG);
    let begun = Chain { first, descriptors: &descriptors[..1] };
    let mut appended = 0;
    loop {
        match line.channel.append(&begun, &passive()?) {
            Err(ChannelError::Stopping) => break,
            Ok(_) => appended += 1,
            Err(ChannelError::NotNext { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(pause.now_ns() < until, "Stop does not begin");
        pause.sleep(Duration::from_millis(1));
    }
    ensure!(!stopped.load(Ordering::Acquire), "Stop has returned with work outstanding");
    ensure!(!provider.calls().contains(&Called::Free(0)), "the channel was freed with work outstanding");
    let last = slot(3 + appended);
    crate::irql::at_dispatch(|level| interface.net_dma_interrupt_dpc(&line.handle, Some(last), level));
    ensure!(stopping.join(), "the task that stops has panicked");
    ensure!(stopped.load(Ordering::Acquire), "Stop has not returned");
    ensure_eq!(provider.calls().last(), Some(&Called::Free(0)), "the last callback");
    ensure_eq!(line.channel.state(), ChannelState::Freed, "the channel");
    Ok(())
}

fn c_pr_06_stop_frees_every_channel(_: &Bench<'_>) -> Verdict {
    let bed = Bed::new()?;
    let (level, lines) = (&passive()?, [bed.line()?, bed.line()?, bed.line()?]);
    lines[1].channel.free(level)?;
    bed.provider.news();
    let Bed { provider, started, .. } = bed;
    started.stop(level).deregister(level);
    ensure_eq!(provider.news(), vec![Called::Free(0), Called::Free(2)], "callbacks of Stop");
    for line in lines {
        ensure_eq!(line.channel.state(), ChannelState::Freed, "each channel");
    }
    Ok(())
}

fn c_pr_07_start_and_stop_alternate_with_new_attributes(_: &Bench<'_>) -> Verdict {
    let (middle, level) = (interface(InterfaceOptions::default()), &passive()?);
    let provider = Arc::new(Scripted::default());
    let mut registered = middle.register_provider(provider, characteristics(), level)?;
    for (channels, size) in [(4, 4096), (2, 1 << 20), (1, 8192)] {
        let these =
            ProviderAttributes { dma_channel_count: channels, maximum_transfer_size: size, ..attributes() };
        let started = registered.start(these, level).map_err(|(_, error)| error)?;
        let known: Vec<_> = middle.providers().iter().map(|(_, _, attributes)| *attributes).collect();
        ensure_eq!(known, vec![these], "what clients see");
        registered = started.stop(level);
        ensure!(middle.providers().is_empty(), "a stopped provider serves nobody");
    }
    Ok(())
}

fn c_pr_08_deregister_follows_stop(_: &Bench<'_>) -> Verdict {
    // That a started one cannot be deregistered is a `compile_fail` example of `ProviderHandle`.
    let (middle, level) = (interface(InterfaceOptions::default()), &passive()?);
    let provider = Arc::new(Scripted::default());
    let registered = middle.register_provider(provider, characteristics(), level)?;
    let started = registered.start(attributes(), level).map_err(|(_, error)| error)?;
    let id = started.id();
    started.stop(level).deregister(level);
    ensure!(middle.providers().iter().all(|(other, ..)| *other != id), "it is still known");
    Ok(())
}

fn c_pr_09_the_version_word_has_major_above_minor(_: &Bench<'_>) -> Verdict {
    ensure_eq!(NetDmaVersion::V1_1.word(), 0x0001_0001, "the word of 1.1");
    ensure_eq!(NetDmaVersion::V2_0.word(), 0x0002_0000, "the word of 2.0");
    for (revision, word) in [
        (InterfaceRevision::Vista, None),
        (InterfaceRevision::VistaSp1, Some(0x0002_0000)),
        (InterfaceRevision::Windows7, Some(0x0002_0000)),
    ] {
        let middle = interface(InterfaceOptions { revision, ..InterfaceOptions::default() });
        ensure_eq!(middle.net_dma_get_version(&passive()?), word, "NetDmaGetVersion of {revision:?}");
    }
    Ok(())
}

fn c_pr_10_a_version_above_the_interfaces_is_refused(_: &Bench<'_>) -> Verdict {
    let level = &passive()?;
    let all = [NetDmaVersion::V1_0, NetDmaVersion::V1_1, NetDmaVersion::V2_0];
    for revision in [InterfaceRevision::Vista, InterfaceRevision::VistaSp1, InterfaceRevision::Windows7] {
        let middle = interface(InterfaceOptions { revision, ..InterfaceOptions::default() });
        for version in all.into_iter().chain([NetDmaVersion { major: 2, minor: 1 }]) {
            let provider = Arc::new(Scripted::default());
            let registered = middle.register_provider(provider.clone(), of_version(version), level);
            let above = version > revision.version();
            ensure_eq!(registered.is_err(), above, "{version} is refused by {revision:?}");
            ensure_eq!(provider.calls().is_empty(), above, "{version} was not called by {revision:?}");
            if above {
                let (provider, interface) = (version, revision.version());
                let expected = RegisterError::Version { provider, interface };
                ensure_eq!(registered.err(), Some(expected), "why");
            }
        }
    }
    Ok(())
}

fn c_pr_11_four_callbacks_must_be_there_and_the_others_need_not(_: &Bench<'_>) -> Verdict {
    let sound = raw();
    sound.check(None, "raw")?;
    for (field, broken) in [
        ("AllocateDmaChannel", NetDmaProviderCharacteristicsV1 { allocate_dma_channel: None, ..sound }),
        ("FreeDmaChannel", NetDmaProviderCharacteristicsV1 { free_dma_channel: None, ..sound }),
        ("StartDma", NetDmaProviderCharacteristicsV1 { start_dma: None, ..sound }),
        ("AppendDma", NetDmaProviderCharacteristicsV1 { append_dma: None, ..sound }),
    ] {
        let error = broken.check(None, "raw").err();
        ensure_eq!(error.map(|error| error.field), Some(field), "the callback that is missed");
    }
    // The four are all that a provider in Rust must have; what it lacks is refused, and changes nothing.
    let (middle, level) = (interface(InterfaceOptions::default()), &passive()?);
    let provider = Scripted::bare();
    let registered = middle.register_provider(provider.clone(), characteristics(), level)?;
    let started = registered.start(attributes(), level).map_err(|(_, error)| error)?;
    let bed = Bed::new()?;
    let client = Arc::new(super::scripted_provider::Client::default());
    let channel = middle.allocate_channel(started.id(), bed.request(0, false)?, client, level)?;
    let (first, descriptors) = bed.chain(0..1)?;
    channel.start(&Chain { first, descriptors: &descriptors }, level)?;
    provider.news();
    for (call, result) in [
        (Call::Suspend, channel.suspend(level).map(drop)),
        (Call::Abort, channel.abort(level)),
        (Call::Reset, channel.reset(level)),
    ] {
        ensure_eq!(result, Err(ChannelError::NotSupported(call)), "{call:?} of a provider without it");
    }
    ensure_eq!(provider.news(), vec![], "callbacks");
    ensure_eq!((channel.state(), channel.outstanding()), (ChannelState::Running, 1), "the channel");
    Ok(())
}

fn c_pr_12_suspend_needs_resume(_: &Bench<'_>) -> Verdict {
    let both = raw();
    ensure!(both.check(None, "raw")?.callbacks.suspend_resume.is_some(), "both are there");
    let half = NetDmaProviderCharacteristicsV1 { resume_dma: None, ..both };
    let error = half.check(None, "raw").err().map(|error| error.field);
    ensure_eq!(error, Some("ResumeDma"), "Suspend without Resume");
    let neither = NetDmaProviderCharacteristicsV1 { suspend_dma: None, ..half };
    ensure!(neither.check(None, "raw")?.callbacks.suspend_resume.is_none(), "neither is there");
    Ok(())
}

fn c_pr_13_a_provider_of_2_0_has_a_friendly_name(_: &Bench<'_>) -> Verdict {
    let (middle, level) = (interface(InterfaceOptions::default()), &passive()?);
    let provider = Arc::new(Scripted::default());
    let nameless = ProviderCharacteristics { friendly_name: None, ..characteristics() };
    let error = middle.register_provider(provider.clone(), nameless, level).err();
    ensure_eq!(error, Some(RegisterError::NoFriendlyName(NetDmaVersion::V2_0)), "2.0 without a name");
    let named = ProviderCharacteristics { version: NetDmaVersion::V1_1, ..characteristics() };
    let error = middle.register_provider(provider, named, level).err();
    ensure_eq!(error, Some(RegisterError::FriendlyName(NetDmaVersion::V1_1)), "1.1 with a name");
    // The structure of 2.0 is as long as the name needs.
    let short = NetDmaProviderCharacteristicsV1 { major_version: 2, minor_version: 0, ..raw() };
    let error = short.check(None, "raw").err().map(|error| error.field);
    ensure_eq!(error, Some("Size"), "what is wrong with a structure of 2.0 that ends before the name");
    Ok(())
}

fn c_pr_14_a_transfer_of_less_than_a_page_is_refused(_: &Bench<'_>) -> Verdict {
    let (middle, level) = (interface(InterfaceOptions::default()), &passive()?);
    let provider = Arc::new(Scripted::default());
    let registered = middle.register_provider(provider, characteristics(), level)?;
    let small = ProviderAttributes { maximum_transfer_size: 4095, ..attributes() };
    let Err((registered, error)) = registered.start(small, level) else {
        return Err(failed("4095 bytes were accepted"));
    };
    ensure_eq!(error, StartError::TransferSize(4095), "why");
    ensure!(middle.providers().is_empty(), "it is not started");
    let page = ProviderAttributes { maximum_transfer_size: 4096, ..attributes() };
    registered.start(page, level).map_err(|(_, error)| error)?.stop(level).deregister(level);
    Ok(())
}

fn c_pr_15_after_power_up_each_channel_gets_start(_: &Bench<'_>) -> Verdict {
    let bed = Bed::new()?;
    let (level, with, without) = (&passive()?, bed.line_with(true)?, bed.line()?);
    for line in [&with, &without] {
        bed.start(line, 0..2)?;
        bed.report(line, Some(slot(1)));
        line.client.news();
    }
    bed.started.pnp_event_notify(PnPEvent::PowerDown, level)?;
    let refused = bed.append(&with, 2..3);
    ensure!(refused.is_err(), "work is taken while the power is down");
    bed.provider.news();
    bed.started.pnp_event_notify(PnPEvent::PowerUp, level)?;
    let null = NetDmaDescriptor {
        size: 1,
        control: crate::contract::ControlFlags::NULL_TRANSFER.0,
        source: slot(63).get(),
        destination: slot(63).get(),
        next: slot(2).get(),
        ..NetDmaDescriptor::default()
    };
    let start = Called::Start { channel: 0, first: slot(63), count: 1, descriptor: null };
    ensure_eq!(bed.provider.news(), vec![start], "callbacks of the power-up");
    for line in [&with, &without] {
        ensure_eq!(line.client.news(), vec![Told::PowerDown, Told::PowerUp], "what each client is told");
    }
    // Its ring goes on where it was.
    bed.append(&with, 2..3)?;
    // Without memory for the interface's own Start, the client's must come first.
    ensure_eq!(without.channel.state(), ChannelState::NeedsStart, "the channel without an anchor");
    ensure!(bed.append(&without, 2..3).is_err(), "it takes an Append");
    bed.provider.news();
    bed.start(&without, 2..3)?;
    ensure!(matches!(bed.provider.news()[..], [Called::Start { channel: 1, .. }]), "it takes a Start");
    Ok(())
}

/// Characteristics of 1.1 as a provider in C gives them, with every callback. None of these is called.
fn raw() -> NetDmaProviderCharacteristicsV1 {
    use std::ffi::c_void;
    extern "C" fn one(_: *mut c_void) -> i32 {
        0
    }
    extern "C" fn free(_: *mut c_void) {}
    extern "C" fn suspend(_: *mut c_void, _: *mut u64) -> i32 {
        0
    }
    extern "C" fn submit(_: *mut c_void, _: *mut crate::contract::raw::RawDescriptor, _: u64, _: u32) -> i32 {
        0
    }
    extern "C" fn affinity(_: *mut c_void, _: *const NetDmaChannelCpuAffinity, _: u32) -> i32 {
        0
    }
    extern "C" fn allocate(
        _: *mut c_void,
        _: *mut crate::contract::raw::NetDmaChannelParameters,
        _: *mut c_void,
        _: *mut *mut c_void,
    ) -> i32 {
        0
    }
    NetDmaProviderCharacteristicsV1 {
        major_version: 1,
        minor_version: 1,
        size: NetDmaProviderCharacteristicsV1::BYTES,
        flags: 0,
        // Any address: it is only asked whether there is one.
        physical_device_object: std::ptr::without_provenance_mut(0x1000),
        max_dma_channel_count: 4,
        set_dma_channel_cpu_affinity: Some(affinity),
        allocate_dma_channel: Some(allocate),
        free_dma_channel: Some(free),
        start_dma: Some(submit),
        suspend_dma: Some(suspend),
        resume_dma: Some(one),
        abort_dma: Some(one),
        append_dma: Some(submit),
        reset_channel: Some(one),
    }
}
