//! The control socket of the real program: who may connect, what a bench does to a driver at work, and `netdma-lab ctl`.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use ioat_spec::register::channel_base;
use ioat_spec::{ChanSts, ChannelState};
use netdma_tests::device::{Device, Engine};
use netdma_tests::process::{Ran, Running, eventually, run};
use netdma_tests::program;
use serde_json::{Map, Value, json};
use vfio_user_ioat::control::Client;
use vfio_user_ioat::control::client::arguments;

/// What a user waits after Ctrl-C without wondering.
const AT_ONCE: Duration = Duration::from_secs(1);
const CHANCMD: u64 = 0x04;
const CHANSTS: u64 = 0x08;
const SUSPEND: u64 = 0x04;
const RESET: u64 = 0x20;

/// A device with a control socket beside the other one.
struct Bench {
    device: Device,
    control: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control");
        let device = Device::start(&[&["--control", control.to_str().unwrap()], more].concat());
        Self { device, control, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::connect(&self.control).unwrap()
    }

    fn ctl(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments).stdin(Stdio::null()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("netdma-lab"));
        command.arg("ctl").arg(&self.control).args(arguments);
        command
    }
}

fn channel(number: u64) -> Map<String, Value> {
    arguments([("channel", json!(number))])
}

fn state(engine: &mut Engine) -> Option<ChannelState> {
    ChanSts::from_bits(engine.read(channel_base(0) + CHANSTS, 8)).state()
}

fn selftest(device: &Device) -> Value {
    let mut command = Command::new(program("netdma"));
    command.args(["selftest", "--quick", "--seed", "7", "--json", "--on", &device.on()]);
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn the_socket_is_this_users_alone_whatever_the_umask_is_and_goes_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, control) = (folder.path().join("dma.sock"), folder.path().join("control"));
    // A stale file is replaced.
    drop(UnixListener::bind(&control).unwrap());
    let script = "umask 000; exec \"$0\" --socket-path \"$1\" --control \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program("vfio-user-ioat")).arg(&socket).arg(&control);
    let process = Running::start(&mut command);
    process.says("serving ");
    assert_eq!(fs::metadata(&control).unwrap().permissions().mode() & 0o7777, 0o600);
    Client::connect(&control).unwrap();
    process.signal("TERM");
    let ran = process.wait();
    assert_eq!((ran.code, fs::read_dir(folder.path()).unwrap().count()), (Some(0), 0), "{}", ran.err);
}

#[test]
fn a_live_socket_and_any_other_file_are_left_alone() {
    let bench = Bench::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let (socket, file) = (folder.path().join("dma.sock"), folder.path().join("file"));
    fs::write(&file, "mine").unwrap();
    for (control, says) in
        [(&bench.control, "another server listens"), (&file, "is not a socket"), (&socket, "another server")]
    {
        let ran = run(Device::command(&socket).arg("--control").arg(control));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(says) && ran.err.contains("--control"), "{}", ran.err);
        assert!(!socket.exists());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    bench.client().execute("query-device", Map::new()).unwrap();
}

