//! The receive throttle (contract 2.10 and 4.6, TH).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::recording::{Dpc, Plan, cpu, passive, processors_with_cap, quiet, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, NotPassed, Statement, Verdict, ensure, ensure_eq, statement};
use crate::ndis::{DpcCall, DpcContext};

pub(super) const STATEMENTS: &[Statement] = &[statement!(
    "C-TH-01",
    c_th_01_a_dpc_with_more_buffers_pending_is_called_again,
    Documented,
    Library,
    "ddi ns-ndis-_ndis_receive_throttle_parameters",
    "a DPC that leaves more buffers pending under a cap is called again, and not once it leaves none"
)];

pub(super) const CHOICES: &[Statement] = &[statement!(
    "L-TH-5",
    l_th_05_the_repeated_call_has_the_context_of_the_first,
    Choice,
    Library,
    "no page says which MiniportDpcContext the repeated call gets",
    "the repeated call has the context, the message and the processor of the first"
)];

/// Buffers that one run may indicate.
const CAP: u32 = 4;

fn c_th_01_a_dpc_with_more_buffers_pending_is_called_again(_: &Bench<'_>) -> Verdict {
    // Ten buffers under a cap of four are three runs.
    let ran = runs_for(10)?;
    let (caps, pending): (Vec<_>, Vec<_>) = ran
        .iter()
        .map(|dpc| (dpc.call.throttle.max_nbls_to_indicate, dpc.call.throttle.more_nbls_pending))
        .unzip();
    ensure_eq!(caps, [CAP; 3], "MaxNblsToIndicate of each run");
    ensure_eq!(pending, [true, true, false], "MoreNblsPending when each run ended");
    Ok(())
}

fn l_th_05_the_repeated_call_has_the_context_of_the_first(_: &Bench<'_>) -> Verdict {
    let ran = runs_for(5)?;
    let seen: Vec<_> =
        ran.iter().map(|dpc| (dpc.context(), dpc.call.message.get(), dpc.call.processor)).collect();
    ensure_eq!(seen, [(Some(9), 1, 1); 2], "context, message and processor of each run");
    Ok(())
}

/// All runs of one DPC that has `buffers` to indicate.
fn runs_for(buffers: u32) -> Result<Vec<Dpc>, NotPassed> {
    let processors = processors_with_cap(2, CAP)?;
    let left = Arc::new(AtomicU32::new(buffers));
    let of_dpc = left.clone();
    let dpc = Box::new(move |_: &_, call: &mut DpcCall, _: &_| {
        let now = of_dpc.load(Ordering::SeqCst).min(call.throttle.max_nbls_to_indicate);
        call.throttle.more_nbls_pending = of_dpc.fetch_sub(now, Ordering::SeqCst) > now;
    });
    let registered = register(&processors, &ScriptedSource::messages(2), Plan { dpc, ..Plan::default() })?;
    let message = registered.handle.message(1)?;
    let queued = registered.handle.queue_dpc(message, cpu(1), Some(DpcContext(9)));
    ensure!(queued.scheduled == cpu(1), "the request was refused: {queued:?}");
    let expected = buffers.div_ceil(CAP) as usize;
    registered.miniport.dpcs.wait_for(expected, "runs of the throttled DPC")?;
    quiet();
    registered.interrupt.deregister(&passive()?);
    let ran = registered.miniport.dpcs.all();
    ensure_eq!(ran.len(), expected, "runs of the throttled DPC");
    Ok(ran)
}
