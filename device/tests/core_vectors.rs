//! Interrupts with fewer vectors than channels: messages that channels share, and the line (device model 2.4, 3.9, items 4, 71, 72).
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod core_support;

use core_support::{ATTNSTATUS, Bench, COMMAND, INTRCTRL, LINUX_CHANCTRL, copy, int, null};
use ioat_spec::ChannelRegister::ChanCtrl;
use ioat_stage::{NoFaults, NoTrace, Stage};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vfio_user_ioat::engine::identity;
use vfio_user_ioat::memory::{Access, DmaTable};
use vfio_user_ioat::server::{IrqAction, IrqChange, IrqTable, Select, irq};
use vfio_user_ioat::{Begin, Function, Profile};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const STATUS: u64 = 0x06;
const STATUS_INTERRUPT: u64 = 1 << 3;
const INTERRUPT_PIN: u64 = 0x3d;
const CAPABILITIES: u64 = 0x34;
const PCIE_CAPABILITY: u64 = 0x90;

fn vectors(vectors: u16) -> Profile {
    Profile::SKX.with_vectors(vectors).unwrap()
}

/// One NULL descriptor with an interrupt on this channel; re-armed before.
fn interrupt(bench: &mut Bench, channel: usize) {
    bench.ring(&[int(null())]);
    bench.arm(channel, LINUX_CHANCTRL);
    let _ = bench.doorbell(channel, 1);
    bench.drive(channel);
}

#[test]
fn m04_without_vectors_there_is_no_msix_capability_and_the_pin_is_inta() {
    for profile in [vectors(0), Profile::NETDMA.with_vectors(0).unwrap()] {
        let bench = Bench::of(profile);
        assert_eq!(bench.config(CAPABILITIES, 1), PCIE_CAPABILITY);
        assert_eq!(bench.config(0x80, 8), 0);
        let _ = bench.function.config_write(0x80, &[0xff; 12]);
        assert_eq!((bench.config(0x80, 8), bench.config(0x88, 4)), (0, 0));
        assert_ne!(bench.config(STATUS, 2) & 1 << 4, 0);
        assert_eq!(bench.config(INTERRUPT_PIN, 1), 1);
        // Where the table and the pending bits would be.
        let _ = bench.write(0x2000, 8, u64::MAX);
        assert_eq!((bench.read(0x2000, 8), bench.read(0x3000, 8)), (0, 0));
        let table = identity(0).irqs[irq::MSIX as usize];
        assert_eq!((table.count, table.flags), (0, 0));
    }
}

#[test]
fn m04_the_capability_counts_the_vectors_and_not_the_channels() {
    for count in 1..=4 {
        let bench = Bench::of(vectors(count));
        assert_eq!(bench.config(0x82, 2), u64::from(count) - 1);
        assert_eq!(bench.read(0x00, 1), 4);
        assert_eq!(identity(count.into()).irqs[irq::MSIX as usize].count, u32::from(count));
    }
}

#[test]
fn channel_c_signals_vector_c_modulo_the_vectors() {
    for (count, expected) in [(1, [0, 0, 0, 0]), (2, [0, 1, 0, 1]), (3, [0, 1, 2, 0]), (4, [0, 1, 2, 3])] {
        let mut bench = Bench::of(vectors(count));
        for channel in 0..4 {
            interrupt(&mut bench, channel);
        }
        assert_eq!(bench.messages(), expected);
        let traced: Vec<_> = bench.events(Stage::Msix).iter().map(|event| event.address).collect();
        assert_eq!(traced, expected.map(u64::from));
    }
}

#[test]
fn attnstatus_tells_which_channels_share_a_message() {
    let mut bench = Bench::of(vectors(1));
    for channel in [1, 3] {
        interrupt(&mut bench, channel);
    }
    // 3.9: an event sets its bit in every mode of delivery, before its message goes. Reading it clears it.
    assert_eq!(bench.messages(), [0, 0]);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b1010);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0);
    // In MSI-X mode there is no line, and MASTER_INT_EN gates nothing.
    assert!(bench.wires.levels.lock().is_empty());
    interrupt(&mut bench, 2);
    assert_eq!(bench.messages(), [0, 0, 0]);
    assert_eq!(bench.read(INTRCTRL, 1), 0x02);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b0100);
}

