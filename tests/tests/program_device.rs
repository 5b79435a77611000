//! The program `vfio-user-ioat` from outside: its flags, its socket, its signals, and what hostile clients do to it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ioat_spec::channel::{ChanSts, ChannelState};
use ioat_spec::register::channel_base;
use ioat_spec::{Control, Descriptor};
use netdma_tests::device::{Device, Engine, MEMORY};
use netdma_tests::process::{PATIENCE, Ran, Running, eventually, run};
use netdma_tests::program;
use serde_json::Value;
use vmm_sys_util::eventfd::EventFd;

/// What a user waits after Ctrl-C without wondering.
const AT_ONCE: Duration = Duration::from_secs(1);
/// 64 GiB in copies of 1 MiB: still under way whenever the test does the next thing.
const BURST: u16 = u16::MAX;
const CHANSTS: u64 = 0x08;
const INTRCTRL: u64 = 0x03;
const ATTNSTATUS: u64 = 0x04;

fn device(arguments: &[&str]) -> Ran {
    run(Command::new(program("vfio-user-ioat")).args(arguments))
}

/// The program refuses, in one line with these parts, and prints nothing else.
fn refuses(arguments: &[&str], parts: &[&str]) {
    let ran = device(arguments);
    assert!(ran.code.is_some_and(|code| code != 0), "{arguments:?}: {ran:?}");
    assert_eq!((ran.err.lines().count(), ran.out.as_str()), (1, ""), "{arguments:?}: {}", ran.err);
    assert!(ran.err.starts_with("vfio-user-ioat: "), "{arguments:?}: {}", ran.err);
    for part in parts {
        assert!(ran.err.contains(part), "{arguments:?}: no {part:?} in {}", ran.err);
    }
}

/// A VERSION request as the protocol lays it down, and the reply's header.
fn negotiate(stream: &mut UnixStream) -> [u8; 16] {
    let data = b"{\"capabilities\":{}}\0";
    let mut request = Vec::new();
    request.extend_from_slice(&7_u16.to_le_bytes());
    request.extend_from_slice(&1_u16.to_le_bytes());
    request.extend_from_slice(&u32::try_from(20 + data.len()).unwrap().to_le_bytes());
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(&[0, 0, 1, 0]);
    request.extend_from_slice(data);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&request).unwrap();
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    header
}

/// The server closes this connection, whatever it says before.
fn is_closed(stream: &mut UnixStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

/// The program with `socket` as its descriptor 3.
fn with_descriptor(socket: impl Into<OwnedFd>) -> Running {
    let script = "exec \"$0\" --fd 3 3<&0 0</dev/null";
    let stdin: OwnedFd = socket.into();
    Running::start(
        Command::new("sh").args(["-c", script]).arg(program("vfio-user-ioat")).stdin(Stdio::from(stdin)),
    )
}

fn status(engine: &mut Engine, channel: usize) -> ChanSts {
    ChanSts::from_bits(engine.read(channel_base(channel) + CHANSTS, 8))
}

fn copies(engine: &mut Engine) {
    engine.start(0, 1);
    eventually("the copy is done", || engine.completion() != 0);
    assert!(engine.copied());
}

/// A copy on this channel signals the line.
fn fires(engine: &mut Engine, channel: usize, line: &EventFd) {
    engine.start(channel, 1);
    eventually("the line", || line.read().is_ok());
}

fn stops_in_order(device: Device, signal: &str) {
    device.process.signal(signal);
    let Device { process, socket, folder } = device;
    let ran = process.wait();
    assert_eq!(ran.code, Some(0), "{signal}: {}", ran.err);
    assert!(ran.waited < AT_ONCE, "{signal}: {:?}", ran.waited);
    assert!(!socket.exists(), "{signal}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{signal}");
}

#[test]
fn a_place_to_serve_is_given_once() {
    refuses(&["--socket-path", "/nonexistent/a.sock", "--fd", "3"], &["--socket-path", "--fd", "give one"]);
    refuses(&[], &["no place to serve", "--socket-path PATH or --fd N"]);
    refuses(&["--fd", "57"], &["file descriptor 57 is not a listening or connected UNIX stream socket"]);
    refuses(&["--fd", "1"], &["file descriptor 1 is not"]);
    refuses(&["--socket-path", "/nonexistent/a.sock"], &["/nonexistent/a.sock: ", "No such file"]);
    let long = format!("/tmp/{}", "x".repeat(200));
    refuses(&["--socket-path", &long], &[&long, "a socket path has 1 to 107 bytes"]);
}

#[test]
fn an_inherited_listening_socket_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listening.sock");
    let process = with_descriptor(UnixListener::bind(&path).unwrap());
    process.says("serving skx");
    for _ in 0..2 {
        copies(&mut Engine::open(&path));
    }
    process.signal("TERM");
    assert_eq!(process.wait().code, Some(0));
    assert!(path.exists(), "the file is its maker's");
}

