//! `NdisMSynchronizeWithInterruptEx` (contract 2.7 and 4.6, SY).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::recording::{Gate, Plan, aside, asks, passive, pause, processors, quiet, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::irql::{self, Irql};
use crate::ndis::DpcRequest;

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-SY-01",
        c_sy_01_the_answer_is_the_routines_own,
        Documented,
        Library,
        "ddi nf-ndis-ndismsynchronizewithinterruptex",
        "synchronising gives exactly what the routine answered, and the caller's level comes back"
    ),
    statement!(
        "C-SY-02",
        c_sy_02_routine_and_isr_of_a_message_exclude_each_other,
        Documented,
        Library,
        "ddi nf-ndis-ndismsynchronizewithinterruptex",
        "the routine and the service routine of its message never overlap, whichever is first"
    ),
    statement!(
        "C-SY-03",
        c_sy_03_a_line_ignores_the_message,
        Documented,
        Library,
        "ddi nf-ndis-ndismsynchronizewithinterruptex",
        "for a line any MessageId names the one interrupt"
    ),
    statement!(
        "C-SY-04",
        c_sy_04_with_one_lock_isrs_of_different_messages_never_overlap,
        Documented,
        Library,
        "ddi ns-ndis-_ndis_miniport_interrupt_characteristics",
        "with MsiSyncWithAllMessages the service routines of all messages exclude each other"
    ),
];

fn c_sy_01_the_answer_is_the_routines_own(_: &Bench<'_>) -> Verdict {
    let processors = processors(1)?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let message = registered.handle.message(0)?;
    for answer in [true, false] {
        let mut level = None;
        let got = registered.handle.synchronize(message, &passive()?, |_| {
            level = Some(irql::current());
            answer
        })?;
        ensure_eq!((got, level), (answer, Some(Irql::Device)), "the answer, and the routine's level");
        ensure_eq!(irql::current(), Irql::Passive, "the level afterwards");
    }
    Ok(())
}

fn c_sy_02_routine_and_isr_of_a_message_exclude_each_other(_: &Bench<'_>) -> Verdict {
    // The routine first.
    let (processors, source) = (processors(1)?, ScriptedSource::messages(2));
    let (inside, overlapped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (enter, entered, release) = (Gate::new(), Gate::new(), Gate::new());
    let (hold, enters, released) = (enter.clone(), entered.clone(), release.clone());
    let (in_routine, both) = (inside.clone(), overlapped.clone());
    let isr = Box::new(move |_: &_, _, _: &_| {
        if in_routine.load(Ordering::SeqCst) {
            both.store(true, Ordering::SeqCst);
        }
        if hold.is_open() {
            enters.open();
            released.wait();
        }
        asks(DpcRequest::None)
    });
    let registered = register(&processors, &source, Plan { isr, ..Plan::default() })?;
    let (message, other) = (registered.handle.message(0)?, registered.handle.message(1)?);
    registered.handle.synchronize(message, &passive()?, |_| {
        inside.store(true, Ordering::SeqCst);
        source.fire(0);
        quiet();
        inside.store(false, Ordering::SeqCst);
        true
    })?;
    registered.miniport.isrs.wait_for(1, "service routines")?;
    ensure!(!overlapped.load(Ordering::SeqCst), "the service routine ran inside the routine");
    // The service routine first.
    enter.open();
    source.fire(0);
    entered.expect("the second service routine")?;
    let (ran, handle) = (Gate::new(), registered.handle.clone());
    let runs = ran.clone();
    let synchronizing = aside(move || {
        if let Ok(level) = passive() {
            let _ = handle.synchronize(message, &level, |_| {
                runs.open();
                true
            });
        }
    })?;
    quiet();
    ensure!(!ran.is_open(), "the routine ran inside the service routine");
    // Message 1 has a lock of its own, and is free.
    ensure!(registered.handle.synchronize(other, &passive()?, |_| true)?, "the other message's routine");
    release.open();
    ran.expect("the routine after the service routine")?;
    synchronizing.join();
    Ok(())
}

fn c_sy_03_a_line_ignores_the_message(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(1)?, ScriptedSource::line());
    let (inside, overlapped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (in_routine, both, of_isr) = (inside.clone(), overlapped.clone(), source.clone());
    let isr = Box::new(move |_: &_, _, _: &_| {
        of_isr.assert_line(false);
        if in_routine.load(Ordering::SeqCst) {
            both.store(true, Ordering::SeqCst);
        }
        asks(DpcRequest::None)
    });
    let registered = register(&processors, &source, Plan { isr, ..Plan::default() })?;
    for (before, number) in [0, 1, 77, u32::MAX].into_iter().enumerate() {
        let message = registered.handle.message(number)?;
        let answer = registered.handle.synchronize(message, &passive()?, |_| {
            inside.store(true, Ordering::SeqCst);
            source.assert_line(true);
            quiet();
            inside.store(false, Ordering::SeqCst);
            true
        })?;
        ensure!(answer, "message {number} of a line");
        registered.miniport.isrs.wait_for(before + 1, "service routines")?;
        ensure!(
            !overlapped.load(Ordering::SeqCst),
            "with message {number} the service routine was not kept out"
        );
    }
    Ok(())
}

fn c_sy_04_with_one_lock_isrs_of_different_messages_never_overlap(_: &Bench<'_>) -> Verdict {
    const ROUNDS: usize = 100;
    let (processors, source) = (processors(2)?, ScriptedSource::messages(2));
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let of_isr = most.clone();
    let isr = Box::new(move |_: &_, _, _: &_| {
        of_isr.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Room for the other one to come in, if it can.
        pause().sleep(Duration::from_micros(20));
        inside.fetch_sub(1, Ordering::SeqCst);
        asks(DpcRequest::None)
    });
    let registered = register(&processors, &source, Plan { isr, one_lock: true, ..Plan::default() })?;
    for round in 1..=ROUNDS {
        source.fire(0);
        source.fire(1);
        registered.miniport.isrs.wait_for(2 * round, "service routines")?;
    }
    ensure_eq!(most.load(Ordering::SeqCst), 1, "service routines inside at once");
    // The first message's service routine held for certain while the second one's comes: none gets in.
    let (first, second) = (registered.handle.message(0)?, Gate::new());
    let before = registered.miniport.isrs.all().len();
    registered.handle.synchronize(first, &passive()?, |_| {
        source.fire(1);
        quiet();
        if registered.miniport.isrs.all().len() > before {
            second.open();
        }
        true
    })?;
    ensure!(!second.is_open(), "message 1 was served while message 0's lock was held");
    Ok(())
}
