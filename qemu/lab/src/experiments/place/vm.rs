//! Our driver in a guest, on kernel VFIO behind a virtual IOMMU; the device program on the host.
//!
//! One boot serves experiment after experiment: the driver's program stays too, and only the function is reset between them. A new guest
//! comes after a crash or a hang, and after a QEMU that died.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::error::VmError;
use netdma_vm::initramfs::Addition;
use netdma_vm::kernel::KernelChoice;
use netdma_vm::machine::{Heard, Machine, Running};
use netdma_vm::message::LEVEL_WARNING;

use super::device_view::DeviceView;
use super::guest::kernel_log::{self, Harmless};
use super::ours::{self, Exerciser, Passed, Reply};
use super::setup::{Programs, Setup};
use super::{Golden, Infra, Limits, Place};
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;
use crate::guests::NETDMA;

/// The device's control socket lies beside its own, under this ending.
const CONTROL: &str = ".ctl";

/// A boot has this long, on a busy machine without KVM.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// The driver's program has this long to open the function, and the guest to answer anything else.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Lines of the kernel's log that are kept with an experiment.
const LINES: usize = 20;

/// The place.
#[derive(Debug)]
pub struct VmPlace {
    setup: Setup,
    programs: Programs,
    kernel: KernelChoice,
    harmless: Harmless,
    guest: Option<Guest>,
    boots: u64,
}

#[derive(Debug)]
struct Guest {
    driver: InGuest,
    device: DeviceView,
    /// Of the kernel's log.
    mark: u64,
}

/// `netdma exercise --serve` in the guest.
#[derive(Debug)]
struct InGuest {
    vm: Machine,
    running: Running,
}

impl VmPlace {
    /// A place; nothing is booted yet.
    #[must_use]
    pub fn new(setup: Setup, programs: Programs, kernel: KernelChoice) -> Self {
        Self { setup, programs, kernel, harmless: Harmless::default(), guest: None, boots: 0 }
    }

    /// How often a guest was booted.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.boots
    }

    /// Kernel, QEMU and processor of the guest; boots it if need be.
    ///
    /// # Errors
    /// When it does not boot.
    pub fn summary(&mut self) -> Result<String, Infra> {
        Ok(self.guest()?.driver.vm.summary())
    }

    fn guest(&mut self) -> Result<&mut Guest, Infra> {
        if self.guest.is_none() {
            self.boots += 1;
            self.guest = Some(self.boot().context("no guest for experiments")?);
        }
        self.guest.as_mut().ok_or_else(|| Infra(anyhow!("no guest")))
    }

    fn boot(&self) -> anyhow::Result<Guest> {
        let mut boot = Boot::new(Cache::from_environment()?);
        let program = self.programs.device.to_string_lossy().into_owned();
        let sockets = ["--socket-path={socket}".to_owned(), format!("--control={{socket}}{CONTROL}")];
        let words = std::iter::once(program).chain(sockets).chain(self.setup.device.iter().cloned());
        boot.devices.push(DeviceProgram::new(words));
        boot.kernel = self.kernel.clone();
        boot.additions.push(Addition { host: self.programs.netdma.clone(), guest: Some(NETDMA.into()) });
        boot.limit = Some(BOOT_LIMIT);
        // A kernel that dies leaves only its console behind.
        boot.append.push("loglevel=5".into());
        let mut vm = boot.start()?;
        vm.set_limit(Some(ANSWER_LIMIT));
        let mut control = vm.devices()[0].socket().as_os_str().to_owned();
        control.push(CONTROL);
        let device = DeviceView::connect(&PathBuf::from(control))?;
        let running = exerciser(&mut vm, &self.setup)?;
        let mark = vm.kernel_log(0, 0)?.next;
        Ok(Guest { driver: InGuest { vm, running }, device, mark })
    }

    /// After what went wrong the next experiment gets what it needs: the same guest if only the program is spent.
    fn renew(&mut self, spent: bool, facts: &Observation) {
        let gone = !(facts.crashes.is_empty() && facts.hangs.is_empty() && facts.infra.is_empty());
        if gone || spent {
            self.guest = None;
        }
    }
}

