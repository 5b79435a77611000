//! The channel (contract 4.4): what one descriptor does, flag by flag.

use ioat_spec::ChannelRegister;

use super::assembly::{Assembly, TELLS, Taken, copy, failed, null, passive, with};
use super::bench::Wanted;
use super::{Bench, NotPassed, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{CompletionValue, ControlFlags, NetDmaDescriptor, TransferStatus};
use crate::hw::{Device, DmaBuffer};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-CH-13",
        c_ch_13_user_context_is_as_it_was,
        Inferred,
        Engine,
        "ddi ns-netdma-_net_dma_descriptor",
        "UserContext1 and UserContext2 are the same bits before and after"
    ),
    statement!(
        "C-CH-14",
        c_ch_14_a_null_descriptor_copies_nothing_and_tells_what_it_is_asked_to,
        Documented,
        Engine,
        "con/supporting-null-dma-transfers",
        "a NULL descriptor copies nothing; interrupt and completion value follow its flags all the same"
    ),
    statement!(
        "C-CH-15",
        c_ch_15_behind_a_fence_the_next_descriptor_reads_what_this_one_wrote,
        Documented,
        Engine,
        "ddi ns-netdma-_net_dma_descriptor",
        "with the fence, the next descriptor reads from its source what this one wrote there"
    ),
    statement!(
        "C-CH-16",
        c_ch_16_a_page_break_splits_each_side_at_the_end_of_its_first_page,
        Documented,
        Engine,
        "con/source-and-destination-page-break",
        "a page break splits where the first 4 KiB page ends, on each side by itself"
    ),
    statement!(
        "C-CH-17",
        c_ch_17_a_second_page_that_does_not_begin_a_page_is_refused,
        Inferred,
        Engine,
        "con/source-and-destination-page-break (documented); the refusal is inferred",
        "with its flag set, a Next*Address that is not on a page boundary is invalid"
    ),
    statement!(
        "C-CH-18",
        c_ch_18_without_dca_its_flag_changes_nothing,
        Documented,
        Engine,
        "con/direct-cache-access--dca-",
        "a provider without DCA ignores the DCA flag of a descriptor"
    ),
    statement!(
        "C-CH-19",
        c_ch_19_the_dca_target_stays_until_the_next_context_change,
        Documented,
        Engine,
        "con/direct-cache-access--dca-",
        "a DCA target stays that of the channel until another context change"
    ),
];

/// Bytes of a page.
const PAGE: usize = 4096;

fn c_ch_13_user_context_is_as_it_was(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let [from, to] = [taken.memory(PAGE)?, taken.memory(PAGE)?];
    let plain = copy((&from, 0), (&to, 0), 64);
    let user = |user: [u64; 2], like: NetDmaDescriptor| NetDmaDescriptor { user, ..like };
    let descriptors = [
        user([u64::MAX, 0], plain),
        user([0x0123_4567_89ab_cdef, u64::MAX], with(plain, TELLS)),
        user([1, 0x8000_0000_0000_0000], null(plain)),
        user([0, 0xfedc_ba98_7654_3210], with(null(plain), TELLS)),
    ];
    let laid = taken.run(&descriptors)?;
    for (descriptor, address) in descriptors.iter().zip(&laid.addresses) {
        ensure_eq!(taken.read(*address)?.user, descriptor.user, "UserContext of the descriptor at {address}");
    }
    Ok(())
}

fn c_ch_14_a_null_descriptor_copies_nothing_and_tells_what_it_is_asked_to(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let status = ControlFlags::STATUS_UPDATE_ON_COMPLETION;
    let interrupt = ControlFlags::INTERRUPT_ON_COMPLETION;
    for flags in [ControlFlags::default(), status, interrupt, TELLS] {
        let taken = assembly.channel()?;
        let [from, to] = [taken.memory(PAGE)?, taken.memory(PAGE)?];
        from.write(0, &[0xee; PAGE])?;
        let plain = copy((&from, 0), (&to, 0), 64);
        // The word, seen from the interrupt of another NULL.
        let laid = taken.run(&[with(null(plain), flags), with(null(plain), interrupt)])?;
        let named = CompletionValue::new(laid.addresses[0], TransferStatus::Active);
        let expected = if flags.updates_status() { named } else { CompletionValue(4) };
        ensure_eq!(taken.word.load(), expected, "the word after a NULL with the flags {:#x}", flags.0);
        if flags.interrupts() {
            taken.run(&[with(null(plain), flags)])?;
        }
        ensure_eq!(bytes(&to)?, vec![0; PAGE], "the destination of a NULL");
    }
    Ok(())
}