#[test]
fn a_channel_is_stepped_through_a_drivers_copy_descriptor_by_descriptor() {
    let bench = Bench::start(&["--lint=deny"]);
    let mut client = bench.client();
    client.execute("channel-pause", channel(0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    let data: Vec<u8> = (0..256_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    fs::write(&input, &data).unwrap();
    let mut command = Command::new(program("netdma"));
    command.args(["copy", "--channel", "0", "--chunk", "4096", "--timeout-ms", "50000", "--on"]);
    command.arg(bench.device.on()).arg("--input").arg(&input).arg("--output").arg(&output);
    let copy = Running::start(&mut command);
    let mut view = || client.execute("query-channels", channel(0)).unwrap()[0].clone();
    // 256,000 bytes are 63 chunks of 4 KiB.
    eventually("the copy is submitted", || view()["dmacount"].as_u64().unwrap() >= 63);
    let before = view();
    assert_eq!((&before["state"], &before["paused"]), (&json!("active"), &json!(true)));
    let mut done = before["sequence"].as_u64().unwrap();
    for n in [1, 2, 5, 40] {
        let stepped = client.execute("channel-step", arguments([("channel", json!(0)), ("n", json!(n))]));
        assert_eq!(stepped.unwrap(), json!({ "channel": 0, "settled": true, "executed": n, "left": 0 }));
        done += n;
        let view = client.execute("query-channels", channel(0)).unwrap()[0].clone();
        assert_eq!((&view["sequence"], &view["state"]), (&json!(done), &json!("active")));
    }
    let counters = client.execute("query-counters", channel(0)).unwrap()["total"].clone();
    assert_eq!((&counters["descriptors"], &counters["bytes"]), (&json!(done), &json!(48 * 4096)));
    assert!(copy.end().is_none(), "it waits for the rest");
    client.execute("channel-resume", channel(0)).unwrap();
    let ran = copy.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(fs::read(&output).unwrap() == data);
    let Bench { device, .. } = bench;
    device.process.signal("TERM");
    assert_eq!(device.process.wait().code, Some(0), "the driver broke no rule");
}

#[test]
fn suspend_reset_the_clients_end_and_sigterm_work_on_a_paused_channel() {
    let bench = Bench::start(&[]);
    let mut client = bench.client();
    client.execute("channel-pause", channel(0)).unwrap();
    let mut engine = Engine::open(&bench.device.socket);
    engine.start(0, 100);
    assert_eq!(state(&mut engine), Some(ChannelState::Active));
    engine.write(channel_base(0) + CHANCMD, SUSPEND, 1);
    assert_eq!(state(&mut engine), Some(ChannelState::Suspended));
    engine.write(channel_base(0) + CHANCMD, RESET, 1);
    assert_eq!(state(&mut engine), Some(ChannelState::Halted));
    engine.start(0, 100);
    engine.reset();
    assert_eq!(state(&mut engine), Some(ChannelState::Halted));
    engine.start(0, 100);
    client.execute("reset", Map::new()).unwrap();
    assert_eq!(state(&mut engine), Some(ChannelState::Halted));
    // The reset took bus mastery; a client that leaves takes its maps with it.
    engine.reset();
    engine.start(0, 100);
    drop(engine);
    let mut engine = Engine::open(&bench.device.socket);
    engine.start(0, 100);
    assert_eq!((state(&mut engine), engine.completion()), (Some(ChannelState::Active), 0));
    bench.device.process.signal("TERM");
    let ran = bench.device.process.wait();
    assert!(ran.code == Some(0) && ran.waited < AT_ONCE, "{ran:?}");
    assert!(!bench.control.exists());
}

#[test]
fn a_rule_armed_over_the_socket_is_recovered_as_the_same_rule_of_the_command_line() {
    let rule = "msix: nth(3) drop";
    let recovered = |report: &Value| {
        let steps = report["steps"].as_array().unwrap().iter();
        steps.filter_map(|step| step["recovered"].as_u64()).sum::<u64>()
    };
    let given = Bench::start(&["--fault", rule]);
    let armed = Bench::start(&[]);
    let ran = armed.ctl(&["fault-arm", &format!("rule={rule}")]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for bench in [&given, &armed] {
        let report = selftest(&bench.device);
        assert_eq!(recovered(&report), 1, "{report}");
        let mut client = bench.client();
        let rules = client.execute("fault-list", Map::new()).unwrap();
        assert_eq!((&rules[0]["rule"], &rules[0]["fired"]), (&json!(rule), &json!(1)));
        let fired = client.execute("fault-fired", Map::new()).unwrap();
        assert_eq!((&fired[0]["nth"], fired.as_array().unwrap().len()), (&json!(3), 1));
        client.execute("fault-disarm", arguments([("id", rules[0]["id"].clone())])).unwrap();
        assert_eq!(recovered(&selftest(&bench.device)), 0);
    }
}

#[test]
fn clients_findings_and_halts_are_told_as_they_happen() {
    let bench = Bench::start(&["--lint"]);
    let follow = Running::start(bench.command(&["--events", "--json", "--count", "4"]).stdin(Stdio::null()));
    let mut client = bench.client();
    eventually("the follower hears", || {
        client.execute("channel-pause", channel(3)).unwrap();
        client.execute("channel-resume", channel(3)).unwrap();
        follow.end().is_some()
    });
    let ran = follow.wait();
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 4), "{ran:?}");
    let mut client = bench.client();
    let mut engine = Engine::open(&bench.device.socket);
    engine.start(1, u16::MAX);
    // Armed again in the middle of it, then two commands at once.
    engine.write(channel_base(1) + 0x10, 0x4000, 8);
    engine.write(channel_base(1) + CHANCMD, SUSPEND | RESET, 1);
    // At the descriptor's end: a client that leaves before resets the channel instead.
    eventually("channel 1 halts", || {
        let status = engine.read(channel_base(1) + CHANSTS, 8);
        ChanSts::from_bits(status).state() == Some(ChannelState::Halted)
    });
    drop(engine);
    let mut told = Vec::new();
    while told.last().is_none_or(|name| name != "CLIENT_DISCONNECTED") {
        let event = client.next_event().unwrap().unwrap();
        told.push(event["event"].as_str().unwrap().to_owned());
    }
    let place =
        |name: &str| told.iter().position(|it| it == name).unwrap_or_else(|| panic!("{name}: {told:?}"));
    assert_eq!(place("CLIENT_CONNECTED"), 0);
    assert!(place("LINT_FINDING") < place("CHANNEL_HALTED"), "{told:?}");
    assert!(place("CHANNEL_HALTED") < place("RESET"), "{told:?}");
}

#[test]
fn a_trace_that_nobody_reads_holds_up_neither_the_driver_nor_ctl_nor_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // For both, so that opening it waits for nobody. It is never read.
    let _open = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let bench = Bench::start(&["--trace", fifo.to_str().unwrap()]);
    selftest(&bench.device);
    let off = bench.ctl(&["trace-off"]);
    assert!(off.code == Some(1) && off.err.contains("takes nothing; the trace is off"), "{off:?}");
    assert_eq!(bench.ctl(&["query-device"]).code, Some(0));
    bench.device.process.signal("TERM");
    let ran = bench.device.process.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn ctl_has_tables_json_help_many_commands_and_exit_codes() {
    let bench = Bench::start(&[]);
    let table = bench.ctl(&["query-channels"]);
    assert_eq!((table.code, table.out.lines().count()), (Some(0), 5), "{table:?}");
    assert!(table.out.lines().next().unwrap().starts_with("channel  "), "{}", table.out);
    let json = bench.ctl(&["query-channels", "channel=0x2", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap()[0]["channel"], 2);
    let help = bench.ctl(&["help"]);
    let mut client = bench.client();
    let catalog = client.execute("query-commands", Map::new()).unwrap();
    for command in catalog["commands"].as_array().unwrap() {
        let name = command["name"].as_str().unwrap();
        assert!(help.out.contains(name), "{name}");
        let one = bench.ctl(&["help", name]);
        assert!(one.code == Some(0) && one.out.contains(command["says"].as_str().unwrap()), "{one:?}");
    }
    for (arguments, code, says) in [
        (&["query-channels", "channel=7"][..], 1, "NotFound: no channel 7: the channels are 0 to 3"),
        (&["no-such"], 1, "CommandNotFound: no command 'no-such'"),
        (&["query-channels", "channel=x"], 2, "channel='x': expected a number"),
        (&["query-channels", "7"], 2, "'7' is not KEY=VALUE"),
        (&["query-channels", "--count", "1"], 2, "--events"),
    ] {
        let ran = bench.ctl(arguments);
        assert_eq!((ran.code, ran.err.lines().count()), (Some(code), 1), "{arguments:?} {ran:?}");
        assert!(ran.err.contains(says), "{}", ran.err);
    }
    let mut many = bench.command(&[]);
    let mut commands = tempfile::tempfile().unwrap();
    commands
        .write_all(b"# it's a note\nchannel-pause channel=1\n\nno-such\n'open\nread-register name=CHANSTS channel=1\n")
        .unwrap();
    commands.rewind().unwrap();
    let ran = run(many.stdin(commands));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("state=halted") && ran.err.contains("no-such"), "{ran:?}");
    assert!(ran.err.contains("a ' is not closed"), "{ran:?}");
    let gone = run(Command::new(program("netdma-lab")).args(["ctl", "/no/such/socket", "help"]));
    assert_eq!(gone.code, Some(3), "{gone:?}");
}

/// A judge that shares nothing with us: Python's own JSON and sockets.
const JUDGE: &str = r#"
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
lines = s.makefile("r", encoding="utf-8", newline="\n")
greeting = json.loads(lines.readline())["netdma"]
assert greeting["device"] == "skx" and "events" in greeting["capabilities"], greeting
events = []
def ask(command, **arguments):
    s.sendall((json.dumps({"execute": command, "arguments": arguments, "id": [command]}) + "\n").encode())
    while True:
        message = json.loads(lines.readline())
        if "event" in message:
            events.append(message)
            continue
        assert message["id"] == [command], message
        return message.get("return", message.get("error"))
names = [c["name"] for c in ask("query-commands")["commands"]]
assert len(names) == len(set(names)) >= 17, names
registers = {(r["name"], r["channel"]): r["value"] for r in ask("query-registers")}
assert registers[("CHANCNT", None)] == 4 and registers[("VENDOR_ID", None)] == 0x8086, registers
assert registers[("CHANSTS", 2)] == 3
assert ask("channel-pause", channel=2) == {"channel": 2, "settled": True, "executed": 0, "left": 0}
assert ask("query-channels", channel=2)[0]["paused"] is True
assert ask("channel-resume", channel=2) == {"channel": 2}
assert ask("fault-arm", rule="nonsense")["class"] == "InvalidArgument"
assert ask("fault-arm", rule="msix: nth(1) drop") == {"id": 1, "rule": "msix: nth(1) drop"}
assert [e["event"] for e in events] == ["CHANNEL_PAUSED", "CHANNEL_RESUMED"], events
assert all(e["timestamp"]["seconds"] > 1_600_000_000 for e in events)
print("judged")
"#;

#[test]
fn pythons_own_json_and_sockets_agree() {
    let bench = Bench::start(&[]);
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        netdma_tests::skip("pythons_own_json_and_sockets_agree", "python3 is not here");
        return;
    }
    let ran = run(Command::new("python3").args(["-c", JUDGE]).arg(&bench.control));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "judged\n"), "{ran:?}");
}
