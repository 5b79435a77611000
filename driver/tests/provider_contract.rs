//! The provider at the contract's own face, on an engine written apart from the device crate and stepped by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod provider_model;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ioat_spec::{ChanErr, Descriptor};
use ioat_stage::{NoTrace, Pause, ThreadPause};
use netdma::contract::{
    Chain, ChannelError, ChannelRequest, Completed, CompletionLocation, CpuSet32, DescriptorAddr,
    DmaLocation, NetDmaChannel, NetDmaClient, NetDmaInterface, NetDmaVersion, PhysAddr,
    ProviderChannelContext, ProviderHandle, Started,
};
use netdma::hw::{Device, DmaBuffer};
use netdma::ioat::{Fault, Glance, IoatProvider, ProviderOptions};
use netdma::irql::{AtDispatch, AtPassive};
use netdma::ndis::{Interrupt, Processors, ndis_m_register_interrupt_ex};
use provider_model::Model;
use zerocopy::IntoBytes;

const INTERRUPT: u32 = 0x1;
const STATUS: u32 = 0x8;
const NULL: u32 = 0x20;
/// Liveness only.
const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Seen {
    completed: Mutex<Vec<Completed>>,
    attentions: Mutex<u32>,
    /// Holds the DPC inside the report.
    hold: AtomicBool,
    held: AtomicBool,
}

impl NetDmaClient for Seen {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        self.completed.lock().unwrap().push(completed);
        while self.hold.load(Ordering::Acquire) {
            self.held.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn attention(&self, _: &AtDispatch) {
        *self.attentions.lock().unwrap() += 1;
    }
}

struct Rig {
    model: Arc<Model>,
    device: Device,
    interface: Arc<NetDmaInterface>,
    provider: Arc<IoatProvider>,
    interrupt: Interrupt,
    started: ProviderHandle<Started>,
}

struct Line {
    channel: NetDmaChannel,
    context: ProviderChannelContext,
    ring: Arc<DmaBuffer>,
    word: CompletionLocation,
    seen: Arc<Seen>,
}

fn passive() -> AtPassive {
    AtPassive::claim().unwrap()
}

impl Rig {
    fn new() -> Self {
        Self::registered_as(NetDmaVersion::V2_0)
    }

    fn registered_as(version: NetDmaVersion) -> Self {
        let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
        let model = Model::new(pause.clone());
        let device = model.device();
        let processors = Processors::start(1, pause.clone(), Arc::new(NoTrace)).unwrap();
        let interface = NetDmaInterface::new(pause, 1);
        let options = ProviderOptions { version, ..ProviderOptions::default() };
        let provider = IoatProvider::with_options(&device, interface.clone(), options).unwrap();
        let characteristics = provider.characteristics();
        let registered = interface.register_provider(provider.clone(), characteristics, &passive()).unwrap();
        let build = |handle| provider.interrupt_characteristics(handle);
        let interrupts = device.interrupts.clone();
        let interrupt = ndis_m_register_interrupt_ex(&processors, interrupts, build, &passive()).unwrap();
        let started = registered.start(provider.attributes(), &passive()).unwrap();
        Self { model, device, interface, provider, interrupt, started }
    }

    fn line(&self) -> Line {
        let ring = Arc::new(self.device.memory.allocate(1 << 16).unwrap());
        let word = CompletionLocation::new(ring.clone(), 0xf000).unwrap();
        let seen = Arc::new(Seen::default());
        let request = ChannelRequest {
            completion: word.clone(),
            processors: CpuSet32::first(1),
            group: None,
            priority: 0,
            max_outstanding: 256,
            anchor: None,
        };
        let id = self.interface.providers()[0].0;
        let channel = self.interface.allocate_channel(id, request, seen.clone(), &passive()).unwrap();
        let context = self.provider.channel_at(word.physical()).unwrap();
        Line { channel, context, ring, word, seen }
    }

    fn steps(&self, channel: usize) -> usize {
        std::iter::from_fn(|| self.model.step(channel).then_some(())).count()
    }

    /// In the contract's order: every channel, the provider, its interrupt.
    fn end(self, lines: Vec<Line>) {
        for line in &lines {
            line.channel.reset(&passive()).unwrap();
            line.channel.free(&passive()).unwrap();
        }
        self.started.stop(&passive()).deregister(&passive());
        self.interrupt.deregister(&passive());
    }
}

impl Line {
    fn address(&self, slot: usize) -> u64 {
        self.ring.iova() + slot as u64 * 64
    }

    fn write(&self, slot: usize, control: u32, next: u64) {
        let descriptor = Descriptor { size: 1, control, next, ..Descriptor::default() };
        self.ring.write(slot * 64, descriptor.as_bytes()).unwrap();
    }

