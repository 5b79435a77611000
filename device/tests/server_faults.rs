//! Faults with the whole device around them: engine, interrupt table, server, a client. Each row of the catalog outside a step, at
//! the first and at the second operation of a small workload; what the client's own messages meet; and who comes next.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod server_support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ioat_spec::register::channel_base;
use ioat_spec::{ChannelRegister, ChannelState, Control, Descriptor};
use ioat_stage::fault::catalog::{CATALOG, Entry};
use ioat_stage::{FaultBook, NoTrace, Point, ThreadPause};
use server_support::{
    QEMU_CAPABILITIES, RawClient, Reply, access_body, count, eventfd, eventually, irq_body, map_body,
    memory_file, message, version_body, words, write_body,
};
use tempfile::TempDir;
use vfio_user_ioat::Profile;
use vfio_user_ioat::control;
use vfio_user_ioat::engine::{Engine, Parts, Served, identity};
use vfio_user_ioat::memory::DmaTable;
use vfio_user_ioat::server::{IrqTable, Listener, Options, ServeError, command, flag, irq, region, serve};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;
use zerocopy::IntoBytes;

const IDLE: u64 = ChannelState::Idle.code();
const MEMORY: u64 = 0x10_0000;
const MEMORY_BYTES: u64 = 1 << 20;
/// In that memory: descriptor, word, source, target.
const DESCRIPTOR: u64 = 0;
const WORD: u64 = 0x1000;
const SOURCE: u64 = 0x2000;
const TARGET: u64 = 0x3000;
const COPIED: [u8; 64] = [0x5a; 64];
/// How long a client with a fault waits for a reply before it gives up.
const GIVE_UP: Duration = Duration::from_millis(300);
const ASSIGN: u32 = flag::IRQ_DATA_EVENTFD | flag::IRQ_TRIGGER;

/// The points that lie around the path on the device's side.
const EDGES: [Point; 8] = [
    Point::Config,
    Point::Register,
    Point::Doorbell,
    Point::Msix,
    Point::State,
    Point::Reset,
    Point::Pcie,
    Point::Transport,
];

/// An engine with rules behind a server, in threads of this process.
struct Place {
    book: Arc<FaultBook>,
    path: PathBuf,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    _folder: TempDir,
}

