//! The channel (contract 4.4): allocation, the order of calls, and where the engine goes on.

use ioat_spec::{ChanSts, ChannelRegister, ChannelState as EngineState};

use super::assembly::{Assembly, Setup, TELLS, Taken, copy, failed, null, passive, with};
use super::work::{LongWork, Pages};
use super::{Bench, NotPassed, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{
    Call, ChannelError, ChannelState, CompletionValue, ControlFlags, CpuNumber, CpuSet32, NetDmaVersion,
    Refused, TransferStatus,
};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-CH-01",
        c_ch_01_a_channel_that_is_allocated_has_its_processor,
        Documented,
        Engine,
        "ddi ns-netdma-_net_dma_channel_parameters",
        "Allocate names the processor of the channel before it returns success"
    ),
    statement!(
        "C-CH-02",
        c_ch_02_the_processor_is_one_of_the_mask,
        Documented,
        Engine,
        "ddi nc-netdma-dma_channel_allocate_handler",
        "the processor of a channel is one that the affinity mask allows"
    ),
    statement!(
        "C-CH-03",
        c_ch_03_the_first_call_after_allocate_abort_or_reset_is_start,
        Documented,
        Engine,
        "ddi nc-netdma-dma_start_handler, -append_",
        "after Allocate, Abort and Reset no Append comes before a Start"
    ),
    statement!(
        "C-CH-04",
        c_ch_04_start_on_a_running_channel_replaces_what_remains,
        Documented,
        Engine,
        "ddi nc-netdma-dma_start_handler",
        "Start on a running channel lets the current descriptor finish, and the rest of the old list never runs"
    ),
    statement!(
        "C-CH-05",
        c_ch_05_a_1_x_chain_ends_at_a_link_of_zero,
        Documented,
        Engine,
        "con/extensions-to-chained-descriptors",
        "in 1.x a chain ends where NextDescriptor is 0"
    ),
    statement!(
        "C-CH-06",
        c_ch_06_a_1_x_append_to_an_idle_channel_goes_on_behind_the_last_descriptor,
        Documented,
        Engine,
        "ddi nc-netdma-dma_append_handler",
        "1.x: after an Append an idle engine reads its last descriptor anew and goes on at its new link"
    ),
    statement!(
        "C-CH-07",
        c_ch_07_a_2_0_chain_runs_as_many_descriptors_as_were_counted,
        Documented,
        Engine,
        "con/extensions-to-chained-descriptors",
        "2.0: DescriptorCount descriptors run, not one more, though no link is ever 0"
    ),
    statement!(
        "C-CH-08",
        c_ch_08_a_2_0_append_begins_where_the_last_link_points,
        Inferred,
        Engine,
        "ddi nc-netdma-dma_append_handler",
        "2.0: the address of an Append is the NextDescriptor of the descriptor before it"
    ),
];

fn c_ch_01_a_channel_that_is_allocated_has_its_processor(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let all = CpuSet32::first(assembly.processors.count());
    // As many as the engine has, so that channels whose own processor is taken are among them.
    let channels = (0..assembly.provider.identity().channels).map(|_| assembly.channel_on(all));
    let channels: Vec<Taken<'_>> = channels.collect::<Result<_, _>>()?;
    for taken in &channels {
        let cpu = taken.net.cpu_number();
        ensure!(all.contains(cpu), "channel {:?} was allocated to {cpu}, of {all:?}", taken.context);
    }
    Ok(())
}

fn c_ch_02_the_processor_is_one_of_the_mask(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    for cpu in (0..assembly.processors.count()).map(CpuNumber) {
        let channels = 0..assembly.provider.identity().channels;
        // The first finds a channel whose interrupt goes there; for the others only the DPC does.
        let channels = channels.map(|_| assembly.channel_on(CpuSet32::of(cpu)));
        for taken in channels.collect::<Result<Vec<Taken<'_>>, _>>()? {
            ensure_eq!(taken.net.cpu_number(), cpu, "the processor of a channel for {cpu} alone");
        }
    }
    Ok(())
}

fn c_ch_03_the_first_call_after_allocate_abort_or_reset_is_start(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    for (state, call) in [
        (ChannelState::Fresh, None),
        (ChannelState::NeedsStart, Some("Abort")),
        (ChannelState::Fresh, Some("Reset")),
    ] {
        match call {
            None => {}
            Some("Abort") => taken.net.abort(&passive()?)?,
            Some(_) => taken.net.reset(&passive()?)?,
        }
        let more = taken.lay(&[with(null(work.mark(0)), TELLS)])?;
        let callbacks = assembly.watched.callbacks(taken.context);
        let refused = taken.net.append(&more.chain(), &passive()?);
        let expected = ChannelError::Refused(Refused { call: Call::Append, state });
        ensure_eq!(refused, Err(expected), "Append after {call:?}");
        ensure_eq!(taken.net.state(), state, "the state after a refused Append");
        ensure_eq!(assembly.watched.callbacks(taken.context), callbacks, "the provider's callbacks");
        // And the same chain by a Start.
        taken.finished(taken.start(&more)?)?;
    }
    Ok(())
}

fn c_ch_04_start_on_a_running_channel_replaces_what_remains(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    for pairs in [32, 64, 128, 256, 256, 256] {
        taken.start(&taken.lay_at(0, &work.descriptors(pairs))?)?;
        assembly.until("the first mark is there", || work.has_mark(0).unwrap_or(true))?;
        let other = with(null(work.mark(0)), TELLS);
        let submitted = taken.start(&taken.lay_at(2 * LongWork::PAIRS, &[other])?)?;
        let replaced = work.marks()?;
        ensure!(work.is_whole()?, "the descriptor under way when Start came was cut off");
        taken.finished(submitted)?;
        taken.finished(taken.append(&taken.lay_at(2 * LongWork::PAIRS + 1, &[other])?)?)?;
        ensure_eq!(work.marks()?, replaced, "marks of the old list, after another chain has run");
        if replaced < pairs {
            return Ok(());
        }
    }
    Err(failed("the old list was finished each time before another Start could come"))
}

