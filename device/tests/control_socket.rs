//! The control socket from its other end: every command, every way to be refused, and clients that misbehave.
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ioat_spec::register::channel_base;
use ioat_spec::{Control, Descriptor};
use ioat_stage::{FaultBook, Point, Rule, RuleFaults, ThreadPause};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use vfio_user_ioat::Profile;
use vfio_user_ioat::control::client::{ClientError, arguments};
use vfio_user_ioat::control::{
    Client, Desk, MAX_LINE_BYTES, MAX_PEERS, News, Server, Sink, Tracing, catalog,
};
use vfio_user_ioat::engine::{Engine, Parts, identity};
use vfio_user_ioat::memory::{Access, DmaTable};
use vfio_user_ioat::server::{IrqTable, Listener};
use zerocopy::IntoBytes;

const PATIENCE: Duration = Duration::from_secs(20);
/// The client's memory, as the device sees it.
const MEMORY: u64 = 0x10_0000;
const MEMORY_BYTES: u64 = 0x1000;

/// A device without a client, and its control socket.
struct Fixture {
    server: Option<Server>,
    engine: Engine<RuleFaults, Sink>,
    folder: TempDir,
}

impl Fixture {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pause = Arc::new(ThreadPause::new());
        let irqs = Arc::new(IrqTable::new(&identity(4)));
        let book = FaultBook::new([]);
        let tracing = Tracing::new(pause.clone(), 4);
        let news = News::new(pause.clone()).unwrap();
        news.listen(&book, None);
        let parts = Parts {
            profile: Profile::SKX,
            table: DmaTable::new(),
            interrupts: irqs.clone(),
            trace: tracing.sink(),
            pause,
            start_latency: Duration::ZERO,
        };
        let engine = Engine::start(parts, |_| book.faults()).unwrap();
        assert!(engine.observe(news.clone()));
        let desk = Desk::new(engine.controls(&irqs), book, tracing, news);
        let listener = Listener::bind(&folder.path().join("control")).unwrap();
        Self { server: Some(Server::start(listener, desk).unwrap()), engine, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    fn client(&self) -> Client {
        Client::connect(&self.path()).unwrap()
    }

    /// A client that is not ours: bytes and lines.
    fn raw(&self) -> (UnixStream, BufReader<UnixStream>) {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        assert!(line(&mut reader)["netdma"]["version"].is_string());
        (stream, reader)
    }
}

fn line(reader: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// The process's descriptors are counted: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn class(outcome: Result<Value, ClientError>) -> String {
    match outcome {
        Err(ClientError::Refused { class, .. }) => class,
        other => panic!("not refused: {other:?}"),
    }
}

/// What each command is called with here; a command that is missing fails the test.
fn calls(folder: &TempDir) -> BTreeMap<&'static str, Map<String, Value>> {
    let file = folder.path().join("trace.jsonl").to_str().unwrap().to_owned();
    BTreeMap::from([
        ("query-commands", Map::new()),
        ("query-points", Map::new()),
        ("query-device", Map::new()),
        ("query-channels", arguments([("channel", json!(3))])),
        ("query-counters", Map::new()),
        ("query-registers", arguments([("space", json!("config"))])),
        ("read-register", arguments([("name", json!("chancmp")), ("channel", json!(2))])),
        ("fault-arm", arguments([("rule", json!("msix[ch=0]: nth(3) drop"))])),
        ("fault-list", Map::new()),
        ("fault-fired", arguments([("last", json!(5))])),
        ("fault-disarm", arguments([("id", json!(1))])),
        ("fault-clear", Map::new()),
        ("fault-census", arguments([("switch", json!("on"))])),
        ("query-operations", Map::new()),
        ("channel-pause", arguments([("channel", json!(0))])),
        ("channel-step", arguments([("channel", json!(0)), ("n", json!(2))])),
        ("channel-resume", arguments([("channel", json!(0))])),
        ("trace-on", arguments([("file", json!(file)), ("detail", json!("stages"))])),
        ("trace-off", Map::new()),
        ("reset", Map::new()),
    ])
}

