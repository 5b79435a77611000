//! The scripts of `scripts/bringup` that are for our engine. Each passes where the engine is right, in this process and over a
//! socket, with one channel and with four, on both profiles; breaks no rule of the lint but where it says so; and fails
//! where the engine is not right. At the end: what their functions say of themselves.
#![cfg(all(feature = "script", feature = "sim"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ioat_stage::{NoFaults, NoTrace, ThreadPause};
use vfio_user_ioat::Profile;
use vfio_user_ioat::engine::{Engine, Parts, Served, identity};
use vfio_user_ioat::lint::{LintBook, Rule};
use vfio_user_ioat::memory::DmaTable;
use vfio_user_ioat::server::{IrqTable, Listener, Options, serve};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

const ENGINES: [(&str, &str); 4] = [("skx", "1"), ("skx", "4"), ("netdma", "1"), ("netdma", "4")];

#[derive(Debug)]
struct Ran {
    code: i32,
    said: String,
}

fn script(name: &str, arguments: &[&str]) -> Ran {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/bringup");
    file(&folder.join(name).with_extension("rhai"), arguments)
}

/// A script that is written here.
fn text(text: &str, arguments: &[&str]) -> Ran {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&path, text).unwrap();
    file(&path, arguments)
}

fn file(path: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_netdma"))
        .arg("script")
        .arg(path)
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .expect("the program starts");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8")).concat();
    Ran { code: output.status.code().expect("no signal ends it"), said }
}

/// On the device in this process.
fn passes(name: &str) {
    for (profile, channels) in ENGINES {
        let ran = script(name, &["--profile", profile, "--channels", channels]);
        assert_eq!(ran.code, 0, "{profile}, {channels} channels: {}", ran.said);
    }
}

/// On the device in this process, with each of these faults alone.
fn fails_with(name: &str, rules: &[&str]) {
    for rule in rules {
        // Not to wait long for what cannot come. Where nothing is wrong the scripts pass with more.
        let ran = script(name, &["patience=1000", "--fault", rule]);
        assert_eq!(ran.code, 1, "{rule}: {}", ran.said);
        assert!(ran.said.contains("fault fired") || ran.said.contains("failed"), "{rule}: {}", ran.said);
    }
}

