//! A round: the function is reset, a driver opened on it, the tasks work; then it must work on, and leave nothing behind.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use ioat_stage::FaultBook;
use netdma::client::{Channel, ChannelOptions, Driver, Error, Options};
use netdma::hw::{Device, HwError, Space};

use super::args::Exercise;
use super::facts::{Facts, Found, Kind};
use super::task::{Left, Task};
use super::watch::Watch;
use super::workload::{Percents, Weights, Workload};
use crate::cli::config::{Elsewhere, On};
use crate::cli::exit::Usage;
use crate::cli::on::{self, Opened};

/// PCI's command register, and what is needed of it here.
const COMMAND: u64 = 0x04;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_BUS_MASTER: u16 = 1 << 2;

/// Rounds on one device.
pub(crate) struct Rounds<'a> {
    config: &'a Exercise,
    device: Device,
    faults: Arc<FaultBook>,
    found: Found,
    watch: Watch,
    /// What the last run left open.
    open: Option<Open>,
    /// Descriptors of this process after its first round.
    files: Option<usize>,
}

/// A driver at work.
struct Open {
    workload: Arc<Workload>,
    /// None: it could not be opened, or has none of its channels.
    driver: Option<(Driver, Vec<Channel>)>,
    left: Vec<Left>,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(config: &'a Exercise, opened: &Opened, found: Found, watch: Watch) -> Self {
        let (device, faults) = (opened.device.clone(), opened.faults.clone());
        Self { config, device, faults, found, watch, open: None, files: None }
    }

    /// How many channels the engine has; for this a driver is opened and closed again.
    pub(crate) fn probe(&self) -> anyhow::Result<u8> {
        let driver = Driver::open(self.device.clone(), self.options())?;
        Ok(driver.identity().channels)
    }

    /// Resets, opens, works. The driver stays open for [`Self::end`].
    ///
    /// # Errors
    /// [`Usage`]: the workload does not fit this engine.
    pub(crate) fn run(&mut self, workload: Workload) -> anyhow::Result<Facts> {
        let workload = Arc::new(workload);
        self.watch.begin(Duration::from_millis(workload.hang_ms));
        self.watch.stage("closing the driver of the round before");
        self.open = None;
        let started = Instant::now();
        self.watch.stage("opening");
        let driver = self.reset(&workload).and_then(|()| self.take(&workload));
        let mut open = Open { workload: workload.clone(), driver: None, left: Vec::new() };
        match driver {
            Ok((driver, channels)) => {
                self.watch.stage("the workload");
                open.left = self.work(&workload, &driver, &channels);
                self.count(&channels, &open.left);
                open.driver = Some((driver, channels));
            }
            Err(error) if error.is::<Usage>() => {
                self.watch.over();
                return Err(error);
            }
            Err(error) => self.found.note(Kind::Failure, format!("{error:#}")),
        }
        self.open = Some(open);
        let took = started.elapsed();
        self.watch.over();
        let slow = workload.degraded_ms.is_some_and(|limit| took > Duration::from_millis(limit));
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        Ok(Facts { slow, took_ns, ..self.found.take() })
    }

    /// Clean batches on every channel; memory once more, for what came late; everything given back, and had again.
    pub(crate) fn end(&mut self) -> Facts {
        let Some(Open { workload, mut driver, left }) = self.open.take() else { return Facts::default() };
        self.watch.begin(Duration::from_millis(workload.hang_ms));
        self.watch.stage("a clean batch");
        self.clean(&workload, &mut driver);
        for Left { source, target, .. } in &left {
            source.verify_all("at the end");
            target.shadow.verify_all("at the end");
        }
        self.watch.stage("giving everything back");
        drop(left);
        if let Some((driver, channels)) = driver {
            self.had_again(&driver, channels);
        }
        self.watch.stage("closing");
        self.files();
        self.watch.over();
        self.found.take()
    }

    fn options(&self) -> Options {
        let Exercise { processors, watchdog, timeout, .. } = *self.config;
        Options { processors, watchdog, timeout, faults: Some(self.faults.clone()), ..Options::default() }
    }

    /// Power-on state, but for the command register: DMA is allowed.
    fn reset(&self, workload: &Workload) -> anyhow::Result<()> {
        if workload.reset {
            return self.device.registers.reset().context("resetting the function");
        }
        // Whoever has reset it behind the bus's back has cleared the command register.
        let command = self.device.read16(Space::Config, COMMAND).context("reading COMMAND")?;
        let allowed = command | COMMAND_MEMORY | COMMAND_BUS_MASTER;
        self.device.write16(Space::Config, COMMAND, allowed).context("writing COMMAND")
    }

    /// A driver, and the channels that the workload asks for, by number.
    fn take(&self, workload: &Workload) -> anyhow::Result<(Driver, Vec<Channel>)> {
        let driver = Driver::open(self.device.clone(), self.options()).context("opening the engine")?;
        let has = driver.identity().channels;
        let count = workload.channels.unwrap_or(has);
        if count > has {
            return Err(Usage(format!("channels {count}: the engine has {has}")).into());
        }
        let channels = self.channels(&driver, count.into()).context("taking a channel")?;
        Ok((driver, channels))
    }

    fn channels(&self, driver: &Driver, count: usize) -> Result<Vec<Channel>, Error> {
        let Exercise { ring_slots, completion, spread, .. } = *self.config;
        let options = ChannelOptions { ring_slots, completion, spread, ..ChannelOptions::default() };
        let mut channels = (0..count).map(|_| driver.channel(options)).collect::<Result<Vec<_>, _>>()?;
        channels.sort_by_key(Channel::index);
        Ok(channels)
    }