#[test]
fn every_command_of_the_introspection_is_carried_out_and_returns_what_it_says() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let catalog = client.execute("query-commands", Map::new()).unwrap();
    let mut calls = calls(&fixture.folder);
    let listed = catalog["commands"].as_array().unwrap();
    assert_eq!(listed.len(), catalog::COMMANDS.len());
    let mut answers = BTreeMap::new();
    // In the table's order: what arms comes before what disarms.
    for command in listed {
        let name = command["name"].as_str().unwrap();
        let given = calls.remove(name).unwrap_or_else(|| panic!("{name} has no call in this test"));
        for argument in command["arguments"].as_array().unwrap() {
            let here = given.contains_key(argument["name"].as_str().unwrap());
            assert!(here || argument["required"] == false, "{name}: {argument}");
        }
        // Disarming comes before listing in the table: so the rule is armed again.
        let answer = client.execute(name, given).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Each member that `returns` names is there.
        let row = answer.get(0).unwrap_or(&answer);
        let returns = command["returns"].as_str().unwrap().trim_start_matches('[');
        if let Some(members) = row.as_object().filter(|_| returns != "{}") {
            for member in members.keys() {
                assert!(returns.contains(member.as_str()), "{name} returns {member}, which it does not say");
            }
        }
        answers.insert(name.to_owned(), answer);
    }
    assert!(calls.is_empty(), "no such commands: {calls:?}");
    assert_eq!(answers["query-device"]["profile"], "skx");
    assert_eq!(answers["query-device"]["client"], false);
    assert_eq!(answers["query-channels"][0]["state"], "halted");
    assert_eq!(answers["fault-arm"], json!({ "id": 1, "rule": "msix[ch=0]: nth(3) drop" }));
    assert_eq!(answers["channel-step"], json!({ "channel": 0, "settled": true, "executed": 0, "left": 2 }));
    let file = fs::read_to_string(fixture.folder.path().join("trace.jsonl")).unwrap();
    assert!(file.starts_with(r#"{"trace":"netdma""#), "{file}");
}

#[test]
fn every_command_refuses_what_it_does_not_take_and_says_what_it_takes() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for command in catalog::COMMANDS {
        let outcome = client.execute(command.name, arguments([("no-such", json!(1))]));
        assert_eq!(class(outcome), "InvalidArgument", "{}", command.name);
        for argument in command.takes {
            let outcome = client.execute(command.name, arguments([(argument.name, json!([1.5]))]));
            assert_eq!(class(outcome), "InvalidArgument", "{} {}", command.name, argument.name);
        }
        if command.takes.iter().any(|argument| argument.required) {
            assert_eq!(
                class(client.execute(command.name, Map::new())),
                "InvalidArgument",
                "{}",
                command.name
            );
        }
    }
    let trace = |file: &str| arguments([("file", json!(file))]);
    for (command, given, expected) in [
        ("no-such-command", Map::new(), "CommandNotFound"),
        ("query-channels", arguments([("channel", json!(4))]), "NotFound"),
        ("channel-pause", arguments([("channel", json!(30))]), "NotFound"),
        ("channel-step", arguments([("channel", json!(0))]), "Refused"),
        ("fault-disarm", arguments([("id", json!(77))]), "NotFound"),
        ("fault-arm", arguments([("rule", json!("copy[ch=9]: nth(1) corrupt(0)"))]), "InvalidArgument"),
        ("fault-arm", arguments([("rule", json!("msix: nth(1) explode"))]), "InvalidArgument"),
        ("fault-arm", Map::new(), "InvalidArgument"),
        ("fault-arm", arguments([("rule", json!(" \n"))]), "InvalidArgument"),
        (
            "fault-arm",
            arguments([("rule", json!("msix: nth(1) drop")), ("name", json!("x"))]),
            "InvalidArgument",
        ),
        ("fault-arm", arguments([("name", json!("nobody"))]), "NotFound"),
        ("fault-arm", arguments([("rule", json!("errata:hostile"))]), "InvalidArgument"),
        ("fault-arm", arguments([("rule", json!("msix[after=nobody]: nth(1) drop"))]), "InvalidArgument"),
        ("fault-arm", arguments([("rule", json!("dpc: nth(1) duplicate"))]), "InvalidArgument"),
        // All or none: the first line alone would do.
        (
            "fault-arm",
            arguments([("rule", json!("msix: nth(1) drop\nmsix[vector=4]: nth(1) drop"))]),
            "InvalidArgument",
        ),
        ("fault-census", arguments([("switch", json!("maybe"))]), "InvalidArgument"),
        ("read-register", arguments([("name", json!("CHANSTS"))]), "NotFound"),
        ("read-register", arguments([("name", json!("CBVER")), ("channel", json!(1))]), "NotFound"),
        ("read-register", arguments([("name", json!("NOPE"))]), "NotFound"),
        ("trace-off", Map::new(), "Refused"),
        ("trace-on", trace("relative"), "InvalidArgument"),
        ("trace-on", trace("/dev/null"), "IoError"),
        ("trace-on", trace("/no/such/folder/file"), "IoError"),
    ] {
        assert_eq!(class(client.execute(command, given)), expected, "{command}");
    }
    assert_eq!(client.execute("fault-list", Map::new()).unwrap(), json!([]));
}

