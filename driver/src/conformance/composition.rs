//! The composition of NetDMA and NDIS (contract 3.3 and 4.9): interrupt, service routine, DPC, report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ioat_spec::ChannelRegister;
use ioat_spec::register::channel_base;
use ioat_stage::{Pause, Recorder, Stage};

use super::assembly::{Assembly, LONG, Setup, TELLS, Taken, copy, failed, null, with};
use super::bench::{NotPassed, Wanted};
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{CompletionValue, ControlFlags, NetDmaDescriptor, TransferStatus};
use crate::hw::{HwError, Registers, Space};
use crate::ioat::Fault;
use crate::irql::{self, Irql};
use crate::ndis::{DpcRequest, LineHandlers};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-MT-01",
        c_mt_01_isr_queue_dpc_and_report_follow_each_other,
        Documented,
        Engine,
        "con/handling-a-netdma-interrupt(-dpc)",
        "an interrupt leads to NetDmaIsr, that to a DPC on the processor it named, and that to NetDmaInterruptDpc"
    ),
    statement!(
        "C-MT-02",
        c_mt_02_a_refused_request_loses_no_completion,
        Inferred,
        Engine,
        "ddi nf-wdm-keinsertqueuedpc; ker/registering-and-queuing-a-dpcforisr-routine",
        "many interrupts, fewer DPCs, refused requests: every descriptor is reported once and in order"
    ),
    statement!(
        "C-MT-03",
        c_mt_03_a_completion_before_the_unmasking_is_reported,
        Inferred,
        Engine,
        "con/handling-a-netdma-interrupt with MT-4",
        "what completes after the DPC looked and before it unmasks is reported, though it raises no interrupt"
    ),
    statement!(
        "C-MT-04",
        c_mt_04_a_line_without_attention_is_not_ours,
        Documented,
        Engine,
        "ddi nc-ndis-miniport_isr",
        "the line's service routine says FALSE and queues nothing when no channel wants attention"
    ),
    statement!(
        "C-MT-05",
        c_mt_05_an_engine_error_reports_zero_and_completes_nothing,
        Inferred,
        Engine,
        "con/handling-a-netdma-interrupt-dpc",
        "after an error of the engine the DPC passes no descriptor, and what is pending stays so"
    ),
];

/// Where part 3 leaves the map from channels to messages open.
pub(super) const CHOICES: &[Statement] = &[
    statement!(
        "L-MT-1",
        l_mt_01_channels_share_the_messages_that_there_are,
        Choice,
        Engine,
        "contract 3.3, MT-1 and ND-I1",
        "channel c is served by message c modulo their number, so one message serves all channels if it must"
    ),
    statement!(
        "L-MT-2",
        l_mt_02_the_line_serves_all_channels_at_once,
        Choice,
        Engine,
        "contract 3.3, MT-2",
        "a device without messages is driven by its line; each DPC serves the channels of its processor"
    ),
];

fn c_mt_01_isr_queue_dpc_and_report_follow_each_other(bench: &Bench<'_>) -> Verdict {
    let trace = Recorder::new(1 << 10);
    let assembly = Assembly::traced(bench.engine()?, Setup::default(), trace.clone())?;
    let taken = assembly.channel()?;
    let laid = taken.run(&[with(null(page(&taken)?), TELLS)])?;
    // The service routine leaves its event when it has ended, which may be after its DPC.
    let left = |stage| trace.events().iter().any(|event| event.stage == stage);
    assembly.until("the DPC has ended", || left(Stage::Dpc) && left(Stage::Isr))?;
    let events = trace.events();
    let place = |stage| {
        let found = events.iter().position(|event| event.stage == stage);
        found.map(|place| (place, &events[place])).ok_or_else(|| failed(format!("no event of {stage:?}")))
    };
    let ((_, isr), (asked, queue), (ran, dpc)) =
        (place(Stage::Isr)?, place(Stage::Queue)?, place(Stage::Dpc)?);
    let (cpu, last) = (taken.net.cpu_number(), laid.last().get());
    ensure_eq!(taken.net.counts().isr_reports, 1, "calls of NetDmaIsr");
    ensure_eq!(isr.address, last, "what the service routine passed to NetDmaIsr");
    ensure_eq!(queue.address, 1 << cpu.0, "the processors asked for");
    ensure_eq!(queue.len, 1 << cpu.0, "the processors scheduled");
    ensure!(asked < ran, "the DPC ran as event {ran}, and was asked for as event {asked}");
    ensure_eq!(dpc.len, u64::from(cpu.0), "the processor of the DPC");
    ensure_eq!(dpc.address, last, "what the DPC passed to NetDmaInterruptDpc");
    Ok(())
}

