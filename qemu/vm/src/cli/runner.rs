//! `netdma-vm runner`.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::error::VmError;
use netdma_vm::kernel::KernelChoice;
use netdma_vm::machine::{Output, Stream};
use netdma_vm::outcome::Outcome;
use netdma_vm::runner::HostProgram;
use netdma_vm::stop;

use super::boot::memory_size;

/// Runs a program of this host in a guest, for cargo's target runner: `cargo test` of a driver's crate runs in the guest.
///
/// The program, its libraries and its arguments come along; it runs in a folder of the same path as here, with the variables
/// CARGO*, RUST*, NEXTEST* and NETDMA_*, and NETDMA_BDF, the address of the first device, bound to vfio-pci (NETDMA_BDFS: of
/// all). Its output and exit code are this command's; 124, 125 and 134 are as in `boot`. One run is one boot. With --list among
/// the program's arguments it runs here: naming its tests needs no device.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunnerArguments {
    /// A bzImage, the beginning of a cached kernel's release (6.12), or `newest` [default: the oldest in the cache]
    #[arg(long, value_name = "F", env = "NETDMA_VM_KERNEL", hide_env_values = true)]
    kernel: Option<String>,
    /// Memory of the guest, as QEMU writes it; it holds the program too
    #[arg(long, value_name = "M", env = "NETDMA_VM_MEM", hide_env_values = true, default_value = "1G", value_parser = memory_size)]
    mem: String,
    /// Processors of the guest
    #[arg(long, value_name = "N", env = "NETDMA_VM_SMP", hide_env_values = true, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    smp: u32,
    /// Device programs with their arguments, separated by `;` [default: vfio-user-ioat]
    #[arg(
        long = "device",
        value_name = "CMD",
        env = "NETDMA_VM_DEVICE",
        hide_env_values = true,
        value_delimiter = ';'
    )]
    devices: Vec<String>,
    /// Leave the devices to the kernel's drivers instead of binding them to vfio-pci
    #[arg(long, env = "NETDMA_VM_NO_BIND", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    no_bind: bool,
    /// Modules to load, separated by `;`, as `boot --module` takes them
    #[arg(
        long = "module",
        value_name = "KO",
        env = "NETDMA_VM_MODULE",
        hide_env_values = true,
        value_delimiter = ';'
    )]
    modules: Vec<String>,
    /// Files and folders that go into the guest, separated by `;`, as `boot --add` takes them
    #[arg(
        long = "add",
        value_name = "HOST[:GUEST]",
        env = "NETDMA_VM_ADD",
        hide_env_values = true,
        value_delimiter = ';'
    )]
    additions: Vec<String>,
    /// Names of more variables that go into the guest, separated by `;`
    #[arg(
        long = "pass",
        value_name = "NAME",
        env = "NETDMA_VM_PASS",
        hide_env_values = true,
        value_delimiter = ';'
    )]
    passed: Vec<String>,
    /// More kernel command line
    #[arg(
        long,
        value_name = "S",
        env = "NETDMA_VM_APPEND",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    append: Option<String>,
    /// This QEMU (>= 10.1) and no other
    #[arg(long, value_name = "PATH", env = "NETDMA_VM_QEMU", hide_env_values = true)]
    qemu: Option<PathBuf>,
    /// Limit for boot and program together
    #[arg(
        long,
        value_name = "SECS",
        env = "NETDMA_VM_TIMEOUT",
        hide_env_values = true,
        default_value_t = 300
    )]
    timeout: u64,
    /// Keep the run's folder, with console and logs, and say where it is
    #[arg(long, env = "NETDMA_VM_KEEP", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    keep: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    words: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='netdma-vm runner' cargo test
  NETDMA_VM_KERNEL=newest NETDMA_VM_DEVICE='vfio-user-ioat --channels 2' cargo test
  netdma-vm runner target/debug/deps/driver-0123456789abcdef --test-threads 1

In the crate's configuration of cargo, .cargo/config.toml:
  [target.x86_64-unknown-linux-gnu]
  runner = [\"netdma-vm\", \"runner\"]";

pub(crate) fn run(arguments: &RunnerArguments) -> anyhow::Result<i32> {
    let Some((path, words)) = arguments.words.split_first() else { bail!("no program is named") };
    let program = HostProgram::new(path.as_ref(), words.iter().cloned())?;
    if program.only_lists() {
        let (path, words) = program.words();
        let error = Command::new(path).args(words).exec();
        return Err(error).with_context(|| path.display().to_string());
    }
    let boot = settings(arguments, &program)?;
    let result = boot_and_run(&boot, &program);
    if let Err(error) = &result {
        eprintln!("netdma-vm: {error}{}", advice(error, &program));
    }
    Ok(Outcome::from(&result).exit_code())
}

fn settings(arguments: &RunnerArguments, program: &HostProgram) -> anyhow::Result<Boot> {
    let mut boot = Boot::new(Cache::from_environment()?);
    for line in arguments.devices.iter().filter(|line| !line.trim().is_empty()) {
        boot.devices.push(DeviceProgram::from_line(line)?);
    }
    if boot.devices.is_empty() {
        boot.devices.push(DeviceProgram::default_program()?);
    }
    boot.kernel = arguments.kernel.as_deref().map(KernelChoice::from).unwrap_or_default();
    boot.modules = given(&arguments.modules).map(Into::into).collect();
    boot.additions = given(&arguments.additions).map(Into::into).collect();
    boot.append = arguments.append.iter().cloned().collect();
    boot.processors = arguments.smp;
    boot.memory.clone_from(&arguments.mem);
    boot.qemu.clone_from(&arguments.qemu);
    boot.bind = !arguments.no_bind;
    boot.limit = Some(Duration::from_secs(arguments.timeout));
    boot.keep = arguments.keep;
    boot.stop = Some(stop::on_signals().context("taking over Ctrl-C")?);
    program.prepare(&mut boot, &arguments.passed);
    Ok(boot)
}

/// An empty variable is an empty list, not a list of one empty name.
fn given(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(|word| word.trim()).filter(|word| !word.is_empty())
}

fn boot_and_run(boot: &Boot, program: &HostProgram) -> Result<Output, VmError> {
    let mut vm = boot.start()?;
    if boot.keep {
        eprintln!("netdma-vm: the run's folder is {}", vm.folder().path().display());
    }
    vm.set_limit(boot.limit.map(|limit| limit.saturating_sub(vm.begun().elapsed())));
    let output = vm.run_streaming(&program.guest_words(), &mut forward)?;
    // The program's outcome is what counts; a guest that does not power off in order is killed.
    if let Err(error) = vm.power_off() {
        log::warn!("powering off: {error}");
    }
    Ok(output)
}

/// Our own outputs may be closed (`| head`); the program in the guest runs on.
fn forward(stream: Stream, bytes: &[u8]) {
    let _ = match stream {
        Stream::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        Stream::Stderr => io::stderr().write_all(bytes),
    };
}

/// What a program that does not fit into the guest can do about it.
fn advice(error: &VmError, program: &HostProgram) -> &'static str {
    let dynamic = program.is_dynamic().unwrap_or(false);
    match error {
        VmError::Initramfs(_) if dynamic => {
            "\nnetdma-vm: link it statically: RUSTFLAGS='-C target-feature=+crt-static' and --target x86_64-unknown-linux-gnu"
        }
        VmError::Panicked { .. } if env::var_os("NETDMA_VM_MEM").is_none() => {
            "\nnetdma-vm: if the program is large, give the guest more memory: NETDMA_VM_MEM=2G"
        }
        _ => "",
    }
}
