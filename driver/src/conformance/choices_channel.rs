//! Choices of ours about channels, where the documents are silent: the open cells of the state table (contract 1.9),
//! and what clauses ND-C5, ND-P4 and ND-P16 leave open.

use ioat_stage::pause::{Join, Task};

use super::assembly::{Assembly, Laid, TELLS, Taken, failed, null, passive, with};
use super::work::{LongWork, Midway, midway};
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{
    AllocateError, Call, ChannelError, ChannelState, CompletionValue, ControlFlags, CpuSet32, NetDmaChannel,
    NetDmaStatus, Refused, Submitted, TransferStatus,
};
use crate::irql::AtPassive;

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "L-ST-1",
        l_st_1_start_on_a_suspended_channel_leaves_suspension,
        Choice,
        Engine,
        "contract 1.9, Start x SUSPENDED",
        "Start on a suspended channel is taken: it leaves suspension, and the old list never runs"
    ),
    statement!(
        "L-ST-2",
        l_st_2_append_on_a_suspended_channel_is_refused,
        Choice,
        Engine,
        "contract 1.9, Append x SUSPENDED",
        "Append on a suspended channel is refused, and what is pending stays"
    ),
    statement!(
        "L-ST-3",
        l_st_3_suspend_is_refused_where_nothing_runs,
        Choice,
        Engine,
        "contract 1.9, Suspend x FRESH, SUSPENDED, NEEDS-START",
        "Suspend is refused on a channel that is fresh, suspended already, or waits for Start"
    ),
    statement!(
        "L-ST-4",
        l_st_4_resume_is_refused_where_nothing_is_suspended,
        Choice,
        Engine,
        "contract 1.9, Resume x FRESH, RUNNING, NEEDS-START",
        "Resume is refused on a channel that is fresh, runs, or waits for Start"
    ),
    statement!(
        "L-ST-5",
        l_st_5_abort_where_nothing_runs_does_nothing,
        Choice,
        Engine,
        "contract 1.9, Abort x FRESH, NEEDS-START",
        "Abort on a channel that is fresh or waits for Start succeeds, and the provider is not asked"
    ),
    statement!(
        "L-ST-6",
        l_st_6_abort_on_a_suspended_channel_drops_what_is_pending,
        Choice,
        Engine,
        "contract 1.9, Abort x SUSPENDED",
        "Abort on a suspended channel is taken: the channel waits for Start, and nothing is pending"
    ),
    statement!(
        "L-ST-7",
        l_st_7_free_on_a_suspended_channel_is_refused_while_work_is_pending,
        Choice,
        Engine,
        "contract 1.9, Free x SUSPENDED",
        "Free on a suspended channel is refused while work is pending, and taken when none is"
    ),
    statement!(
        "L-ND-C5",
        l_nd_c5_status_is_reported_once_a_descriptor_asked_for_it,
        Choice,
        Engine,
        "contract ND-C5",
        "Suspend, Abort and Reset write the word if some descriptor submitted since Start asked for it"
    ),
    statement!(
        "L-ND-P4",
        l_nd_p4_a_failed_allocation_leaves_nothing_behind,
        Choice,
        Engine,
        "contract ND-P4",
        "a failed Allocate gives no channel context, and keeps nothing of the request"
    ),
    statement!(
        "L-ND-P16",
        l_nd_p16_callbacks_on_one_channel_never_overlap,
        Choice,
        Engine,
        "contract ND-P16",
        "callbacks on one channel come one after the other, whoever calls"
    ),
];

/// A channel brought to a state by real work.
fn bring_to(taken: &Taken<'_>, work: &LongWork, state: ChannelState) -> Verdict {
    taken.net.reset(&passive()?)?;
    match state {
        ChannelState::Running => drop(taken.run(&[with(null(work.mark(0)), TELLS)])?),
        ChannelState::Suspended => {
            taken.run(&[with(null(work.mark(0)), TELLS)])?;
            taken.net.suspend(&passive()?)?;
        }
        ChannelState::NeedsStart => {
            taken.run(&[with(null(work.mark(0)), TELLS)])?;
            taken.net.abort(&passive()?)?;
        }
        _ => {}
    }
    ensure_eq!(taken.net.state(), state, "the state that the check begins with");
    Ok(())
}

