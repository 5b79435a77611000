//! The guests of the lab: which devices they get, and how their programs are asked.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::initramfs::Addition;
use netdma_vm::kernel::{self, KernelChoice};
use netdma_vm::machine::{Machine, Output, Stream};
use netdma_vm::modules::{ModuleRequest, resolve};

/// Where the driver's program is in the guest.
pub const NETDMA: &str = "/bin/netdma";

/// A guest with one device program per entry of `devices` (the program's options) and our driver's program.
///
/// # Errors
/// When there is no place for the cache.
pub fn plan(kernel: &KernelChoice, device: &Path, netdma: &Path, devices: &[Vec<String>]) -> Result<Boot> {
    let mut boot = Boot::new(Cache::from_environment()?);
    boot.kernel = kernel.clone();
    let device = device.to_string_lossy().into_owned();
    for options in devices {
        boot.devices.push(DeviceProgram::new(std::iter::once(device.clone()).chain(options.iter().cloned())));
    }
    boot.additions.push(Addition { host: netdma.to_owned(), guest: Some(NETDMA.into()) });
    boot.limit = Some(Duration::from_secs(180));
    Ok(boot)
}

/// A running guest.
pub struct Guest {
    /// Its machine.
    pub vm: Machine,
    kernel: KernelChoice,
}

impl Guest {
    /// Takes a machine whose kernel was chosen so.
    #[must_use]
    pub fn new(vm: Machine, kernel: KernelChoice) -> Self {
        Self { vm, kernel }
    }

    /// Runs a command, whatever its status.
    ///
    /// # Errors
    /// When the guest cannot: it panicked, or the time limit came.
    pub fn try_run(&mut self, argv: &[&str]) -> Result<Output> {
        self.vm.run(argv).with_context(|| format!("`{}`", argv.join(" ")))
    }

    /// Runs a command that must succeed; its standard output.
    ///
    /// # Errors
    /// As [`Guest::try_run`], and when the status is not 0.
    pub fn run(&mut self, argv: &[&str]) -> Result<String> {
        let output = self.try_run(argv)?;
        if output.status != 0 {
            bail!("`{}` ended with {}:\n{}", argv.join(" "), output.status, both(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a shell line that must succeed; its standard output.
    ///
    /// # Errors
    /// As [`Guest::run`].
    pub fn shell(&mut self, line: &str) -> Result<String> {
        self.run(&["sh", "-c", line])
    }

    /// Runs our driver's program and reads the JSON of its last line; `progress` gets what it says meanwhile.
    ///
    /// # Errors
    /// As [`Guest::try_run`], and when the last line is no JSON.
    pub fn netdma<T: serde::de::DeserializeOwned>(
        &mut self,
        words: &[&str],
        mut progress: impl FnMut(&str),
    ) -> Result<(i32, T)> {
        let argv: Vec<&str> = std::iter::once(NETDMA).chain(words.iter().copied()).collect();
        let mut printed = Vec::new();
        let output = self.vm.run_streaming(&argv, &mut |stream, bytes| match stream {
            Stream::Stdout => printed.extend_from_slice(bytes),
            Stream::Stderr => progress(&String::from_utf8_lossy(bytes)),
        })?;
        let text = String::from_utf8_lossy(&printed);
        let line = text.lines().last().unwrap_or_default();
        let json = serde_json::from_str(line).with_context(|| {
            format!("no report from `{}` (status {}): it printed '{text}'", argv.join(" "), output.status)
        })?;
        Ok((output.status, json))
    }

    /// Loads a module of the guest's kernel, after those that it needs.
    ///
    /// # Errors
    /// When there is no such module, or the guest refuses it.
    pub fn load_module(&mut self, name: &str) -> Result<()> {
        let kernel = kernel::find(&self.kernel, &Cache::from_environment()?)?;
        let loaded = self.shell("cut -d' ' -f1 /proc/modules")?;
        for module in resolve(&kernel, &[ModuleRequest { module: name.into(), params: String::new() }])? {
            if loaded.lines().any(|line| line == module.name.replace('-', "_")) {
                continue;
            }
            let path = format!("/tmp/{}.ko", module.name);
            self.vm.put(&path, 0o600, &module.bytes)?;
            self.run(&["insmod", &path])?;
        }
        Ok(())
    }
}

/// Both outputs of a command, for messages.
#[must_use]
pub fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
