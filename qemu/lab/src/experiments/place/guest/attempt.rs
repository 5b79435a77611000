//! One pass of the work through the guest, step by step: load, work, watch the silence after it, unload. Each step adds its facts.

use std::time::{Duration, Instant};

use netdma_vm::error::VmError;
use netdma_vm::machine::Output;
use netdma_vm::message::KernelLine;
use netdma_vm::modules::LoadedModule;

use super::dmatest;
use super::kernel_log::{self, Harmless};
use super::room::{Guest, module_path};
use super::subject::{Subject, Work, command_words};
use crate::experiments::observation::Observation;
use crate::experiments::place::verdict::{self, End};

/// How long a driver that said something is watched while it has nothing to do: five turns of `ioatdma`'s watchdog.
const SILENCE: Duration = Duration::from_millis(1100);

/// What a guest that stopped answering may take to say where it hangs.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How the fact ends that a module was loaded and its driver left the device alone.
pub(super) const NOT_TAKEN: &str = "does not take the device";

/// The guest cannot be used any further; the facts say why.
#[derive(Debug)]
pub(super) struct Gone;

/// A pass through the guest.
pub(super) struct Attempt<'a> {
    pub(super) guest: &'a mut Guest,
    pub(super) subject: &'a Subject,
    /// The driver that the device is handed to by name, where it does not take it by itself.
    pub(super) hand_to: Option<&'a str>,
    pub(super) harmless: &'a Harmless,
    pub(super) seed: u64,
    /// For each step.
    pub(super) limit: Duration,
    /// Where the kernel's log has been read to.
    pub(super) mark: u64,
    /// The time that the steps took.
    pub(super) took: Duration,
    /// The part of it in which the driver had work: its loading, which tests the device, and the work itself.
    pub(super) worked: Duration,
    /// Everything that the kernel said.
    pub(super) said: Vec<KernelLine>,
    /// The end of the console of a kernel that died.
    pub(super) console: Option<String>,
    pub(super) facts: Observation,
}