/// A call is refused, the state stays, and the provider does not hear of it.
fn refused(taken: &Taken<'_>, call: Call, state: ChannelState) -> Verdict {
    let (level, callbacks) = (passive()?, taken.assembly.watched.callbacks(taken.context));
    let result = match call {
        Call::Suspend => taken.net.suspend(&level).map(drop),
        Call::Resume => taken.net.resume(&level),
        _ => return Err(failed(format!("{call:?} is not for this check"))),
    };
    ensure_eq!(result, Err(ChannelError::Refused(Refused { call, state })), "{call:?} on {state:?}");
    ensure_eq!(taken.net.state(), state, "the state after a refused {call:?}");
    ensure_eq!(
        taken.assembly.watched.callbacks(taken.context),
        callbacks,
        "callbacks for a refused {call:?}"
    );
    Ok(())
}

fn the_rest(taken: &Taken<'_>, midway: &Midway) -> Verdict {
    taken.finished(Submitted { last_sequence: midway.last_sequence, forgotten: 0 })
}

fn l_st_1_start_on_a_suspended_channel_leaves_suspension(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    midway(&taken, &work)?;
    let marks = work.marks()?;
    let other = with(null(work.mark(0)), TELLS);
    let laid = taken.lay_at(2 * LongWork::PAIRS, &[other])?;
    taken.finished(taken.start(&laid)?)?;
    ensure_eq!(taken.net.state(), ChannelState::Running, "the state after Start");
    ensure_eq!(taken.word.load(), CompletionValue::new(laid.last(), TransferStatus::Idle), "the word");
    ensure_eq!(work.marks()?, marks, "marks of the old list");
    ensure_eq!(taken.net.outstanding(), 0, "descriptors outstanding");
    Ok(())
}

fn l_st_2_append_on_a_suspended_channel_is_refused(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let midway = midway(&taken, &work)?;
    let outstanding = taken.net.outstanding();
    // Exactly where an Append would have to begin.
    let pairs = midway.laid.addresses.len();
    let more = taken.lay_at(pairs, &[with(null(work.mark(0)), TELLS)])?;
    let result = taken.net.append(&more.chain(), &passive()?).map(drop);
    let (call, state) = (Call::Append, ChannelState::Suspended);
    ensure_eq!(result, Err(ChannelError::Refused(Refused { call, state })), "Append on a suspended channel");
    ensure!(taken.net.outstanding() <= outstanding, "the refused Append is outstanding");
    taken.net.resume(&passive()?)?;
    the_rest(&taken, &midway)?;
    ensure_eq!(taken.net.outstanding(), 0, "descriptors outstanding in the end");
    Ok(())
}

fn l_st_3_suspend_is_refused_where_nothing_runs(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    for state in [ChannelState::Fresh, ChannelState::Suspended, ChannelState::NeedsStart] {
        bring_to(&taken, &work, state)?;
        refused(&taken, Call::Suspend, state)?;
    }
    Ok(())
}

fn l_st_4_resume_is_refused_where_nothing_is_suspended(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    for state in [ChannelState::Fresh, ChannelState::Running, ChannelState::NeedsStart] {
        bring_to(&taken, &work, state)?;
        refused(&taken, Call::Resume, state)?;
    }
    Ok(())
}

fn l_st_5_abort_where_nothing_runs_does_nothing(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    for state in [ChannelState::Fresh, ChannelState::NeedsStart] {
        bring_to(&taken, &work, state)?;
        let (word, callbacks) = (taken.word.load(), assembly.watched.callbacks(taken.context));
        taken.net.abort(&passive()?)?;
        ensure_eq!(taken.net.state(), state, "the state after Abort");
        ensure_eq!(taken.word.load(), word, "the word after Abort on {state:?}");
        ensure_eq!(assembly.watched.callbacks(taken.context), callbacks, "callbacks for Abort on {state:?}");
        taken.run(&[with(null(work.mark(0)), TELLS)])?;
    }
    Ok(())
}

fn l_st_6_abort_on_a_suspended_channel_drops_what_is_pending(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    midway(&taken, &work)?;
    let marks = work.marks()?;
    taken.net.abort(&passive()?)?;
    ensure_eq!(taken.net.state(), ChannelState::NeedsStart, "the state after Abort");
    ensure_eq!(taken.net.outstanding(), 0, "descriptors outstanding after Abort");
    let status = taken.word.load().0 & CompletionValue::STATUS_MASK;
    ensure_eq!(status, TransferStatus::Halted as u64, "the status after Abort");
    taken.run(&[with(null(work.mark(0)), TELLS)])?;
    ensure_eq!(work.marks()?, marks, "marks of the aborted list, after another chain has run");
    Ok(())
}