#[test]
fn an_inherited_connected_socket_is_served_until_its_client_leaves() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let process = with_descriptor(theirs);
    let header = negotiate(&mut ours);
    assert_eq!((&header[..4], header[8] & 0xf), (&[7, 0, 1, 0][..], 1), "a reply to our VERSION");
    assert_eq!(header[12..], [0; 4]);
    assert_eq!(process.end(), None);
    drop(ours);
    assert_eq!(process.wait().code, Some(0));
}

#[test]
fn channels_decide_chancnt_and_vectors() {
    for channels in 1..=8_u8 {
        let device = Device::start(&["--channels", &channels.to_string()]);
        let mut engine = Engine::open(&device.socket);
        assert_eq!(engine.read(0, 1), u64::from(channels));
        assert_eq!(engine.vectors(), u32::from(channels));
    }
    let device = Device::start(&[]);
    assert_eq!(Engine::open(&device.socket).read(0, 1), 4);
    for wrong in ["0", "9", "-1", "many"] {
        refuses(&["--socket-path", "/nonexistent/a", &format!("--channels={wrong}")], &[wrong, "--channels"]);
    }
}

#[test]
fn the_netdma_profile_breaks_pages_and_changes_contexts() {
    let device = Device::start(&["--profile", "netdma"]);
    device.process.says("serving netdma");
    let mut engine = Engine::open(&device.socket);
    // FILL, DCA and page breaks; what drivers know it by; and what people do.
    assert_eq!(engine.read(0x10, 4), 1 << 6 | 1 << 4 | 1 << 0);
    assert_eq!((engine.config(0x00, 4), engine.config(0x2c, 4)), (0x2021_8086, 0x4e44_8086));
    assert_eq!((engine.read(0x00, 1), engine.vectors()), (4, 4));
    copies(&mut engine);

    engine.put(0x10_0f00, &[1; 0x100]);
    engine.put(0x11_0000, &[2; 0x100]);
    let broken = Descriptor {
        size: 0x200,
        control: Control::new().with_cmpl_wr(true).with_src_page_break(true).into_bits(),
        source: MEMORY + 0x10_0f00,
        destination: MEMORY + 0x20_0080,
        next_source: MEMORY + 0x11_0000,
        ..Descriptor::default()
    };
    engine.put(0x1000, &[0; 8]);
    engine.submit(&broken);
    eventually("the broken copy is done", || engine.completion() != 0);
    assert_eq!(engine.take(0x20_0080, 0x200), [[1; 0x100], [2; 0x100]].concat());

    let change = Descriptor { size: 0x15, control: 0xff00_0009, ..Descriptor::default() };
    engine.put(0x1000, &[0; 8]);
    engine.submit(&change);
    eventually("the context change is done", || engine.completion() != 0);
    assert_eq!(engine.read(channel_base(0) + 0x30, 4), 1 << 16 | 0x15);
}

#[test]
fn a_vector_that_channels_share_says_which_one_in_attnstatus() {
    let device = Device::start(&["--vectors", "1"]);
    let mut engine = Engine::open(&device.socket);
    assert_eq!((engine.read(0x00, 1), engine.vectors(), engine.config(0x82, 2)), (4, 1, 0));
    let event = engine.interrupt();
    for channel in [0, 3] {
        engine.start(channel, 1);
        eventually("the shared interrupt", || event.read().is_ok());
        assert_eq!(engine.read(ATTNSTATUS, 4), 1 << channel);
    }
}

