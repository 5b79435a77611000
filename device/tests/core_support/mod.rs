//! A bench for the device core: one function, one memfd as the guest's memory, and steps that are taken by hand.
#![expect(unsafe_code, reason = "memfd_create has no safe interface")]
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ioat_spec::register::channel_base;
use ioat_spec::{ChannelRegister, ChannelState, Control, Descriptor};
use ioat_stage::sync::Mutex;
use ioat_stage::{Event, FaultBook, Faults, NoFaults, Recorder, RuleFaults, Stage};
use vfio_user_ioat::lint::LintBook;
use vfio_user_ioat::memory::{Access, DmaTable, Pin, Reader};
use vfio_user_ioat::{Begin, Effects, Function, InterruptSink, Profile, Run};
use zerocopy::IntoBytes;

/// IOVA of the guest's memory. Address 0 and what is behind the end are not mapped.
pub(crate) const BASE: u64 = 0x10_0000;
/// Its size.
pub(crate) const SIZE: u64 = 8 << 20;
/// Where the tests put their rings, completion words and buffers.
pub(crate) const RING: u64 = BASE;
pub(crate) const WORD: u64 = BASE + 0x1_0000;
pub(crate) const SOURCE: u64 = BASE + 0x10_0000;
pub(crate) const TARGET: u64 = BASE + 0x40_0000;
/// An address that is not mapped.
pub(crate) const NOWHERE: u64 = 0xdead_0000;

pub(crate) const COMMAND: u64 = 0x04;
pub(crate) const CHANERR_INT: u64 = 0x180;
pub(crate) const INTRCTRL: u64 = 0x03;
pub(crate) const ATTNSTATUS: u64 = 0x04;

pub(crate) const RESET: u8 = 0x20;
pub(crate) const SUSPEND: u8 = 0x04;
pub(crate) const RESUME: u8 = 0x10;

/// CHANCTRL as Linux sets it: re-arm, error completion, any-error abort, error interrupt.
pub(crate) const LINUX_CHANCTRL: u16 = 0x001d;

/// Receives interrupts.
#[derive(Default)]
pub(crate) struct Wires {
    pub(crate) messages: Mutex<Vec<u16>>,
    pub(crate) messages_on: AtomicBool,
    pub(crate) asserted: AtomicBool,
    /// Every level that the function told, in order.
    pub(crate) levels: Mutex<Vec<bool>>,
}

impl InterruptSink for Wires {
    fn message_enabled(&self) -> bool {
        self.messages_on.load(Ordering::Relaxed)
    }

    fn signal(&self, vector: u16) {
        self.messages.lock().push(vector);
    }

    fn line(&self, asserted: bool) {
        self.asserted.store(asserted, Ordering::Relaxed);
        self.levels.lock().push(asserted);
    }
}

/// The bench.
pub(crate) struct Bench<F: Faults = NoFaults> {
    pub(crate) function: Function<F, Arc<Recorder>>,
    pub(crate) wires: Arc<Wires>,
    pub(crate) trace: Arc<Recorder>,
    pub(crate) table: Arc<DmaTable>,
    pub(crate) memory: File,
    pub(crate) readers: Vec<Option<Reader>>,
}

/// A step that is begun.
pub(crate) type Step<F> = Run<Pin, F, Arc<Recorder>>;

/// What a begin said.
#[allow(clippy::large_enum_variant, reason = "one at a time; clippy 1.85 does not see it")]
pub(crate) enum Begun<F> {
    Nothing,
    Starting,
    Delayed(u64),
    Step(Step<F>),
}

impl<F> Begun<F> {
    pub(crate) fn step(self) -> Step<F> {
        match self {
            Self::Step(step) => step,
            Self::Nothing => panic!("nothing to do"),
            Self::Starting => panic!("the start latency is still to pass"),
            Self::Delayed(ns) => panic!("{ns} ns are still to pass"),
        }
    }
}