/// A FIFO that nobody reads would hold whoever opens it.
#[test]
fn a_trace_to_a_fifo_is_refused_at_once() {
    let _alone = alone();
    let fixture = Fixture::start();
    let fifo = fixture.folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let outcome = fixture.client().execute("trace-on", arguments([("file", json!(fifo))]));
    assert_eq!(class(outcome), "IoError");
}

#[test]
fn the_peek_of_every_register_is_what_the_bar_reads_and_changes_nothing() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    fixture.engine.bar_write(channel_base(1) + 0x18, &0x1234_5678_u64.to_le_bytes());
    let registers = client.execute("query-registers", Map::new()).unwrap();
    assert_eq!(registers, client.execute("query-registers", Map::new()).unwrap());
    let registers = registers.as_array().unwrap();
    assert!(registers.len() > 80, "{}", registers.len());
    for register in registers {
        let (offset, width) = (register["offset"].as_u64().unwrap(), register["width"].as_u64().unwrap());
        let mut bytes = [0; 8];
        let data = &mut bytes[..usize::try_from(width).unwrap()];
        if register["space"] == "bar0" {
            fixture.engine.bar_read(offset, data);
        } else {
            fixture.engine.config_read(offset, data);
        }
        assert_eq!(register["value"].as_u64(), Some(u64::from_le_bytes(bytes)), "{register}");
    }
    let read =
        client.execute("read-register", arguments([("name", json!("CHANCMP")), ("channel", json!(1))]));
    assert_eq!(read.unwrap()["value"], 0x1234_5678);
}

#[test]
fn requests_are_answered_in_order_with_their_ids_whatever_is_between_them() {
    let _alone = alone();
    let fixture = Fixture::start();
    let (mut stream, mut reader) = fixture.raw();
    let mut lines: Vec<Vec<u8>> = vec![
        br#"{"execute": "reset", "id": {"a": [1]}}"#.to_vec(),
        b"".to_vec(),
        b"{\"execute\": \"\xff\xfe\"}".to_vec(),
        "[".repeat(50_000).into_bytes(),
        vec![b'x'; 3 * MAX_LINE_BYTES],
        br#"{"execute": "query-device", "id": 7, "extra": 1}"#.to_vec(),
        br#"{"execute": "fault-list", "id": "last"}"#.to_vec(),
    ];
    lines.iter_mut().for_each(|line| line.push(b'\n'));
    stream.write_all(&lines.concat()).unwrap();
    let mut replies = Vec::new();
    while replies.len() < 6 {
        let message = line(&mut reader);
        if message.get("event").is_none() {
            replies.push(message);
        }
    }
    let told: Vec<_> = replies.iter().map(|reply| (reply["error"]["class"].as_str(), &reply["id"])).collect();
    let invalid = Some("InvalidRequest");
    let (one, none) = (json!({"a": [1]}), Value::Null);
    assert_eq!(
        told,
        [
            (None, &one),
            (invalid, &none),
            (invalid, &none),
            (invalid, &none),
            (invalid, &json!(7)),
            (None, &json!("last"))
        ]
    );
    assert!(replies[3]["error"]["desc"].as_str().unwrap().contains("longer than 65536 bytes"));
}

#[test]
fn a_client_that_only_sends_and_closes_has_its_requests_carried_out() {
    let _alone = alone();
    let fixture = Fixture::start();
    let (mut stream, reader) = fixture.raw();
    stream.write_all(b"{\"execute\": \"channel-pause\", \"arguments\": {\"channel\": 2}}\n").unwrap();
    drop((stream, reader));
    let mut client = fixture.client();
    eventually("the channel is paused", || {
        client.execute("query-channels", Map::new()).unwrap()[2]["paused"] == true
    });
}

