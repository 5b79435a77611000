//! A campaign's guest: which kernel, which device, which driver, which work.
//!
//! `vm:ioatdma` is the guest kernel's own ioatdma; its `workload` is `self-test` (the default: what it does when it is bound) or
//! `dmatest`, with parameters of that module behind it (`dmatest polled=1`). `vm:COMMAND` is any program, with the device bound to
//! vfio-pci; if COMMAND's first word ends in `.ko`, it is a module instead (a file, or else one of the guest kernel's own), with its
//! parameters behind it, and `workload` is a command that is run once it is bound.

use anyhow::{Context, anyhow};
use netdma_vm::cache::Cache;
use netdma_vm::device;
use netdma_vm::initramfs::Addition;
use netdma_vm::kernel::{Kernel, KernelChoice};

use super::dmatest::DmaTest;
use super::module::Module;
use super::room::{Furnishing, kernel_of};
use super::subject::{Subject, Work, brought_along};
use super::{GuestPlace, Infra};
use crate::experiments::campaign::{Campaign, PlaceName};
use crate::guests::NETDMA;
use crate::kmod;
use crate::programs;

impl GuestPlace {
    /// The guest of a campaign whose place is `vm:ioatdma` or `vm:COMMAND`.
    ///
    /// # Errors
    /// When the kernel, the module or a file is missing, or the workload is none.
    pub fn open(campaign: &Campaign) -> Result<Self, Infra> {
        let kernel = campaign.kernel.as_deref().map(KernelChoice::from).unwrap_or_default();
        let found = kernel_of(&kernel)?;
        let (subject, additions) = subject(campaign, &kernel, &found)?;
        let options = &campaign.scenario.device;
        let mut device =
            vec![format!("--profile={}", options.profile), format!("--channels={}", options.channels.get())];
        device.extend(options.vectors.as_ref().map(|vectors| format!("--vectors={}", vectors.get())));
        // Only a verb that asks for it hears of Ctrl-C; then no wait in the guest outlives it.
        let stop = Some(netdma_vm::stop::of_process());
        let furnishing = Furnishing { kernel, device, bind: true, additions, modules: Vec::new(), stop };
        Ok(Self::new(furnishing, subject))
    }
}

fn subject(
    campaign: &Campaign,
    choice: &KernelChoice,
    kernel: &Kernel,
) -> Result<(Subject, Vec<Addition>), Infra> {
    let workload = campaign.workload.as_deref().unwrap_or_default();
    let words = match &campaign.place {
        PlaceName::VmCommand(line) => split(line)?,
        _ => vec!["ioatdma.ko".to_owned()],
    };
    let Some((first, parameters)) = words.split_first() else {
        return Err(Infra(anyhow!("no command to run")));
    };
    if !is_module(first) {
        return Ok((Subject { module: None, work: Work::Command(words.clone()) }, files(&words)?));
    }
    // A name of the kernel's own modules is one without a file of that name.
    let module = if std::path::Path::new(first).is_file() { first.as_str() } else { stem(first) };
    let request =
        std::iter::once(module).chain(parameters.iter().map(String::as_str)).collect::<Vec<_>>().join(":");
    let module = Module::find(&request, kernel).map_err(|error| Infra(error.into()))?;
    let (work, additions) = work(workload, choice)?;
    Ok((Subject { module: Some(module), work }, additions))
}

/// What a module is given to do.
fn work(workload: &str, kernel: &KernelChoice) -> Result<(Work, Vec<Addition>), Infra> {
    let words = if workload.is_empty() { Vec::new() } else { split(workload)? };
    match words.first().map(String::as_str) {
        None | Some("self-test") => Ok((Work::Bind, Vec::new())),
        Some("dmatest") => Ok((Work::DmaTest(dmatest(kernel, &words[1..].join(" "))?), Vec::new())),
        Some(_) => {
            let additions = files(&words)?;
            Ok((Work::Command(words), additions))
        }
    }
}

/// The kernel's own test, which Debian does not ship: built from its source.
fn dmatest(kernel: &KernelChoice, parameters: &str) -> Result<DmaTest, Infra> {
    let path = kmod::build(kernel, &kmod::Module::Dmatest).map_err(|error| Infra(error.into()))?;
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string()).map_err(Infra)?;
    Ok(DmaTest::new(bytes, parameters))
}

/// What goes along with a command: our driver's program, and what the command names.
fn files(words: &[String]) -> Result<Vec<Addition>, Infra> {
    let mut additions = brought_along(words);
    if words.iter().any(|word| word == "netdma" || word == NETDMA) {
        additions.push(Addition { host: programs::guest("netdma")?, guest: Some(NETDMA.into()) });
    } else {
        additions.extend(from_path(words));
    }
    Ok(additions)
}

/// A program that is named without a path and is no applet of the guest's busybox comes from PATH.
fn from_path(words: &[String]) -> Option<Addition> {
    let name = words.first().filter(|name| !name.contains('/'))?;
    let applets = Cache::from_environment().ok()?.busybox().join("applets");
    let applets = std::fs::read_to_string(applets).unwrap_or_default();
    if applets.lines().any(|applet| applet.rsplit('/').next() == Some(name)) {
        return None;
    }
    let path = std::env::var_os("PATH")?;
    let host = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())?;
    Some(Addition { host, guest: Some(format!("/usr/bin/{name}")) })
}

fn split(line: &str) -> Result<Vec<String>, Infra> {
    device::split(line)
        .map_err(|why| anyhow!(why))
        .with_context(|| format!("the command line '{line}'"))
        .map_err(Infra)
}

/// A first word that is a module and not a program.
#[must_use]
pub fn is_module(word: &str) -> bool {
    [".ko", ".ko.xz", ".ko.zst"].iter().any(|suffix| word.ends_with(suffix))
}

fn stem(name: &str) -> &str {
    name.split_once(".ko").map_or(name, |(stem, _)| stem)
}
