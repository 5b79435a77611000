//! `netdma-vm boot`.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use netdma_vm::accel::AccelChoice;
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::emulated::{self, Emulated};
use netdma_vm::error::VmError;
use netdma_vm::initramfs::Addition;
use netdma_vm::kernel::KernelChoice;
use netdma_vm::line::{bdf, copyable};
use netdma_vm::machine::{Machine, Output, Stream};
use netdma_vm::outcome::Outcome;
use netdma_vm::stop;

/// Boots a guest and runs COMMAND in it.
///
/// Exits with COMMAND's status; 124 after the time limit, 125 when the harness failed, 134 after a guest panic. In COMMAND's
/// words `{bdf}` stands for the first vfio-user device's PCI address and `{emulated}` for that of the first --emulated one; its
/// environment has NETDMA_VM_BDF, and all addresses in NETDMA_VM_BDFS and NETDMA_VM_EMULATED. A file that COMMAND names by a
/// path in this folder goes along, to the same path in the guest.
#[derive(Debug, Args)]
pub(crate) struct BootArguments {
    /// A vfio-user device program with its arguments; `{socket}` stands for its socket, else `--socket-path=PATH` is appended
    /// [default: vfio-user-ioat]
    #[arg(long = "device", value_name = "CMD")]
    devices: Vec<String>,
    /// Boot without a vfio-user device
    #[arg(long, conflicts_with = "devices")]
    no_device: bool,
    /// A PCI device that QEMU itself emulates (edu, pci-testdev, e1000e, nvme,serial=1 ...), behind the IOMMU and bound to
    /// vfio-pci like the others; the first is at 0000:00:08.0, the next at 09.0, at most 8
    #[arg(long = "emulated", value_name = "DEVICE[,PROP=V...]")]
    emulated: Vec<Emulated>,
    /// Leave the devices to the kernel's drivers instead of binding them to vfio-pci
    #[arg(long)]
    no_bind: bool,
    /// A bzImage, the beginning of a cached kernel's release (6.12), or `newest` [default: the oldest in the cache]
    #[arg(long, value_name = "F")]
    kernel: Option<String>,
    /// Load this module (a name, or a .ko file) and those it needs; `:param=value` behind it, as often as needed
    #[arg(long = "module", value_name = "KO")]
    modules: Vec<String>,
    /// Put a file or folder into the guest; a dynamic program brings its libraries [default: programs in
    /// /usr/bin, all else in /]. The guest's `sh` prefers its own applets: call a program that busybox has too by its path
    #[arg(long = "add", value_name = "HOST[:GUEST]")]
    additions: Vec<String>,
    /// More kernel command line
    #[arg(long, value_name = "S", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Processors of the guest
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    smp: u32,
    /// Memory of the guest, as QEMU writes it
    #[arg(long, value_name = "M", default_value = "1G", value_parser = memory_size)]
    mem: String,
    /// This QEMU (>= 10.1) and no other
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// One more argument for QEMU
    #[arg(long = "qemu-arg", value_name = "A", allow_hyphen_values = true)]
    qemu_args: Vec<String>,
    /// How the guest's processor runs
    #[arg(long, value_enum, default_value_t = AccelArgument::Auto)]
    accel: AccelArgument,
    /// Wait for gdb before the first instruction; no time limit
    #[arg(long)]
    gdb: bool,
    /// A shell on the guest's console, in this terminal; no time limit
    #[arg(long, conflicts_with = "words")]
    shell: bool,
    /// Show the command lines of device and QEMU, and run nothing
    #[arg(long)]
    print: bool,
    /// Limit for boot and COMMAND together
    #[arg(long, value_name = "SECS", default_value_t = 120)]
    timeout: u64,
    /// Keep the run's folder, with console and logs
    #[arg(long)]
    keep: bool,
    /// Say more, and let the kernel say everything on its console
    #[arg(short, long)]
    verbose: bool,
    /// What runs in the guest
    #[arg(last = true, value_name = "COMMAND")]
    words: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccelArgument {
    /// KVM where a trial boot works, else TCG
    Auto,
    Kvm,
    Tcg,
}

pub(crate) fn run(arguments: BootArguments) -> anyhow::Result<i32> {
    if arguments.words.is_empty() && !arguments.shell && !arguments.print {
        bail!("nothing to run: give `-- COMMAND`, --shell or --print");
    }
    let boot = settings(&arguments)?;
    let words = words(&arguments)?;
    if arguments.print {
        return print(&boot, &words);
    }
    let result = boot_and_run(&boot, &arguments, &words);
    let outcome = Outcome::from(&result);
    match &result {
        Ok(output) => report_warnings(output, arguments.verbose),
        Err(error) => eprintln!("netdma-vm: {error}"),
    }
    Ok(outcome.exit_code())
}

/// COMMAND, with addresses in the place of their names.
fn words(arguments: &BootArguments) -> anyhow::Result<Vec<String>> {
    let first = emulated::bdf(0);
    let has_none = arguments.emulated.is_empty();
    if has_none && arguments.words.iter().any(|word| word.contains("{emulated}")) {
        bail!("COMMAND says {{emulated}}, and there is no such device: add for example --emulated edu");
    }
    let words = arguments.words.iter();
    Ok(words.map(|word| word.replace("{bdf}", &bdf(0)).replace("{emulated}", &first)).collect())
}

fn settings(arguments: &BootArguments) -> anyhow::Result<Boot> {
    let mut boot = Boot::new(Cache::from_environment()?);
    boot.devices = devices(arguments)?;
    boot.emulated.clone_from(&arguments.emulated);
    boot.kernel = arguments.kernel.as_deref().map(KernelChoice::from).unwrap_or_default();
    boot.modules = arguments.modules.iter().map(|module| module.as_str().into()).collect();
    boot.additions = arguments.additions.iter().map(|addition| addition.as_str().into()).collect();
    for addition in named(&arguments.words, &boot.additions) {
        eprintln!("netdma-vm: {} goes along, for COMMAND names it", addition.host.display());
        boot.additions.push(addition);
    }
    boot.append.clone_from(&arguments.append);
    boot.processors = arguments.smp;
    boot.memory.clone_from(&arguments.mem);
    boot.qemu.clone_from(&arguments.qemu);
    boot.qemu_args.clone_from(&arguments.qemu_args);
    boot.accel = match arguments.accel {
        AccelArgument::Auto => AccelChoice::Auto,
        AccelArgument::Kvm => AccelChoice::Kvm,
        AccelArgument::Tcg => AccelChoice::Tcg,
    };
    boot.bind = !arguments.no_bind;
    boot.gdb = arguments.gdb;
    boot.shell = arguments.shell;
    let has_limit = !arguments.gdb && !arguments.shell;
    boot.limit = has_limit.then(|| Duration::from_secs(arguments.timeout));
    boot.keep = arguments.keep;
    boot.verbose = arguments.verbose;
    boot.stop = Some(stop::on_signals().context("taking over Ctrl-C")?);
    Ok(boot)
}

/// The files of this host that COMMAND names by paths in this folder. In the guest it runs in `/root`, so there they have
/// the same paths.
fn named(words: &[String], additions: &[Addition]) -> Vec<Addition> {
    let plain =
        |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let words = words.iter().map(Path::new);
    let files = words.filter(|path| plain(path) && path.is_file());
    let files = files.filter(|path| additions.iter().all(|it| it.host != *path));
    let inside = |path: &Path| {
        path.components().filter(|part| matches!(part, Component::Normal(_))).collect::<PathBuf>()
    };
    let guest = |path: &Path| Path::new("/root").join(inside(path)).to_str().map(str::to_owned);
    files.filter_map(|path| Some(Addition { host: path.to_owned(), guest: Some(guest(path)?) })).collect()
}

fn devices(arguments: &BootArguments) -> Result<Vec<DeviceProgram>, VmError> {
    if arguments.no_device {
        return Ok(Vec::new());
    }
    if arguments.devices.is_empty() {
        return Ok(vec![DeviceProgram::default_program()?]);
    }
    arguments.devices.iter().map(|line| DeviceProgram::from_line(line)).collect()
}

fn boot_and_run(boot: &Boot, arguments: &BootArguments, words: &[String]) -> Result<Output, VmError> {
    let in_all = |error| match error {
        VmError::TimedOut { doing, .. } => VmError::TimedOut { limit_s: arguments.timeout, doing },
        other => other,
    };
    let mut vm = boot.launch().map_err(in_all)?;
    eprintln!("netdma-vm: {}", vm.summary());
    announce(&vm, arguments);
    let hello = vm.wait_until_ready().map_err(in_all)?;
    let uptime_ms = hello.uptime_ms;
    if arguments.verbose {
        let seconds = vm.begun().elapsed().as_secs_f64();
        eprintln!("netdma-vm: guest ready after {seconds:.1} s ({uptime_ms} ms of its own)");
    }
    if arguments.shell {
        let status = vm.wait_for_shell()?;
        return Ok(Output { status, ..Output::default() });
    }
    vm.set_limit(boot.limit.map(|limit| limit.saturating_sub(vm.begun().elapsed())));
    let output = vm.run_streaming(words, &mut forward).map_err(in_all)?;
    // The command's outcome is what counts; a guest that does not power off in order is killed.
    if let Err(error) = vm.power_off() {
        log::warn!("powering off: {error}");
    }
    Ok(output)
}

fn announce(vm: &Machine, arguments: &BootArguments) {
    if arguments.keep {
        eprintln!("netdma-vm: the run's folder is {}", vm.folder().path().display());
    }
    if arguments.gdb {
        let socket = vm.folder().gdb_socket();
        eprintln!("netdma-vm: the guest waits; attach with: gdb -ex 'target remote {}'", socket.display());
    }
    if arguments.verbose {
        for device in vm.devices() {
            eprintln!("netdma-vm: device {}: {}", device.pid(), device.line());
        }
        eprintln!("netdma-vm: {}", vm.qemu_line());
    }
}

/// Our own outputs may be closed (`| head`); the command in the guest runs on.
fn forward(stream: Stream, bytes: &[u8]) {
    let _ = match stream {
        Stream::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        Stream::Stderr => io::stderr().write_all(bytes),
    };
}

fn report_warnings(output: &Output, verbose: bool) {
    if verbose {
        for line in &output.kernel_warnings {
            eprintln!("netdma-vm: kernel <{}>: {}", line.level, line.text);
        }
    } else if !output.kernel_warnings.is_empty() {
        let count = output.kernel_warnings.len();
        eprintln!("netdma-vm: {count} kernel line(s) at warning or above meanwhile (-v shows them)");
    }
}

fn print(boot: &Boot, words: &[String]) -> anyhow::Result<i32> {
    let printed = boot.print(words)?;
    eprintln!("# {}", printed.accel);
    eprintln!(
        "# The initramfs was built and stays in the cache. Run the device programs first, each in a shell of its own."
    );
    for device in &printed.devices {
        println!("{}", copyable(device));
    }
    println!("{}", copyable(&printed.qemu));
    Ok(0)
}

/// `512M`, `1G`, or bytes.
pub(crate) fn memory_size(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(['K', 'k', 'M', 'm', 'G', 'g', 'T', 't']);
    let is_size = text.len() - digits.len() <= 1 && digits.parse::<u64>().is_ok_and(|size| size > 0);
    if is_size { Ok(text.into()) } else { Err("not a memory size; give for example 512M or 1G".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_are_qemus() {
        for size in ["1G", "512M", "1073741824"] {
            assert_eq!(memory_size(size).unwrap(), size);
        }
        for size in ["", "G", "1GG", "-1G", "0", "much"] {
            assert!(memory_size(size).is_err(), "{size}");
        }
    }

    #[test]
    fn files_of_this_folder_that_the_command_names_go_along_unless_they_are_added() {
        // The tests run in the package's folder.
        let words =
            ["cat", "src/cli/boot.rs", "./Cargo.toml", "src", "/etc/hostname", "../vm/Cargo.toml", "nowhere"];
        let words = words.map(str::to_owned);
        let places = |additions: &[Addition]| -> Vec<_> {
            named(&words, additions).into_iter().filter_map(|it| it.guest).collect()
        };
        assert_eq!(places(&[]), ["/root/src/cli/boot.rs", "/root/Cargo.toml"]);
        assert_eq!(places(&["src/cli/boot.rs:/b".into()]), ["/root/Cargo.toml"]);
    }
}