#[test]
fn m69_a_channel_that_waits_for_its_re_arm_does_not_hold_back_the_others_of_its_vector() {
    let mut bench = Bench::of(vectors(1));
    bench.ring(&[int(null()), int(null())]);
    bench.arm(1, LINUX_CHANCTRL);
    let _ = bench.doorbell(1, 1);
    bench.drive(1);
    let _ = bench.doorbell(1, 2);
    bench.drive(1);
    assert_eq!(bench.messages(), [0]);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b10);
    interrupt(&mut bench, 2);
    assert_eq!(bench.messages(), [0, 0]);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b100);
    // What waited is an event of its own, and has its bit again.
    let _ = bench.set(1, ChanCtrl, LINUX_CHANCTRL.into());
    assert_eq!(bench.messages(), [0, 0, 0]);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b10);
}

#[test]
fn m71_without_vectors_no_message_is_sent_whatever_the_sink_says() {
    let mut bench = Bench::of(vectors(0));
    assert!(bench.wires.messages_on.load(Ordering::Relaxed));
    let _ = bench.write(INTRCTRL, 1, 0x01);
    interrupt(&mut bench, 2);
    assert!(bench.messages().is_empty());
    assert_eq!(*bench.wires.levels.lock(), [true]);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b100);
    assert_eq!(*bench.wires.levels.lock(), [true, false]);
}

#[test]
fn m71_the_line_stays_until_the_last_channel_is_seen_to() {
    let mut bench = Bench::of(vectors(0));
    let _ = bench.write(INTRCTRL, 1, 0x01);
    interrupt(&mut bench, 0);
    // Linux: INTRCTRL (which drops the enable and the line), ATTNSTATUS, then INTRCTRL back.
    assert_eq!(bench.read(INTRCTRL, 1), 0x07);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b1);
    interrupt(&mut bench, 3);
    assert_eq!(*bench.wires.levels.lock(), [true, false]);
    assert_ne!(bench.read(INTRCTRL, 1) & 0x02, 0);
    let _ = bench.write(INTRCTRL, 1, 0x07);
    assert_eq!(*bench.wires.levels.lock(), [true, false, true]);
    assert_eq!(bench.read(INTRCTRL, 1), 0x07);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b1000);
    let _ = bench.write(INTRCTRL, 1, 0x07);
    assert_eq!(*bench.wires.levels.lock(), [true, false, true, false]);
    // Nothing is pending: the handler comes to an end.
    assert_eq!(bench.read(INTRCTRL, 1), 0x01);
}

#[test]
fn m08_intx_disable_takes_the_level_but_not_the_status_bit() {
    let mut bench = Bench::of(vectors(0));
    let _ = bench.write(INTRCTRL, 1, 0x01);
    interrupt(&mut bench, 0);
    let _ = bench.function.config_write(COMMAND, &[0x06, 0x04]);
    assert_eq!(*bench.wires.levels.lock(), [true, false]);
    assert_ne!(bench.config(STATUS, 2) & STATUS_INTERRUPT, 0);
    let _ = bench.function.config_write(COMMAND, &[0x06, 0x00]);
    assert_eq!(*bench.wires.levels.lock(), [true, false, true]);
    let _ = bench.read(ATTNSTATUS, 4);
    assert_eq!(bench.config(STATUS, 2) & STATUS_INTERRUPT, 0);
}

#[test]
fn m09_every_reset_takes_the_line_down() {
    for flr in [false, true] {
        let mut bench = Bench::of(vectors(0));
        let _ = bench.write(INTRCTRL, 1, 0x01);
        interrupt(&mut bench, 0);
        let _ = if flr { bench.function.config_write(0x99, &[0x80]) } else { bench.function.reset() };
        assert_eq!(*bench.wires.levels.lock(), [true, false]);
        assert_eq!((bench.config(STATUS, 2) & STATUS_INTERRUPT, bench.read(ATTNSTATUS, 4)), (0, 0));
    }
}

#[test]
fn a_channel_reset_leaves_attention_to_its_reader() {
    // 3.6 lists what CHANCMD.RESET clears, and ATTNSTATUS, which is the function's, is not in it.
    let mut bench = Bench::of(vectors(0));
    let _ = bench.write(INTRCTRL, 1, 0x01);
    interrupt(&mut bench, 1);
    let _ = bench.command(1, core_support::RESET);
    assert_eq!(*bench.wires.levels.lock(), [true]);
    assert_eq!(bench.read(ATTNSTATUS, 4), 0b10);
}

#[test]
fn a_line_that_is_up_is_told_again_when_delivery_changes_and_one_that_is_down_is_not() {
    let mut bench = Bench::of(vectors(0));
    bench.function.delivery_changed();
    assert!(bench.wires.levels.lock().is_empty());
    let _ = bench.write(INTRCTRL, 1, 0x01);
    interrupt(&mut bench, 0);
    bench.function.delivery_changed();
    assert_eq!(*bench.wires.levels.lock(), [true, true]);
}