impl Place for VmPlace {
    fn golden(&mut self, seed: u64) -> Result<Golden, Infra> {
        let Guest { driver, device, mark } = self.guest()?;
        let golden = ours::golden(driver, device, seed).and_then(|golden| {
            let log = driver.vm.kernel_log(*mark, 7)?;
            *mark = log.next;
            Ok((golden, log.lines))
        });
        match golden {
            Ok((golden, lines)) => {
                self.harmless.learn(&lines);
                Ok(golden)
            }
            Err(error) => {
                self.guest = None;
                Err(Infra(error))
            }
        }
    }

    fn run(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        let harmless = self.harmless.clone();
        let guest = self.guest()?;
        let passed = ours::experiment(&mut guest.driver, &mut guest.device, experiment, limits);
        let passed =
            passed.and_then(|mut passed| guest.listen(&harmless, &mut passed.facts).map(|()| passed));
        match passed {
            Ok(Passed { mut facts, spent, lost }) => {
                facts.infra.extend(lost.map(|lost| format!("the device does not answer: {lost}")));
                self.renew(spent, &facts);
                Ok(facts)
            }
            Err(error) => {
                let panicked = panic_of(&error);
                let fired = panicked.as_ref().map(|_| guest.fired());
                self.guest = None;
                match panicked.zip(fired) {
                    Some((text, mut facts)) => {
                        facts.crashes.push(text);
                        Ok(facts)
                    }
                    None => Err(Infra(error)),
                }
            }
        }
    }
}

impl Guest {
    /// Adds what the kernel said. The driver is a program: what the kernel merely notices is context.
    fn listen(&mut self, harmless: &Harmless, facts: &mut Observation) -> anyhow::Result<()> {
        let log = self.driver.vm.kernel_log(self.mark, LEVEL_WARNING)?;
        self.mark = log.next;
        let mut judged = Observation::default();
        kernel_log::judge(&log.lines, harmless, &mut judged);
        facts.crashes.extend(judged.crashes);
        facts.hangs.extend(judged.hangs);
        let lines: Vec<_> = log.lines.into_iter().take(LINES).map(|line| line.text).collect();
        if !lines.is_empty() {
            facts.device.insert("kernel-log".to_owned(), lines.into());
        }
        Ok(())
    }

    /// What the device saw of a guest that is gone; it outlives a panic.
    fn fired(&mut self) -> Observation {
        let mut facts = Observation::default();
        if let Err(error) = self.device.end(&mut facts) {
            log::warn!("what fired is not known: {error}");
        }
        facts
    }
}

/// The guest's kernel died: with its words.
fn panic_of(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<VmError>()? {
        VmError::Panicked { console_tail } => {
            Some(kernel_log::panic_of(console_tail).unwrap_or_else(|| "the guest's kernel died".to_owned()))
        }
        _ => None,
    }
}

/// Starts the driver's program and waits until it has opened the function.
fn exerciser(vm: &mut Machine, setup: &Setup) -> anyhow::Result<Running> {
    let bdf = vm.bdf(0);
    let words = [NETDMA, "exercise", "--serve", "--on", &bdf].map(str::to_owned);
    let argv: Vec<String> = words.into_iter().chain(setup.exercise.iter().cloned()).collect();
    let running = vm.speak(&argv)?;
    match vm.hear(&running, ANSWER_LIMIT)? {
        Heard::Line(line) if line.contains("\"ready\"") => Ok(running),
        other => Err(anyhow!("`netdma exercise` is not ready in the guest: {other:?}")),
    }
}

impl Exerciser for InGuest {
    fn ask(&mut self, line: &str, limit: Duration) -> anyhow::Result<Reply> {
        self.vm.say(&self.running, line)?;
        Ok(match self.vm.hear(&self.running, limit)? {
            Heard::Line(line) => Reply::of_line(&line),
            Heard::Silence => Reply::Silence,
            Heard::Ended(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                Reply::Ended { status: output.status, stderr }
            }
        })
    }
}
