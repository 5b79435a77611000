//! cargo's target runner: the example crate's tests run in a guest, and what they say and how they end is cargo's.

use std::fs;
use std::path::Path;
use std::process::Command;

use netdma_tests::process::{Ran, run};
use netdma_tests::{full, program};

use crate::host::path;
use crate::text::{read, recipe};

/// Somebody's crate, outside of this repository.
struct Crate {
    folder: tempfile::TempDir,
}

impl Crate {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&recipe("cargo/driver"), folder.path());
        Self { folder }
    }

    /// cargo in the crate's folder, as its owner calls it; nothing is fetched.
    fn cargo(&self, words: &[&str]) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("--offline").args(words).current_dir(self.folder.path()).env("PATH", path());
        for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(name);
        }
        cargo
    }

    fn run(&self, words: &[&str]) -> Ran {
        run(&mut self.cargo(words))
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "target" {
                copy(&entry.path(), &to);
            }
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn runner(words: &[&str]) -> Command {
    let mut command = Command::new(program("netdma-vm"));
    command.arg("runner").args(words);
    command
}

/// A test of the owner's that says where it is and what it was given, and then fails.
const WRONG: &str = r#"
#[test]
fn the_vendor_is_wrong() {
    let bdf = std::env::var("NETDMA_BDF").unwrap();
    println!("arguments {:?}", std::env::args().skip(1).collect::<Vec<_>>());
    println!("folder {}", std::env::current_dir().unwrap().display());
    for name in ["NETDMA_BDF", "RUST_MINE", "MINE", "HIDDEN"] {
        println!("{name} {:?}", std::env::var(name).ok());
    }
    println!("{}", std::fs::read_to_string(format!("/sys/bus/pci/devices/{bdf}/uevent")).unwrap());
    eprintln!("to standard error");
    assert_eq!(my_driver::Function::open(&bdf).unwrap().identity().unwrap().0, 0x1234);
}
"#;

/// Two boots and one build tell it all: a crate whose tests pass, then one of its tests fails.
#[test]
fn the_example_crates_tests_pass_in_the_guest_and_a_failing_one_fails_cargo() {
    let own = Crate::new();
    passes(&own.run(&["test"]));
    own.file("tests/wrong.rs", WRONG);
    let mut cargo = own.cargo(&["test", "--test", "wrong"]);
    cargo.args(["--", "--nocapture", "--skip", "a b"]);
    cargo.env("RUST_MINE", "1").env("MINE", "2").env("HIDDEN", "3").env("NETDMA_VM_PASS", "MINE;OTHER");
    let here = own.folder.path().canonicalize().unwrap();
    fails_and_says_what_it_found(&run(&mut cargo), &here);
}

fn passes(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("test the_function_names_itself_through_vfio ... ok"), "{}", ran.out);
    // One program with tests, one boot: the library's and its documentation's are switched off.
    assert_eq!(ran.out.matches("test result: ok.").count(), 1, "{}", ran.out);
}

/// Arguments, folder, variables, both outputs and the exit code are the program's own.
fn fails_and_says_what_it_found(ran: &Ran, here: &Path) {
    let (out, err) = (ran.out.as_str(), ran.err.as_str());
    assert_eq!(ran.code, Some(101), "{out}\n{err}");
    assert!(out.contains("0 passed; 1 failed"), "{out}");
    let folder = format!("folder {}", here.display());
    for line in [
        r#"arguments ["--nocapture", "--skip", "a b"]"#,
        folder.as_str(),
        r#"NETDMA_BDF Some("0000:00:10.0")"#,
        r#"RUST_MINE Some("1")"#,
        r#"MINE Some("2")"#,
        "HIDDEN None",
        "DRIVER=vfio-pci",
        "PCI_ID=8086:2021",
    ] {
        assert!(out.lines().any(|said| said == line), "no '{line}':\n{out}\n{err}");
    }
    for part in ["to standard error", "left: 32902", "right: 4660"] {
        assert!(err.contains(part), "no '{part}':\n{err}");
    }
}

/// A program that is no test, and a device with options: its exit code is the runner's.
#[test]
fn any_programs_exit_code_and_the_devices_options_arrive() {
    if !full() {
        return;
    }
    let mut command = runner(&["/bin/sh", "-c", "echo \"<$1>\"; exit 42", "sh", "a b"]);
    let ran = run(command.env("NETDMA_VM_DEVICE", "vfio-user-ioat --channels 2").env("PATH", path()));
    assert_eq!((ran.code, ran.out.as_str()), (Some(42), "<a b>\n"), "{}", ran.err);
}

/// Without a guest: the cache is empty.
fn with_empty_cache(mut command: Command) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    run(command.env("NETDMA_CACHE", folder.path()).env("PATH", "/usr/bin:/bin"))
}

#[test]
fn a_listing_runs_on_the_host() {
    let own = std::env::current_exe().unwrap();
    let ran = with_empty_cache(runner(&[own.to_str().unwrap(), "--list", "--format", "terse"]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("runner::a_listing_runs_on_the_host: test"), "{}", ran.out);
}

#[test]
fn what_cannot_run_is_named_in_one_line_with_125() {
    let cases: [(&[&str], (&str, &str), &str); 5] = [
        (&["/no/such/program"], ("X", ""), "/no/such/program: No such file or directory"),
        (&["/bin/true"], ("NETDMA_VM_MEM", "much"), "invalid value 'much' for '--mem <M>'"),
        (&["/bin/true"], ("NETDMA_VM_SMP", "0"), "invalid value '0' for '--smp <N>'"),
        (&["/bin/true"], ("NETDMA_VM_DEVICE", "dev 'open"), "a quote is not closed"),
        (&["/bin/true"], ("X", ""), "no guest kernel in "),
    ];
    for (words, (name, value), expected) in cases {
        let mut command = runner(words);
        command.env(name, value);
        let ran = with_empty_cache(command);
        assert_eq!(ran.code, Some(125), "{words:?}: {}", ran.err);
        assert!(ran.err.contains(expected) && ran.err.trim().lines().count() == 1, "{words:?}: {}", ran.err);
    }
}

#[test]
fn the_recipes_variables_are_the_runners() {
    let help = run(&mut runner(&["--help"])).out;
    let recipe = read("cargo.md");
    let in_help: Vec<_> = names(&help, "[env: ").collect();
    assert!(in_help.len() > 8, "{help}");
    for name in &in_help {
        assert!(recipe.contains(&format!("| `{name}` | `--")), "{name} is not in cargo.md");
    }
    for name in names(&recipe, "| `NETDMA_VM_") {
        assert!(in_help.contains(&format!("NETDMA_VM_{name}").as_str()), "NETDMA_VM_{name} is not in --help");
    }
}

fn names<'a>(text: &'a str, before: &'static str) -> impl Iterator<Item = &'a str> {
    text.match_indices(before).map(move |(at, _)| {
        let name = &text[at + before.len()..];
        let end = name.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(name.len());
        &name[..end]
    })
}