/// The core with the server's own table behind it, and a client that listens to the line, or does not.
struct Line {
    function: Function<NoFaults, NoTrace>,
    irqs: Arc<IrqTable>,
    table: Arc<DmaTable>,
    event: EventFd,
}

const DESCRIPTOR: u64 = 0x1000;

impl Line {
    fn new() -> Self {
        let irqs = Arc::new(IrqTable::new(&identity(0)));
        let table = DmaTable::new();
        let memory = core_support::memfd(0x2000);
        table.map(0, 0x2000, Access::READ_WRITE, Some((memory.try_clone().unwrap(), 0))).unwrap();
        let descriptor = ioat_spec::Descriptor { next: DESCRIPTOR, ..int(null()) };
        std::os::unix::fs::FileExt::write_all_at(
            &memory,
            zerocopy::IntoBytes::as_bytes(&descriptor),
            DESCRIPTOR,
        )
        .unwrap();
        let function = Function::new(vectors(0), |_| NoFaults, NoTrace, Arc::clone(&irqs) as _);
        let line = Self { function, irqs, table, event: EventFd::new(EFD_NONBLOCK).unwrap() };
        line.prepare();
        line
    }

    /// Bus master on, every chain armed.
    fn prepare(&self) {
        let _ = self.function.config_write(COMMAND, &[0x06, 0x00]);
        for channel in 0..4_u64 {
            let _ = self.function.bar_write(0x80 * (channel + 1) + 0x10, &DESCRIPTOR.to_le_bytes());
        }
    }

    fn change(&self, action: IrqAction) {
        let vectors = if matches!(action, IrqAction::Disable) { 0..0 } else { 0..1 };
        self.irqs.apply(IrqChange { index: irq::INTX, vectors, action }).unwrap();
        // As the engine behind the server does after every SET_IRQS.
        self.function.delivery_changed();
    }

    fn assign(&self) {
        self.change(IrqAction::Assign(vec![self.event.try_clone().unwrap()]));
    }

    /// One more interrupt event of a channel.
    fn interrupt(&self, channel: usize) {
        let count_at = 0x80 * (channel as u64 + 1) + 0x06;
        let mut count = [0; 2];
        self.function.bar_read(count_at, &mut count);
        let _ = self.function.bar_write(count_at, &(u16::from_le_bytes(count).wrapping_add(1)).to_le_bytes());
        let mut memory = self.table.reader().pin();
        loop {
            memory = match self.function.begin(channel, memory) {
                Begin::Nothing(_) => return,
                Begin::Starting(memory) | Begin::Delayed(memory, _) => memory,
                Begin::Run(mut run) => {
                    run.run();
                    self.function.finish(run).memory
                }
            }
        }
    }

    fn intrctrl(&self, value: u8) {
        let _ = self.function.bar_write(INTRCTRL, &[value]);
    }

    fn attention(&self) -> u32 {
        let mut bytes = [0; 4];
        self.function.bar_read(ATTNSTATUS, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// How often the eventfd was signalled since the last look.
    fn signals(&self) -> u64 {
        self.event.read().unwrap_or(0)
    }
}

#[test]
fn a_line_that_went_up_before_anyone_listened_reaches_who_listens_now() {
    let line = Line::new();
    line.intrctrl(0x01);
    line.interrupt(0);
    line.assign();
    assert_eq!(line.signals(), 1);
    // Automasked: no second signal for the same level, and none for a change of something else.
    line.function.delivery_changed();
    line.interrupt(1);
    assert_eq!(line.signals(), 0);
}

#[test]
fn a_line_that_stays_up_survives_a_disable_and_comes_again_with_the_next_eventfd() {
    let line = Line::new();
    line.assign();
    line.intrctrl(0x01);
    line.interrupt(0);
    assert_eq!(line.signals(), 1);
    line.change(IrqAction::Disable);
    line.change(IrqAction::Unmask(Select::All));
    assert_eq!(line.signals(), 0);
    line.assign();
    assert_eq!(line.signals(), 1);
}

#[test]
fn v55_an_unmask_samples_the_level_again() {
    let line = Line::new();
    line.assign();
    line.intrctrl(0x01);
    line.interrupt(0);
    assert_eq!(line.signals(), 1);
    // Still up: once more per unmask.
    line.change(IrqAction::Unmask(Select::All));
    assert_eq!(line.signals(), 1);
    // Down: none.
    assert_eq!(line.attention(), 1);
    line.change(IrqAction::Unmask(Select::All));
    assert_eq!(line.signals(), 0);
    // Up while the client masks it: when it lets go.
    line.change(IrqAction::Mask(Select::All));
    line.interrupt(2);
    assert_eq!(line.signals(), 0);
    line.change(IrqAction::Unmask(Select::All));
    assert_eq!(line.signals(), 1);
}

#[test]
fn after_a_reset_the_line_works_with_the_same_eventfd() {
    let line = Line::new();
    line.assign();
    line.intrctrl(0x01);
    line.interrupt(0);
    assert_eq!(line.signals(), 1);
    // As DEVICE_RESET does it.
    let _ = line.function.reset();
    line.irqs.reset();
    assert_eq!((line.signals(), line.attention()), (0, 0));
    line.prepare();
    line.intrctrl(0x01);
    line.interrupt(3);
    assert_eq!((line.signals(), line.attention()), (1, 0b1000));
}

/// What may happen to a line.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Event(usize),
    ReadAttention,
    ReadIntrCtrl,
    WriteIntrCtrl(bool),
    Disable(bool),
    Assign,
    Deassign,
    DisableIndex,
    Mask,
    Unmask,
    Reset,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..4_usize).prop_map(Happening::Event),
        2 => Just(Happening::ReadAttention),
        1 => Just(Happening::ReadIntrCtrl),
        2 => any::<bool>().prop_map(Happening::WriteIntrCtrl),
        1 => any::<bool>().prop_map(Happening::Disable),
        2 => Just(Happening::Assign),
        1 => Just(Happening::Deassign),
        1 => Just(Happening::DisableIndex),
        1 => Just(Happening::Mask),
        3 => Just(Happening::Unmask),
        1 => Just(Happening::Reset),
    ]
}

