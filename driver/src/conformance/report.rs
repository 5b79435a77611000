//! NetDmaIsr and NetDmaInterruptDpc (contract 1.11 and 4.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zerocopy::IntoBytes;

use super::assembly::{Assembly, TELLS, failed, null, passive, with};
use super::scripted_provider::{Bed, Line, Told, slot};
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{
    Chain, ChannelRequest, Completed, CompletionLocation, CompletionValue, ControlFlags, CpuNumber, CpuSet32,
    DescriptorAddr, DmaLocation, NetDmaChannel, NetDmaChannelHandle, NetDmaClient, NetDmaDescriptor,
    NetDmaInterface, TransferStatus,
};
use crate::irql::{AtDirql, AtDispatch};
use crate::ndis::lock::LevelLock;

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-ND-01",
        c_nd_01_the_descriptor_is_named_by_its_address_as_a_value,
        Documented,
        Library,
        "H08, H7, H8; ddi-2018 syntax",
        "both calls name a descriptor by its 64-bit address, as a value and not as a pointer"
    ),
    statement!(
        "C-ND-02",
        c_nd_02_the_dpc_may_name_none_and_the_isr_must_name_one,
        Documented,
        Library,
        "H08; ddi nf-netdma-netdmainterruptdpc, -netdmaisr",
        "NetDmaInterruptDpc takes zero for no descriptor; NetDmaIsr must be given one"
    ),
    statement!(
        "C-ND-03",
        c_nd_03_a_report_finishes_all_up_to_its_descriptor,
        Inferred,
        Library,
        "con/handling-a-netdma-interrupt-dpc",
        "a report finishes every pending descriptor up to and including the one it names"
    ),
    statement!(
        "C-ND-04",
        c_nd_04_zero_finishes_nothing_and_tells_of_an_error,
        Inferred,
        Library,
        "con/handling-a-netdma-interrupt-dpc; H08 (zero for an error: documented; finishes nothing: inferred)",
        "zero finishes nothing, and the client is told to look for an error"
    ),
    statement!(
        "C-ND-05",
        c_nd_05_the_isr_gets_its_processor_before_it_returns,
        Documented,
        Library,
        "ddi nf-netdma-netdmaisr",
        "NetDmaIsr names the processor of the DPC by the time it returns"
    ),
    statement!(
        "C-ND-06",
        c_nd_06_the_dpc_runs_on_that_processor,
        Documented,
        Engine,
        "con/handling-a-netdma-interrupt",
        "the provider's DPC runs on the processor that NetDmaIsr named, and on no other"
    ),
    statement!(
        "C-ND-07",
        c_nd_07_the_dpc_report_is_made_at_dispatch_level,
        Documented,
        Library,
        "ddi nf-netdma-netdmainterruptdpc; PAGE-NID",
        "NetDmaInterruptDpc is called at DISPATCH_LEVEL; a call at another level has no effect"
    ),
    statement!(
        "C-ND-08",
        c_nd_08_the_isr_report_is_made_at_device_level,
        Documented,
        Library,
        "ddi nf-netdma-netdmaisr",
        "NetDmaIsr is called at the device's level; a call at another level is not counted"
    ),
    statement!(
        "C-ND-09",
        c_nd_09_one_dpc_for_two_interrupts_names_the_later_descriptor,
        Inferred,
        Engine,
        "ddi nf-wdm-keinsertqueuedpc with con/handling-a-netdma-interrupt",
        "two completions that ask for an interrupt before one DPC runs are one report, of the later one"
    ),
    statement!(
        "C-ND-10",
        c_nd_10_a_descriptor_reported_twice_finishes_once,
        Inferred,
        Library,
        "con/handling-a-netdma-interrupt-dpc with ND-C7",
        "a descriptor that was reported before finishes nothing when it is reported again"
    ),
    statement!(
        "C-ND-11",
        c_nd_11_a_descriptor_without_the_flag_interrupts_nobody,
        Documented,
        Engine,
        "ddi ns-netdma-_net_dma_descriptor",
        "a descriptor that does not ask for an interrupt raises none"
    ),
    statement!(
        "C-ND-12",
        c_nd_12_the_handle_is_the_one_that_allocate_gave,
        Documented,
        Library,
        "PAGE-NID",
        "a report concerns the channel whose handle Allocate gave, and no other"
    ),
    statement!(
        "C-ND-13",
        c_nd_13_the_dpc_report_returns_nothing,
        Documented,
        Library,
        "PAGE-NID",
        "NetDmaInterruptDpc returns nothing, whatever it is given"
    ),
];

