//! `netdma-vm-init`: process 1 of the guest. It prepares the guest by the plan in its initramfs, serves the harness on a
//! virtio-serial port, and powers off.

mod prepare;

mod port;

mod serve;

mod process;

mod file;

mod kmsg;

mod syscall;

use std::fs;
use std::process::exit;

use netdma_vm::message::{Mode, PLAN_PATH, Plan};

use crate::process::Processes;

fn main() {
    if std::process::id() != 1 {
        eprintln!("netdma-vm-init is process 1 of a guest of netdma-vm; it does nothing elsewhere");
        exit(2);
    }
    if let Err(error) = run() {
        eprintln!("netdma-vm-init: {error}");
    }
    syscall::power_off();
}

/// Errors are lines of text: the harness shows them to a person, nobody matches on them.
fn run() -> Result<(), String> {
    prepare::mount_file_systems()?;
    let plan = fs::read(PLAN_PATH).map_err(|error| format!("{PLAN_PATH}: {error}"))?;
    let plan: Plan = serde_json::from_slice(&plan).map_err(|error| format!("{PLAN_PATH}: {error}"))?;
    let prepared = prepare::modules(&plan.modules).and_then(|()| prepare::devices(&plan));
    match plan.mode {
        Mode::Serve | Mode::Shell => serve::harness(plan, prepared),
        Mode::Console(ref argv) => {
            prepared?;
            let status = process::on_console(Processes::reaping(), &plan, argv)?;
            println!("netdma-vm-init: exit status {status}");
            Ok(())
        }
    }
}