/// The line as the model has it: a level, and a listener who hears it once until it unmasks.
#[derive(Default)]
struct Model {
    attention: u32,
    master: bool,
    intx_disable: bool,
    eventfd: bool,
    masked: bool,
}

impl Model {
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Event(channel) => self.attention |= 1 << channel,
            Happening::ReadAttention => self.attention = 0,
            Happening::ReadIntrCtrl => self.master = false,
            Happening::WriteIntrCtrl(enable) => self.master = enable,
            Happening::Disable(disable) => self.intx_disable = disable,
            Happening::Assign => self.eventfd = true,
            Happening::Deassign => self.eventfd = false,
            // The mask belongs to who listened.
            Happening::DisableIndex => (self.eventfd, self.masked) = (false, false),
            Happening::Mask => self.masked = true,
            Happening::Unmask => self.masked = false,
            Happening::Reset => *self = Self { eventfd: self.eventfd, ..Self::default() },
        }
    }

    /// How often the eventfd is signalled after it.
    fn signals(&mut self) -> u64 {
        let level = self.master && self.attention != 0 && !self.intx_disable;
        let heard = level && self.eventfd && !self.masked;
        self.masked |= heard;
        heard.into()
    }
}

proptest! {
    #[test]
    fn the_line_is_heard_exactly_when_the_model_says(happenings in prop::collection::vec(happening(), 1..60)) {
        let line = Line::new();
        let mut model = Model::default();
        for (nth, happening) in happenings.into_iter().enumerate() {
            match happening {
                Happening::Event(channel) => line.interrupt(channel),
                Happening::ReadAttention => prop_assert_eq!(line.attention(), model.attention),
                Happening::ReadIntrCtrl => line.function.bar_read(INTRCTRL, &mut [0]),
                Happening::WriteIntrCtrl(enable) => line.intrctrl(enable.into()),
                Happening::Disable(disable) => {
                    let _ = line.function.config_write(COMMAND + 1, &[u8::from(disable) << 2]);
                }
                Happening::Assign => line.assign(),
                Happening::Deassign => line.change(IrqAction::Deassign),
                Happening::DisableIndex => line.change(IrqAction::Disable),
                Happening::Mask => line.change(IrqAction::Mask(Select::All)),
                Happening::Unmask => line.change(IrqAction::Unmask(Select::All)),
                Happening::Reset => {
                    let _ = line.function.reset();
                    line.irqs.reset();
                    line.prepare();
                }
            }
            model.happen(happening);
            prop_assert_eq!(line.signals(), model.signals(), "{} {:?}", nth, happening);
        }
    }
}

#[test]
fn a_copy_with_an_interrupt_works_on_every_number_of_vectors() {
    for count in 0..=4 {
        let mut bench = Bench::of(vectors(count));
        bench.ring(&[int(copy(64))]);
        bench.arm(3, LINUX_CHANCTRL);
        let _ = bench.doorbell(3, 1);
        bench.drive(3);
        assert_eq!(bench.read(ATTNSTATUS, 4), 0b1000, "{count}");
        assert_eq!(bench.messages().len(), usize::from(count > 0), "{count}");
    }
}