#[test]
fn without_vectors_the_line_fires_once_is_maskable_and_samples_again_when_unmasked() {
    let device = Device::start(&["--vectors", "0"]);
    let mut engine = Engine::open(&device.socket);
    assert_eq!((engine.vectors(), engine.config(0x34, 1), engine.config(0x3d, 1)), (0, 0x90, 1));
    let line = engine.line();
    engine.write(INTRCTRL, 1, 1);
    fires(&mut engine, 2, &line);
    // It stays up until ATTNSTATUS is read; meanwhile it says so to whoever unmasks it, once each.
    assert_ne!(engine.config(0x06, 2) & 1 << 3, 0);
    engine.unmask();
    assert_eq!(line.read().ok(), Some(1));
    let resample = engine.resample();
    resample.write(1).unwrap();
    eventually("the resample", || line.read().is_ok());
    assert_eq!((engine.read(ATTNSTATUS, 4), engine.config(0x06, 2) & 1 << 3), (1 << 2, 0));
    engine.unmask();
    assert!(line.read().is_err(), "the line is down");
    // Masked by its client, it waits.
    engine.mask();
    engine.write(channel_base(2), 1, 2);
    engine.start(2, 1);
    eventually("attention", || engine.read(INTRCTRL, 1) & 0x2 != 0);
    engine.write(INTRCTRL, 1, 1);
    assert!(line.read().is_err(), "the line is masked");
    engine.unmask();
    assert_eq!(line.read().ok(), Some(1));
}

#[test]
fn a_line_that_is_up_is_heard_by_who_listens_next_and_not_after_a_reset() {
    let device = Device::start(&["--vectors", "0"]);
    let mut engine = Engine::open(&device.socket);
    engine.write(INTRCTRL, 1, 1);
    engine.start(0, 1);
    eventually("attention", || engine.config(0x06, 2) & 1 << 3 != 0);
    // It went up before anyone listened.
    let line = engine.line();
    assert_eq!(line.read().ok(), Some(1));
    engine.disable_line();
    let line = engine.line();
    assert_eq!(line.read().ok(), Some(1));
    engine.reset();
    engine.unmask();
    assert!(line.read().is_err(), "a reset takes it down");
    engine.write(INTRCTRL, 1, 1);
    fires(&mut engine, 1, &line);
    assert_eq!(engine.read(ATTNSTATUS, 4), 1 << 1);
}

#[test]
fn vectors_are_at_most_the_channels() {
    for (arguments, said) in [
        (["--vectors", "9"].as_slice(), "--vectors: 9 MSI-X vectors: a device of 4 channels has 0"),
        (
            &["--vectors", "5", "--profile", "netdma"],
            "a device of 4 channels has 0 (line interrupts only) to 4",
        ),
        (&["--vectors", "2", "--channels", "1"], "a device of 1 channels has 0"),
        (&["--vectors=-1"], "invalid value '-1' for '--vectors"),
        (&["--vectors", "many"], "invalid value 'many' for '--vectors"),
    ] {
        let arguments = [&["--socket-path", "/nonexistent/a"], arguments].concat();
        refuses(&arguments, &[said]);
        assert_eq!(device(&arguments).code, Some(2), "{arguments:?}");
    }
    let device = Device::start(&["--vectors", "8", "--channels", "8"]);
    assert_eq!(Engine::open(&device.socket).vectors(), 8);
}

#[test]
fn an_unknown_profile_names_the_profiles() {
    refuses(
        &["--socket-path", "/nonexistent/a", "--profile", "bwd"],
        &["unknown profile 'bwd'", "the profiles are skx, netdma"],
    );
}