/// A memfd of `len` zero bytes.
pub(crate) fn memfd(len: u64) -> File {
    // SAFETY: the name is a valid C string; the new descriptor has no other owner.
    let file = unsafe {
        let fd = libc::memfd_create(c"core-test".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        File::from_raw_fd(fd)
    };
    file.set_len(len).unwrap();
    file
}

impl Bench {
    /// A function without faults, BME and MSI-X on.
    pub(crate) fn new() -> Self {
        Self::of(Profile::SKX)
    }

    /// The same for another profile.
    pub(crate) fn of(profile: Profile) -> Self {
        Self::with(profile, |_| NoFaults)
    }
}

impl Bench {
    /// The same, with the lint on.
    pub(crate) fn watched() -> (Self, Arc<LintBook>) {
        let book = LintBook::new();
        let bench = Self::new();
        let function = bench.function.watched(&book, &bench.table);
        (Self { function, ..bench }, book)
    }
}

impl Bench<RuleFaults> {
    /// A function with these fault rules.
    pub(crate) fn faulty(rules: &[&str]) -> Self {
        Self::faulty_with(Profile::SKX, rules)
    }

    /// The same for another profile.
    pub(crate) fn faulty_with(profile: Profile, rules: &[&str]) -> Self {
        let book = FaultBook::new(rules.iter().map(|rule| rule.parse().unwrap()));
        Self::with(profile, |_| book.faults())
    }
}

impl<F: Faults> Bench<F> {
    pub(crate) fn with(profile: Profile, faults: impl FnMut(Option<u8>) -> F) -> Self {
        Self::recorded(profile, faults, Recorder::new(1 << 20))
    }

    /// The same, with a recorder of another detail.
    pub(crate) fn recorded(
        profile: Profile,
        faults: impl FnMut(Option<u8>) -> F,
        trace: Arc<Recorder>,
    ) -> Self {
        let wires = Arc::new(Wires::default());
        wires.messages_on.store(true, Ordering::Relaxed);
        let table = DmaTable::new();
        let memory = memfd(SIZE);
        table.map(BASE, SIZE, Access::READ_WRITE, Some((memory.try_clone().unwrap(), 0))).unwrap();
        let function = Function::new(profile, faults, Arc::clone(&trace), Arc::clone(&wires) as _);
        let readers = (0..profile.channels).map(|_| Some(table.reader())).collect();
        let bench = Self { function, wires, trace, table, memory, readers };
        bench.enable();
        bench
    }

    /// Sets MSE and BME.
    pub(crate) fn enable(&self) {
        let _ = self.function.config_write(COMMAND, &[0x06, 0x00]);
    }

    // Registers

    pub(crate) fn read(&self, offset: u64, len: usize) -> u64 {
        let mut bytes = [0; 8];
        self.function.bar_read(offset, &mut bytes[..len]);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn write(&self, offset: u64, len: usize, value: u64) -> Effects {
        self.function.bar_write(offset, &value.to_le_bytes()[..len])
    }

    pub(crate) fn config(&self, offset: u64, len: usize) -> u64 {
        let mut bytes = [0; 8];
        self.function.config_read(offset, &mut bytes[..len]);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn get(&self, channel: usize, register: ChannelRegister) -> u64 {
        self.read(channel_base(channel) + register.offset(), register.width())
    }

    pub(crate) fn set(&self, channel: usize, register: ChannelRegister, value: u64) -> Effects {
        self.write(channel_base(channel) + register.offset(), register.width(), value)
    }

    pub(crate) fn command(&self, channel: usize, command: u8) -> Effects {
        self.set(channel, ChannelRegister::ChanCmd, command.into())
    }

    pub(crate) fn doorbell(&self, channel: usize, count: u16) -> Effects {
        self.set(channel, ChannelRegister::DmaCount, count.into())
    }

    pub(crate) fn status(&self, channel: usize) -> u64 {
        self.get(channel, ChannelRegister::ChanSts)
    }

    pub(crate) fn state(&self, channel: usize) -> ChannelState {
        ChannelState::from_code(self.status(channel)).unwrap()
    }

    pub(crate) fn chan_err(&self, channel: usize) -> u64 {
        self.get(channel, ChannelRegister::ChanErr)
    }

    /// Programs CHANCTRL, CHANCMP and CHAINADDR.
    pub(crate) fn arm(&self, channel: usize, chan_ctrl: u16) {
        let _ = self.set(channel, ChannelRegister::ChanCtrl, chan_ctrl.into());
        let _ = self.set(channel, ChannelRegister::ChanCmp, WORD);
        let _ = self.set(channel, ChannelRegister::ChainAddr, RING);
    }

    // Memory

    pub(crate) fn put(&self, iova: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, iova - BASE).unwrap();
    }

    pub(crate) fn take(&self, iova: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_exact_at(&mut bytes, iova - BASE).unwrap();
        bytes
    }

    pub(crate) fn word(&self) -> u64 {
        u64::from_le_bytes(self.take(WORD, 8).try_into().unwrap())
    }

    /// Puts descriptors into the ring, linked one to the next and the last to the first.
    pub(crate) fn ring(&self, descriptors: &[Descriptor]) {
        for (index, descriptor) in descriptors.iter().enumerate() {
            let next = slot((index + 1) % descriptors.len());
            self.put(slot(index), Descriptor { next, ..*descriptor }.as_bytes());
        }
    }

    // Steps

    pub(crate) fn begin(&mut self, channel: usize) -> Begun<F> {
        let pin = self.readers[channel].take().unwrap_or_else(|| self.table.reader()).pin();
        match self.function.begin(channel, pin) {
            Begin::Nothing(pin) => {
                self.readers[channel] = Some(pin.unpin());
                Begun::Nothing
            }
            Begin::Starting(pin) => {
                self.readers[channel] = Some(pin.unpin());
                Begun::Starting
            }
            Begin::Delayed(pin, delay) => {
                self.readers[channel] = Some(pin.unpin());
                Begun::Delayed(delay.after_ns)
            }
            Begin::Run(run) => Begun::Step(run),
        }
    }

    /// Finishes a step; true if there is more to do.
    pub(crate) fn finish(&mut self, step: Step<F>) -> bool {
        let channel = step.channel();
        let finished = self.function.finish(step);
        self.readers[channel] = Some(finished.memory.unpin());
        finished.more
    }

    /// Takes one whole step, past a start latency or a delay. True if there is more to do.
    pub(crate) fn step(&mut self, channel: usize) -> bool {
        let step = match self.begin(channel) {
            Begun::Nothing => return false,
            Begun::Starting | Begun::Delayed(_) => self.begin(channel),
            begun @ Begun::Step(_) => begun,
        };
        let mut step = step.step();
        step.run();
        self.finish(step)
    }

    /// Takes steps until there is nothing left to do.
    pub(crate) fn drive(&mut self, channel: usize) {
        while self.step(channel) {}
    }

    // What happened

    pub(crate) fn messages(&self) -> Vec<u16> {
        self.wires.messages.lock().clone()
    }

    pub(crate) fn events(&self, stage: Stage) -> Vec<Event> {
        self.trace.events().into_iter().filter(|event| event.stage == stage).collect()
    }
}

/// Address of a slot of the ring.
pub(crate) fn slot(index: usize) -> u64 {
    RING + 64 * index as u64
}

/// A copy of `size` bytes from [`SOURCE`] to [`TARGET`].
pub(crate) fn copy(size: u32) -> Descriptor {
    Descriptor { size, source: SOURCE, destination: TARGET, ..Descriptor::default() }
}

/// A NULL descriptor.
pub(crate) fn null() -> Descriptor {
    with(Descriptor { size: 1, ..Descriptor::default() }, Control::new().with_null(true))
}

/// A fill of [`TARGET`].
pub(crate) fn fill(size: u32, pattern: u64) -> Descriptor {
    let descriptor = Descriptor { size, source: pattern, destination: TARGET, ..Descriptor::default() };
    with(descriptor, Control::new().with_opcode(0x01))
}

/// A descriptor with more control bits.
pub(crate) fn with(descriptor: Descriptor, control: Control) -> Descriptor {
    Descriptor { control: descriptor.control | control.into_bits(), ..descriptor }
}

/// With a completion word.
pub(crate) fn cmpl(descriptor: Descriptor) -> Descriptor {
    with(descriptor, Control::new().with_cmpl_wr(true))
}

/// With a completion word and an interrupt.
pub(crate) fn int(descriptor: Descriptor) -> Descriptor {
    with(cmpl(descriptor), Control::new().with_int_en(true))
}

/// Bytes that tell where they are from.
pub(crate) fn pattern(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n ^ u64::from(seed)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0])
        .collect()
}
