//! A guest that boots when its first check asks for it, and serves the rest.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow, bail};
use libtest_mimic::{Failed, Trial};
use netdma_lab::guests::{self, Guest};
use netdma_tests::{guest_program, program};
use netdma_vm::boot::Boot;
use netdma_vm::kernel::KernelChoice;
use netdma_vm::machine::Machine;

use crate::scripts;

/// A guest shared by its checks.
#[derive(Clone)]
pub(crate) struct Shared {
    name: &'static str,
    kernel: KernelChoice,
    devices: Vec<Vec<String>>,
    emulated: &'static [&'static str],
    state: Arc<Mutex<State>>,
}

enum State {
    NotBooted,
    Running(Box<Guest>),
    Failed(String),
    Off,
}

impl Shared {
    /// A guest with one `vfio-user-ioat` per entry of `devices`, started with these options.
    pub(crate) fn new(name: &'static str, kernel: KernelChoice, devices: &[&[&str]]) -> Self {
        let devices = devices.iter().map(|words| words.iter().map(|w| (*w).to_owned()).collect()).collect();
        Self { name, kernel, devices, emulated: &[], state: Arc::new(Mutex::new(State::NotBooted)) }
    }

    /// With these devices of QEMU's own beside them.
    pub(crate) fn emulating(self, emulated: &'static [&'static str]) -> Self {
        Self { emulated, ..self }
    }

    /// One check of this guest.
    pub(crate) fn check(&self, name: &str, body: fn(&mut Guest) -> Result<()>) -> Trial {
        let shared = self.clone();
        Trial::test(format!("guest_{}::{name}", self.name), move || {
            shared.with(body).map_err(|error| Failed::from(format!("{error:#}")))
        })
    }

    /// The last check: the guest powers off and leaves nothing behind.
    pub(crate) fn power_off(&self) -> Trial {
        self.end("powers_off_and_leaves_nothing_behind", |vm| Ok(vm.power_off()?))
    }

    /// The last check of a guest that cannot power off: it is ended by force, and leaves nothing behind either.
    pub(crate) fn end_by_force(&self) -> Trial {
        self.end("is_ended_by_force_and_leaves_nothing_behind", |vm| {
            drop(vm);
            Ok(())
        })
    }

    fn end(&self, name: &str, end: fn(Machine) -> Result<()>) -> Trial {
        let shared = self.clone();
        Trial::test(format!("guest_{}::{name}", self.name), move || {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *state, State::Off) {
                State::Running(guest) => {
                    leave(guest.vm, end).map_err(|error| Failed::from(format!("{error:#}")))
                }
                State::Failed(reason) => Err(Failed::from(reason)),
                State::NotBooted | State::Off => Ok(()),
            }
        })
    }

    fn boot(&self) -> Result<Guest> {
        let mut plan = plan(&self.kernel, &self.devices)?;
        for device in self.emulated {
            plan.emulated.push(device.parse()?);
        }
        let vm = plan.start()?;
        eprintln!("    booted in {:.1} s: {}", vm.begun().elapsed().as_secs_f32(), vm.summary());
        Ok(Guest::new(vm, self.kernel.clone()))
    }

    fn with(&self, body: fn(&mut Guest) -> Result<()>) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::NotBooted) {
            *state = match self.boot() {
                Ok(guest) => State::Running(Box::new(guest)),
                Err(error) => State::Failed(format!("the guest did not boot: {error:#}")),
            };
        }
        match &mut *state {
            State::Running(guest) => body(guest).map_err(|error| explain(guest, &error)),
            State::Failed(reason) => bail!("{reason}"),
            State::NotBooted | State::Off => bail!("the guest is off"),
        }
    }
}

fn leave(vm: Machine, end: fn(Machine) -> Result<()>) -> Result<()> {
    let folder = vm.folder().path().to_owned();
    let pids: Vec<u32> = vm.devices().iter().map(|device| device.pid()).collect();
    end(vm)?;
    if folder.exists() {
        bail!("{} is left behind", folder.display());
    }
    for pid in pids {
        let alive = std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.starts_with("vfio-user"));
        if alive {
            bail!("device program {pid} is left behind");
        }
    }
    Ok(())
}

/// A guest as every check wants it, not started yet.
fn plan(kernel: &KernelChoice, devices: &[Vec<String>]) -> Result<Boot> {
    let mut plan = guests::plan(kernel, &program("vfio-user-ioat"), &guest_program("netdma"), devices)?;
    // For the check that raises a vector of a channel that the kernel's driver left free.
    plan.append.push("iomem=relaxed".into());
    plan.additions.push(scripts::addition());
    Ok(plan)
}

fn explain(guest: &Guest, error: &anyhow::Error) -> anyhow::Error {
    let logs: Vec<String> = guest
        .vm
        .devices()
        .iter()
        .map(|device| std::fs::read_to_string(device.log()).unwrap_or_default())
        .map(|log| log.lines().rev().take(8).collect::<Vec<_>>().join("\n"))
        .collect();
    anyhow!(
        "{error:#}\ndevice logs, newest line first:\n{}\nconsole:\n{}",
        logs.join("\n--\n"),
        guest.vm.console_tail()
    )
}
