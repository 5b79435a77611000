//! `netdma script`: outcomes and exit codes, errors with their lines, reports, and what runs wild.

mod control;

mod outcome;

mod registers;

mod report;

mod waits;

mod wild;

use std::fs;
use std::process::{Command, Stdio};

/// What a run left.
struct Ran {
    code: i32,
    out: String,
    err: String,
    junit: String,
}

/// Runs a script on the device in the program's process, with these further arguments.
fn script(text: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, junit) = (folder.path().join("try.rhai"), folder.path().join("out.xml"));
    fs::write(&file, text).expect("the script is written");
    let output =
        command(&file).arg("--junit").arg(&junit).args(arguments).output().expect("the program starts");
    Ran {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
        junit: fs::read_to_string(junit).unwrap_or_default(),
    }
}

fn command(file: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdma"));
    command.arg("script").arg(file).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}
