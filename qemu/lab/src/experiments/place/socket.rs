//! Our driver and the device in two processes, joined by a socket.
//!
//! Both processes serve experiment after experiment: the function is reset and a driver opened anew for each, and nothing else is
//! shared. After anything but an answer in order (a crash, a hang, a device that was killed or removed, a connection that was
//! tampered with) both are started anew. [`SocketPlace::fresh`] starts them for each: three experiments a second where one pair
//! for all makes ten (two busy cores).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use ioat_stage::Point;

use super::device::DeviceProcess;
use super::ours::{self, Exerciser, Passed, Reply};
use super::setup::{Programs, Setup};
use super::{Golden, Infra, Limits, Place};
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;

/// The driver's program has this long to open the device.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// A program whose output ended has this long to end too.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The place.
#[derive(Debug)]
pub struct SocketPlace {
    setup: Setup,
    programs: Programs,
    fresh: bool,
    pair: Option<Pair>,
    /// How often the two were started.
    starts: u64,
}

#[derive(Debug)]
struct Pair {
    // Dropped in this order: the driver, then its device.
    driver: Driver,
    device: DeviceProcess,
}

impl SocketPlace {
    /// A place; nothing runs yet.
    #[must_use]
    pub fn new(setup: Setup, programs: Programs) -> Self {
        Self { setup, programs, fresh: false, pair: None, starts: 0 }
    }

    /// Two new processes for every experiment.
    #[must_use]
    pub fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// How often the two processes were started.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.starts
    }

    fn pair(&mut self) -> Result<&mut Pair, Infra> {
        if self.fresh {
            self.pair = None;
        }
        if self.pair.is_none() {
            self.starts += 1;
            let device = DeviceProcess::start(&self.programs.device, &self.setup.device)?;
            let driver = Driver::start(&self.programs.netdma, &device, &self.setup.exercise)?;
            self.pair = Some(Pair { driver, device });
        }
        self.pair.as_mut().ok_or_else(|| Infra(anyhow!("no processes")))
    }
}

impl Place for SocketPlace {
    fn golden(&mut self, seed: u64) -> Result<Golden, Infra> {
        let Pair { driver, device } = self.pair()?;
        let golden = ours::golden(driver, &mut device.view, seed);
        if golden.is_err() {
            self.pair = None;
        }
        Ok(golden?)
    }

    fn run(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        let Pair { driver, device } = self.pair()?;
        let mark = device.mark();
        let passed = ours::experiment(driver, &mut device.view, experiment, limits);
        let Passed { mut facts, spent, lost } = match passed {
            Ok(passed) => passed,
            Err(error) => {
                let death =
                    device.death().map_or_else(|| "it runs on".to_owned(), |status| status.to_string());
                let words = format!("the device program: {death}: {}", device.last_words());
                self.pair = None;
                return Err(Infra(error.context(words)));
            }
        };
        if let Some(lost) = &lost {
            bury(device, mark, lost, &mut facts);
        }
        if spent || lost.is_some() || tampers(experiment) || !facts.infra.is_empty() {
            self.pair = None;
        }
        Ok(facts)
    }
}

/// Leaves the connection, or the device's place on it, in a state that a reset of the function does not mend.
fn tampers(experiment: &Experiment) -> bool {
    let points = [Point::Transport, Point::Pcie];
    experiment.rules.iter().any(|rule| points.contains(&rule.point) || rule.action.word() == "kill")
}

/// The device died: by its rule, which is what the experiment is about; or else nobody knows what the driver was up against.
fn bury(device: &DeviceProcess, mark: usize, lost: &Infra, facts: &mut Observation) {
    facts.fired.splice(..0, device.fired_since(mark));
    let death = device.death().map_or_else(|| "it runs on".to_owned(), |status| status.to_string());
    let killed = facts.fired.iter().any(|fired| fired.rule.ends_with(" kill"));
    facts.device.insert("ended".to_owned(), death.clone().into());
    if !killed {
        let text = format!("the device does not answer: {lost}; {death}: {}", device.last_words());
        facts.infra.push(text);
    }
}

/// `netdma exercise --serve` on a device's socket.
#[derive(Debug)]
struct Driver {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: PathBuf,
}

impl Driver {
    fn start(program: &Path, device: &DeviceProcess, flags: &[String]) -> anyhow::Result<Self> {
        let errors = device.folder().join("driver-errors");
        let file = File::create(&errors).context("the driver's log")?;
        let mut command = Command::new(program);
        command.args(["exercise", "--serve", "--on", &format!("socket:{}", device.socket().display())]);
        command.args(flags).env("RUST_LOG", "error");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().with_context(|| format!("{} does not start", program.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).context("no pipes to the driver's program")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // The receiver goes with the place.
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        let mut driver = Self { child, input, lines, errors };
        match driver.hear(READY_LIMIT)? {
            Reply::Odd(line) if line.contains("\"ready\"") => Ok(driver),
            other => Err(anyhow!("`netdma exercise` is not ready: {other:?}")),
        }
    }

    fn hear(&mut self, limit: Duration) -> anyhow::Result<Reply> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Reply::of_line(&line)),
            Err(RecvTimeoutError::Timeout) => Ok(Reply::Silence),
            Err(RecvTimeoutError::Disconnected) => {
                let status = status_of(self.end().context("waiting for the driver's program")?);
                let stderr = fs::read(&self.errors).unwrap_or_default();
                Ok(Reply::Ended { status, stderr: String::from_utf8_lossy(&stderr).into_owned() })
            }
        }
    }

    /// Its output has ended: so does it, or is made to.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        let until = Instant::now() + END_LIMIT;
        loop {
            match self.child.try_wait()? {
                Some(status) => return Ok(status),
                None if Instant::now() > until => self.child.kill()?,
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

impl Exerciser for Driver {
    fn ask(&mut self, line: &str, limit: Duration) -> anyhow::Result<Reply> {
        // One that has ended tells why when it is listened to.
        let _ = writeln!(self.input, "{line}");
        self.hear(limit)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It is our child until it is waited for, so the number is its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
