//! `netdma-vm qemu`.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use netdma_vm::cache::Cache;
use netdma_vm::qemu::{self, Qemu};

/// Becomes QEMU: the cache's, with its own loader and libraries, or one on PATH that is 10.1 or newer.
///
/// For scripts and tools that need a QEMU by name: let a file `qemu-system-x86_64` on PATH hold the two lines
/// `#!/bin/sh` and `exec netdma-vm qemu -- "$@"`.
#[derive(Debug, Args)]
pub(crate) struct QemuArguments {
    /// QEMU's arguments
    #[arg(last = true, value_name = "ARGS", allow_hyphen_values = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(arguments: &QemuArguments) -> anyhow::Result<i32> {
    let Qemu { words, .. } = find(&Cache::from_environment()?)?;
    let mut command = Command::new(&words[0]);
    let error = command.args(&words[1..]).args(&arguments.words).exec();
    Err(error).with_context(|| Path::new(&words[0]).display().to_string())
}

/// The cache's comes first, other than for `boot`: what lies on PATH may be the script that calls us.
fn find(cache: &Cache) -> anyhow::Result<Qemu> {
    if let Some(qemu) = qemu::in_cache(cache) {
        return Ok(qemu);
    }
    if env::var_os(qemu::ASKED).is_some() {
        bail!(
            "no QEMU in the cache, and the one on PATH is a script that calls `netdma-vm qemu`: run `netdma-vm setup`"
        );
    }
    Ok(qemu::find(None, cache)?)
}