    /// NULLs in these slots, each linked to the slot after it.
    fn nulls(&self, slots: std::ops::Range<usize>, last: u32) {
        for slot in slots.clone() {
            let control = if slot + 1 == slots.end { NULL | last } else { NULL };
            self.write(slot, control, self.address(slot + 1));
        }
    }

    fn chain(&self, slots: std::ops::Range<usize>) -> (DmaLocation, Vec<DescriptorAddr>) {
        let first = DmaLocation::new(self.ring.clone(), slots.start * 64, 64, 64).unwrap();
        (first, slots.map(|slot| DescriptorAddr::new(self.address(slot)).unwrap()).collect())
    }

    fn start(&self, slots: std::ops::Range<usize>) -> Result<(), ChannelError> {
        let (first, descriptors) = self.chain(slots);
        self.channel.start(&Chain { first, descriptors: &descriptors }, &passive()).map(drop)
    }

    fn append(&self, slots: std::ops::Range<usize>) -> Result<(), ChannelError> {
        let (first, descriptors) = self.chain(slots);
        self.channel.append(&Chain { first, descriptors: &descriptors }, &passive()).map(drop)
    }

    fn completed(&self) -> u64 {
        self.seen.completed.lock().unwrap().last().map_or(0, |completed| completed.sequence)
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn interrupt_isr_dpc_report_and_rearm_follow_each_other() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..4, INTERRUPT | STATUS);
    let rearms = rig.model.rearms[0].load(Ordering::Acquire);
    line.start(0..4).unwrap();
    assert_eq!(line.word.load().0, 4, "Armed until something completes");
    assert_eq!(rig.steps(0), 4);
    until("four descriptors are reported", || line.completed() == 4);
    until("the interrupt is re-armed", || rig.model.rearms[0].load(Ordering::Acquire) == rearms + 1);
    let counts = line.channel.counts();
    assert_eq!((counts.isr_reports, counts.dpc_reports, counts.attentions), (1, 1, 0));
    line.nulls(4..6, INTERRUPT | STATUS);
    line.append(4..6).unwrap();
    assert_eq!(rig.steps(0), 2);
    until("the appended two are reported", || line.completed() == 6);
    rig.end(vec![line]);
}

#[test]
fn c_nd_09_one_dpc_for_two_interrupts_reports_the_latest() {
    let rig = Rig::new();
    let (line, other) = (rig.line(), rig.line());
    other.nulls(0..1, INTERRUPT | STATUS);
    other.seen.hold.store(true, Ordering::Release);
    other.start(0..1).unwrap();
    rig.steps(1);
    until("the only processor is busy", || other.seen.held.load(Ordering::Acquire));
    line.nulls(0..1, INTERRUPT | STATUS);
    line.start(0..1).unwrap();
    rig.steps(0);
    until("the first interrupt is served", || line.channel.counts().isr_reports == 1);
    line.nulls(1..2, INTERRUPT | STATUS);
    line.append(1..2).unwrap();
    rig.steps(0);
    rig.model.fire(0);
    until("the second interrupt is served", || line.channel.counts().isr_reports == 2);
    other.seen.hold.store(false, Ordering::Release);
    until("both are reported", || line.completed() == 2);
    assert_eq!(line.seen.completed.lock().unwrap().len(), 1);
    assert_eq!(rig.provider.stats(line.context).refused_dpcs, 1);
    rig.end(vec![line, other]);
}

#[test]
fn a_completion_without_interrupt_is_found_by_the_look_after_the_rearming() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..1, INTERRUPT | STATUS);
    line.nulls(1..2, STATUS);
    line.seen.hold.store(true, Ordering::Release);
    line.start(0..1).unwrap();
    rig.steps(0);
    until("the DPC has read and reports", || line.seen.held.load(Ordering::Acquire));
    line.append(1..2).unwrap();
    rig.steps(0);
    line.seen.hold.store(false, Ordering::Release);
    until("the second is reported too", || line.completed() == 2);
    assert_eq!(rig.provider.stats(line.context).rechecks, 1);
    rig.end(vec![line]);
}

#[test]
fn a_suspended_list_can_be_edited_and_goes_on_with_the_new_links() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..6, INTERRUPT | STATUS);
    line.start(0..6).unwrap();
    assert!(rig.model.step(0) && rig.model.step(0));
    let last = line.channel.suspend(&passive()).unwrap();
    assert_eq!(last.map(DescriptorAddr::get), Some(line.address(1)));
    assert_eq!(line.word.load().0, line.address(1) | 2, "status Suspend is the provider's to write");
    until("what was finished is reported", || line.completed() == 2);
    assert_eq!(rig.steps(0), 0);
    // Slot 2 is replaced by slot 10.
    line.write(1, NULL, line.address(10));
    line.write(10, NULL, line.address(3));
    line.channel.resume(&passive()).unwrap();
    assert!(rig.model.step(0));
    assert_eq!(rig.model.status(0) & !0x3f, line.address(10));
    assert_eq!(rig.steps(0), 3);
    until("the rest is reported", || line.completed() == 6);
    rig.end(vec![line]);
}