impl Place {
    fn start(rules: &[&str]) -> Self {
        let book = FaultBook::new(rules.iter().map(|rule| rule.parse().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.sock");
        let listener = Listener::bind(&path).unwrap();
        let stop = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        let identity = identity(u32::from(Profile::SKX.vectors()));
        let irqs = Arc::new(IrqTable::new(&identity));
        let parts = Parts {
            profile: Profile::SKX,
            table: DmaTable::new(),
            interrupts: irqs.clone(),
            trace: NoTrace,
            pause: Arc::new(ThreadPause::new()),
            start_latency: Duration::from_micros(20),
        };
        let faults = Arc::clone(&book);
        let engine = Engine::start(parts, move |_| faults.faults()).unwrap();
        let (stopped, served) = (Arc::clone(&stop), Served::new(engine, irqs, identity));
        let thread = std::thread::spawn(move || serve(listener, &served, &stopped, &Options::default()));
        Self { book, path, stop, thread: Some(thread), _folder: folder }
    }

    fn fired(&self) -> usize {
        self.book.fired().len()
    }

    /// The next client finds a device as after power-on, and uses it.
    fn serves_the_next(&self) {
        self.book.clear();
        let mut client = let_in(&self.path);
        let memory = memory_file(MEMORY_BYTES);
        let mapped = client.ask_with_fds(
            command::DMA_MAP,
            &map_body(flag::MAP_READ | flag::MAP_WRITE, 0, MEMORY, MEMORY_BYTES),
            &[memory.as_raw_fd()],
        );
        assert_eq!(mapped.errno(), 0);
        let interrupt = eventfd();
        assert_eq!(client.set_irqs(ASSIGN, irq::MSIX, 0, 1, &[&interrupt]), 0);
        prepare(&memory);
        assert_eq!(data(&client.read(0, register(ChannelRegister::ChanSts), 8)), 3);
        for (region, offset, bytes) in program() {
            assert_eq!(client.write(region, offset, &bytes).errno(), 0);
        }
        eventually("the copy is done", || {
            data(&client.read(0, register(ChannelRegister::ChanSts), 8)) == MEMORY + DESCRIPTOR | IDLE
        });
        let mut copied = [0; 64];
        memory.read_exact_at(&mut copied, TARGET).unwrap();
        assert_eq!(copied, COPIED);
        eventually("the interrupt comes", || count(&interrupt) == 1);
    }
}

/// The client before may not be gone yet, and there is room for one.
fn let_in(path: &Path) -> RawClient {
    let mut let_in = None;
    eventually("the next client is let in", || {
        let mut client = RawClient::connect(path);
        let version = version_body(0, 0, QEMU_CAPABILITIES.as_bytes());
        client.try_send(&message(1, command::VERSION, flag::COMMAND, &version));
        let welcome = client.receive_or_end().is_some_and(|reply| reply.errno() == 0);
        let_in = welcome.then_some(client);
        welcome
    });
    let_in.unwrap()
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.write(1).unwrap();
        let thread = self.thread.take().unwrap();
        let result = thread.join();
        if !std::thread::panicking() {
            result.unwrap().unwrap();
        }
    }
}

fn register(register: ChannelRegister) -> u64 {
    channel_base(0) + register.offset()
}

/// A reply's data as a number.
fn data(reply: &Reply) -> u64 {
    let mut bytes = [0; 8];
    let data = &reply.payload[16..];
    bytes[..data.len()].copy_from_slice(data);
    u64::from_le_bytes(bytes)
}

/// One copy with word and interrupt, linked to itself.
fn prepare(memory: &File) {
    let control = Control::new().with_cmpl_wr(true).with_int_en(true).into_bits();
    let descriptor = Descriptor {
        size: 64,
        control,
        source: MEMORY + SOURCE,
        destination: MEMORY + TARGET,
        next: MEMORY + DESCRIPTOR,
        ..Descriptor::default()
    };
    memory.write_all_at(descriptor.as_bytes(), DESCRIPTOR).unwrap();
    memory.write_all_at(&COPIED, SOURCE).unwrap();
}

/// The writes that start it: COMMAND, CHANCTRL, CHANCMP, CHAINADDR, DMACOUNT.
fn program() -> [(u32, u64, Vec<u8>); 5] {
    let write = |name, value: u64| {
        let bytes = value.to_le_bytes()[..ChannelRegister::width(name)].to_vec();
        (0, register(name), bytes)
    };
    [
        (region::CONFIG, 0x04, vec![0x06, 0]),
        write(ChannelRegister::ChanCtrl, 0x1d),
        write(ChannelRegister::ChanCmp, MEMORY + WORD),
        write(ChannelRegister::ChainAddr, MEMORY + DESCRIPTOR),
        write(ChannelRegister::DmaCount, 1),
    ]
}

/// A client that takes what comes, and gives up where nothing does.
struct Meek {
    stream: UnixStream,
}

/// It gave up, or the server hung up on it.
#[derive(Debug)]
struct GaveUp;

impl Meek {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(GIVE_UP)).unwrap();
        stream.set_write_timeout(Some(GIVE_UP)).unwrap();
        Self { stream }
    }

    fn ask(&mut self, command: u16, payload: &[u8], fds: &[RawFd]) -> Result<Vec<u8>, GaveUp> {
        let bytes = message(1, command, flag::COMMAND, payload);
        let sent = self.stream.send_with_fds(&[&bytes[..]], fds).map_err(|_| GaveUp)?;
        self.stream.write_all(&bytes[sent..]).map_err(|_| GaveUp)?;
        let mut header = [0; 16];
        self.stream.read_exact(&mut header).map_err(|_| GaveUp)?;
        let size = u32::from_le_bytes(header[4..8].try_into().unwrap()) as usize;
        let mut rest = vec![0; size.checked_sub(16).filter(|rest| *rest <= 8192).ok_or(GaveUp)?];
        self.stream.read_exact(&mut rest).map_err(|_| GaveUp)?;
        Ok(rest)
    }

    fn read(&mut self, region: u32, offset: u64, count: u32) -> Result<Vec<u8>, GaveUp> {
        let reply = self.ask(command::REGION_READ, &access_body(region, offset, count), &[])?;
        Ok(reply.get(16..).unwrap_or_default().to_vec())
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), GaveUp> {
        self.ask(command::REGION_WRITE, &write_body(region, offset, data), &[]).map(drop)
    }

    fn wire(&mut self, index: u32, eventfd: &EventFd) -> Result<(), GaveUp> {
        let body = irq_body(ASSIGN, index, 0, 1);
        self.ask(command::DEVICE_SET_IRQS, &body, &[eventfd.as_raw_fd()]).map(drop)
    }

    /// Everything twice: each point has a first and a second operation. Says nothing of how it went.
    fn work(&mut self, eventfds: &[EventFd; 3]) -> Result<(), GaveUp> {
        self.ask(command::VERSION, &version_body(0, 0, QEMU_CAPABILITIES.as_bytes()), &[])?;
        let memory = memory_file(MEMORY_BYTES);
        prepare(&memory);
        let body = map_body(flag::MAP_READ | flag::MAP_WRITE, 0, MEMORY, MEMORY_BYTES);
        self.ask(command::DMA_MAP, &body, &[memory.as_raw_fd()])?;
        for (index, eventfd) in [irq::MSIX, irq::ERR, irq::REQ].into_iter().zip(eventfds) {
            self.wire(index, eventfd)?;
        }
        for _ in 0..2 {
            self.read(region::CONFIG, 0, 4)?;
            self.read(region::CONFIG, 0x180, 4)?;
            for (region, offset, bytes) in program() {
                self.write(region, offset, &bytes)?;
            }
            self.settle()?;
            self.write(0, register(ChannelRegister::ChanCmd), &[0x04])?;
            self.write(0, register(ChannelRegister::ChanCmd), &[0x10])?;
            self.write(0, register(ChannelRegister::ChanCmd), &[0x20])?;
        }
        self.ask(command::DEVICE_RESET, &[], &[])?;
        self.write(region::CONFIG, 0x98, &[0x10, 0xa8])?;
        self.read(region::CONFIG, 0, 4)?;
        Ok(())
    }

    /// Waits until the channel is done, or seems not to get there.
    fn settle(&mut self) -> Result<(), GaveUp> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            let status = self.read(0, register(ChannelRegister::ChanSts), 8)?;
            if status.first().is_some_and(|byte| u64::from(byte & 7) == IDLE) {
                break;
            }
        }
        // The interrupt follows the status.
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    }
}

