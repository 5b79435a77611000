//! What the integration tests share: where the programs are, and how a test says that it cannot run.

pub mod process;

pub mod device;

pub mod conformance;

use std::io::Write;
use std::path::PathBuf;

/// The folder that cargo builds into, found from the running test's own path.
///
/// # Panics
/// When the test does not run from a cargo target folder.
#[must_use]
pub fn build_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this test");
    // target/debug/deps/test-0123
    exe.parent().and_then(std::path::Path::parent).expect("target/PROFILE/deps").to_owned()
}

/// A program of this workspace, built by `scripts/test` (or `cargo build --workspace`) before.
///
/// # Panics
/// When it is not there; the message says how to build it.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = build_dir().join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins`", path.display());
    path
}

/// A static program for the guest, built by `scripts/test` before.
///
/// # Panics
/// When it is not there; the message says how to build it.
#[must_use]
pub fn guest_program(name: &str) -> PathBuf {
    let dir = build_dir();
    let profile = dir.file_name().expect("the profile's folder");
    let path =
        dir.parent().expect("the target folder").join("x86_64-unknown-linux-gnu").join(profile).join(name);
    assert!(
        path.exists(),
        "{} is not built: run `RUSTFLAGS='-C target-feature=+crt-static' cargo build --target x86_64-unknown-linux-gnu -p netdma -p netdma-vm`",
        path.display()
    );
    path
}

/// True under `scripts/test --full`.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("NETDMA_FULL").is_some_and(|value| !value.is_empty())
}

/// Says that a test cannot run here, and why; `scripts/test` counts it as skipped.
///
/// # Panics
/// When the list of skips cannot be written: a skip must be visible.
pub fn skip(test: &str, reason: &str) {
    eprintln!("skipped: {test}: {reason}");
    if let Some(list) = std::env::var_os("NETDMA_SKIPS") {
        let mut list =
            std::fs::OpenOptions::new().append(true).create(true).open(list).expect("list of skips");
        writeln!(list, "{test}: {reason}").expect("list of skips");
    }
}