fn c_ch_15_behind_a_fence_the_next_descriptor_reads_what_this_one_wrote(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let len = assembly.provider.identity().max_transfer();
    let buffers: Vec<_> = (0..4).map(|_| taken.memory(len as usize)).collect::<Result<_, _>>()?;
    for round in 1..=8_u8 {
        buffers[0].write(0, &vec![round; len as usize])?;
        let step = |number: usize| copy((&buffers[number], 0), (&buffers[number + 1], 0), len);
        let fence = ControlFlags::SERIALIZE_TRANSFER;
        taken.run(&[with(step(0), fence), with(step(1), fence), with(step(2), TELLS)])?;
        let old = bytes(&buffers[3])?.iter().filter(|byte| **byte != round).count();
        ensure_eq!(old, 0, "bytes from before in round {round}");
    }
    Ok(())
}

/// An engine that offers what 2.0 adds: the synthetic profile, or what offers the same.
fn of_2_0(bench: &Bench<'_>) -> Result<Device, NotPassed> {
    bench.engine_with(&Wanted { profile: Some("netdma"), ..Wanted::default() })
}

fn c_ch_16_a_page_break_splits_each_side_at_the_end_of_its_first_page(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(of_2_0(bench)?)?;
    // Where source and destination begin in their pages, and the bytes; both sides break where the flag is set.
    for (source, destination, len) in [
        (0xe00, 0x000, 0x800),
        (0x000, 0xe00, 0x800),
        (0xe00, 0x300, 0x1000),
        (0x300, 0xe00, 0x1000),
        (0xfff, 0xfff, 0x1000),
        (0x001, 0x040, 0x1000),
        (0x800, 0x800, 0x800),
    ] {
        for (breaks, flags) in [
            ([true, true], ControlFlags::SOURCE_PAGE_BREAK.with(ControlFlags::DESTINATION_PAGE_BREAK)),
            ([true, false], ControlFlags::SOURCE_PAGE_BREAK),
            ([false, true], ControlFlags::DESTINATION_PAGE_BREAK),
        ] {
            let taken = assembly.channel()?;
            broken(&taken, [source, destination], len, breaks, flags)?;
        }
    }
    Ok(())
}

/// One copy between buffers of four pages: it begins in page 0; what breaks goes on in page 2, what does not in 1.
fn broken(taken: &Taken<'_>, at: [usize; 2], len: usize, breaks: [bool; 2], flags: ControlFlags) -> Verdict {
    let [from, to] = [taken.memory(4 * PAGE)?, taken.memory(4 * PAGE)?];
    let content: Vec<u8> = (0..4 * PAGE).map(|n| (n ^ n >> 8).to_le_bytes()[0] | 1).collect();
    from.write(0, &content)?;
    let [source, destination] = at;
    let size = u32::try_from(len).map_err(|_| failed("a length"))?;
    let descriptor = NetDmaDescriptor {
        next_source: if breaks[0] { from.iova() + 2 * PAGE as u64 } else { 0 },
        next_destination: if breaks[1] { to.iova() + 2 * PAGE as u64 } else { 0 },
        ..copy((&from, source), (&to, destination), size)
    };
    taken.run(&[with(descriptor, flags.with(TELLS))])?;
    let place = |start: usize, breaks: bool, offset: usize| match start + offset {
        at if breaks && at >= PAGE => at + PAGE,
        at => at,
    };
    let mut expected = vec![0; 4 * PAGE];
    for offset in 0..len {
        expected[place(destination, breaks[1], offset)] = content[place(source, breaks[0], offset)];
    }
    let found = bytes(&to)?;
    let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    ensure_eq!(
        wrong,
        None,
        "the first wrong byte: {len:#x} bytes from {source:#x} to {destination:#x}, breaks {breaks:?}"
    );
    Ok(())
}

fn c_ch_17_a_second_page_that_does_not_begin_a_page_is_refused(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(of_2_0(bench)?)?;
    for flag in [ControlFlags::SOURCE_PAGE_BREAK, ControlFlags::DESTINATION_PAGE_BREAK] {
        // On a page boundary it is taken, so what follows is refused for its place alone.
        ensure!(second_page_at(&assembly, flag, 0)?, "a second page on a page boundary, flag {:#x}", flag.0);
        for offset in [0x40, 0x800, 0xfff] {
            let taken = second_page_at(&assembly, flag, offset)?;
            ensure!(!taken, "a second page at {offset:#x} of a page was taken, flag {:#x}", flag.0);
        }
    }
    Ok(())
}

