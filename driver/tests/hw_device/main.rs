//! The socket client against the device's own server, each with a codec of its own: one engine, one copy by
//! hand, and what happens at the ends.

#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test whose device cannot start fails")]

mod kinds;
mod placement;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ioat_spec::register::channel_base;
use ioat_spec::{ChanSts, ChannelRegister, ChannelState, Control, Descriptor, GeneralRegister};
use ioat_stage::pause::deadline;
use ioat_stage::{NoFaults, NoTrace, Pause, ThreadPause};
use netdma::hw::socket::{Options, open, open_with};
use netdma::hw::{Device, DmaBuffer, Fired, HwError, Space};
use vfio_user_ioat::engine::{Engine, Parts, Served, identity};
use vfio_user_ioat::memory::DmaTable;
use vfio_user_ioat::profile::Profile;
use vfio_user_ioat::server::{self, IrqTable, Listener, serve};
use vmm_sys_util::eventfd::EventFd;
use zerocopy::IntoBytes;

const LIMIT: Duration = Duration::from_secs(10);

struct Program {
    directory: tempfile::TempDir,
    stop: EventFd,
    server: Option<JoinHandle<()>>,
}

impl Program {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&directory.path().join("device.sock")).unwrap();
        let stop = EventFd::new(0).unwrap();
        let stopped = stop.try_clone().unwrap();
        let profile = Profile::by_name("skx").unwrap();
        let identity = identity(u32::from(profile.vectors()));
        let irqs = Arc::new(IrqTable::new(&identity));
        let parts = Parts {
            profile,
            table: DmaTable::new(),
            interrupts: irqs.clone(),
            trace: NoTrace,
            pause: Arc::new(ThreadPause::new()),
            start_latency: Duration::from_micros(200),
        };
        let engine = Engine::start(parts, |_| NoFaults).unwrap();
        let backend = Served::new(engine, irqs, identity);
        let body = move || serve(listener, &backend, &stopped, &server::Options::default()).unwrap();
        Self { directory, stop, server: Some(std::thread::spawn(body)) }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("device.sock")
    }

    fn open(&self) -> Device {
        open(&self.path(), Arc::new(ThreadPause::new())).unwrap()
    }

    fn end(&mut self) {
        self.stop.write(1).unwrap();
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

fn register(register: ChannelRegister) -> u64 {
    channel_base(0) + register.offset()
}

/// A chain of one copy in `memory`: descriptor at 0, completion word at 64, source at 4096, destination at 8192.
fn copy(device: &Device, memory: &DmaBuffer, len: u32) {
    let at = memory.iova();
    let control = Control::new().with_int_en(true).with_cmpl_wr(true).into();
    let (source, destination, next) = (at + 4096, at + 8192, at);
    let descriptor = Descriptor { size: len, control, source, destination, next, ..Descriptor::default() };
    memory.write(0, descriptor.as_bytes()).unwrap();
    device.write64(Space::BAR0, register(ChannelRegister::ChanCmp), at + 64).unwrap();
    device.write64(Space::BAR0, register(ChannelRegister::ChainAddr), at).unwrap();
    device.write16(Space::BAR0, register(ChannelRegister::DmaCount), 1).unwrap();
}

#[test]
fn registers_and_configuration_space_answer() {
    let program = Program::start();
    let device = program.open();
    let channels = device.read8(Space::BAR0, GeneralRegister::ChanCnt.offset()).unwrap();
    assert_eq!((channels, device.interrupts.vectors()), (4, 4));
    assert_eq!(device.read8(Space::BAR0, GeneralRegister::CbVer.offset()).unwrap(), 0x33);
    assert_eq!(device.read32(Space::Config, 0).unwrap(), 0x2021_8086);
    let mut whole = [0; 4096];
    device.registers.read(Space::Config, 0, &mut whole).unwrap();
    assert_eq!(whole[..4], [0x86, 0x80, 0x21, 0x20]);
}

#[test]
fn a_copy_lands_and_fires_its_vector_before_and_after_a_reset() {
    let program = Program::start();
    let device = program.open();
    let memory = device.memory.allocate(3 * 4096).unwrap();
    device.interrupts.enable(4).unwrap();
    for round in 1..=3_u8 {
        memory.write(4096, &[round; 4096]).unwrap();
        copy(&device, &memory, 4096);
        assert_eq!(device.interrupts.wait(0, &*device.pause).unwrap(), Fired::Times(1));
        let word = ChanSts::from_bits(memory.load_u64(64).unwrap());
        assert_eq!(word.into_bits() & ChanSts::ADDRESS_MASK, memory.iova());
        let mut landed = [0; 4096];
        memory.read(8192, &mut landed).unwrap();
        assert_eq!(landed, [round; 4096]);
        // Maps, vectors and bus mastering outlive the reset; the registers do not.
        device.registers.reset().unwrap();
        assert_eq!(device.read64(Space::BAR0, register(ChannelRegister::ChanCmp)).unwrap(), 0);
    }
}

#[test]
fn memory_that_was_dropped_is_out_of_the_engines_reach() {
    let program = Program::start();
    let device = program.open();
    let memory = device.memory.allocate(3 * 4096).unwrap();
    let gone = device.memory.allocate(4096).unwrap().iova();
    let control = Control::new().with_cmpl_wr(true).into();
    let (at, len) = (memory.iova(), 64);
    let descriptor = Descriptor {
        size: len,
        control,
        source: at + 4096,
        destination: gone,
        next: at,
        ..Descriptor::default()
    };
    memory.write(0, descriptor.as_bytes()).unwrap();
    device.write64(Space::BAR0, register(ChannelRegister::ChanCmp), at + 64).unwrap();
    device.write64(Space::BAR0, register(ChannelRegister::ChainAddr), at).unwrap();
    device.write16(Space::BAR0, register(ChannelRegister::DmaCount), 1).unwrap();
    let until = deadline(&*device.pause, LIMIT);
    let halted = || {
        let status = device.read64(Space::BAR0, register(ChannelRegister::ChanSts)).unwrap();
        ChannelState::from_code(status) == Some(ChannelState::Halted)
    };
    while !halted() {
        assert!(device.pause.now_ns() < until, "the channel did not halt");
        device.pause.sleep(Duration::from_millis(1));
    }
    let error = device.read32(Space::BAR0, register(ChannelRegister::ChanErr)).unwrap();
    assert_eq!(error.count_ones(), 1, "{error:#x}");
}

#[test]
fn thousands_of_buffers_are_mapped_at_once() {
    let program = Program::start();
    let device = program.open();
    let buffers: Vec<_> = (0..3000).map(|_| device.memory.allocate(4096).unwrap()).collect();
    let mut addresses: Vec<u64> = buffers.iter().map(DmaBuffer::iova).collect();
    addresses.dedup();
    assert_eq!(addresses.len(), 3000);
}

#[test]
fn a_second_client_is_told_so_and_the_next_one_is_served() {
    let program = Program::start();
    let first = program.open();
    let second = open(&program.path(), Arc::new(ThreadPause::new()));
    let Err(HwError::Open(text)) = second else { panic!("a second client was served") };
    assert!(text.contains("the device serves another client"), "{text}");
    assert_eq!(first.read8(Space::BAR0, 0).unwrap(), 4);
    drop(first);
    let pause = ThreadPause::new();
    let until = deadline(&pause, LIMIT);
    while let Err(error) = open(&program.path(), Arc::new(ThreadPause::new())) {
        assert!(pause.now_ns() < until, "{error}");
        pause.sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_end_of_the_device_ends_a_wait_and_every_access() {
    let mut program = Program::start();
    let device = program.open();
    let memory = device.memory.allocate(4096).unwrap();
    device.interrupts.enable(1).unwrap();
    let waiter = device.clone();
    let waiting = std::thread::spawn(move || waiter.interrupts.wait(0, &*waiter.pause));
    program.end();
    assert!(matches!(waiting.join().unwrap(), Err(HwError::Gone(_))));
    assert!(matches!(device.read8(Space::BAR0, 0), Err(HwError::Gone(_))));
    drop(memory);
}

#[test]
fn posted_writes_reach_the_engine_in_order() {
    let program = Program::start();
    let options = Options { posted_writes: true, ..Options::default() };
    let device = open_with(&program.path(), Arc::new(ThreadPause::new()), &options).unwrap();
    let at = register(ChannelRegister::ChanCmp);
    for value in 1..=300_u64 {
        device.write64(Space::BAR0, at, value << 6).unwrap();
    }
    assert_eq!(device.read64(Space::BAR0, at).unwrap(), 300 << 6);
}