fn finished(last: u64, sequence: u64, count: u64) -> Told {
    Told::Completed(Completed { last: slot(last), sequence, count })
}

/// A bed with one channel that has four descriptors under way.
fn four() -> Result<(Bed, Line), super::NotPassed> {
    let bed = Bed::new()?;
    let line = bed.line()?;
    bed.start(&line, 0..4)?;
    Ok((bed, line))
}

fn c_nd_01_the_descriptor_is_named_by_its_address_as_a_value(_: &Bench<'_>) -> Verdict {
    // A reference in its place does not compile: see `NetDmaInterface::net_dma_isr`.
    type Isr = fn(&NetDmaInterface, &NetDmaChannelHandle, DescriptorAddr, &AtDirql) -> CpuNumber;
    let _isr: Isr = NetDmaInterface::net_dma_isr;
    ensure_eq!(size_of::<DescriptorAddr>(), 8, "bytes of an address");
    let (bed, line) = four()?;
    // An address that was only ever a number, rebuilt from the completion word.
    let word = CompletionValue::new(slot(2), TransferStatus::Active).0;
    let latest = DescriptorAddr::new(word & !DescriptorAddr::LOW_BITS);
    bed.report(&line, latest);
    ensure_eq!(line.client.news(), vec![finished(2, 3, 3)], "what the client is told");
    Ok(())
}

fn c_nd_02_the_dpc_may_name_none_and_the_isr_must_name_one(_: &Bench<'_>) -> Verdict {
    // An ISR that names none does not compile: see `NetDmaInterface::net_dma_isr`.
    ensure_eq!(size_of::<Option<DescriptorAddr>>(), 8, "bytes of an address that may be missing");
    ensure_eq!(DescriptorAddr::new(0), None, "what zero is");
    let (bed, line) = four()?;
    bed.report(&line, DescriptorAddr::new(0));
    ensure_eq!(line.channel.counts().attentions, 1, "reports without a descriptor");
    Ok(())
}

fn c_nd_03_a_report_finishes_all_up_to_its_descriptor(_: &Bench<'_>) -> Verdict {
    let (bed, line) = four()?;
    bed.report(&line, Some(slot(1)));
    ensure_eq!(line.client.news(), vec![finished(1, 2, 2)], "what the client is told first");
    ensure_eq!(line.channel.outstanding(), 2, "outstanding");
    bed.append(&line, 4..6)?;
    bed.report(&line, Some(slot(5)));
    ensure_eq!(line.client.news(), vec![finished(5, 6, 4)], "what it is told then");
    ensure_eq!(line.channel.outstanding(), 0, "outstanding");
    Ok(())
}

fn c_nd_04_zero_finishes_nothing_and_tells_of_an_error(_: &Bench<'_>) -> Verdict {
    let (bed, line) = four()?;
    bed.report(&line, None);
    ensure_eq!(line.client.news(), vec![Told::Attention], "what the client is told");
    let counts = line.channel.counts();
    ensure_eq!((line.channel.outstanding(), counts.completed), (4, 0), "outstanding and finished");
    Ok(())
}

fn c_nd_05_the_isr_gets_its_processor_before_it_returns(_: &Bench<'_>) -> Verdict {
    let bed = Bed::new()?;
    for cpu in [2, 0, 3] {
        let mut request = bed.request(0, false)?;
        request.processors = CpuSet32(1 << cpu);
        let line = bed.allocate(request)??;
        bed.start(&line, 0..1)?;
        ensure_eq!(bed.isr(&line, slot(0)), CpuNumber(cpu), "the processor named");
        ensure_eq!(line.channel.cpu_number(), CpuNumber(cpu), "the channel's processor (ND-I12)");
        ensure_eq!(line.channel.outstanding(), 1, "outstanding: the ISR finishes nothing (ND-I6)");
    }
    Ok(())
}