fn c_mt_02_a_refused_request_loses_no_completion(bench: &Bench<'_>) -> Verdict {
    storm(bench.engine()?)
}

fn c_mt_03_a_completion_before_the_unmasking_is_reported(bench: &Bench<'_>) -> Verdict {
    let mut device = bench.engine()?;
    let gate = Arc::new(Gate::new(device.registers.clone(), device.pause.clone()));
    device.registers = gate.clone();
    let assembly = Assembly::new(device)?;
    let taken = assembly.channel()?;
    let page = page(&taken)?;
    gate.close();
    let first = taken.lay(&[with(null(page), TELLS)])?;
    taken.finished(taken.start(&first)?)?;
    let held = assembly.until("the DPC is about to unmask", || gate.holds());
    // The gate must be open again whatever fails, or the DPC would hold its processor for good.
    let late = held.and_then(|()| {
        let second = taken.lay(&[with(null(page), ControlFlags::STATUS_UPDATE_ON_COMPLETION)])?;
        let submitted = taken.append(&second)?;
        let idle = CompletionValue::new(second.last(), TransferStatus::Idle);
        assembly.until("the second is complete", || taken.word.load() == idle)?;
        ensure_eq!(taken.told.done(), 1, "descriptors reported before the unmasking");
        Ok(submitted)
    });
    gate.open();
    taken.finished(late?)?;
    let stats = assembly.provider.stats(taken.context);
    ensure_eq!(stats.rechecks, 1, "completions found by the look after the unmasking");
    Ok(())
}

fn c_mt_04_a_line_without_attention_is_not_ours(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine_with(&Wanted { vectors: Some(0), ..Wanted::default() })?)?;
    let taken = assembly.channel()?;
    let queued = || assembly.processors.counts().iter().map(|processor| processor.queued).sum::<u64>();
    let before = queued();
    for _ in 0..3 {
        let result = irql::at_dirql(|level| LineHandlers::interrupt(&*assembly.provider, level));
        ensure!(!result.claimed, "a line on which no channel wants attention was claimed");
        ensure_eq!(result.dpc, DpcRequest::None, "DPCs asked for by the result");
    }
    ensure_eq!(queued(), before, "DPCs queued");
    // Having looked, it has given the line free again.
    taken.run(&[with(null(page(&taken)?), TELLS)])?;
    ensure_eq!(taken.net.counts().isr_reports, 1, "calls of NetDmaIsr, by the line itself");
    Ok(())
}

fn c_mt_05_an_engine_error_reports_zero_and_completes_nothing(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let good = page(&taken)?;
    // Beyond what any place maps for these few pages.
    let bad = NetDmaDescriptor { source: 0x7f_ffff_f000, ..good };
    let laid = taken.lay(&[good, bad, with(good, TELLS)])?;
    taken.start(&laid)?;
    assembly.until("the client is told", || taken.told.attentions() > 0)?;
    ensure_eq!(taken.told.attentions(), 1, "reports without a descriptor");
    ensure_eq!(taken.told.done(), 0, "descriptors reported complete");
    ensure_eq!(taken.net.outstanding(), 3, "descriptors pending");
    let fault = assembly.provider.fault(taken.context);
    ensure!(matches!(fault, Some(Fault::Halted { .. })), "the provider says {fault:?}, expected a halt");
    taken.net.reset(&super::assembly::passive()?)?;
    // The channel that failed works again: its next owner's client has not been told of any error.
    let failed_one = taken.context;
    drop(taken);
    let next = assembly.channel()?;
    ensure_eq!(next.context, failed_one, "the channel that is allocated next");
    next.run(&[with(null(page(&next)?), TELLS)])?;
    Ok(())
}