#[test]
fn a_client_that_never_reads_stalls_nobody_and_is_told_how_much_it_missed() {
    let _alone = alone();
    let fixture = Fixture::start();
    let (mut deaf, mut deaf_reader) = fixture.raw();
    let request = b"{\"execute\": \"query-commands\"}\n";
    // Its own requests come to a halt when 256 KiB wait for it: then it cannot even send.
    deaf.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let begun = Instant::now();
    let mut full_since = None;
    while full_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_millis(200)) {
        assert!(begun.elapsed() < PATIENCE && sent < 64 << 20, "it swallows everything: {sent}");
        match deaf.write(request) {
            Ok(count) => {
                sent += count;
                full_since = None;
            }
            Err(_) => {
                full_since.get_or_insert_with(Instant::now);
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    let mut client = fixture.client();
    for _ in 0..20 {
        client.execute("reset", Map::new()).unwrap();
        assert_eq!(client.next_event().unwrap().unwrap()["event"], "RESET");
    }
    // Once it reads, it gets on, and is told.
    deaf.set_nonblocking(false).unwrap();
    let message = loop {
        let message = line(&mut deaf_reader);
        if message.get("event").is_some() {
            break message;
        }
    };
    assert_eq!(message["event"], "EVENTS_LOST");
    assert_eq!(message["data"]["count"], 20);
}

#[test]
fn a_hundred_clients_are_served_at_once_and_one_too_many_is_told_so() {
    let _alone = alone();
    let fixture = Fixture::start();
    drop(fixture.client());
    let before = open_fds();
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..100).map(|_| fixture.client()).collect();
        clients[42].execute("reset", Map::new()).unwrap();
        for client in &mut clients {
            assert_eq!(client.next_event().unwrap().unwrap()["event"], "RESET");
            assert_eq!(client.execute("query-channels", Map::new()).unwrap().as_array().unwrap().len(), 4);
        }
        clients.extend((100..MAX_PEERS).map(|_| fixture.client()));
        let refused = Client::connect(&fixture.path()).unwrap_err().to_string();
        assert!(refused.contains("128 clients are connected"), "{refused}");
        drop(clients);
        eventually("their descriptors are closed", || open_fds() <= before);
    }
}

#[test]
fn rules_rest_until_their_name_is_said_wait_for_each_other_and_go_together() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let read = |offset: u64| {
        let mut bytes = [0; 4];
        fixture.engine.bar_read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    };
    let rules = [
        "register[after=gone, ch=0]: nth(2) all-ones",
        "gone = register[reg=CHANERRMSK, ch=3, armed=command]: always times(1) all-ones",
    ]
    .map(|rule| rule.parse::<Rule>().unwrap());
    assert_eq!(client.arm_all(&rules).unwrap(), [1, 2]);
    let (mask, other) = (channel_base(3) + 0x2c, channel_base(0) + 0x2c);
    assert_eq!((read(mask), read(other), read(other)), (0, 0, 0), "one rests, and the other waits for it");
    assert_eq!(client.arm_named("lost").unwrap(), None);
    assert_eq!(client.arm_named("gone").unwrap(), Some(2));
    assert_eq!((read(mask - 4), read(mask), read(mask)), (0, u32::MAX, 0));
    assert_eq!((read(other), read(other), read(other)), (0, u32::MAX, 0));
    let again: Vec<_> = client.fired().unwrap().iter().map(|fired| fired.again().to_string()).collect();
    assert_eq!(again, ["register[ch=3]: nth(3) all-ones", "register[ch=0]: nth(4) all-ones"]);
    client.clear().unwrap();
    assert_eq!((client.rules().unwrap(), client.fired().unwrap()), (vec![], vec![]));
}

#[test]
fn the_census_counts_by_point_and_channel_what_a_rule_would_count() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    assert!(client.operations().unwrap().is_empty(), "it is off");
    client.census(true).unwrap();
    let mut bytes = [0; 4];
    for offset in [channel_base(1) + 0x28, channel_base(1) + 0x2c, 0x04] {
        fixture.engine.bar_read(offset, &mut bytes);
    }
    let operations = client.operations().unwrap();
    let register = |channel| operations.get(&(Point::Register, channel)).copied();
    assert_eq!((register(Some(1)), register(None), register(Some(0))), (Some(2), Some(1), None));
    client.clear().unwrap();
    assert!(client.operations().unwrap().is_empty(), "counted anew");
    fixture.engine.bar_read(0x04, &mut bytes);
    assert_eq!(client.operations().unwrap().get(&(Point::Register, None)), Some(&1), "and still on");
    client.census(false).unwrap();
    assert!(client.operations().unwrap().is_empty());
}