/// Whether a copy is taken whose second page begins so far inside a page; if not, nothing is written.
fn second_page_at(assembly: &Assembly, flag: ControlFlags, offset: u64) -> Result<bool, NotPassed> {
    let taken = assembly.channel()?;
    let [from, to] = [taken.memory(4 * PAGE)?, taken.memory(4 * PAGE)?];
    from.write(0, &[0xcc; 4 * PAGE])?;
    let descriptor = NetDmaDescriptor {
        next_source: from.iova() + 2 * PAGE as u64 + offset,
        next_destination: to.iova() + 2 * PAGE as u64 + offset,
        ..copy((&from, 0xe00), (&to, 0xe00), 0x400)
    };
    let laid = taken.lay(&[with(descriptor, flag.with(TELLS))])?;
    // It is refused by the provider, before the engine has it, or by the engine, which halts.
    if let Ok(submitted) = taken.net.start(&laid.chain(), &passive()?) {
        let told = &taken.told;
        let done = || told.done() >= submitted.last_sequence;
        assembly.until("the engine refuses it or runs it", || told.attentions() > 0 || done())?;
        if done() {
            return Ok(true);
        }
    }
    ensure_eq!(bytes(&to)?, vec![0; 4 * PAGE], "the destination of what was refused");
    Ok(false)
}

fn c_ch_18_without_dca_its_flag_changes_nothing(bench: &Bench<'_>) -> Verdict {
    let wanted = Wanted { profile: Some("skx"), ..Wanted::default() };
    let assembly = Assembly::new(bench.engine_with(&wanted)?)?;
    let taken = assembly.channel()?;
    ensure!(!assembly.provider.identity().capability.dca(), "the engine of this check offers no DCA");
    let [from, to] = [taken.memory(PAGE)?, taken.memory(PAGE)?];
    let content: Vec<u8> = (0..PAGE).map(|n| (n * 7).to_le_bytes()[0]).collect();
    from.write(0, &content)?;
    let size = u32::try_from(PAGE).map_err(|_| failed("a length"))?;
    let hinted = with(copy((&from, 0), (&to, 0), size), ControlFlags::DESTINATION_DCA_ENABLE.with(TELLS));
    let before = taken.register(ChannelRegister::DcaCtrl)?;
    let laid = taken.run(&[hinted])?;
    ensure!(bytes(&to)? == content, "the data was copied as without the flag");
    let expected = CompletionValue::new(laid.last(), TransferStatus::Idle);
    ensure_eq!(taken.word.load(), expected, "the word");
    ensure_eq!(taken.register(ChannelRegister::DcaCtrl)?, before, "the channel's DCA control");
    Ok(())
}

/// DCACTRL: the target's APIC id, and that there is one.
const TARGET: u64 = 0xffff;
const TARGETED: u64 = 1 << 16;

fn c_ch_19_the_dca_target_stays_until_the_next_context_change(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(of_2_0(bench)?)?;
    let taken = assembly.channel()?;
    let [from, to] = [taken.memory(PAGE)?, taken.memory(PAGE)?];
    let hinted = with(copy((&from, 0), (&to, 0), 64), ControlFlags::DESTINATION_DCA_ENABLE.with(TELLS));
    for apic in [5_u8, 0xfe, 0] {
        taken.run(&[context_change(apic), hinted])?;
        let target = |when: &str| -> Verdict {
            let found = taken.register(ChannelRegister::DcaCtrl)? & (TARGET | TARGETED);
            ensure_eq!(found, TARGETED | u64::from(apic), "DCACTRL {when}");
            Ok(())
        };
        target("after the context change")?;
        taken.run(&[hinted, hinted])?;
        target("after more transfers")?;
        // Not over Suspend and Resume: there the interface itself submits the next context change (ND-A3).
        taken.finished(taken.append(&taken.lay(&[hinted])?)?)?;
        target("after an Append")?;
    }
    Ok(())
}

/// A context change to the processor of this APIC id: DCAContext8 is the first byte (C-LY-02).
fn context_change(apic: u8) -> NetDmaDescriptor {
    /// NET_DMA_OP_TYPE_CONTEXT_CHANGE, and under it NET_DMA_DCA_CONTEXT_CHANGE.
    const CONTEXT_CHANGE: u32 = 0xff00_0001;
    NetDmaDescriptor { size: apic.into(), control: CONTEXT_CHANGE, ..NetDmaDescriptor::default() }
}

fn bytes(buffer: &DmaBuffer) -> Result<Vec<u8>, NotPassed> {
    let mut bytes = vec![0; buffer.len()];
    buffer.read(0, &mut bytes)?;
    Ok(bytes)
}
