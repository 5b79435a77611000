//! The scripts of `scripts/bringup` that are for our engine. Each passes where the engine is right, in this process and over a
//! socket, with one channel and with four, on both profiles; breaks no rule of the lint but where it says so; and fails
//! where the engine is not right.
#![cfg(all(feature = "script", feature = "sim"))]

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
    let output = Command::new(env!("CARGO_BIN_EXE_netdma"))
        .arg("script")
        .arg(folder.join(name).with_extension("rhai"))
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
        let ran = script(name, &["--fault", rule]);
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
    let ran = script("ioat-first-copy", &["1048576", "3", "--channels", "4"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let ran = script("ioat-first-copy", &["4096", "4", "--channels", "4"]);
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
    passes_over_a_socket("ioat-errors", &["0", "lawful"], &[]);
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