fn rows() -> impl Iterator<Item = &'static Entry> {
    CATALOG.iter().filter(|entry| EDGES.contains(&entry.point))
}

#[test]
fn each_row_at_the_first_and_the_second_operation_leaves_a_program_that_serves_the_next_client() {
    let mut experiments = 0;
    for entry in rows() {
        for sample in entry.samples {
            for nth in [1, 2] {
                let rule = format!("{}: nth({nth}) {sample}", entry.point);
                let place = Place::start(&[&rule]);
                {
                    let mut client = Meek::connect(&place.path);
                    let _ = client.work(&[eventfd(), eventfd(), eventfd()]);
                }
                assert_eq!(place.fired(), 1, "{rule}");
                place.serves_the_next();
                experiments += 1;
            }
        }
    }
    assert!(experiments >= 100, "{experiments}");
}

#[test]
fn every_row_at_once_again_and_again_leaves_it_too() {
    // Kill, disconnect and short would end each connection at its first message, and removal all the rest.
    let rules: Vec<_> = rows()
        .filter(|entry| !matches!(entry.action, "kill" | "disconnect" | "short" | "remove" | "drop"))
        .flat_map(|entry| entry.samples.iter().map(move |sample| (entry.point, sample)))
        .zip(3..)
        .map(|((point, sample), k)| format!("{point}: every({k}) {sample}"))
        .collect();
    let place = Place::start(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..20 {
        let _ = Meek::connect(&place.path).work(&[eventfd(), eventfd(), eventfd()]);
    }
    assert!(place.fired() > 20);
    place.serves_the_next();
}

#[test]
fn the_control_of_a_workload_without_faults_goes_through() {
    let place = Place::start(&[]);
    let eventfds = [eventfd(), eventfd(), eventfd()];
    Meek::connect(&place.path).work(&eventfds).unwrap();
    assert_eq!(eventfds.each_ref().map(count), [2, 0, 0]);
    place.serves_the_next();
}

/// A client that has negotiated: its next message is the second of the connection.
fn negotiated(rules: &[&str]) -> (Place, RawClient) {
    let place = Place::start(rules);
    let mut client = RawClient::connect(&place.path);
    client.negotiate();
    (place, client)
}

#[test]
fn a_reply_is_an_error_and_nothing_was_done() {
    let (place, mut client) = negotiated(&["transport[addr=10]: nth(1) fail(5)"]);
    assert_eq!(client.write(0, register(ChannelRegister::ChanCmp), &[0x40]).errno(), 5);
    assert_eq!(data(&client.read(0, register(ChannelRegister::ChanCmp), 8)), 0);
    drop(client);
    place.serves_the_next();
    let place = Place::start(&["transport: nth(1) fail(22)"]);
    let mut client = RawClient::connect(&place.path);
    let refused = client.ask(command::VERSION, &version_body(0, 0, QEMU_CAPABILITIES.as_bytes()));
    assert_eq!(refused.errno(), 22);
    client.assert_closed();
}

#[test]
fn a_message_is_told_by_its_command_its_region_and_its_direction() {
    for (filter, fires) in
        [("addr=0x709", [false, true]), ("addr=9", [true, false]), ("op=read", [true, false])]
    {
        let (_place, mut client) = negotiated(&[&format!("transport[{filter}]: nth(1) fail(5)")]);
        let first = client.read(0, 0, 4).errno() != 0;
        let second = client.read(region::CONFIG, 0, 4).errno() != 0;
        assert_eq!([first, second], fires, "{filter}");
    }
}

#[test]
fn a_reply_is_missing_and_its_message_was_carried_out_all_the_same() {
    let (_place, mut client) = negotiated(&["transport[op=write]: nth(1) drop"]);
    let body = write_body(0, register(ChannelRegister::ChanCmp), &[0x40]);
    client.send(&message(1, command::REGION_WRITE, flag::COMMAND, &body), &[]);
    assert_eq!(data(&client.read(0, register(ChannelRegister::ChanCmp), 8)), 0x40);
    // What is posted has no reply: it is lost itself.
    let (_place, mut client) = negotiated(&["transport[op=write]: nth(1) drop"]);
    client.post(command::REGION_WRITE, &body);
    assert_eq!(data(&client.read(0, register(ChannelRegister::ChanCmp), 8)), 0);
}

#[test]
fn a_reply_is_late_cut_off_or_has_a_wrong_header() {
    let (_place, mut client) = negotiated(&["transport: nth(2) delay(30ms)"]);
    let start = Instant::now();
    assert_eq!(data(&client.read(0, 0, 4)), 0x0000_1404);
    assert!(start.elapsed() >= Duration::from_millis(30));

    let (place, mut client) = negotiated(&["transport: nth(2) short(8)"]);
    client.send(&message(1, command::DEVICE_GET_INFO, flag::COMMAND, &words(&[16, 0, 0, 0])), &[]);
    let mut bytes = Vec::new();
    client.stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 8);
    place.serves_the_next();

    let (_place, mut client) = negotiated(&["transport: nth(2) corrupt(0, 0xff)"]);
    client.send(&message(1, command::DEVICE_GET_INFO, flag::COMMAND, &words(&[16, 0, 0, 0])), &[]);
    let reply = client.receive();
    assert_eq!((reply.id, reply.command, reply.payload), (0xfe, 4, words(&[16, 3, 9, 5])));
}

