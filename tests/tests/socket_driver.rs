//! The program `netdma` on the device program: two processes and a socket, no guest.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use netdma_tests::device::{Device, Engine};
use netdma_tests::process::{Ran, Running, eventually, run};
use netdma_tests::program;
use serde_json::Value;
use tempfile::NamedTempFile;

/// A device that is gone is noticed at once; the limit is far above that, and far below the time that a batch may take.
const NOTICED: Duration = Duration::from_secs(5);
/// What a batch may take where nothing is to end it but the device's own end.
const FOREVER_MS: &str = "600000";

fn command(arguments: &[&str], on: &str) -> Command {
    let mut command = Command::new(program("netdma"));
    command.args(arguments).args(["--on", on]);
    command
}

fn netdma(arguments: &[&str], on: &str) -> Ran {
    run(&mut command(arguments, on))
}

fn selftest(arguments: &[&str], device: &Device) -> Ran {
    netdma(&[&["selftest", "--quick", "--seed", "7"], arguments].concat(), &device.on())
}

fn report(ran: &Ran) -> Value {
    assert_eq!(ran.out.lines().count(), 1, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// Each step with what it says.
fn details(report: &Value) -> String {
    let steps = report["steps"].as_array().into_iter().flatten();
    steps.map(|step| format!("{}: {}\n", step["name"], step["detail"].as_str().unwrap_or_default())).collect()
}

/// A device that watches its driver.
fn watched(arguments: &[&str]) -> Device {
    Device::start(&[&["--lint=deny"], arguments].concat())
}

/// Ends a watched device: its driver has broken no rule.
fn broke_no_rule(device: Device) {
    device.process.signal("TERM");
    let ran = device.process.wait();
    let summary = ran.err.lines().filter(|line| line.starts_with("lint: ")).collect::<Vec<_>>();
    assert_eq!((ran.code, summary), (Some(0), vec!["lint: 0 violations, 0 notices"]), "{}", ran.err);
}

/// The device is as good as new for the next client.
fn serves_the_next(device: &Device) {
    let ran = selftest(&[], device);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
}

#[test]
fn every_step_of_the_selftest_passes() {
    let device = watched(&[]);
    let ran = selftest(&[], &device);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert_eq!(ran.out.lines().last(), Some("9 passed, 0 failed"));
    let head = format!("selftest on socket {}: 4 channels", device.socket.display());
    assert!(ran.out.starts_with(&head), "{}", ran.out);
    broke_no_rule(device);
}

#[test]
fn the_selftest_passes_by_the_line_and_with_fewer_messages_than_channels() {
    for (vectors, kind, rows) in [("0", "INTx", 1), ("1", "MSI-X", 1), ("3", "MSI-X", 3)] {
        let device = Device::start(&["--vectors", vectors]);
        let ran = selftest(&["--json"], &device);
        assert_eq!(ran.code, Some(0), "{vectors}: {}", ran.err);
        let report = report(&ran);
        assert_eq!((&report["failed"], &report["interrupt_kind"]), (&Value::from(0), &Value::from(kind)));
        assert_eq!(report["vectors"].as_array().unwrap().len(), rows);
        let recovered = report["steps"].as_array().into_iter().flatten();
        let recovered: u64 = recovered.filter_map(|step| step["recovered"].as_u64()).sum();
        assert_eq!(recovered, 0, "interrupts were lost: {}", details(&report));
    }
}

#[test]
fn the_selftest_passes_on_one_channel_and_on_eight() {
    for channels in ["1", "8"] {
        let device = watched(&["--channels", channels]);
        let ran = selftest(&["--json"], &device);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let report = report(&ran);
        assert_eq!(report["vectors"].as_array().unwrap().len().to_string(), channels);
        broke_no_rule(device);
    }
}

#[test]
fn info_names_the_engine_behind_the_socket() {
    let device = Device::start(&["--channels", "3"]);
    let ran = netdma(&["info", "--json"], &device.on());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let info: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(info["device"], format!("socket {}", device.socket.display()));
    assert_eq!((info["channels"].as_array().unwrap().len(), &info["msix_vectors"]), (3, &3.into()));
    assert!(netdma(&["info"], &device.on()).out.contains("8086:2021"));
}

#[test]
fn a_file_goes_through_the_device_and_comes_out_the_same() {
    let device = watched(&[]);
    let (input, output) = (device.folder.path().join("input"), device.folder.path().join("output"));
    let data: Vec<u8> = (0..3_000_089_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    fs::write(&input, &data).unwrap();
    let files = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let ran = netdma(&[&["copy", "--channel", "3"], &files[..]].concat(), &device.on());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("on channel 3 and verified"), "{}", ran.out);
    assert!(fs::read(&output).unwrap() == data);
    broke_no_rule(device);
}

/// A driver that starts an endless copy, and arms the channel again in the middle of it.
#[test]
fn a_driver_that_breaks_a_rule_is_named_and_fails_a_device_that_denies() {
    for (lint, code) in [("--lint", 0), ("--lint=deny", 5)] {
        let device = Device::start(&[lint]);
        let mut engine = Engine::open(&device.socket);
        engine.start(1, u16::MAX);
        engine.write(0x110, 0x4000, 8);
        device.process.says("lint: violation chainaddr-while-active: channel 1, CHAINADDR: found 0x4000, ");
        drop(engine);
        device.process.signal("TERM");
        let ran = device.process.wait();
        assert_eq!(ran.code, Some(code), "{}", ran.err);
        assert!(
            ran.err.contains("\nlint: 1 violations, 0 notices\nlint: 1 x violation chainaddr"),
            "{}",
            ran.err
        );
    }
}

/// Without the flag nobody looks.
#[test]
fn without_the_flag_nothing_is_said_of_a_driver() {
    let device = Device::start(&[]);
    let mut engine = Engine::open(&device.socket);
    engine.start(1, u16::MAX);
    engine.write(0x110, 0x4000, 8);
    drop(engine);
    device.process.signal("TERM");
    let ran = device.process.wait();
    assert!(ran.code == Some(0) && !ran.err.contains("lint"), "{}", ran.err);
}

#[test]
fn lost_msix_is_recovered() {
    let device = watched(&["--fault", "msix: nth(3) drop"]);
    let ran = selftest(&["--json"], &device);
    let report = report(&ran);
    assert_eq!((ran.code, &report["failed"]), (Some(0), &0.into()), "{}{}", details(&report), ran.err);
    assert!(details(&report).contains("recovered 1 lost interrupt"), "{}", details(&report));
    broke_no_rule(device);
}

/// Under this rule one step ends in the typed error that `text` begins: a failure, but not an unexpected one, and the
/// channel works afterwards.
fn is_a_typed_error_that_the_channel_survives(rule: &str, text: &str) {
    for expected in [false, true] {
        let device = watched(&["--fault", rule]);
        let arguments = ["--json", "--timeout-ms", "400", "--expect-fault"];
        let ran = selftest(&arguments[..if expected { 4 } else { 3 }], &device);
        let report = report(&ran);
        let details = details(&report);
        assert!(details.contains(&format!("error, recovered: {text}")), "{details}");
        assert_eq!(ran.code, Some(if expected { 0 } else { 1 }), "{details}{}", ran.err);
        assert_eq!(report["failed"], if expected { 0 } else { 1 }, "{details}");
        // The rule is used up.
        serves_the_next(&device);
        broke_no_rule(device);
    }
}

#[test]
fn a_dropped_completion_word_is_a_timeout_that_the_channel_survives() {
    let text = "channel 2: copy of 1 bytes: not finished after 4";
    is_a_typed_error_that_the_channel_survives("complete[ch=2]: nth(1) drop", text);
}

#[test]
fn a_misaddressed_completion_word_is_a_typed_error_that_the_channel_survives() {
    let text = "channel 2: copy of 1 bytes: the engine reported 0x";
    is_a_typed_error_that_the_channel_survives("complete[ch=2]: nth(1) misaddress(+64)", text);
}

#[test]
fn a_halt_names_its_chanerr_bit_and_the_channel_survives() {
    let text = "channel 1: copy of 1 bytes: the engine halted, CHANERR is 0x100 (read-data)";
    is_a_typed_error_that_the_channel_survives("copy[ch=1]: nth(1) halt(read-data)", text);
}

#[test]
fn a_corrupted_byte_is_found_with_its_channel_and_offset() {
    let rule = "copy[ch=3]: nth(9) corrupt(2, 0x10)";
    let ran = selftest(&[], &Device::start(&["--fault", rule]));
    assert_eq!((ran.code, ran.err.lines().count()), (Some(1), 1), "{}", ran.err);
    for part in ["channel 3: copy of", "destination byte at offset 0x", "expected 0x", "found 0x"] {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
    let ran = selftest(&["--expect-fault"], &Device::start(&["--fault", rule]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    // And by `copy`, whose second descriptor begins at 1 MiB.
    let device = Device::start(&["--fault", "copy: nth(2) corrupt(5, 0x80)"]);
    let output = device.folder.path().join("output");
    let ran = netdma(&["copy", "--size", "3M", "--output", output.to_str().unwrap()], &device.on());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("channel 0: offset 1048581: expected 0x"), "{}", ran.err);
    assert!(!output.exists());
}

#[test]
fn registers_that_read_all_ones_are_a_device_that_is_gone() {
    let device = Device::start(&["--fault", "register: every(1) all-ones"]);
    for command in ["info", "copy", "selftest"] {
        let ran = netdma(&[command], &device.on());
        assert_eq!((ran.code, ran.err.lines().count()), (Some(3), 1), "{command}: {}", ran.err);
        assert!(ran.err.contains("the device is gone: CBVER reads all ones"), "{command}: {}", ran.err);
    }
}

/// A device that writes down what it does, and a copy on it that goes on until something ends it.
struct EndlessCopy {
    device: Device,
    trace: NamedTempFile,
}

impl EndlessCopy {
    fn prepare() -> Self {
        let trace = NamedTempFile::new().unwrap();
        let device = Device::start(&["--trace", trace.path().to_str().unwrap()]);
        Self { device, trace }
    }

    /// Starts the copy, and waits until the device has moved some of its data.
    fn start(&self) -> Running {
        let copy = ["copy", "--size", "1024G", "--timeout-ms", FOREVER_MS];
        let events = || self.trace.as_file().metadata().unwrap().len();
        let before = events();
        let process = Running::start(&mut command(&copy, &self.device.on()));
        eventually("the copy is under way", || events() > before + 4096);
        process
    }
}

fn is_gone(ran: &Ran) {
    let gone = ": the device is gone: start it again, or look at its log\n";
    assert!(matches!(ran.code, Some(1 | 3)), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.starts_with("netdma: ") && ran.err.contains(gone), "{}", ran.err);
    assert!(ran.waited < NOTICED, "{:?}", ran.waited);
}

#[test]
fn a_device_killed_in_the_middle_of_a_copy_is_gone_at_once() {
    let endless = EndlessCopy::prepare();
    let copy = endless.start();
    endless.device.process.signal("KILL");
    is_gone(&copy.wait());
    // What it wrote down until then can be read line by line; the kernel may have cut the last one.
    let text = fs::read_to_string(endless.trace.path()).unwrap();
    let whole = &text[..=text.rfind('\n').unwrap()];
    let lines: Vec<serde_json::Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["trace"], "netdma");
    assert!(lines[1..].iter().all(|line| line["t_ns"].is_u64()), "{whole}");
    assert!(lines.iter().any(|line| line["stage"] == "copy"), "{whole}");
}

#[test]
fn a_device_killed_while_a_completion_is_awaited_is_gone_at_once() {
    let trace = NamedTempFile::new().unwrap();
    let arguments = ["--fault", "complete: every(1) drop", "--trace", trace.path().to_str().unwrap()];
    let device = Device::start(&arguments);
    let copy = ["copy", "--size", "1M", "--timeout-ms", FOREVER_MS];
    let copy = Running::start(&mut command(&copy, &device.on()));
    eventually("a completion word is dropped", || {
        fs::read_to_string(trace.path()).unwrap().contains("\"stage\":\"complete\"")
    });
    device.process.signal("KILL");
    is_gone(&copy.wait());
}

#[test]
fn a_device_killed_in_the_middle_of_a_selftest_ends_it() {
    let device = Device::start(&[]);
    let selftest = ["selftest", "--json", "--timeout-ms", FOREVER_MS];
    let selftest = Running::start(&mut command(&selftest, &device.on()));
    selftest.says("copy, misaligned");
    device.process.signal("KILL");
    let ran = selftest.wait();
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.lines().last().unwrap().contains("the device is gone"), "{}", ran.err);
    assert!(ran.waited < NOTICED, "{:?}", ran.waited);
}

#[test]
fn a_client_killed_in_the_middle_of_a_copy_leaves_a_reset_device() {
    let endless = EndlessCopy::prepare();
    let device = &endless.device;
    for _ in 0..3 {
        let copy = endless.start();
        copy.signal("KILL");
        assert_eq!(copy.wait().code, None);
        // In its reset state all of a channel is zero but the state, which is halted (3).
        let mut engine = Engine::open(&device.socket);
        assert_eq!([engine.read(0x88, 8), engine.read(0x90, 8), engine.read(0x98, 8)], [3, 0, 0]);
        drop(engine);
        serves_the_next(device);
    }
}

fn cannot_be_opened(socket: &Path, parts: &[&str]) {
    for command in ["info", "copy", "selftest"] {
        let ran = netdma(&[command], &format!("socket:{}", socket.display()));
        assert_eq!((ran.code, ran.err.lines().count()), (Some(3), 1), "{command}: {ran:?}");
        for part in [&["netdma: ", socket.to_str().unwrap()], parts].concat() {
            assert!(ran.err.contains(part), "{command}: no {part:?} in {}", ran.err);
        }
    }
}

#[test]
fn a_socket_without_a_device_is_named_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.sock");
    cannot_be_opened(&path, &["no such socket: start the device with --socket-path on this path"]);
    drop(UnixListener::bind(&path).unwrap());
    cannot_be_opened(&path, &["nobody listens on this socket: its device has ended; start it again"]);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    cannot_be_opened(&file, &["this is not a socket: give the path of a device's socket"]);
}

#[test]
fn what_is_no_vfio_user_server_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, answer) in [("http", &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]), ("mute", b"")] {
        let path = folder.path().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().unwrap();
                // Reading first: unread bytes would turn the close into a reset.
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(answer).unwrap();
            }
        });
        cannot_be_opened(&path, &["vfio-user server"]);
        server.join().unwrap();
    }
}

#[test]
fn a_device_that_serves_another_client_says_so() {
    let device = Device::start(&[]);
    let _engine = Engine::open(&device.socket);
    cannot_be_opened(&device.socket, &["the device serves another client: end that one first"]);
}