fn c_nd_06_the_dpc_runs_on_that_processor(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    for cpu in [1, 3, 0] {
        let taken = assembly.channel_on(CpuSet32(1 << cpu))?;
        ensure_eq!(taken.net.cpu_number(), CpuNumber(cpu), "the channel's processor");
        let runs = |assembly: &Assembly| -> Vec<u64> {
            assembly.processors.counts().iter().map(|counts| counts.dpcs_run).collect()
        };
        let before = runs(&assembly);
        taken.run(&[null(with(nothing(), TELLS))])?;
        let index = cpu as usize;
        assembly.until("the DPC is counted", || runs(&assembly)[index] > before[index])?;
        for (processor, (now, before)) in runs(&assembly).into_iter().zip(before).enumerate() {
            ensure!(processor == index || now == before, "a DPC ran on processor {processor}, not on {cpu}");
        }
        ensure_eq!(taken.net.counts().isr_reports, 1, "reports of the ISR");
    }
    Ok(())
}

fn c_nd_07_the_dpc_report_is_made_at_dispatch_level(_: &Bench<'_>) -> Verdict {
    // A call with another level's token does not compile: see `NetDmaInterface::net_dma_interrupt_dpc`.
    let (bed, line) = four()?;
    crate::irql::at_dispatch(|level: &AtDispatch| {
        // The token is right and the level is not: a routine of another level on the same task.
        crate::irql::at_dirql(|_| bed.interface.net_dma_interrupt_dpc(&line.handle, Some(slot(3)), level));
    });
    ensure_eq!((line.client.news(), line.channel.outstanding()), (vec![], 4), "after a call at device level");
    bed.report(&line, Some(slot(3)));
    ensure_eq!(line.client.news(), vec![finished(3, 4, 4)], "after a call at DISPATCH_LEVEL");
    Ok(())
}

fn c_nd_08_the_isr_report_is_made_at_device_level(_: &Bench<'_>) -> Verdict {
    // A call with another level's token does not compile: see `NetDmaInterface::net_dma_isr`.
    let (bed, line) = four()?;
    crate::irql::at_dirql(|level: &AtDirql| {
        crate::irql::at_dispatch(|_| {
            let _cpu = bed.interface.net_dma_isr(&line.handle, slot(0), level);
        });
    });
    ensure_eq!(line.channel.counts().isr_reports, 0, "reports counted at DISPATCH_LEVEL");
    let _cpu = bed.isr(&line, slot(0));
    ensure_eq!(line.channel.counts().isr_reports, 1, "reports counted at device level");
    Ok(())
}

/// A client that keeps its DPC, and so the DPC's processor, as long as the gate is held.
struct Holder {
    gate: LevelLock,
    entered: AtomicBool,
}

impl NetDmaClient for Holder {
    fn completed(&self, _: Completed, _: &AtDispatch) {
        self.entered.store(true, Ordering::Release);
        drop(self.gate.lock());
    }

    fn attention(&self, _: &AtDispatch) {}
}

impl Holder {
    /// A channel on processor 0 whose DPC has come and stays.
    fn busy(self: &Arc<Self>, assembly: &Assembly) -> Result<NetDmaChannel, super::NotPassed> {
        let memory = assembly.memory(0x2000)?;
        let request = ChannelRequest {
            completion: CompletionLocation::new(memory.clone(), 0x1000)?,
            processors: CpuSet32(1),
            group: None,
            priority: 0,
            max_outstanding: 1,
            anchor: None,
        };
        let providers = assembly.interface.providers();
        let (id, ..) = providers.first().ok_or_else(|| failed("no provider is started"))?;
        let channel = assembly.interface.allocate_channel(*id, request, self.clone(), &passive()?)?;
        let descriptor = NetDmaDescriptor { next: memory.iova() + 64, ..null(with(nothing(), TELLS)) };
        memory.write(0, descriptor.as_bytes())?;
        let first = DmaLocation::new(memory.clone(), 0, 64, 64)?;
        let address = DescriptorAddr::new(memory.iova()).ok_or_else(|| failed("memory at address 0"))?;
        channel.start(&Chain { first, descriptors: &[address] }, &passive()?)?;
        assembly.until("the DPC comes", || self.entered.load(Ordering::Acquire))?;
        Ok(channel)
    }
}

