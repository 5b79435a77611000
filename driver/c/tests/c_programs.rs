//! C programs against the headers and the static library: layouts, bad input, and the provider in C at work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FLAGS: [&str; 6] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"];
/// What Rust's standard library needs of the system.
const LIBRARIES: [&str; 5] = ["-lpthread", "-ldl", "-lm", "-lrt", "-lutil"];

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

/// The static library that cargo built with this test: the newest beside it.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = fs::read_dir(test.parent().expect("it is in a folder")).expect("the folder can be read");
    let archives = folder.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        let is = name.starts_with("libnetdma_c") && name.ends_with(".a");
        let modified = fs::metadata(&path).ok()?.modified().ok()?;
        is.then_some((modified, path))
    });
    archives.max().expect("cargo built the static library with this test").1
}

fn cc() -> Command {
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.args(FLAGS).arg("-I").arg(here().join("include")).current_dir(here());
    cc
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Builds a program of these sources in `folder`.
fn build(folder: &Path, sources: &[&str]) -> PathBuf {
    let program = folder.join("program");
    let built = cc().args(sources).arg(library()).args(LIBRARIES).arg("-o").arg(&program).output();
    let built = built.expect("there is a C compiler: cargo links with it");
    assert!(built.status.success(), "{}", text(&built));
    program
}

/// The number behind `name` in what the program printed.
fn number(printed: &str, name: &str) -> u64 {
    let mut words = printed.split_whitespace().skip_while(|word| *word != name).skip(1);
    words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {name} in {printed}"))
}

#[test]
fn a_c_compiler_finds_every_structure_as_the_documents_have_it() {
    let compiled = cc().args(["-fsyntax-only", "tests/c/layout.c"]).output().unwrap();
    assert!(compiled.status.success(), "{}", text(&compiled));
}

#[test]
fn bad_input_gets_its_status_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new(build(folder.path(), &["tests/c/bad_input.c"])).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran));
}

#[test]
fn a_missing_bit_means_that_the_dpc_is_queued_already() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new(build(folder.path(), &["tests/c/queue.c"])).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran));
}

#[test]
fn the_provider_in_c_copies_through_every_channel_and_stops_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = build(folder.path(), &["tests/c/run.c", "provider/ioat.c"]);
    let ran = Command::new(program).args(["sim:skx", "4", "50"]).output().unwrap();
    let printed = text(&ran);
    assert!(ran.status.success(), "{printed}");
    assert_eq!(number(&printed, "channels"), 4);
    // 50 rounds, and one chain after each of Suspend, Abort and Reset.
    assert_eq!(number(&printed, "descriptors"), 4 * 53 * 16);
    assert_eq!(number(&printed, "bytes"), 4 * 53 * 16 * 4000);
    assert_eq!(number(&printed, "suspends"), 4);
    assert_eq!(number(&printed, "aborts"), 4);
    assert_eq!(number(&printed, "resets"), 4);
    assert_eq!(number(&printed, "lost"), 0);
    assert_eq!(number(&printed, "violations"), 0);
    assert!(number(&printed, "isr") > 0 && number(&printed, "dpc") > 0, "{printed}");
    assert_eq!(number(&printed, "run"), number(&printed, "queued"), "{printed}");
}

#[test]
fn a_lost_interrupt_is_found_and_the_chain_copied_again() {
    let folder = tempfile::tempdir().unwrap();
    let program = build(folder.path(), &["tests/c/run.c", "provider/ioat.c"]);
    let ran = Command::new(program).args(["sim", "2", "10", "msix[ch=0]: nth(3) drop"]).output().unwrap();
    let printed = text(&ran);
    assert!(ran.status.success(), "{printed}");
    assert_eq!(number(&printed, "lost"), 1, "{printed}");
    assert_eq!(number(&printed, "bytes"), 2 * 13 * 16 * 4000, "{printed}");
    assert_eq!(number(&printed, "violations"), 0, "{printed}");
}

#[test]
fn a_byte_that_the_device_corrupts_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let program = build(folder.path(), &["tests/c/run.c", "provider/ioat.c"]);
    let ran = Command::new(program).args(["sim", "1", "2", "copy: nth(2) corrupt(0)"]).output().unwrap();
    let printed = text(&ran);
    assert_eq!(ran.status.code(), Some(1), "{printed}");
    // The second descriptor's first byte.
    assert!(printed.contains("channel 0: offset 4000: expected"), "{printed}");
    assert_eq!(number(&printed, "bytes"), 0, "{printed}");
    assert_eq!(number(&printed, "channels"), 1, "{printed}");
}

#[test]
fn the_library_exports_the_names_of_the_reference_pages() {
    let listed =
        Command::new("nm").args(["--defined-only", "--extern-only"]).arg(library()).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let exported: Vec<&str> = listed.lines().filter_map(|line| line.split(" T ").nth(1)).collect();
    for name in [
        "NetDmaRegisterProvider",
        "NetDmaDeregisterProvider",
        "NetDmaProviderStart",
        "NetDmaProviderStop",
        "NetDmaIsr",
        "NetDmaInterruptDpc",
        "NetDmaGetVersion",
        "NetDmaPnPEventNotify",
        "NdisMRegisterInterruptEx",
        "NdisMDeregisterInterruptEx",
        "NdisMQueueDpc",
        "NdisMQueueDpcEx",
        "NdisMSynchronizeWithInterruptEx",
        "NdisMConfigMSIXTableEntry",
        "KeGetCurrentIrql",
        "KeGetCurrentProcessorNumber",
        "KeInitializeDpc",
        "KeInsertQueueDpc",
        "KeRemoveQueueDpc",
        "KeSetTargetProcessorDpc",
        "KeSetTargetProcessorDpcEx",
        "KeSetImportanceDpc",
        "KeFlushQueuedDpcs",
    ] {
        assert!(exported.contains(&name), "{name} is not exported");
    }
}
