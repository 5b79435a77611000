//! A guest that boots when its first check asks for it, and serves the rest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use libtest_mimic::{Failed, Trial};
use netdma_tests::{guest_program, program};
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::initramfs::Addition;
use netdma_vm::kernel::{self, KernelChoice};
use netdma_vm::machine::{Machine, Output};
use netdma_vm::message::KernelLine;
use netdma_vm::modules::{ModuleRequest, resolve};

/// Where the driver's program is in the guest.
pub(crate) const NETDMA: &str = "/bin/netdma";

/// A running guest, and what a check needs to know of it.
pub(crate) struct Guest {
    pub(crate) vm: Machine,
    kernel: KernelChoice,
}

/// A guest shared by its checks.
#[derive(Clone)]
pub(crate) struct Shared {
    name: &'static str,
    kernel: KernelChoice,
    devices: Vec<Vec<String>>,
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
        Self { name, kernel, devices, state: Arc::new(Mutex::new(State::NotBooted)) }
    }

    /// One check of this guest.
    pub(crate) fn check(&self, name: &str, body: fn(&mut Guest) -> Result<()>) -> Trial {
        let shared = self.clone();
        Trial::test(format!("guest_{}::{name}", self.name), move || {
            shared.with(body).map_err(|error| Failed::from(format!("{error:#}")))
        })
    }

    /// The last check: the guest ends in order and leaves nothing behind.
    pub(crate) fn power_off(&self) -> Trial {
        let shared = self.clone();
        Trial::test(format!("guest_{}::powers_off_and_leaves_nothing_behind", self.name), move || {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *state, State::Off) {
                State::Running(guest) => {
                    power_off(guest.vm).map_err(|error| Failed::from(format!("{error:#}")))
                }
                State::Failed(reason) => Err(Failed::from(reason)),
                State::NotBooted | State::Off => Ok(()),
            }
        })
    }

    fn with(&self, body: fn(&mut Guest) -> Result<()>) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::NotBooted) {
            *state = match boot(&self.kernel, &self.devices) {
                Ok(guest) => State::Running(Box::new(guest)),
                Err(error) => State::Failed(format!("the guest did not boot: {error:#}")),
            };
        }
        match &mut *state {
            State::Running(guest) => body(guest).map_err(|error| guest.explain(error)),
            State::Failed(reason) => bail!("{reason}"),
            State::NotBooted | State::Off => bail!("the guest is off"),
        }
    }
}

fn power_off(vm: Machine) -> Result<()> {
    let folder = vm.folder().path().to_owned();
    let pids: Vec<u32> = vm.devices().iter().map(|device| device.pid()).collect();
    vm.power_off()?;
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
pub(crate) fn plan(kernel: &KernelChoice, devices: &[Vec<String>]) -> Result<Boot> {
    let mut plan = Boot::new(Cache::from_environment()?);
    plan.kernel = kernel.clone();
    let device = program("vfio-user-ioat").to_string_lossy().into_owned();
    for options in devices {
        plan.devices.push(DeviceProgram::new(std::iter::once(device.clone()).chain(options.iter().cloned())));
    }
    let netdma = guest_program("netdma");
    plan.additions.push(Addition { host: netdma, guest: Some(NETDMA.into()) });
    // For the check that raises a vector of a channel that the kernel's driver left free.
    plan.append.push("iomem=relaxed".into());
    plan.limit = Some(Duration::from_secs(180));
    Ok(plan)
}

fn boot(kernel: &KernelChoice, devices: &[Vec<String>]) -> Result<Guest> {
    let vm = plan(kernel, devices)?.start()?;
    eprintln!("    booted in {:.1} s: {}", vm.begun().elapsed().as_secs_f32(), vm.summary());
    Ok(Guest { vm, kernel: kernel.clone() })
}

impl Guest {
    /// Runs a command that must succeed; its standard output.
    pub(crate) fn run(&mut self, argv: &[&str]) -> Result<String> {
        let output = self.try_run(argv)?;
        if output.status != 0 {
            bail!("`{}` ended with {}:\n{}", argv.join(" "), output.status, both(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a shell line that must succeed; its standard output.
    pub(crate) fn shell(&mut self, line: &str) -> Result<String> {
        self.run(&["sh", "-c", line])
    }

    /// Runs a command, whatever its status.
    pub(crate) fn try_run(&mut self, argv: &[&str]) -> Result<Output> {
        self.vm.run(argv).with_context(|| format!("`{}`", argv.join(" ")))
    }

    /// The JSON that `netdma` prints on its last line.
    pub(crate) fn netdma_json(&mut self, words: &[&str]) -> Result<(i32, serde_json::Value)> {
        let argv: Vec<&str> = std::iter::once(NETDMA).chain(words.iter().copied()).collect();
        let output = self.try_run(&argv)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().last().unwrap_or_default();
        let json = serde_json::from_str(line).with_context(|| {
            format!("no JSON from `{}` (status {}):\n{}", argv.join(" "), output.status, both(&output))
        })?;
        Ok((output.status, json))
    }

    /// Loads a module of the guest's kernel, with what it needs, and returns what the kernel said at warning or above.
    pub(crate) fn load_module(&mut self, name: &str) -> Result<Vec<KernelLine>> {
        let kernel = kernel::find(&self.kernel, &Cache::from_environment()?)?;
        let request = ModuleRequest { module: name.into(), params: String::new() };
        let mark = self.vm.kernel_log(0, 7)?.next;
        for module in resolve(&kernel, &[request])? {
            if self
                .shell(&format!(
                    "grep -q '^{} ' /proc/modules && echo yes || echo no",
                    module.name.replace('-', "_")
                ))?
                .trim()
                == "yes"
            {
                continue;
            }
            let path = format!("/tmp/{}.ko", module.name);
            self.vm.put(&path, 0o600, &module.bytes)?;
            self.run(&["insmod", &path])?;
        }
        Ok(self.vm.kernel_log(mark, 4)?.lines)
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let logs: Vec<String> = self
            .vm
            .devices()
            .iter()
            .map(|device| std::fs::read_to_string(device.log()).unwrap_or_default())
            .map(|log| log.lines().rev().take(8).collect::<Vec<_>>().join("\n"))
            .collect();
        anyhow!(
            "{error:#}\ndevice logs, newest line first:\n{}\nconsole:\n{}",
            logs.join("\n--\n"),
            self.vm.console_tail()
        )
    }
}

pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