fn c_nd_09_one_dpc_for_two_interrupts_names_the_later_descriptor(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    if assembly.provider.characteristics().max_dma_channel_count < 2 {
        return Err(super::NotPassed::Skipped("it takes a second channel to keep a processor busy".into()));
    }
    let taken = assembly.channel_on(CpuSet32(1))?;
    let gate = LevelLock::new(assembly.device.pause.clone());
    let holder = Arc::new(Holder { gate, entered: AtomicBool::new(false) });
    let held = holder.gate.lock();
    let other = holder.busy(&assembly)?;
    // Both are done, and both have asked, before the DPC can run.
    let laid = taken.lay(&[null(with(nothing(), TELLS)), null(with(nothing(), TELLS))])?;
    let submitted = taken.start(&laid)?;
    let done = CompletionValue::new(laid.last(), TransferStatus::Idle);
    assembly.until("both are done", || taken.word.load() == done)?;
    ensure_eq!(taken.told.reports(), vec![], "reports while the processor is busy");
    drop(held);
    taken.finished(submitted)?;
    let named: Vec<_> = taken.told.reports().iter().map(|report| (report.last, report.count)).collect();
    ensure_eq!(named, vec![(laid.last(), 2)], "the reports");
    let level = &passive()?;
    other.reset(level)?;
    other.free(level)?;
    Ok(())
}

fn c_nd_10_a_descriptor_reported_twice_finishes_once(_: &Bench<'_>) -> Verdict {
    let (bed, line) = four()?;
    for _ in 0..2 {
        bed.report(&line, Some(slot(1)));
    }
    // One before it finishes nothing either.
    bed.report(&line, Some(slot(0)));
    ensure_eq!(line.client.news(), vec![finished(1, 2, 2)], "what the client is told");
    let counts = line.channel.counts();
    ensure_eq!((counts.completed, counts.repeated_reports), (2, 2), "finished, and reported in vain");
    ensure_eq!(line.channel.outstanding(), 2, "outstanding");
    Ok(())
}

fn c_nd_11_a_descriptor_without_the_flag_interrupts_nobody(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let silent = null(with(nothing(), ControlFlags::STATUS_UPDATE_ON_COMPLETION));
    let first = taken.lay(&[silent])?;
    taken.start(&first)?;
    let done = CompletionValue::new(first.last(), TransferStatus::Idle);
    assembly.until("the silent descriptor is done", || taken.word.load() == done)?;
    // Were there an interrupt of the first, it would have come before that of the second.
    let second = taken.lay(&[null(with(nothing(), TELLS))])?;
    let submitted = taken.append(&second)?;
    taken.finished(submitted)?;
    ensure_eq!(taken.net.counts().isr_reports, 1, "interrupts of a silent and a telling descriptor");
    ensure_eq!(taken.told.reports().len(), 1, "reports");
    Ok(())
}

fn c_nd_12_the_handle_is_the_one_that_allocate_gave(_: &Bench<'_>) -> Verdict {
    let bed = Bed::new()?;
    let (one, other) = (bed.line()?, bed.line()?);
    // The same addresses on both: the handle alone tells them apart.
    bed.start(&one, 0..2)?;
    bed.start(&other, 0..2)?;
    bed.report(&other, Some(slot(1)));
    ensure_eq!((one.client.news(), one.channel.outstanding()), (vec![], 2), "the channel not named");
    ensure_eq!((other.client.news(), other.channel.outstanding()), (vec![finished(1, 2, 2)], 0), "the other");
    Ok(())
}

fn c_nd_13_the_dpc_report_returns_nothing(_: &Bench<'_>) -> Verdict {
    // Asking for its success does not compile: see `NetDmaInterface::net_dma_interrupt_dpc`.
    type Dpc = fn(&NetDmaInterface, &NetDmaChannelHandle, Option<DescriptorAddr>, &AtDispatch);
    let _dpc: Dpc = NetDmaInterface::net_dma_interrupt_dpc;
    let (bed, line) = four()?;
    bed.report(&line, Some(slot(40)));
    ensure_eq!((line.client.news(), line.channel.outstanding()), (vec![], 4), "after an unknown address");
    let level = &passive()?;
    line.channel.reset(level)?;
    line.channel.free(level)?;
    bed.report(&line, Some(slot(0)));
    bed.report(&line, None);
    ensure_eq!(line.client.news(), vec![], "what the client of a freed channel is told");
    ensure_eq!(line.channel.counts().stale_reports, 2, "reports with a stale handle (ND-P14)");
    Ok(())
}

/// A descriptor that moves one byte to where it is, if it were not for the NULL flag.
fn nothing() -> NetDmaDescriptor {
    NetDmaDescriptor { size: 1, ..NetDmaDescriptor::default() }
}
