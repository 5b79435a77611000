//! The host's side: its tools, a PATH with our programs, a device that serves.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use netdma_tests::process::Running;
use netdma_tests::{build_dir, program};

use crate::text::recipe;

/// A program of the host's, if it is installed.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // A user's PATH may lack the folders for administration.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// PATH as the recipes want it: our programs, and the folder with a QEMU by name.
pub(crate) fn path() -> OsString {
    let own = [recipe("qemu"), build_dir()];
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(own.into_iter().chain(env::split_paths(&path))).unwrap()
}

/// A device that listens on `socket`.
pub(crate) fn device(socket: &Path) -> Running {
    let device = Running::start(Command::new(program("vfio-user-ioat")).arg("--socket-path").arg(socket));
    device.says("serving");
    device
}

/// Asks the doctor about a written line: the exit code and what it said.
pub(crate) fn doctor(file: &Path) -> (Option<i32>, String) {
    let output = Command::new(program("netdma-vm")).args(["doctor", "--argv"]).arg(file).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}