#[test]
fn a_fault_rule_that_cannot_be_read_is_named_with_what_was_expected() {
    let cases = [
        ("", "expected '[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION'"),
        ("msix nth(3) drop", "there is no ':' between point and trigger"),
        ("irq: nth(3) drop", "point 'irq': expected a point: config, register, doorbell"),
        ("msix[ch=31]: nth(3) drop", "filter 'ch=31': expected 'ch=N' with N from 0 to 30"),
        ("msix[q=1]: nth(3) drop", "filter 'q=1': expected a filter: ch=N|none, reg=NAME"),
        ("msix: nth(0) drop", "trigger 'nth(0)': expected 'nth(N)' with a number of at least 1"),
        ("msix: sometimes(3) drop", "trigger 'sometimes(3)': expected a trigger: nth(N), every(K)"),
        ("msix: nth(3) explode", "action 'explode': expected an action: drop, delay(TIME)"),
        ("complete: nth(3) misaddress(x)", "action 'misaddress(x)': expected 'misaddress(+N|-N)'"),
        ("copy: nth(1) halt(99)", "action 'halt(99)': expected 'halt(BIT|NAME[+...]|none)'"),
        (
            "msix: nth(3) corrupt(1, 0x1)",
            "would never fire: msix cannot corrupt; corrupt works at config, register",
        ),
        ("msix[ch=4]: nth(3) drop", "would never fire: 'ch=4': the channels are 0 to 3"),
        ("msix[after=lost]: nth(3) drop", "would never fire: 'after=lost': no rule has that name"),
        ("dpc: nth(3) duplicate", "would never fire: dpc is a point of our driver"),
    ];
    for (rule, expected) in cases {
        let named = format!("fault rule '{rule}'");
        refuses(&["--socket-path", "/nonexistent/a", "--fault", rule], &[&named, expected]);
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_named_and_leaves_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("device.sock");
    refuses(
        &["--socket-path", socket.to_str().unwrap(), "--trace", "/nonexistent/folder/trace"],
        &["cannot create the trace file /nonexistent/folder/trace", "No such file"],
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn capabilities_are_json_and_the_version_is_the_programs() {
    let ran = device(&["--print-capabilities"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let capabilities: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(capabilities["type"], "vfio-user");
    assert_eq!(capabilities["profiles"], serde_json::json!(["skx", "netdma"]));
    assert_eq!(capabilities["vectors"], serde_json::json!({"min": 0, "max": 8}));
    assert_eq!(capabilities["lint-rules"][0], "chainaddr-while-active");
    let ran = device(&["--version"]);
    let version = capabilities["version"].as_str().unwrap();
    assert_eq!((ran.code, ran.out), (Some(0), format!("vfio-user-ioat {version}\n")));
}

#[test]
fn term_and_int_end_it_at_once_and_remove_the_socket() {
    for signal in ["TERM", "INT"] {
        stops_in_order(Device::start(&[]), signal);
    }
}

#[test]
fn term_and_int_end_it_at_once_in_the_middle_of_a_long_copy() {
    for signal in ["TERM", "INT"] {
        let device = Device::start(&[]);
        let mut engine = Engine::open(&device.socket);
        engine.start(0, BURST);
        eventually("the burst is under way", || engine.completion() != 0);
        assert_eq!(status(&mut engine, 0).state(), Some(ChannelState::Active));
        stops_in_order(device, signal);
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let device = Device::start(&[]);
    let mut engine = Engine::open(&device.socket);
    let second = run(&mut Device::command(&device.socket));
    assert_eq!((second.code, second.err.lines().count()), (Some(1), 1), "{}", second.err);
    assert!(second.err.contains("another server listens on this socket; stop it or"), "{}", second.err);
    copies(&mut engine);

    let Device { process, socket, folder } = device;
    process.signal("KILL");
    assert_eq!(process.wait().code, None);
    assert!(socket.exists(), "nobody could remove it");
    let process = Running::start(&mut Device::command(&socket));
    process.says("serving ");
    copies(&mut Engine::open(&socket));
    stops_in_order(Device { process, socket, folder }, "TERM");
}

#[test]
fn what_is_no_socket_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("precious");
    fs::write(&file, "data").unwrap();
    for path in [file.as_path(), folder.path()] {
        refuses(
            &["--socket-path", path.to_str().unwrap()],
            &[path.to_str().unwrap(), "exists and is not a socket; remove it or choose another path"],
        );
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "data");
}

#[test]
fn once_ends_when_the_first_client_leaves() {
    let device = Device::start(&["--once"]);
    // Who only knocks is no client.
    UnixStream::connect(&device.socket).unwrap().shutdown(Shutdown::Both).unwrap();
    let mut engine = Engine::open(&device.socket);
    copies(&mut engine);
    assert_eq!(device.process.end(), None);
    drop(engine);
    let Device { process, socket, folder: _folder } = device;
    assert_eq!(process.wait().code, Some(0));
    assert!(!socket.exists());
}

#[test]
fn the_next_client_finds_a_reset_device() {
    let device = Device::start(&[]);
    let mut engine = Engine::open(&device.socket);
    let fresh: Vec<u64> = (0..0x200).step_by(8).map(|offset| engine.read(offset, 8)).collect();
    // CHANCTRL with the error bits, scratch GENCTRL, and a burst that never ends by itself.
    engine.write(channel_base(1), 0x1c, 2);
    engine.write(0x02, 0x5, 1);
    let _event = engine.interrupt();
    engine.start(0, BURST);
    eventually("the burst is under way", || engine.completion() != 0);
    drop(engine);
    assert_eq!(Engine::fresh_command_register(&device.socket), 0, "bus master and memory are off");
    // The same addresses can be mapped again, and nothing is left of the chain.
    let mut engine = Engine::open(&device.socket);
    let next: Vec<u64> = (0..0x200).step_by(8).map(|offset| engine.read(offset, 8)).collect();
    assert_eq!(next, fresh);
    copies(&mut engine);
}

#[test]
fn a_second_client_at_once_is_closed_and_the_first_is_not_disturbed() {
    let device = Device::start(&[]);
    let mut engine = Engine::open(&device.socket);
    engine.start(0, BURST);
    for _ in 0..8 {
        is_closed(&mut UnixStream::connect(&device.socket).unwrap());
    }
    assert_eq!(status(&mut engine, 0).state(), Some(ChannelState::Active));
}

#[test]
fn garbage_and_truncated_messages_leave_it_serving() {
    let device = Device::start(&[]);
    let header = |command: u16, size: u32| {
        let mut header = vec![1, 0];
        header.extend_from_slice(&command.to_le_bytes());
        header.extend_from_slice(&size.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        header
    };
    let mut hostile = vec![
        Vec::new(),
        vec![0xff; 16],
        vec![0x55; 3],
        (0..=255).cycle().take(100_000).collect(),
        header(1, u32::MAX),
        header(1, 0),
        header(1, 15),
        header(1, 4096),
        header(2, 32),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    let mut cut = header(1, 64);
    cut.extend_from_slice(&[0, 0, 1, 0, b'{']);
    hostile.push(cut);
    for message in &hostile {
        let mut stream = UnixStream::connect(&device.socket).unwrap();
        // It may hang up before it has read all of it.
        let _ = stream.write_all(message);
        let _ = stream.shutdown(Shutdown::Write);
        is_closed(&mut stream);
        assert_eq!(device.process.end(), None, "{message:?}");
    }
    // After VERSION as well.
    for message in &hostile {
        let mut stream = UnixStream::connect(&device.socket).unwrap();
        negotiate(&mut stream);
        let _ = stream.write_all(message);
        let _ = stream.shutdown(Shutdown::Write);
        is_closed(&mut stream);
        assert_eq!(device.process.end(), None, "{message:?}");
    }
    copies(&mut Engine::open(&device.socket));
    stops_in_order(device, "TERM");
}

#[test]
fn a_hundred_clients_leave_no_descriptor_and_no_memory_behind() {
    const GROWTH_KIB: u64 = 2048;
    let device = Device::start(&[]);
    // What a client's departure leaves is seen while the next one is served: by then it has been cleaned up after.
    let cycle = || {
        let mut engine = Engine::open(&device.socket);
        let _event = engine.interrupt();
        copies(&mut engine);
        (device.descriptors(), device.resident_kib())
    };
    let cycles = |count| {
        (1..count).for_each(|_| _ = cycle());
        cycle()
    };
    let first = cycle();
    let (_, resident) = cycles(10);
    let last = cycles(100);
    assert_eq!(last.0, first.0, "descriptors after 100 clients");
    let grown = last.1.saturating_sub(resident);
    assert!(grown < GROWTH_KIB, "{grown} KiB more after 100 clients");
}

#[test]
fn a_trace_has_the_six_stages_of_the_device_in_path_order() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let device = Device::start(&["--trace", trace.path().to_str().unwrap()]);
    let mut engine = Engine::open(&device.socket);
    let event = engine.interrupt();
    copies(&mut engine);
    eventually("the interrupt", || event.read().is_ok());
    stops_in_order(device, "TERM");
    let stages = stages(trace.path(), 0);
    let first = |stage: &str| stages.iter().position(|seen| seen == stage);
    let path = ["doorbell", "fetch", "translate", "copy", "complete", "msix"];
    let order: Vec<_> =
        path.iter().map(|stage| first(stage).unwrap_or_else(|| panic!("no {stage}"))).collect();
    assert!(order.is_sorted(), "{stages:?}");
    assert!(stages.iter().all(|stage| path.contains(&stage.as_str())), "{stages:?}");
}

/// The stages of a channel's events, in the order of the file.
fn stages(trace: &Path, channel: u64) -> Vec<String> {
    let text = fs::read_to_string(trace).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own = events.filter(|line| line.get("trace").is_none() && line["channel"] == channel);
    own.inspect(|event| assert_eq!(event["side"], "device"))
        .map(|event| event["stage"].as_str().unwrap().to_owned())
        .collect()
}