#[test]
fn a_null_terminated_chain_is_linked_on_and_the_engine_told_where() {
    let rig = Rig::registered_as(NetDmaVersion::V1_1);
    let line = rig.line();
    line.nulls(0..2, STATUS);
    line.write(1, NULL | STATUS, 0);
    line.start(0..2).unwrap();
    assert_eq!(rig.steps(0), 2);
    line.write(20, NULL | INTERRUPT | STATUS, 0);
    // The interface links slot 1 to it (ND-P7).
    line.append(20..21).unwrap();
    assert_eq!(rig.steps(0), 1);
    until("all three are reported", || line.completed() == 3);
    rig.end(vec![line]);
}

#[test]
fn start_on_a_running_channel_drops_the_rest_and_abort_and_reset_say_halted() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..6, INTERRUPT | STATUS);
    line.start(0..6).unwrap();
    assert!(rig.model.step(0));
    line.nulls(30..32, INTERRUPT | STATUS);
    line.start(30..32).unwrap();
    assert_eq!(rig.steps(0), 2);
    until("the new chain is reported", || line.completed() == 8);
    line.channel.abort(&passive()).unwrap();
    assert_eq!(line.word.load().0, line.address(31) | 3);
    assert_eq!(rig.model.status(0), 3);
    line.nulls(40..41, INTERRUPT | STATUS);
    line.start(40..41).unwrap();
    rig.steps(0);
    until("a Start after Abort works", || line.completed() == 9);
    line.channel.reset(&passive()).unwrap();
    assert_eq!(line.word.load().0, line.address(40) | 3);
    rig.end(vec![line]);
}

#[test]
fn an_interrupt_without_completion_word_is_read_from_the_status_register() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..3, INTERRUPT);
    line.start(0..3).unwrap();
    rig.steps(0);
    until("all three are reported", || line.completed() == 3);
    assert_eq!(line.word.load().0, 4, "no word was written");
    rig.end(vec![line]);
}

#[test]
fn a_zero_length_transfer_goes_out_as_null_and_what_the_engine_lacks_is_refused() {
    let rig = Rig::new();
    let line = rig.line();
    let empty = Descriptor { control: INTERRUPT | STATUS, next: line.address(1), ..Descriptor::default() };
    line.ring.write(0, empty.as_bytes()).unwrap();
    line.start(0..1).unwrap();
    rig.steps(0);
    until("the empty transfer is reported", || line.completed() == 1);
    // Page breaks, a DCA context change, an opcode, and more than XFERCAP.
    for (size, control) in [(1, 0x40), (1, 0x80), (1, 0xff00_0001), (1, 0x8700_0000), (1 << 17, 0)] {
        let bad = Descriptor { size, control, next: line.address(2), ..Descriptor::default() };
        line.ring.write(64, bad.as_bytes()).unwrap();
        assert!(matches!(line.append(1..2), Err(ChannelError::Provider { .. })), "{size} {control:#x}");
    }
    // A link out of the registered memory.
    line.write(1, NULL, 0xdead_0000);
    assert!(line.append(1..3).is_err());
    line.nulls(1..2, INTERRUPT | STATUS);
    line.append(1..2).unwrap();
    rig.steps(0);
    until("what was refused has left no trace", || line.completed() == 2);
    rig.end(vec![line]);
}

#[test]
fn a_halt_reports_nothing_complete_and_reset_brings_the_channel_back() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..3, INTERRUPT | STATUS);
    line.write(1, 0, line.address(2));
    line.start(0..3).unwrap();
    rig.steps(0);
    until("the client is called", || *line.seen.attentions.lock().unwrap() == 1);
    assert_eq!(line.completed(), 0);
    let fault = rig.provider.fault(line.context);
    assert_eq!(fault, Some(Fault::Halted { chanerr: ChanErr::SOURCE_ADDRESS }));
    line.channel.reset(&passive()).unwrap();
    assert_eq!(rig.provider.fault(line.context), None);
    line.nulls(0..3, INTERRUPT | STATUS);
    line.start(0..3).unwrap();
    rig.steps(0);
    until("the next chain works", || line.completed() == 6);
    rig.end(vec![line]);
}