    fn work(&self, workload: &Arc<Workload>, driver: &Driver, channels: &[Channel]) -> Vec<Left> {
        let count = workload.tasks.map_or(channels.len(), |tasks| tasks as usize);
        let tasks: Vec<_> = channels.iter().cycle().take(count).cloned().enumerate().collect();
        let running: Vec<_> = tasks
            .into_iter()
            .map(|(number, channel)| {
                let (driver, workload, found) = (driver.clone(), workload.clone(), self.found.clone());
                thread::spawn(move || Task { number, driver, channel, workload, found }.run())
            })
            .collect();
        // A task that panics aborts the program (see `exercise::run`).
        running.into_iter().filter_map(|task| task.join().ok().flatten()).collect()
    }

    /// Exactly once: what the tasks were told is what the contract and the client API counted.
    fn count(&self, channels: &[Channel], left: &[Left]) {
        for channel in channels {
            let (index, stats, counts) = (channel.index(), channel.stats(), channel.contract_counts());
            let mine = || left.iter().filter(|left| left.channel == index);
            let told: u64 = mine().map(|left| left.told).sum();
            let clean = mine().all(|left| left.clean) && stats.recoveries == 0;
            let (submitted, completed) = (counts.submitted, counts.completed);
            let wrong = completed > submitted || stats.descriptors > submitted || told > completed;
            if wrong || clean && (stats.descriptors != told || completed != told || submitted != told) {
                let text = format!(
                    "channel {index}: the contract counts {submitted} in and {completed} out, the client API {}, \
                     the tasks {told}",
                    stats.descriptors
                );
                self.found.note(Kind::Corruption, text);
            }
            if stats.lost_interrupts_recovered > 0 {
                let text = format!(
                    "channel {index}: {} lost interrupts found by looking",
                    stats.lost_interrupts_recovered
                );
                self.found.note(Kind::Recovery, text);
            }
        }
    }

    /// After whatever happened every channel must work: as it is, or at the least once the function was reset.
    fn clean(&mut self, workload: &Workload, driver: &mut Option<(Driver, Vec<Channel>)>) {
        if workload.clean_after == 0 {
            return;
        }
        let first = match driver {
            Some((driver, channels)) => self.clean_batches(workload, driver, channels),
            None => Some("the engine was not opened".to_owned()),
        };
        let Some(first) = first else { return };
        let was_open = driver.take().is_some();
        let (again, channels) = match self.reset_or_reopen().and_then(|()| self.take(workload)) {
            Ok(again) => again,
            Err(error) => {
                let text = format!("no clean batch after the fault: {first}; then {error:#}");
                return self.found.note(Kind::Hang, text);
            }
        };
        match self.clean_batches(workload, &again, &channels) {
            Some(second) => {
                let text = format!("no clean batch, even after the function was reset: {second}");
                self.found.note(Kind::Hang, text);
            }
            None if was_open => {
                let text = format!("no clean batch before the function was reset: {first}");
                self.found.note(Kind::Failure, text);
            }
            // What was never opened owed no clean batch.
            None => {}
        }
        *driver = Some((again, channels));
    }

    /// What a program does about a device that does not work: it resets the function, or connects anew.
    fn reset_or_reopen(&mut self) -> anyhow::Result<()> {
        match (self.device.registers.reset(), &self.config.on) {
            // The connection is gone, not the device; a next one begins with a reset.
            (Err(HwError::Gone(_)), On::Socket(path, _)) => {
                let again = On::Socket(path.clone(), Elsewhere::default());
                self.device = on::open(&again, None).context("connecting again")?.device;
                // The old connection stays open on this side as long as the program.
                self.files = None;
                Ok(())
            }
            (reset, _) => reset.context("resetting the function"),
        }
    }

    /// Batches of copies and fills on every channel. The first error in words; wrong bytes are noted as always.
    fn clean_batches(&self, workload: &Workload, driver: &Driver, channels: &[Channel]) -> Option<String> {
        let clean = Arc::new(Workload {
            seed: !workload.seed,
            batches: workload.clean_after,
            batch: 1..=4,
            in_flight: 1,
            weights: Weights { copy: 1, fill: u64::from(driver.identity().capability.fill()), null: 0 },
            percents: Percents { fence: 10, poll: 0, renew: 0, suspend: 0, abort: 0, restart: 0 },
            ..workload.clone()
        });
        channels.iter().enumerate().find_map(|(number, channel)| {
            let found = Found::default();
            let (driver, channel, workload) = (driver.clone(), channel.clone(), clean.clone());
            Task { number, driver, channel, workload, found: found.clone() }.run();
            let facts = found.take();
            for text in facts.corruptions {
                self.found.note(Kind::Corruption, format!("in a clean batch: {text}"));
            }
            facts.failures.into_iter().chain(facts.hangs).next()
        })
    }

    /// What was given back can be had again.
    fn had_again(&self, driver: &Driver, channels: Vec<Channel>) {
        let count = channels.len();
        drop(channels);
        match self.channels(driver, count) {
            Ok(again) => drop(again),
            Err(error) => {
                self.found.note(
                    Kind::Corruption,
                    format!("leak: channels that were given back cannot be had again: {error}"),
                );
            }
        }
    }

    /// A round leaves no more descriptors open than the first one did.
    fn files(&mut self) {
        let Ok(now) = fs::read_dir("/proc/self/fd").map(Iterator::count) else { return };
        match self.files {
            Some(first) if now > first => {
                let text =
                    format!("leak: {now} open descriptors after the round, {first} after the first one");
                self.found.note(Kind::Corruption, text);
                // The next round is judged for itself.
                self.files = Some(now);
            }
            Some(_) => {}
            None => self.files = Some(now),
        }
    }
}