impl Attempt<'_> {
    /// The whole pass. `Err` where the guest is gone or hangs.
    pub(super) fn run(&mut self) -> Result<(), Gone> {
        let begun = Instant::now();
        let used = self.use_it();
        self.took = begun.elapsed();
        let bound = used?;
        let lines = self.hear()?;
        if let (false, Some(module)) = (bound, &self.subject.module) {
            // After the kernel's log, which says why.
            self.facts.failures.push(format!("{} {NOT_TAKEN}", module.tested.name));
        }
        if let (true, Work::DmaTest(_)) = (bound, &self.subject.work) {
            // By the guest's own clock: the host polls for the end.
            self.worked += dmatest::duration(&lines);
            let noticed = !(self.facts.recoveries.is_empty() && self.facts.failures.is_empty());
            dmatest::judge(&lines, noticed, &mut self.facts);
        }
        if !self.facts.recoveries.is_empty() {
            self.watch_the_silence()?;
        }
        let begun = Instant::now();
        let unloaded = self.unload();
        self.took += begun.elapsed();
        unloaded?;
        self.hear().map(drop)
    }

    /// Loads the module and has it work. False if the driver does not take the device.
    fn use_it(&mut self) -> Result<bool, Gone> {
        let bound = self.load()?;
        if bound {
            self.work()?;
        }
        Ok(bound)
    }

    /// Loads the module. False if the driver does not take the device.
    fn load(&mut self) -> Result<bool, Gone> {
        let Some(module) = &self.subject.module else { return Ok(true) };
        if let Some(driver) = self.hand_to {
            let line = format!("echo {driver} > /sys/bus/pci/devices/{}/driver_override", self.guest.bdf);
            self.step(&["sh", "-c", &line])?;
        }
        let tested = module.tested.clone();
        let begun = Instant::now();
        let inserted = self.insert(&tested);
        self.worked += begun.elapsed();
        if !inserted? {
            return Ok(false);
        }
        let link = format!("/sys/bus/pci/devices/{}/driver", self.guest.bdf);
        let bound = self.step(&["test", "-e", &link])?.status == 0;
        Ok(bound)
    }

    fn work(&mut self) -> Result<(), Gone> {
        match &self.subject.work {
            Work::Bind => Ok(()),
            Work::DmaTest(test) => {
                if self.insert(&test.module)? {
                    self.wait_for_dmatest()?;
                }
                Ok(())
            }
            Work::Command(words) => {
                let words = command_words(words, &self.guest.bdf, self.seed);
                let argv: Vec<&str> = words.iter().map(String::as_str).collect();
                let begun = Instant::now();
                let output = self.step(&argv);
                self.worked += begun.elapsed();
                let output = output?;
                let end = End {
                    what: &words.join(" "),
                    status: output.status,
                    stdout: &output.stdout,
                    stderr: &output.stderr,
                };
                verdict::judge(&end, &mut self.facts);
                Ok(())
            }
        }
    }

    /// `insmod` comes back before a thread of dmatest's has begun; reading its `wait` waits for those that have.
    fn wait_for_dmatest(&mut self) -> Result<(), Gone> {
        let begun = Instant::now();
        loop {
            self.step(&["cat", "/sys/module/dmatest/parameters/wait"])?;
            let read = self.guest.log(self.mark);
            let (lines, _) = read.map_err(|error| self.gone("reading the kernel's log", &error))?;
            let patience = if dmatest::has_begun(&lines) { self.limit } else { dmatest::BEGIN_LIMIT };
            if dmatest::has_ended(&lines) || begun.elapsed() > patience {
                return Ok(());
            }
            std::thread::sleep(dmatest::LOOK);
        }
    }

    /// Reads what the kernel said since the last time, and judges it.
    fn hear(&mut self) -> Result<Vec<KernelLine>, Gone> {
        let lines = self.read_log()?;
        kernel_log::judge(&dmatest::others(&lines), self.harmless, &mut self.facts);
        Ok(lines)
    }

    fn read_log(&mut self) -> Result<Vec<KernelLine>, Gone> {
        let read = self.guest.log(self.mark);
        let (lines, next) = read.map_err(|error| self.gone("reading the kernel's log", &error))?;
        self.mark = next;
        self.said.extend(lines.iter().cloned());
        Ok(lines)
    }

    /// A driver that said something and has nothing to do any more must fall silent.
    fn watch_the_silence(&mut self) -> Result<(), Gone> {
        // The device does as it should from here on: what goes on and on is the driver's own.
        if let Err(error) = self.guest.device.disarm() {
            self.facts.infra.push(error.to_string());
            return Err(Gone);
        }
        std::thread::sleep(SILENCE);
        let others = dmatest::others(&self.read_log()?);
        if let Some((text, count)) = kernel_log::idle_loop(&others, self.harmless) {
            let seconds = SILENCE.as_secs_f64();
            self.facts.hangs.push(format!("loop without any work, {count} times in {seconds:.1} s: {text}"));
        }
        kernel_log::judge(&others, self.harmless, &mut self.facts);
        Ok(())
    }

    fn unload(&mut self) -> Result<(), Gone> {
        if let Work::DmaTest(_) = self.subject.work {
            self.remove("dmatest")?;
        }
        match &self.subject.module {
            Some(module) => self.remove(&module.tested.name.clone()),
            None => Ok(()),
        }
    }

    /// True if the module is in.
    fn insert(&mut self, module: &LoadedModule) -> Result<bool, Gone> {
        let path = module_path(&module.name);
        let argv = ["insmod", path.as_str()].into_iter().chain(module.params.split_whitespace());
        let output = self.step(&argv.collect::<Vec<_>>())?;
        if output.status != 0 {
            self.facts.failures.push(format!("insmod {}: {}", module.name, last_words(&output)));
        }
        Ok(output.status == 0)
    }

    fn remove(&mut self, name: &str) -> Result<(), Gone> {
        if self.step(&["test", "-e", &format!("/sys/module/{name}")])?.status != 0 {
            return Ok(());
        }
        let output = self.step(&["rmmod", name])?;
        if output.status == 0 {
            return Ok(());
        }
        self.facts.failures.push(format!("rmmod {name}: {}", last_words(&output)));
        // A module that stays belongs to this experiment and not to the next.
        Err(Gone)
    }

    /// Runs one command of the pass.
    fn step(&mut self, argv: &[&str]) -> Result<Output, Gone> {
        let output = self.guest.run(argv, self.limit);
        output.map_err(|error| self.gone(&argv.join(" "), &error))
    }

    /// What the end of a guest means.
    fn gone(&mut self, doing: &str, error: &VmError) -> Gone {
        match error {
            VmError::Panicked { console_tail } => {
                let what = kernel_log::panic_of(console_tail);
                let what = what.unwrap_or_else(|| "the guest restarted itself without a word".to_owned());
                self.facts.crashes.push(what);
                self.console = Some(console_tail.clone());
            }
            VmError::TimedOut { .. } => {
                self.facts.hangs.push(verdict::too_long(doing, self.limit));
                self.hear_where(doing);
            }
            // QEMU or the channel: not the driver's doing.
            other => self.facts.infra.push(format!("{doing}: {other}")),
        }
        Gone
    }

    /// Where the stuck command is in the kernel, and what the kernel says of it, if the guest still answers.
    fn hear_where(&mut self, doing: &str) {
        let name = doing.split_whitespace().next().unwrap_or_default();
        let line = format!(
            "for d in /proc/[0-9]*; do read c < $d/comm; [ \"$c\" = {name} ] && head -n 4 $d/stack; done; true"
        );
        if let Ok(output) = self.guest.run(&["sh", "-c", &line], LAST_WORDS) {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let frames = text.lines().filter_map(|line| line.split_whitespace().nth(1));
            let frames: Vec<&str> = frames.map(|frame| frame.split('+').next().unwrap_or(frame)).collect();
            if let (false, Some(hang)) = (frames.is_empty(), self.facts.hangs.last_mut()) {
                *hang = format!("{hang}: in {}", frames.join(" < "));
            }
        }
        if let Ok((lines, _)) = self.guest.log(self.mark) {
            kernel_log::judge(&dmatest::others(&lines), self.harmless, &mut self.facts);
            self.said.extend(lines);
        }
    }
}

fn last_words(output: &Output) -> String {
    let text = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("without a word").trim().to_owned()
}