fn l_mt_01_channels_share_the_messages_that_there_are(bench: &Bench<'_>) -> Verdict {
    let device = bench.engine_with(&Wanted { vectors: Some(1), ..Wanted::default() })?;
    ensure_eq!(device.interrupts.vectors(), 1, "messages of the device");
    storm(device)
}

fn l_mt_02_the_line_serves_all_channels_at_once(bench: &Bench<'_>) -> Verdict {
    let device = bench.engine_with(&Wanted { vectors: Some(0), ..Wanted::default() })?;
    ensure_eq!(device.interrupts.vectors(), 0, "messages of the device");
    storm(device)
}

/// Every channel gets chain after chain, each with an interrupt, without waiting: interrupts and DPCs come as they can.
fn storm(device: crate::hw::Device) -> Verdict {
    const CHAINS: usize = 200;
    let assembly = Assembly::with(device, Setup { processors: 2, ..Setup::default() })?;
    let channels = assembly.provider.identity().channels;
    let all: Vec<Taken<'_>> = (0..channels).map(|_| assembly.channel()).collect::<Result<_, _>>()?;
    let pages: Vec<_> = all.iter().map(page).collect::<Result<_, _>>()?;
    let mut last = Vec::new();
    for chain in 0..CHAINS {
        last.clear();
        for (taken, page) in all.iter().zip(&pages) {
            let laid = taken.lay(&[null(*page), with(null(*page), TELLS)])?;
            last.push(if chain == 0 { taken.start(&laid)? } else { taken.append(&laid)? });
        }
    }
    for (taken, submitted) in all.iter().zip(&last) {
        taken.finished(*submitted)?;
        let mut next = 1;
        for report in taken.told.reports() {
            ensure_eq!(report.sequence - report.count + 1, next, "the first descriptor of a report");
            next = report.sequence + 1;
        }
        ensure_eq!(next - 1, 2 * CHAINS as u64, "descriptors reported");
        let stats = assembly.provider.stats(taken.context);
        ensure!(stats.interrupts > 0, "no service routine found channel {}", taken.context.0);
    }
    Ok(())
}

/// A copy inside a page of its own.
fn page(taken: &Taken<'_>) -> Result<NetDmaDescriptor, NotPassed> {
    let page = taken.memory(4096)?;
    Ok(copy((&page, 0), (&page, 2048), 64))
}

/// Registers that hold a DPC back when it is about to re-arm a channel.
struct Gate {
    registers: Arc<dyn Registers>,
    pause: Arc<dyn Pause>,
    state: AtomicU32,
}

const OPEN: u32 = 0;
const CLOSED: u32 = 1;
const HOLDING: u32 = 2;

impl Gate {
    fn new(registers: Arc<dyn Registers>, pause: Arc<dyn Pause>) -> Self {
        Self { registers, pause, state: AtomicU32::new(OPEN) }
    }

    fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
    }

    fn holds(&self) -> bool {
        self.state.load(Ordering::Acquire) == HOLDING
    }

    fn open(&self) {
        self.state.store(OPEN, Ordering::Release);
    }

    fn pass(&self) {
        let closed = self.state.compare_exchange(CLOSED, HOLDING, Ordering::AcqRel, Ordering::Acquire);
        if closed.is_err() {
            return;
        }
        let until = ioat_stage::pause::deadline(&*self.pause, LONG);
        while self.holds() && self.pause.now_ns() < until {
            self.pause.sleep(Duration::from_millis(1));
        }
    }
}

impl Registers for Gate {
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError> {
        self.registers.read(space, offset, data)
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError> {
        let window = channel_base(1) - channel_base(0);
        let chanctrl = offset >= channel_base(0) && offset % window == ChannelRegister::ChanCtrl.offset();
        if space == Space::BAR0 && chanctrl && irql::current() == Irql::Dispatch {
            self.pass();
        }
        self.registers.write(space, offset, data)
    }

    fn flush(&self, space: Space, offset: u64) -> Result<(), HwError> {
        self.registers.flush(space, offset)
    }

    fn reset(&self) -> Result<(), HwError> {
        self.registers.reset()
    }
}