fn l_st_7_free_on_a_suspended_channel_is_refused_while_work_is_pending(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let midway = midway(&taken, &work)?;
    let result = taken.net.free(&passive()?);
    ensure!(matches!(result, Err(ChannelError::Busy(_))), "Free with work pending gave {result:?}");
    ensure_eq!(taken.net.state(), ChannelState::Suspended, "the state after a refused Free");
    taken.net.resume(&passive()?)?;
    the_rest(&taken, &midway)?;
    taken.net.suspend(&passive()?)?;
    taken.net.free(&passive()?)?;
    ensure_eq!(taken.net.state(), ChannelState::Freed, "the state after Free with nothing pending");
    Ok(())
}

fn l_nd_c5_status_is_reported_once_a_descriptor_asked_for_it(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let interrupt = with(null(work.mark(0)), ControlFlags::INTERRUPT_ON_COMPLETION);
    let armed = CompletionValue(4);
    for call in [Call::Suspend, Call::Abort, Call::Reset] {
        let stop = || -> Verdict {
            match call {
                Call::Suspend => taken.net.suspend(&passive()?).map(drop)?,
                Call::Abort => taken.net.abort(&passive()?)?,
                _ => taken.net.reset(&passive()?)?,
            }
            Ok(())
        };
        // Nobody asked for a word.
        taken.run(&[interrupt])?;
        stop()?;
        ensure_eq!(taken.word.load(), armed, "the word after {call:?}, where no descriptor asked for one");
        // Only one of an Append asks for it, and has not even run when the channel is stopped for sure.
        let laid = taken.run(&[interrupt])?;
        taken.finished(taken.append(&taken.lay(&[with(interrupt, TELLS)])?)?)?;
        stop()?;
        let status = if call == Call::Suspend { TransferStatus::Suspend } else { TransferStatus::Halted };
        let word = taken.word.load().0;
        ensure_eq!(
            word & CompletionValue::STATUS_MASK,
            status as u64,
            "the status after {call:?}, of {word:#x}"
        );
        ensure!(word & !0x3f > laid.last().get(), "the word {word:#x} names the descriptor of the Append");
    }
    Ok(())
}

fn l_nd_p4_a_failed_allocation_leaves_nothing_behind(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let count = assembly.provider.identity().channels;
    let mut all: Vec<Taken<'_>> = (0..count).map(|_| assembly.channel()).collect::<Result<_, _>>()?;
    let one_more = assembly.ask(CpuSet32(u32::MAX))?;
    let expected = AllocateError::Provider(NetDmaStatus::RESOURCES);
    ensure_eq!(one_more.net.err(), Some(expected), "allocating one channel more than the engine's {count}");
    let context = assembly.provider.channel_at(one_more.word.physical());
    ensure_eq!(context, None, "the provider's channel for the refused request");
    // Whoever waits for it gets the next that is given back.
    all.pop();
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    taken.run(&[with(null(work.mark(0)), TELLS)])?;
    Ok(())
}

fn l_nd_p16_callbacks_on_one_channel_never_overlap(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    assembly.watched.linger();
    // Two tasks call whatever they like; which of the calls the state table refuses is chance.
    let laid = taken.lay(&[with(null(work.mark(0)), TELLS)])?;
    let mut tasks = Vec::new();
    for number in 0..2 {
        let (net, laid) = (taken.net.clone(), laid.clone());
        let body = Box::new(move || hammer(&net, &laid));
        let task = Task { name: format!("caller {number}"), cpu: None };
        tasks.push(assembly.device.pause.spawn(task, body)?);
    }
    // Both in any case, before the verdict.
    let returned: Vec<bool> = tasks.into_iter().map(Join::join).collect();
    ensure_eq!(returned, [true, true], "the callers returned");
    let called = assembly.watched.callbacks(taken.context).len();
    ensure!(called >= 40, "both callers reached the provider: {called} callbacks");
    ensure_eq!(assembly.watched.overlaps(), 0, "callbacks that began inside another one");
    Ok(())
}

/// Calls that are allowed in some order, without asking whether they are now.
fn hammer(net: &NetDmaChannel, laid: &Laid) {
    let Some(level) = AtPassive::claim() else { return };
    for _ in 0..20 {
        // Refused or not is not what this is about.
        let _ = net.start(&laid.chain(), &level);
        let _ = net.suspend(&level);
        let _ = net.resume(&level);
        let _ = net.reset(&level);
    }
}
