//! `netdma-vm doctor`.

use clap::Args;
use netdma_vm::cache::Cache;
use netdma_vm::doctor::{self, State};

/// Says what this machine lacks and the command that mends it; exits with 1 if something needed is missing.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Look at this running QEMU instead: name each mistake on its command line for vfio-user
    #[arg(long, value_name = "PID")]
    qemu: Option<u32>,
}

pub(crate) fn run(arguments: &DoctorArguments) -> anyhow::Result<i32> {
    match arguments.qemu {
        Some(pid) => running_qemu(pid),
        None => machine(),
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

fn running_qemu(pid: u32) -> anyhow::Result<i32> {
    let mistakes = doctor::running_qemu(pid)?;
    for mistake in &mistakes {
        println!("{mistake}");
    }
    if mistakes.is_empty() {
        println!("QEMU {pid}: no mistake for vfio-user");
    }
    Ok(i32::from(!mistakes.is_empty()))
}