#[test]
fn a_slow_reply_ends_with_its_client_and_with_the_server() {
    let (place, mut client) = negotiated(&["transport: nth(2) delay(1000s)"]);
    client.send(&message(1, command::DEVICE_GET_INFO, flag::COMMAND, &words(&[16, 0, 0, 0])), &[]);
    eventually("the message has met its fault", || place.fired() == 1);
    drop(client);
    place.serves_the_next();
    let (place, mut client) = negotiated(&["transport: nth(2) delay(1000s)"]);
    client.send(&message(1, command::DEVICE_GET_INFO, flag::COMMAND, &words(&[16, 0, 0, 0])), &[]);
    eventually("the message has met its fault", || place.fired() == 1);
    drop(place);
}

#[test]
fn a_connection_ends_in_the_middle_of_a_request() {
    for action in ["disconnect", "kill"] {
        let (place, mut client) = negotiated(&[&format!("transport: nth(2) {action}")]);
        client.try_send(&message(1, command::DEVICE_GET_INFO, flag::COMMAND, &words(&[16, 0, 0, 0])));
        client.assert_closed();
        drop(client);
        place.serves_the_next();
    }
}

#[test]
fn error_and_request_come_by_their_own_interrupts() {
    for (action, counts) in [("error", [1, 0]), ("request", [0, 1])] {
        let (_place, mut client) = negotiated(&[&format!("pcie: nth(2) {action}")]);
        let eventfds = [eventfd(), eventfd()];
        for (index, eventfd) in [irq::ERR, irq::REQ].into_iter().zip(&eventfds) {
            assert_eq!(client.set_irqs(ASSIGN, index, 0, 1, &[eventfd]), 0);
        }
        // The access itself goes on.
        assert_eq!([0, 0].map(|offset| data(&client.read(0, offset, 4))), [0x0000_1404; 2]);
        assert_eq!(eventfds.each_ref().map(count), counts, "{action}");
    }
}

