//! `netdma-vm doctor`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use netdma_vm::cache::Cache;
use netdma_vm::doctor::{self, State};
use netdma_vm::mistakes::Mistake;

/// Says what this machine lacks and the command that mends it; exits with 1 if something needed is missing.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Look at this running QEMU instead: name each mistake on its command line for vfio-user
    #[arg(long, value_name = "PID")]
    qemu: Option<u32>,
    /// Look at a written command line of QEMU instead, of a file or of standard input (`-`): a script's, or what `virsh
    /// domxml-to-native` or `vng --dry-run` prints
    #[arg(long, value_name = "FILE", conflicts_with = "qemu")]
    argv: Option<PathBuf>,
}

pub(crate) fn run(arguments: &DoctorArguments) -> anyhow::Result<i32> {
    match (arguments.qemu, &arguments.argv) {
        (Some(pid), _) => Ok(report(&format!("QEMU {pid}"), &doctor::running_qemu(pid)?)),
        (None, Some(file)) => written_line(file),
        (None, None) => machine(),
    }
}

fn machine() -> anyhow::Result<i32> {
    let mut code = 0;
    for check in doctor::checks(&Cache::from_environment()?) {
        match check.state {
            State::Ok(text) => println!("{:<11} ok       {text}", check.name),
            State::Note(text) => println!("{:<11} note     {text}", check.name),
            State::Missing { what, mend } => {
                code = 1;
                println!("{:<11} missing  {what}\n{:<20} mend: {mend}", check.name, "");
            }
        }
    }
    Ok(code)
}

fn written_line(file: &Path) -> anyhow::Result<i32> {
    let mut bytes = Vec::new();
    let read = match file.to_str() {
        Some("-") => io::stdin().read_to_end(&mut bytes).map(drop),
        _ => fs::read(file).map(|read| bytes = read),
    };
    let name = file.display().to_string();
    read.with_context(|| name.clone())?;
    let mistakes = doctor::written_line(&String::from_utf8_lossy(&bytes)).with_context(|| name.clone())?;
    Ok(report(&name, &mistakes))
}

fn report(name: &str, mistakes: &[Mistake]) -> i32 {
    for mistake in mistakes {
        println!("{mistake}");
    }
    if mistakes.is_empty() {
        println!("{name}: no mistake for vfio-user");
    }
    i32::from(!mistakes.is_empty())
}
