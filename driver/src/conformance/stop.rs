//! The channel (contract 4.4): stopping it. Suspend and what may happen meanwhile, Reset, Free.

use std::sync::Arc;

use ioat_spec::{ChanSts, ChannelRegister, ChannelState as EngineState};

use super::assembly::{Assembly, Laid, TELLS, failed, lay_in, null, passive, with};
use super::work::{LongWork, Pages, midway};
use super::{Bench, NotPassed, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{
    Call, ChannelError, ChannelState, CompletionValue, NetDmaDescriptor, Refused, Submitted, TransferStatus,
};
use crate::hw::DmaBuffer;

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-CH-09",
        c_ch_09_suspend_returns_when_the_current_descriptor_is_finished,
        Documented,
        Engine,
        "ddi nc-netdma-dma_suspend_handler",
        "when Suspend returns, the current descriptor is finished and the engine has stopped"
    ),
    statement!(
        "C-CH-10",
        c_ch_10_a_list_edited_while_suspended_is_what_runs,
        Documented,
        Engine,
        "ddi nc-netdma-dma_suspend_handler, -resume_",
        "what was inserted, deleted or changed while the channel was suspended is what Resume runs"
    ),
    statement!(
        "C-CH-11",
        c_ch_11_after_reset_no_earlier_descriptor_is_touched,
        Documented,
        Engine,
        "ddi nc-netdma-dma_reset_handler",
        "after Reset the engine neither reads nor writes any descriptor from before"
    ),
    statement!(
        "C-CH-12",
        c_ch_12_free_comes_last_and_with_nothing_outstanding,
        Documented,
        Engine,
        "ddi nc-netdma-dma_channel_free_handler",
        "Free is not called with work outstanding, and no callback of the channel follows it"
    ),
];

fn c_ch_09_suspend_returns_when_the_current_descriptor_is_finished(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let midway = midway(&taken, &work)?;
    let marks = work.marks()?;
    ensure!(work.is_whole()?, "the descriptor under way when Suspend came was cut off");
    ensure_eq!(marks, midway.finished / 2, "marks up to the descriptor that Suspend named");
    let status = ChanSts::from_bits(taken.register(ChannelRegister::ChanSts)?);
    ensure_eq!(status.state(), Some(EngineState::Suspended), "the engine");
    let last = midway.laid.addresses[midway.finished - 1];
    ensure_eq!(status.completed(), last.get(), "the descriptor that it completed last");
    taken.net.resume(&passive()?)?;
    taken.finished(Submitted { last_sequence: midway.last_sequence, forgotten: 0 })?;
    ensure_eq!(work.marks()?, midway.laid.addresses.len() / 2, "marks after Resume");
    Ok(())
}

fn c_ch_10_a_list_edited_while_suspended_is_what_runs(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let pages = Pages::new(&taken)?;
    let midway = midway(&taken, &work)?;
    let Laid { addresses, .. } = &midway.laid;
    let next = midway.finished;
    let last = addresses[next - 1];
    // The next one is deleted, and if it ran it would leave a trace; another one is inserted in its place.
    let inserted = taken.lay_at(3 * LongWork::PAIRS, &[pages.copy(0)])?;
    taken.link(inserted.last(), addresses[next + 1].get())?;
    let deleted = NetDmaDescriptor { next: addresses[next + 1].get(), ..pages.copy(1) };
    taken.write(addresses[next], &deleted)?;
    taken.link(last, inserted.last().get())?;
    // The one behind it does something else.
    let changed = NetDmaDescriptor { next: addresses[next + 2].get(), ..pages.copy(2) };
    taken.write(addresses[next + 1], &changed)?;

    taken.net.resume(&passive()?)?;
    taken.finished(Submitted { last_sequence: midway.last_sequence, forgotten: 0 })?;
    ensure_eq!(pages.written(3)?, [0, 2], "places written by what was inserted and changed");
    let expected = CompletionValue::new(midway.laid.last(), TransferStatus::Idle);
    ensure_eq!(taken.word.load(), expected, "the word at the end");
    // Of the two descriptors that are gone one was a mark.
    let gone = next / 2;
    for number in 0..addresses.len() / 2 {
        ensure_eq!(work.has_mark(number)?, number != gone, "mark {number}, where {gone} is gone");
    }
    Ok(())
}

fn c_ch_11_after_reset_no_earlier_descriptor_is_touched(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    for pairs in [32, 64, 128, 256, 256, 256] {
        let old = assembly.memory(2 * LongWork::PAIRS * size_of::<NetDmaDescriptor>())?;
        let laid = lay_in(&old, 0, &work.descriptors(pairs))?;
        let before = bytes(&old)?;
        taken.start(&laid)?;
        assembly.until("the first mark is there", || work.has_mark(0).unwrap_or(true))?;
        taken.net.reset(&passive()?)?;
        let marks = work.marks()?;
        ensure!(bytes(&old)? == before, "the engine wrote to the descriptors before it was reset");
        // From here on the old descriptors are not even mapped: whoever reads one halts on it.
        drop(laid);
        let unmapped =
            Arc::into_inner(old).ok_or_else(|| failed("the old chain is still held by the driver"))?;
        drop(unmapped);
        taken.run(&[null(work.mark(0)), with(null(work.mark(0)), TELLS)])?;
        ensure_eq!(work.marks()?, marks, "marks of the old chain, after a new one has run");
        if marks < pairs {
            return Ok(());
        }
    }
    Err(failed("the old chain was finished each time before the Reset could come"))
}

fn bytes(buffer: &DmaBuffer) -> Result<Vec<u8>, NotPassed> {
    let mut bytes = vec![0; buffer.len()];
    buffer.read(0, &mut bytes)?;
    Ok(bytes)
}

fn c_ch_12_free_comes_last_and_with_nothing_outstanding(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let level = passive()?;
    let midway = midway(&taken, &work)?;
    let freed =
        || assembly.watched.callbacks(taken.context).iter().any(|callback| callback.call == Call::Free);
    ensure!(
        matches!(taken.net.free(&level), Err(ChannelError::Busy(_))) && !freed(),
        "Free with work outstanding reached the provider"
    );
    taken.net.resume(&level)?;
    taken.finished(Submitted { last_sequence: midway.last_sequence, forgotten: 0 })?;
    taken.net.free(&level)?;
    let callbacks = assembly.watched.callbacks(taken.context);
    ensure_eq!(callbacks.last().map(|callback| callback.call), Some(Call::Free), "the last callback");

    let chain = midway.laid.chain();
    let refused = |call| Err(ChannelError::Refused(Refused { call, state: ChannelState::Freed }));
    ensure_eq!(taken.net.start(&chain, &level).map(drop), refused(Call::Start), "Start after Free");
    ensure_eq!(taken.net.append(&chain, &level).map(drop), refused(Call::Append), "Append after Free");
    ensure_eq!(taken.net.suspend(&level).map(drop), refused(Call::Suspend), "Suspend after Free");
    ensure_eq!(taken.net.resume(&level), refused(Call::Resume), "Resume after Free");
    ensure_eq!(taken.net.abort(&level), refused(Call::Abort), "Abort after Free");
    ensure_eq!(taken.net.reset(&level), refused(Call::Reset), "Reset after Free");
    ensure_eq!(taken.net.free(&level), refused(Call::Free), "Free after Free");
    ensure_eq!(assembly.watched.callbacks(taken.context), callbacks, "callbacks after Free");
    Ok(())
}
