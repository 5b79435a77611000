//! A device that serves a QEMU (or any client) that the user started: we have its control socket, and a command that has the driver
//! do something, run here for each experiment, for example by ssh.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use netdma_vm::child::Child;
use netdma_vm::error::VmError;
use netdma_vm::folder::Folder;
use netdma_vm::stop;

use super::device_view::{DeviceView, without_directions};
use super::verdict::{self, End};
use super::{Golden, Infra, Limits, Place};
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;

/// The run without a fault may take this long.
const GOLDEN_PATIENCE: Duration = Duration::from_secs(600);

/// How often a wait looks for a request to stop.
const STOP_LOOK: Duration = Duration::from_millis(100);

/// A command that is to end has this long.
const END_GRACE: Duration = Duration::from_millis(500);

/// The place.
#[derive(Debug)]
pub struct AttachPlace {
    socket: PathBuf,
    /// None where the last experiment lost it: whoever started the device may start it again.
    device: Option<DeviceView>,
    command: String,
    /// For the command's outputs.
    folder: Folder,
}

impl AttachPlace {
    /// Connects to the control socket. `command` is a shell's line; it sees `NETDMA_SEED`.
    ///
    /// # Errors
    /// When no device listens there.
    pub fn open(socket: &Path, command: &str) -> Result<Self, Infra> {
        let device = Some(connect(socket)?);
        let folder = Folder::new(false).context("a folder for the command's outputs")?;
        Ok(Self { socket: socket.to_owned(), device, command: command.to_owned(), folder })
    }

    fn device(&mut self) -> Result<&mut DeviceView, Infra> {
        if self.device.is_none() {
            self.device = Some(connect(&self.socket)?);
        }
        self.device.as_mut().ok_or_else(|| Infra(anyhow::anyhow!("no device")))
    }

    /// Runs the command once. False if it had to be killed.
    fn pass(&self, seed: u64, limit: Duration, facts: &mut Observation) -> Result<(Duration, bool), Infra> {
        let (stdout, stderr) = (self.folder.path().join("stdout"), self.folder.path().join("stderr"));
        let mut command = Command::new("sh");
        command.args(["-c", &self.command]).env("NETDMA_SEED", seed.to_string());
        command.stdin(Stdio::null()).stdout(file(&stdout)?).stderr(file(&stderr)?).process_group(0);
        let begun = Instant::now();
        let child = Child::spawn(command, |_| {}).context("sh").map_err(Infra)?;
        let Some(status) = ended(&child, limit)? else {
            child.end(END_GRACE);
            facts.hangs.push(verdict::too_long(&self.command, limit));
            return Ok((begun.elapsed(), false));
        };
        let took = begun.elapsed();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let end = End {
            what: &self.command,
            status: status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(-1),
            stdout: &read(&stdout)?,
            stderr: &read(&stderr)?,
        };
        verdict::judge(&end, facts);
        Ok((took, true))
    }

    /// The run after the fault, without any rule: it must be clean, or the driver did not come through.
    fn clean_pass(&mut self, seed: u64, limit: Duration, facts: &mut Observation) -> Result<(), Infra> {
        self.device()?.disarm()?;
        let mut clean = Observation::default();
        self.pass(seed, limit, &mut clean)?;
        let lists = [&clean.crashes, &clean.hangs, &clean.corruptions, &clean.failures];
        let first = lists.into_iter().flatten().next();
        facts.hangs.extend(first.map(|text| format!("not clean again after the fault: {text}")));
        facts.infra.extend(clean.infra);
        Ok(())
    }

    fn census(&mut self, seed: u64) -> Result<Golden, Infra> {
        self.device()?.begin_census()?;
        let mut observation = Observation::default();
        let (took, _) = self.pass(seed, GOLDEN_PATIENCE, &mut observation)?;
        let accesses = self.device()?.end_accesses()?;
        self.device()?.end(&mut observation)?;
        observation.took_ns = nanoseconds(took);
        Ok(Golden {
            took_ns: observation.took_ns,
            operations: without_directions(&accesses),
            accesses,
            observation,
        })
    }

    /// The device may be dead, or be of use to its user after an interruption: no rule of ours stays behind.
    fn let_go(&mut self) {
        if let Some(Err(error)) = self.device.take().map(|mut device| device.disarm()) {
            log::debug!("the device is left as it is: {error}");
        }
    }

    fn experiment(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        self.device()?.begin(&experiment.rules)?;
        let mut facts = Observation::default();
        let (took, ended) = self.pass(experiment.seed, limits.hang, &mut facts)?;
        (facts.took_ns, facts.slow) = (nanoseconds(took), took > limits.degraded);
        self.device()?.end(&mut facts)?;
        self.device()?.disarm()?;
        // The user's guest is not ours to boot anew: what does not come back fails every experiment that follows, and says so.
        if ended {
            self.clean_pass(experiment.seed, limits.hang, &mut facts)?;
        }
        Ok(facts)
    }
}

impl Place for AttachPlace {
    fn golden(&mut self, seed: u64) -> Result<Golden, Infra> {
        let golden = self.census(seed);
        if golden.is_err() {
            self.let_go();
        }
        golden
    }

    fn run(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        let facts = self.experiment(experiment, limits);
        if facts.is_err() {
            self.let_go();
        }
        facts
    }
}

fn connect(socket: &Path) -> Result<DeviceView, Infra> {
    let device = DeviceView::connect(socket);
    device.map_err(|Infra(error)| {
        Infra(error.context("the device's control socket (--control of vfio-user-ioat)"))
    })
}

/// Waits for the command, but not longer than for Ctrl-C.
fn ended(child: &Child, limit: Duration) -> Result<Option<ExitStatus>, Infra> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if let Some(status) = child.wait(left.min(STOP_LOOK)) {
            return Ok(Some(status));
        }
        if let Some(signal) = stop::of_process().signal() {
            child.end(END_GRACE);
            return Err(Infra(VmError::Stopped(signal).into()));
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

fn file(path: &PathBuf) -> Result<File, Infra> {
    File::create(path).with_context(|| path.display().to_string()).map_err(Infra)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Infra> {
    std::fs::read(path).with_context(|| path.display().to_string()).map_err(Infra)
}