#[test]
fn the_points_are_listed_with_the_words_of_the_language_and_the_catalog() {
    let _alone = alone();
    let fixture = Fixture::start();
    let points = fixture.client().execute("query-points", Map::new()).unwrap();
    let named = |list: &str, name: &str, key: &str| {
        let rows = points[list].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{list}: {name}"))[key].clone()
    };
    let words = |value: Value| -> Vec<String> { serde_json::from_value(value).unwrap() };
    assert!(words(named("points", "register", "filters")).contains(&"reg".to_owned()));
    assert!(!words(named("points", "msix", "filters")).contains(&"reg".to_owned()));
    assert!(named("triggers", "p", "form").as_str().unwrap().starts_with("p(P"));
    assert_eq!(named("errata", "hostile", "opt-in"), true);
    let rows = points["catalog"].as_array().unwrap();
    let wipe = rows.iter().find(|row| row["point"] == "reset" && row["action"] == "wipe").unwrap();
    assert_eq!((&wipe["class"], &wipe["reach"]), (&json!("channel"), &json!("everywhere")));
    assert!(rows.iter().all(|row| row["point"] != "dpc"), "the driver's points are not this device's");
}

#[test]
fn what_happens_is_told_to_everybody_with_its_time() {
    let _alone = alone();
    let fixture = Fixture::start();
    let (mut one, mut two) = (fixture.client(), fixture.client());
    one.execute("channel-pause", arguments([("channel", json!(1))])).unwrap();
    one.execute("channel-resume", arguments([("channel", json!(1))])).unwrap();
    one.execute("fault-arm", arguments([("rule", json!("register: nth(1) all-ones"))])).unwrap();
    let mut bytes = [0; 4];
    fixture.engine.bar_read(channel_base(2) + 0x28, &mut bytes);
    assert_eq!(bytes, [0xff; 4]);
    // Two commands at once (device model 3.5).
    fixture.engine.bar_write(channel_base(3) + 0x04, &[0x24]);
    // The same, typed.
    let (rules, fired) = (one.rules().unwrap(), one.fired().unwrap());
    assert_eq!((rules[0].rule.to_string(), rules[0].fired), ("register: nth(1) all-ones".to_owned(), 1));
    assert_eq!(
        (Rule::clone(&fired[0].rule), fired[0].again().to_string()),
        (rules[0].rule.clone(), "register[ch=2]: nth(1) all-ones".to_owned())
    );
    assert_eq!((one.disarm(rules[0].id).unwrap(), one.disarm(rules[0].id).unwrap()), (true, false));
    assert_eq!(one.arm(&rules[0].rule).unwrap(), 2);
    for client in [&mut one, &mut two] {
        let events: Vec<_> = (0..4).map(|_| client.next_event().unwrap().unwrap()).collect();
        let told: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(told, ["CHANNEL_PAUSED", "CHANNEL_RESUMED", "FAULT_FIRED", "CHANNEL_HALTED"]);
        assert_eq!(events[2]["data"]["again"], "register[ch=2]: nth(1) all-ones");
        assert_eq!(events[3]["data"]["chanerr-bits"], json!(["chancmd"]));
        let times: Vec<_> = events.iter().map(|event| event["timestamp"]["t_ns"].as_u64().unwrap()).collect();
        assert!(times.is_sorted() && times[0] > 0, "{times:?}");
        let names = catalog::EVENTS.iter();
        for event in &events {
            let kind = names.clone().find(|kind| event["event"] == kind.name).unwrap();
            let members: Vec<_> = event["data"].as_object().unwrap().keys().collect();
            assert!(members.iter().all(|member| kind.data.contains(&member.as_str())), "{event}");
            assert_eq!(members.len(), kind.data.len(), "{event}");
        }
    }
}