/// A device behind a socket, watched by the lint.
struct Watched {
    book: Arc<LintBook>,
    path: PathBuf,
    stop: EventFd,
    server: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn start(profile: &str, channels: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dma.sock");
        let profile = Profile::by_name(profile).unwrap().with_channels(channels.parse().unwrap()).unwrap();
        let identity = identity(u32::from(profile.vectors()));
        let irqs = Arc::new(IrqTable::new(&identity));
        let parts = Parts {
            profile,
            table: DmaTable::new(),
            interrupts: irqs.clone(),
            trace: NoTrace,
            pause: Arc::new(ThreadPause::new()),
            start_latency: Duration::ZERO,
        };
        let book = LintBook::new();
        let engine = Engine::start_watched(parts, |_| NoFaults, Some(book.clone())).unwrap();
        let backend = Served::new(engine, irqs, identity);
        let listener = Listener::bind(&path).unwrap();
        let stop = EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK).unwrap();
        let stopped = stop.try_clone().unwrap();
        let server =
            std::thread::spawn(move || serve(listener, &backend, &stopped, &Options::default()).unwrap());
        Self { book, path, stop, server: Some(server), _folder: folder }
    }

    fn on(&self) -> String {
        format!("socket:{}", self.path.display())
    }

    /// What the lint found, in the order of the rules.
    fn broken(&self) -> Vec<Rule> {
        Rule::ALL.into_iter().filter(|rule| self.book.count(*rule) > 0).collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.write(1).unwrap();
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

/// Over a socket, and by the rules.
fn passes_over_a_socket(name: &str, arguments: &[&str], broken: &[Rule]) {
    for (profile, channels) in ENGINES {
        let device = Watched::start(profile, channels);
        let on = device.on();
        let ran = script(name, &[&["--on", &on], arguments].concat());
        assert_eq!(ran.code, 0, "{profile}, {channels} channels: {}", ran.said);
        assert_eq!(device.broken(), broken, "{profile}, {channels} channels: {}", device.book);
    }
}

#[test]
fn the_first_copy_passes() {
    passes("ioat-first-copy");
}

#[test]
fn the_first_copy_passes_over_a_socket_by_the_rules() {
    passes_over_a_socket("ioat-first-copy", &[], &[]);
}

#[test]
fn the_first_copy_takes_its_size_and_channel() {
    let ran = script("ioat-first-copy", &["bytes=1048576", "channel=3", "--channels", "4"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let ran = script("ioat-first-copy", &["channel=4", "--channels", "4"]);
    assert_eq!(ran.code, 1, "{}", ran.said);
    assert!(ran.said.contains("channel 4 is there"), "{}", ran.said);
}

#[test]
fn without_messages_a_script_about_messages_is_skipped() {
    let ran = script("ioat-first-copy", &["--vectors", "0"]);
    assert_eq!(ran.code, 4, "{}", ran.said);
}

#[test]
fn the_first_copy_fails_on_an_engine_that_is_not_right() {
    let rules = [
        "msix: nth(1) drop",
        "complete: nth(1) drop",
        "complete: nth(1) misaddress(+64)",
        "copy: nth(1) corrupt(0)",
        "copy: nth(1) corrupt(4095, 0x80)",
        "fetch: nth(1) halt(descriptor)",
    ];
    fails_with("ioat-first-copy", &rules);
}

#[test]
fn the_ring_passes() {
    passes("ioat-ring");
}

#[test]
fn the_ring_passes_over_a_socket_by_the_rules() {
    passes_over_a_socket("ioat-ring", &[], &[]);
}

#[test]
fn the_ring_fails_on_an_engine_that_is_not_right() {
    let rules = [
        "msix: nth(1) drop",
        "msix: nth(6) drop",
        "complete: nth(1) drop",
        "copy: nth(1) corrupt(0)",
        "copy: nth(150) corrupt(7)",
        "fetch: nth(60000) halt(descriptor)",
    ];
    fails_with("ioat-ring", &rules);
}

#[test]
fn the_errors_pass() {
    passes("ioat-errors");
}

#[test]
fn the_errors_break_the_two_rules_that_they_name() {
    passes_over_a_socket("ioat-errors", &[], &[Rule::ChainAddrMisaligned, Rule::SeveralCommands]);
}

#[test]
fn lawful_errors_break_no_rule() {
    passes_over_a_socket("ioat-errors", &["lawful=1"], &[]);
}

#[test]
fn the_errors_fail_on_an_engine_that_is_not_right() {
    let rules = [
        "msix: nth(1) drop",
        "msix: nth(2) drop",
        "complete: nth(1) drop",
        "complete: nth(2) drop",
        "copy: nth(1) corrupt(0)",
        "translate: nth(5) halt(control)",
    ];
    fails_with("ioat-errors", &rules);
}

#[test]
fn suspend_and_resume_pass() {
    passes("ioat-suspend-resume");
}

#[test]
fn suspend_and_resume_pass_over_a_socket_by_the_rules() {
    passes_over_a_socket("ioat-suspend-resume", &[], &[]);
}

#[test]
fn suspend_and_resume_fail_on_an_engine_that_is_not_right() {
    let rules = [
        "msix: nth(1) drop",
        "complete: nth(1) drop",
        "complete: nth(1) misaddress(-64)",
        "copy: nth(1) corrupt(0)",
        "copy: nth(60) corrupt(0)",
    ];
    fails_with("ioat-suspend-resume", &rules);
}

#[test]
fn the_path_of_the_contract_passes() {
    passes("netdma-channel");
}

#[test]
fn the_path_of_the_contract_passes_over_a_socket_by_the_rules() {
    passes_over_a_socket("netdma-channel", &[], &[]);
}

#[test]
fn the_path_of_the_contract_passes_where_channels_share_messages() {
    let ran = script("netdma-channel", &["--channels", "4", "--vectors", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
}

#[test]
fn the_path_of_the_contract_passes_on_a_line() {
    let ran = script("netdma-channel", &["--vectors", "0"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
}

#[test]
fn the_path_of_the_contract_fails_on_an_engine_that_is_not_right() {
    let rules = [
        "msix: nth(1) drop",
        "complete: nth(1) drop",
        "copy: nth(1) corrupt(0)",
        "copy: nth(64) corrupt(5)",
        "copy: nth(2) halt(read-data)",
    ];
    fails_with("netdma-channel", &rules);
}

/// One NULL through channel 0, by hand.
const NULL: &str = r#"
    let done = completion();
    let one = chain(1);
    one.null(0, #{ interrupt: true, status: true });
    config_write(4, 2, config_read(4, 2) | 6);
    put("CHAN0.CHANCMD", 0x20);
    irq_enable("msix", irq_kinds().msix);
    put("CHAN0.CHANCMP", done.iova);
    put("CHAN0.CHAINADDR", one.iova);
    put("CHAN0.DMACOUNT", 1);
    wait_until(|| done.word() != 0, 5000);
    wait_reg("CHAN0.CHANSTS", done.word(), 5000);
"#;

#[test]
fn a_rule_is_armed_counts_fires_and_is_taken_out() {
    let judged = r#"
        expect_eq(irq_try_wait(0, 50), 0, "the message was dropped");
        let rule = faults()[0];
        expect_eq(`${rule.id} ${rule.rule} ${rule.seen} ${rule.fired}`, `${id} msix: nth(1) drop 1 1`);
        expect_eq(fired()[0].again, "msix[ch=0]: nth(1)");
        disarm(id);
        expect_eq(faults().len(), 0);
        expect_error(|| disarm(id), "no rule of number 1 is armed");
        expect_error(|| fault("msix: nth(1) explode"), "action 'explode'");
    "#;
    let ran = text(&format!("let id = fault(\"msix: nth(1) drop\");{NULL}{judged}"), &[]);
    assert_eq!(ran.code, 0, "{}", ran.said);
}

#[test]
fn who_takes_no_rules_says_what_to_do() {
    let device = Watched::start("skx", "1");
    let ran = text("fault(\"msix: nth(1) drop\")", &["--on", &device.on()]);
    assert_eq!(ran.code, 1, "{}", ran.said);
    assert!(ran.said.contains("vfio-user-ioat --socket-path"), "{}", ran.said);
}

#[test]
fn the_trace_has_the_stages_of_both_sides_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("trace.jsonl");
    let judged = r#"
        irq_wait(0, 5000);
        let stages = trace().filter(|event| event.side == "device").map(|event| event.stage);
        expect_eq(stages, ["doorbell", "fetch", "translate", "copy", "complete", "msix"]);
        expect_eq(trace()[1].address, one.iova, "a fetch is of a descriptor");
        trace_clear();
        expect_eq(trace().len(), 0);
        "#;
    let ran = text(&format!("{NULL}{judged}"), &[]);
    assert_eq!(ran.code, 0, "{}", ran.said);

    let driven = format!(
        r#"
        let it = driver();
        let channel = it.channel();
        channel.null();
        channel.submit();
        expect(channel.wait(5000)[0].ok);
        wait_until(|| it.dpcs().len() > 0, 5000);
        for stage in ["isr", "queue", "dpc"] {{
            expect(trace().filter(|event| event.stage == stage && event.side == "driver").len() > 0, stage);
        }}
        expect(trace_save("{}") > 8);
        "#,
        saved.display()
    );
    let ran = text(&driven, &[]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let lines = std::fs::read_to_string(&saved).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["trace"], &lines[0]["side"]), (&"netdma".into(), &"device".into()));
    assert_eq!((&lines[1]["version"], &lines[1]["side"]), (&1.into(), &"driver".into()));
    assert!(lines[2..].iter().all(|line| line["t_ns"].is_u64() && line["stage"].is_string()));
}

#[test]
fn while_a_driver_is_attached_raw_writes_to_its_channels_warn() {
    let write = r#"write8(0x84, 0); put("CHAN0.CHANERR", 0); write8(2, 0);"#;
    let warnings = |ran: &Ran| ran.said.lines().filter(|line| line.contains("attached driver")).count();
    let ran = text(&format!("let it = driver(); {write} it.close(); {write}"), &[]);
    assert_eq!((ran.code, warnings(&ran)), (0, 2), "{}", ran.said);
    let ran = text(&format!("let it = driver(); {write}"), &["--force"]);
    assert_eq!((ran.code, warnings(&ran)), (0, 0), "{}", ran.said);
}

#[test]
fn one_session_has_one_driver_and_its_interrupts_are_the_drivers() {
    for (script, said) in [
        ("driver(); driver()", "attached already"),
        ("driver().close(); driver()", "start a new session"),
        ("driver(); irq_enable(\"msix\", 1)", "the driver has the interrupts"),
        ("irq_enable(\"msix\", 1); driver()", "irq_enable"),
        ("let it = driver(); it.close(); it.channel()", "the driver was closed"),
        ("let c = driver().channel(); c.close(); c.submit()", "the channel was closed"),
        ("driver(#{ processors: 0 })", "processors: 0: give 1 to 0x20"),
        ("driver().channel().submit()", "nothing to submit"),
        ("driver().queue_dpc(99, 1)", "message 99: give 0 to 3"),
    ] {
        let ran = text(script, &[]);
        assert_eq!(ran.code, 1, "{script}: {}", ran.said);
        assert!(ran.said.contains(said), "{script}: {}", ran.said);
    }
}

#[test]
fn what_a_chain_cannot_hold_is_named_and_changes_nothing() {
    for (script, said) in [
        ("chain(0)", "give 1 to 65536"),
        ("chain(2).copy(2, 0, 0, 64)", "descriptor 2: the chain has 0 to 1"),
        ("chain(1).copy(0, \"here\", 0, 64)", "the source: give an address or a buffer"),
        ("chain(1).copy(0, 0, 0, -1)", "SIZE takes 0 to 0xffffffff"),
        ("chain(1).null(0, #{ loud: true })", "no field \"loud\""),
        ("chain(1).put(0, \"OPCODE\", 256)", "OPCODE, which has 8 bits"),
        ("chain(1).get(0, \"LENGHT\")", "its fields are SIZE"),
    ] {
        let ran = text(script, &[]);
        assert_eq!(ran.code, 1, "{script}: {}", ran.said);
        assert!(ran.said.contains(said), "{script}: {}", ran.said);
    }
    let linked = r#"
        let ring = chain_ring(3);
        let other = chain(1);
        expect_eq(ring.get(2, "NEXT"), ring.iova);
        ring.link(2, 1);
        expect_eq(ring.get(2, "NEXT"), ring.address(1));
        ring.link(2, other);
        expect_eq(ring.get(2, "NextDescriptor"), other.iova);
        ring.link(2, ());
        ring.fill(2, dma(64), 64, 0xab, #{ fence: true });
        expect_eq(ring.get(2, "NEXT"), 0, "an operation leaves the link alone");
        expect_eq(ring.get(2, "FENCE"), 1);
        ring.put(2, "OPCODE", "copy");
        expect_eq(ring.get(2, "CONTROL"), 0x10);
    "#;
    let ran = text(linked, &[]);
    assert_eq!(ran.code, 0, "{}", ran.said);
}