/// An engine whose provider registered as 1.1.
fn of_1_1(bench: &Bench<'_>) -> Result<Assembly, NotPassed> {
    let setup = Setup { version: Some(NetDmaVersion::V1_1), ..Setup::default() };
    Assembly::with(bench.engine()?, setup)
}

fn c_ch_05_a_1_x_chain_ends_at_a_link_of_zero(bench: &Bench<'_>) -> Verdict {
    let assembly = of_1_1(bench)?;
    let taken = assembly.channel()?;
    let pages = Pages::new(&taken)?;
    let chain = [pages.copy(0), pages.copy(1), with(pages.copy(2), TELLS)];
    // What lies behind the end in memory is no part of the chain.
    taken.lay_at(3, &[pages.copy(3)])?;
    let laid = taken.lay_at(0, &chain)?;
    taken.link(laid.last(), 0)?;
    taken.finished(taken.start(&laid)?)?;
    ensure_eq!(
        taken.word.load(),
        CompletionValue::new(laid.last(), TransferStatus::Idle),
        "the word at the end"
    );
    ensure_eq!(taken.read(laid.last())?.next, 0, "the last link");
    ensure_eq!(pages.written(8)?, [0, 1, 2], "places that were written");
    Ok(())
}

fn c_ch_06_a_1_x_append_to_an_idle_channel_goes_on_behind_the_last_descriptor(bench: &Bench<'_>) -> Verdict {
    let assembly = of_1_1(bench)?;
    let taken = assembly.channel()?;
    let pages = Pages::new(&taken)?;
    let mut before = taken.lay_ended(&[with(pages.copy(0), TELLS)])?;
    taken.finished(taken.start(&before)?)?;
    for number in 1..4 {
        // Elsewhere than behind it in memory, so that only the link leads there.
        let more = taken
            .lay_at(100 - 10 * number, &[pages.copy(2 * number), with(pages.copy(2 * number + 1), TELLS)])?;
        taken.link(more.last(), 0)?;
        taken.finished(taken.append(&more)?)?;
        let link = taken.read(before.last())?.next;
        ensure_eq!(link, more.addresses[0].get(), "the link that the interface put in for Append {number}");
        let idle = CompletionValue::new(more.last(), TransferStatus::Idle);
        ensure_eq!(taken.word.load(), idle, "the word after Append {number}");
        before = more;
    }
    ensure_eq!(pages.written(10)?, [0, 2, 3, 4, 5, 6, 7], "places that were written");
    Ok(())
}

fn c_ch_07_a_2_0_chain_runs_as_many_descriptors_as_were_counted(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let pages = Pages::new(&taken)?;
    // A circle. In a second round the first descriptor would copy zeros over what it copied in the first.
    let zeros = taken.memory(4096)?;
    let spoil = copy((&zeros, 0), (&pages.from, 0), 64);
    let laid = taken.lay(&[pages.copy(0), with(spoil, TELLS.with(ControlFlags::SERIALIZE_TRANSFER))])?;
    taken.link(laid.last(), laid.addresses[0].get())?;
    taken.finished(taken.start(&laid)?)?;
    let status = ChanSts::from_bits(taken.register(ChannelRegister::ChanSts)?);
    ensure_eq!(status.state(), Some(EngineState::Idle), "the engine after the last counted descriptor");
    ensure_eq!(status.completed(), laid.last().get(), "the descriptor that it completed last");
    ensure_eq!(pages.written(1)?, [0], "places that were written");
    Ok(())
}

fn c_ch_08_a_2_0_append_begins_where_the_last_link_points(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let pages = Pages::new(&taken)?;
    let mut last = taken.run(&[with(pages.copy(0), TELLS)])?.last();
    for number in 1..4 {
        let more = taken.lay(&[pages.copy(number), with(pages.copy(number), TELLS)])?;
        taken.finished(taken.append(&more)?)?;
        let callback = assembly.watched.callbacks(taken.context).pop();
        let found =
            callback.filter(|callback| callback.call == Call::Append).and_then(|callback| callback.first);
        let (address, count) = found.ok_or_else(|| failed(format!("no Append, but {callback:?}")))?;
        ensure_eq!(address.get(), taken.read(last)?.next, "the address of Append {number}");
        ensure_eq!(count, 2, "its count");
        last = more.last();
    }
    // Anywhere else is refused, and changes nothing.
    let callbacks = assembly.watched.callbacks(taken.context);
    let elsewhere = taken.lay_at(512, &[with(pages.copy(8), TELLS)])?;
    let refused = taken.net.append(&elsewhere.chain(), &passive()?);
    ensure!(
        refused.is_err(),
        "an Append at {} was taken, with a last link to another place",
        elsewhere.last()
    );
    ensure_eq!(taken.net.outstanding(), 0, "descriptors outstanding after the refused Append");
    ensure_eq!(taken.net.state(), ChannelState::Running, "the state after the refused Append");
    ensure_eq!(assembly.watched.callbacks(taken.context), callbacks, "the provider's callbacks");
    ensure_eq!(pages.written(9)?, [0, 1, 2, 3], "places that were written");
    Ok(())
}
