//! Choices about processors: those that are not there, the service routine's own, and their numbers (contract 2.4, 2.6
//! and 3.3).

use std::sync::atomic::{AtomicBool, Ordering};

use super::queue::{Core, sorted_processors, started};
use super::recording::{Dpc, Gate, Plan, asks, cpu, processors, quiet, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{CpuNumber, GroupAffinity, ProcessorNumber};
use crate::ndis::{DpcContext, DpcRequest, ProcessorLayout};

pub(super) const CHOICES: &[Statement] = &[
    statement!(
        "L-QD-8",
        l_qd_08_a_bit_without_a_processor_comes_back_0,
        Choice,
        Library,
        "no page says what a bit without a processor does",
        "a bit without a processor comes back 0, and the others are not affected; the log's debug level tells"
    ),
    statement!(
        "L-IS-8",
        l_is_08_the_default_dpc_is_the_processors_ordinary_one,
        Choice,
        Library,
        "no page says whether the default DPC is an object of its own",
        "the default DPC is the DPC object of that processor: a request for it while that is queued is refused"
    ),
    statement!(
        "L-MT-5",
        l_mt_05_a_processor_number_is_64_times_the_group_plus_the_number_in_it,
        Choice,
        Library,
        "NetDMA's CpuNumber is a plain word, older than groups",
        "processor n of group g is number 64 g + n, also where groups have fewer processors: the numbers in between do not exist"
    ),
];

fn l_qd_08_a_bit_without_a_processor_comes_back_0(_: &Bench<'_>) -> Verdict {
    let core = Core::new(2, 1);
    ensure_eq!(core.queue(0, u64::MAX, 1), 0b11, "all bits, of which two have processors");
    ensure_eq!(core.queue(0, !0b11, 1), 0, "the bits without a processor");
    let elsewhere =
        core.queues.queue(&core.objects, 0, GroupAffinity { group: u16::MAX, mask: u64::MAX }, None);
    ensure_eq!(elsewhere, 0, "a group without a processor");
    ensure_eq!((core.drain(0).len(), core.drain(1).len()), (1, 1), "runs of the processors");
    Ok(())
}

fn l_is_08_the_default_dpc_is_the_processors_ordinary_one(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(1)?, ScriptedSource::messages(1));
    let (started, release, asked) = (Gate::new(), Gate::new(), AtomicBool::new(false));
    let (starts, released) = (started.clone(), release.clone());
    let dpc = Box::new(move |_: &_, _: &mut _, _: &_| {
        starts.open();
        released.wait();
    });
    let isr = Box::new(move |_: &_, _, _: &_| {
        let first = !asked.swap(true, Ordering::SeqCst);
        asks(if first { DpcRequest::DefaultCpu } else { DpcRequest::None })
    });
    let registered = register(&processors, &source, Plan { isr, dpc, ..Plan::default() })?;
    let message = registered.handle.message(0)?;
    for context in [1, 2] {
        let queued = registered.handle.queue_dpc(message, cpu(0), Some(DpcContext(context)));
        ensure_eq!(queued.scheduled, cpu(0), "request {context}");
        started.expect("the DPC that holds the processor")?;
    }
    // When the second service routine is noted, what the first one asked for has been decided.
    for routines in [1, 2] {
        source.fire(0);
        registered.miniport.isrs.wait_for(routines, "service routines")?;
    }
    let refused = processors.counts()[0].refused;
    release.open();
    registered.miniport.dpcs.wait_for(2, "DPCs")?;
    quiet();
    let contexts: Vec<_> = registered.miniport.dpcs.all().iter().map(Dpc::context).collect();
    ensure_eq!(
        (refused, contexts),
        (1, vec![Some(1), Some(2)]),
        "requests refused, and contexts of the runs"
    );
    Ok(())
}

fn l_mt_05_a_processor_number_is_64_times_the_group_plus_the_number_in_it(_: &Bench<'_>) -> Verdict {
    for (group, number, word) in [(0, 5, 5), (1, 0, 64), (3, 63, 255)] {
        let both = ProcessorNumber { group, number };
        ensure_eq!(CpuNumber::from(both), CpuNumber(word), "the number of {both:?}");
        ensure_eq!(ProcessorNumber::from(CpuNumber(word)), both, "group and number of {word}");
    }
    let processors = started(ProcessorLayout { count: 6, per_group: 2 })?;
    let registered = register(&processors, &ScriptedSource::messages(1), Plan::default())?;
    let targets = GroupAffinity { group: 2, mask: u64::MAX };
    let queued = registered.handle.queue_dpc_ex(registered.handle.message(0)?, targets, None)?;
    ensure_eq!(queued.scheduled, 0b11, "the processors of group 2");
    let ran = registered.miniport.dpcs.wait_for(2, "DPCs")?;
    ensure_eq!(sorted_processors(&ran), [128, 129], "the numbers of the processors that ran one");
    let between: Vec<_> = [2, 63, 66, 130].map(|number| processors.layout().index(CpuNumber(number))).into();
    ensure!(between.iter().all(Option::is_none), "numbers that are no processor's: {between:?}");
    Ok(())
}