#[test]
fn a_device_that_was_removed_returns_in_its_time_or_for_the_next_client() {
    let (_place, mut client) = negotiated(&["pcie: nth(1) remove(20ms)"]);
    assert_eq!(data(&client.read(region::CONFIG, 0, 4)), 0xffff_ffff);
    eventually("the device is back", || data(&client.read(region::CONFIG, 0, 4)) == 0x2021_8086);

    let (place, mut client) = negotiated(&["pcie: nth(1) remove"]);
    assert_eq!(data(&client.read(region::CONFIG, 0, 4)), 0xffff_ffff);
    assert_eq!(client.ask(command::DEVICE_RESET, &[]).errno(), 0);
    assert_eq!(data(&client.read(0, 0, 4)), 0xffff_ffff);
    drop(client);
    place.serves_the_next();
}

#[test]
fn a_storm_comes_over_time_so_that_a_reader_sees_more_than_one() {
    let (place, mut client) = negotiated(&["msix: nth(1) storm(50)"]);
    let memory = memory_file(MEMORY_BYTES);
    prepare(&memory);
    let body = map_body(flag::MAP_READ | flag::MAP_WRITE, 0, MEMORY, MEMORY_BYTES);
    assert_eq!(client.ask_with_fds(command::DMA_MAP, &body, &[memory.as_raw_fd()]).errno(), 0);
    let interrupt = eventfd();
    assert_eq!(client.set_irqs(ASSIGN, irq::MSIX, 0, 1, &[&interrupt]), 0);
    for (region, offset, bytes) in program() {
        assert_eq!(client.write(region, offset, &bytes).errno(), 0);
    }
    let mut seen = 0;
    eventually("all of the storm is here", || {
        seen += count(&interrupt);
        seen == 50
    });
    drop(client);
    place.serves_the_next();
}

/// The program itself, in a process of its own.
struct Program {
    child: Child,
    folder: TempDir,
}

impl Program {
    fn start(rule: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vfio-user-ioat"))
            .arg("--socket-path")
            .arg(folder.path().join("device.sock"))
            .arg("--control")
            .arg(folder.path().join("control.sock"))
            .args(["--fault", rule])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let program = Self { child, folder };
        eventually("the program listens", || UnixStream::connect(program.path("control.sock")).is_ok());
        program
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, which is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn kill_ends_the_program_as_a_crash_does_wherever_it_is_asked() {
    for rule in ["transport: nth(3) kill", "register: nth(2) kill", "fetch: nth(1) kill"] {
        let mut program = Program::start(rule);
        let mut client = Meek::connect(&program.path("device.sock"));
        assert!(client.work(&[eventfd(), eventfd(), eventfd()]).is_err(), "{rule}");
        assert_eq!(program.child.wait().unwrap().code(), Some(137), "{rule}");
        // Nothing was tidied up.
        assert!(program.path("device.sock").exists(), "{rule}");
    }
}

#[test]
fn a_slow_reply_does_not_keep_the_control_socket() {
    let program = Program::start("transport: nth(2) delay(1000s)");
    let mut client = RawClient::connect(&program.path("device.sock"));
    client.negotiate();
    client.send(&message(1, command::DEVICE_GET_INFO, flag::COMMAND, &words(&[16, 0, 0, 0])), &[]);
    let mut control = control::Client::connect(&program.path("control.sock")).unwrap();
    eventually("the control socket tells of it", || control.fired().unwrap().len() == 1);
}
