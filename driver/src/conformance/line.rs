//! When a line fires again (contract 2.5, DP-5): the engine's half, which is a choice of ours.

use super::recording::{Gate, Plan, asks, passive, processors, quiet, register};
use super::scripted_source::ScriptedSource;
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::CpuSet32;
use crate::ndis::{DpcCall, DpcRequest, IsrResult};

pub(super) const CHOICES: &[Statement] = &[
    statement!(
        "L-DP-5",
        l_dp_05_a_line_is_unmasked_when_the_last_dpc_of_its_batch_has_ended,
        Choice,
        Library,
        "DP-5 says that the last DPC re-enables; the system's line is masked by VFIO, which no page knows",
        "a line that fired is masked until the last DPC of its batch has ended, and is unmasked exactly once then"
    ),
    statement!(
        "L-IS-1",
        l_is_01_a_line_that_is_not_claimed_is_unmasked_at_once,
        Choice,
        Library,
        "IS-1 has the driver say that the interrupt is another's; VFIO has masked the line by then",
        "a line whose service routine claims nothing and asks for nothing can fire again at once"
    ),
];

fn l_dp_05_a_line_is_unmasked_when_the_last_dpc_of_its_batch_has_ended(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(3)?, ScriptedSource::line());
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let (of_isr, of_dpc) = (source.clone(), gates.clone());
    let isr = Box::new(move |_: &_, _, _: &_| {
        of_isr.assert_line(false);
        asks(DpcRequest::Cpus(CpuSet32(0b111)))
    });
    let dpc = Box::new(move |_: &_, call: &mut DpcCall, _: &_| {
        of_dpc[call.processor as usize].wait();
    });
    let registered = register(&processors, &source, Plan { isr, dpc, ..Plan::default() })?;
    source.assert_line(true);
    for (ended, gate) in gates.iter().enumerate() {
        registered.miniport.dpcs.wait_for(ended, "DPCs that have ended")?;
        quiet();
        ensure_eq!(source.times_unmasked(), 0, "unmaskings after {ended} of 3 DPCs");
        gate.open();
    }
    registered.miniport.dpcs.wait_for(3, "DPCs that have ended")?;
    // The next batch, with the gates open: that it comes at all is the first one's unmasking.
    source.assert_line(true);
    registered.miniport.dpcs.wait_for(6, "DPCs of the second batch")?;
    registered.interrupt.deregister(&passive()?);
    ensure_eq!(source.times_unmasked(), 2, "unmaskings after two batches");
    Ok(())
}

fn l_is_01_a_line_that_is_not_claimed_is_unmasked_at_once(_: &Bench<'_>) -> Verdict {
    let (processors, source) = (processors(1)?, ScriptedSource::line());
    let isr = Box::new(|_: &_, _, _: &_| IsrResult { claimed: false, dpc: DpcRequest::None, address: 0 });
    let registered = register(&processors, &source, Plan { isr, ..Plan::default() })?;
    // Another device holds the level: the line goes on firing.
    source.assert_line(true);
    let served = registered.miniport.isrs.wait_for(5, "service routines of a level that stays")?;
    source.assert_line(false);
    registered.interrupt.deregister(&passive()?);
    ensure_eq!(registered.miniport.dpcs.all().len(), 0, "DPCs after {} service routines", served.len());
    ensure_eq!(source.times_unmasked(), registered.miniport.isrs.all().len() as u64, "unmaskings");
    Ok(())
}