#[test]
fn a_report_from_outside_the_chain_is_a_fault_and_no_completion() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..2, INTERRUPT | STATUS);
    rig.model.wrong.misaddress.store(0x40 * 7, Ordering::Release);
    line.start(0..2).unwrap();
    rig.steps(0);
    until("the client is called", || *line.seen.attentions.lock().unwrap() == 1);
    let word = line.address(8) | 1;
    assert_eq!(rig.provider.fault(line.context), Some(Fault::BadCompletion { word }));
    assert_eq!((line.completed(), line.channel.outstanding()), (0, 2));
    line.channel.reset(&passive()).unwrap();
    rig.end(vec![line]);
}

#[test]
fn a_lost_message_is_found_by_a_glance_and_its_dpc_can_be_asked_for() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..1, INTERRUPT | STATUS);
    rig.model.wrong.drop_messages.store(1, Ordering::Release);
    line.start(0..1).unwrap();
    assert_eq!(rig.provider.glance(line.context, &passive()), Glance::Nothing);
    rig.steps(0);
    let word = line.address(0) | 1;
    assert_eq!(rig.provider.glance(line.context, &passive()), Glance::Unseen(word));
    assert!(rig.provider.queue_lost_dpc(line.context, &passive()));
    until("it is reported", || line.completed() == 1);
    assert_eq!(rig.provider.stats(line.context).interrupts, 0);
    rig.end(vec![line]);
}

#[test]
fn registers_that_read_all_ones_are_a_fault_and_the_channel_comes_back_with_them() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..1, INTERRUPT | STATUS);
    line.start(0..1).unwrap();
    rig.model.wrong.gone.store(true, Ordering::Release);
    assert_eq!(rig.provider.glance(line.context, &passive()), Glance::Fault(Fault::Gone));
    assert!(line.channel.reset(&passive()).is_err(), "what does not answer is not reset");
    rig.model.wrong.gone.store(false, Ordering::Release);
    line.channel.reset(&passive()).unwrap();
    line.start(0..1).unwrap();
    rig.steps(0);
    until("the next chain works", || line.completed() == 2);
    rig.end(vec![line]);
}

#[test]
fn a_reset_that_fails_ends_all_reports_until_one_succeeds() {
    let rig = Rig::new();
    let line = rig.line();
    line.nulls(0..1, INTERRUPT | STATUS);
    line.start(0..1).unwrap();
    rig.model.wrong.stuck_reset.store(true, Ordering::Release);
    assert!(line.channel.reset(&passive()).is_err());
    assert_eq!(rig.provider.fault(line.context), Some(Fault::Stuck));
    rig.model.fire(0);
    assert!(line.start(0..1).is_err(), "it does not stop for a Start either");
    assert_eq!(line.completed(), 0);
    rig.model.wrong.stuck_reset.store(false, Ordering::Release);
    line.channel.reset(&passive()).unwrap();
    assert_eq!(rig.provider.fault(line.context), None);
    line.start(0..1).unwrap();
    rig.steps(0);
    until("the next chain works", || line.completed() > 0);
    rig.end(vec![line]);
}

#[test]
fn a_fill_of_no_bytes_goes_out_as_null() {
    let rig = Rig::new();
    let line = rig.line();
    let fill = Descriptor {
        control: 0x0100_0000 | INTERRUPT | STATUS,
        next: line.address(1),
        ..Descriptor::default()
    };
    line.ring.write(0, fill.as_bytes()).unwrap();
    line.start(0..1).unwrap();
    let mut sent = [0; 8];
    line.ring.read(0, &mut sent).unwrap();
    assert_eq!(sent, [1, 0, 0, 0, 0x29, 0, 0, 0], "size 1, NULL with the same reports");
    rig.steps(0);
    until("it is reported", || line.completed() == 1);
    rig.end(vec![line]);
}

#[test]
fn a_reset_that_never_ends_is_a_typed_error() {
    let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
    let model = Model::new(pause.clone());
    model.wrong.stuck_reset.store(true, Ordering::Release);
    let opened = IoatProvider::new(&model.device(), NetDmaInterface::new(pause, 1));
    assert!(matches!(opened.err(), Some(netdma::ioat::IoatError::ResetStuck { channel: 0, .. })));
}

#[test]
fn a_channel_is_chosen_by_the_processor_of_its_interrupt() {
    let rig = Rig::new();
    let line = rig.line();
    assert_eq!(line.channel.cpu_number().0, 0);
    assert_eq!(rig.provider.channel_at(PhysAddr(line.word.physical().0)), Some(line.context));
    assert_eq!(rig.provider.channel_at(PhysAddr(8)), None);
    rig.end(vec![line]);
}