/// An unmap waits for every step that may use the range; a paused channel has none.
#[test]
fn an_unmap_does_not_wait_for_a_paused_channel_which_finds_it_gone_later() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let (engine, memory) = (&fixture.engine, tempfile::tempfile().unwrap());
    memory.set_len(MEMORY_BYTES).unwrap();
    engine.table().map(MEMORY, MEMORY_BYTES, Access::READ_WRITE, Some((memory, 0))).unwrap();
    engine.config_write(0x04, &[0x06, 0x00]);
    client.execute("channel-pause", arguments([("channel", json!(0))])).unwrap();
    engine.bar_write(channel_base(0) + 0x10, &MEMORY.to_le_bytes());
    engine.bar_write(channel_base(0) + 0x06, &[3, 0]);
    engine.unmap_range(MEMORY, MEMORY_BYTES).unwrap();
    client.execute("channel-resume", arguments([("channel", json!(0))])).unwrap();
    // The channel may halt before the command that lets it go has said so.
    let events: Vec<_> = (0..3).map(|_| client.next_event().unwrap().unwrap()).collect();
    let halted = events.iter().find(|event| event["event"] == "CHANNEL_HALTED").unwrap();
    assert_eq!(halted["data"]["chanerr-bits"], json!(["chain-address"]));
}

#[test]
fn a_trace_is_switched_while_a_channel_works_and_loses_nothing_of_what_it_has_seen() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let (engine, memory) = (&fixture.engine, tempfile::tempfile().unwrap());
    memory.set_len(MEMORY_BYTES).unwrap();
    let null = Descriptor {
        size: 1,
        control: Control::new().with_null(true).into_bits(),
        next: MEMORY,
        ..Descriptor::default()
    };
    memory.write_all_at(null.as_bytes(), 0).unwrap();
    engine.table().map(MEMORY, MEMORY_BYTES, Access::READ_WRITE, Some((memory, 0))).unwrap();
    engine.config_write(0x04, &[0x06, 0x00]);
    let works = |count: u16| {
        engine.bar_write(channel_base(1) + 0x10, &MEMORY.to_le_bytes());
        engine.bar_write(channel_base(1) + 0x06, &count.to_le_bytes());
        eventually("it is idle", || {
            let mut status = [0];
            engine.bar_read(channel_base(1) + 0x08, &mut status);
            status[0] & 7 == 1
        });
    };
    for (nth, detail, word) in [(0, "descriptors", "\"descriptor\":"), (1, "stages", "\"stage\":\"fetch\"")] {
        works(10);
        let file = fixture.folder.path().join(format!("{nth}.jsonl"));
        let on = arguments([("file", json!(file)), ("detail", json!(detail))]);
        assert_eq!(client.execute("trace-on", on.clone()).unwrap()["detail"], detail);
        assert_eq!(class(client.execute("trace-on", on)), "Refused");
        assert_eq!(client.execute("query-device", Map::new()).unwrap()["trace"]["detail"], detail);
        works(20);
        let off = client.execute("trace-off", Map::new()).unwrap();
        assert_eq!((&off["lost"], &off["file"]), (&json!(0), &json!(file)));
        works(10);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("{\"trace\":\"netdma\""), "{text}");
        let header = text.lines().next().unwrap();
        assert!(header.contains(&format!("\"detail\":\"{detail}\"")), "{header}");
        assert_eq!(text.lines().filter(|line| line.contains(word)).count(), 20, "{text}");
    }
}

#[test]
fn the_end_of_the_server_closes_every_connection_and_removes_the_file() {
    let _alone = alone();
    let mut fixture = Fixture::start();
    let mut client = fixture.client();
    client.execute("channel-pause", arguments([("channel", json!(0))])).unwrap();
    drop(fixture.server.take());
    assert!(!fixture.path().exists());
    assert!(matches!(client.execute("reset", Map::new()), Err(ClientError::Closed)));
}

#[test]
fn any_bytes_leave_the_server_as_it_was() {
    let _alone = alone();
    let fixture = Fixture::start();
    let words = prop_oneof![
        any::<Vec<u8>>(),
        Just(b"{\"execute\": ".to_vec()),
        Just(b"\"fault-arm\", \"arguments\": {\"rule\": ".to_vec()),
        Just(b"\"query-channels\"}\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(vec![b'{'; 300]),
    ];
    proptest!(ProptestConfig::with_cases(200), |(parts in proptest::collection::vec(words, 0..12))| {
        let (mut stream, mut reader) = fixture.raw();
        stream.write_all(&parts.concat()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Whatever it says, each line is one of the protocol's, and the connection comes to its end.
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        for line in said.lines() {
            let reply: Value = serde_json::from_str(line).unwrap();
            prop_assert!(reply.get("return").is_some() || reply["error"]["class"].is_string(), "{}", line);
        }
    });
    assert_eq!(fixture.client().execute("fault-list", Map::new()).unwrap(), json!([]));
}
