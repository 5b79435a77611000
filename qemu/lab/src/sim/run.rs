//! One seed of a scenario: the device, the driver and its clients in a world of their own, and the judgement.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ioat_stage::{FaultBook, Pause, Point, Side, Task};
use netdma::client::{Channel, ChannelOptions, CompletionMode, Driver, Error, OpenError, Options};
use netdma::contract::CpuSet32;
use netdma::hw::Registers;
use netdma::hw::sim::{Sim, SimOptions};
use vfio_user_ioat::lint::{LintBook, Severity};

use super::client::Worker;
use super::judge::{self, Found};
use super::pause::{SimPause, Sink};
use super::points::Points;
use super::random::Random;
use super::scenario::{Api, Ending, Scenario, When};
use super::schedule::{Choices, Taken};
use super::tally::{Counts, Tally};
use super::world::{self, Finding, Past, Stamped, Wrong};
use super::{contract, liveness, storm};

/// After the last client has ended: long enough for every DPC, and it costs nothing.
pub(super) const SETTLE: Duration = Duration::from_millis(200);

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// All events of the stages, in order.
    pub events: Vec<Stamped>,
    /// What is wrong that the scenario does not expect.
    pub findings: Vec<Finding>,
    /// Points at which the seed chose.
    pub switches: u64,
    /// Virtual time at the end.
    pub time_ns: u64,
    /// Fault rules that fired.
    pub fired: u64,
    /// Everything that the scenario wants found was found.
    pub seen: bool,
    /// DPC requests of storms.
    pub requests: u64,
    /// The run could not be ended: its memory is lost to this process.
    pub stuck: bool,
}

/// Runs one seed.
#[must_use]
pub fn run(scenario: &Arc<Scenario>, seed: u64) -> Report {
    run_by(scenario, seed, Choices::Seed).0
}

/// Runs one seed, whose interleaving these choices make, and gives the switches that were carried out, where they were
/// written down. What the seed chooses beside (data, sizes, operations) stays its own.
#[must_use]
pub fn run_by(scenario: &Arc<Scenario>, seed: u64, choices: Choices) -> (Report, Vec<Taken>) {
    let tally = Tally::default();
    let (theirs, counts) = (scenario.clone(), tally.clone());
    let mut past = world::run(seed, choices, scenario.limits(), move || {
        let faults = FaultBook::new(theirs.rules());
        everything(&theirs, seed, &faults, &counts);
    });
    let taken = std::mem::take(&mut past.taken);
    (judged(scenario, seed, past, &tally.note(|counts| counts.clone())), taken)
}

/// The world's first task.
pub(super) fn everything(scenario: &Arc<Scenario>, seed: u64, faults: &Arc<FaultBook>, tally: &Tally) {
    // The clock of rules that wait for a time.
    faults.set_clock(Arc::new(world::now_ns));
    if !scenario.client.is_empty() {
        path(scenario, seed, faults, tally);
    }
    for (number, kind) in scenario.storm.iter().enumerate() {
        let random = Random::new(seed, 1 << 32 | number as u64);
        storm::run(kind, scenario.driver.processors.get(), random, tally);
    }
}

/// Gives a report's memory to the next run of this thread.
pub fn reuse(report: Report) {
    world::reuse(report.events);
}

/// What was found, less what the scenario expects, and with what it expects in vain.
fn judged(scenario: &Scenario, seed: u64, past: Past, counts: &Counts) -> Report {
    let Past { events, findings, switches, time_ns, stuck, taken: _ } = past;
    let mut findings = findings;
    let wanted = |finding: &Finding| scenario.expect.finds.contains(&finding.wrong);
    let found = |wrong: &Wrong| findings.iter().any(|finding| finding.wrong == *wrong);
    let seen = scenario.expect.finds.iter().all(found);
    if counts.fired > 0 {
        findings.retain(|finding| !wanted(finding));
        if !seen && scenario.expect.when == When::EverySeed {
            let text = format!("a fault fired, and {:?} was not found", scenario.expect.finds);
            findings.push(Finding { wrong: Wrong::Outcome, text });
        }
    } else if !counts.failed.is_empty() && !stops(scenario) {
        let text = format!("no fault fired, and operations failed: {:?}", counts.failed);
        findings.push(Finding { wrong: Wrong::Outcome, text });
    }
    let Counts { fired, requests, .. } = *counts;
    Report { seed, events, findings, switches, time_ns, fired, seen, requests, stuck }
}

fn stops(scenario: &Scenario) -> bool {
    scenario.client.iter().any(|client| client.abort.get() + client.reset.get() > 0)
}

/// The whole path.
fn path(scenario: &Arc<Scenario>, seed: u64, faults: &Arc<FaultBook>, tally: &Tally) {
    let lint = scenario.device.lint.then(LintBook::new);
    let options = SimOptions {
        profile: scenario.device.profile.clone(),
        channels: u8::try_from(scenario.device.channels.get()).ok(),
        vectors: scenario.device.vectors.and_then(|vectors| u16::try_from(vectors.get()).ok()),
        lint: lint.clone(),
        rules: Vec::new(),
        faults: Some(faults.clone()),
        trace: Some(Arc::new(Sink(Side::Device))),
        start_latency: Duration::from_micros(scenario.device.start_latency_us.get()),
    };
    let Sim { mut device, .. } = match Sim::open(options, Arc::new(SimPause)) {
        Ok(sim) => sim,
        Err(error) => return world::find(Wrong::Outcome, error.to_string()),
    };
    // The engine's own: every buffer, map and register access holds it.
    let engine = Arc::downgrade(&device.registers);
    device.registers = Arc::new(Points(device.registers.clone()));
    let apis = |api| scenario.client.iter().any(|client| client.api == api);
    if apis(Api::Client) {
        clients(scenario, seed, &device, faults, tally);
    }
    if apis(Api::Contract) {
        contract::run(scenario, seed, &device, faults, tally);
        tally.note(|counts| counts.worked_ns = Some(world::now_ns()));
        if tally.trial {
            liveness::reopened(scenario, &device, faults, tally);
        }
    }
    drop(device);
    tally.note(|counts| counts.fired = faults.fired().len() as u64);
    if !tally.trial {
        let found = tally.note(|counts| judge::interrupts(scenario, counts));
        tell(found);
    }
    conduct(lint.as_deref());
    given_back(&engine);
}

/// What the device's lint has to say about the driver.
fn conduct(lint: Option<&LintBook>) {
    for record in lint.map(LintBook::records).unwrap_or_default() {
        if record.first.rule.severity() == Severity::Violation {
            world::find(Wrong::Conduct, record.first.to_string());
        }
    }
}

pub(super) fn given_back(engine: &Weak<dyn Registers>) {
    let holders = engine.strong_count();
    if holders > 0 {
        let text = format!("{holders} holders of the engine are left: memory or a device was not given back");
        world::find(Wrong::Resource, text);
    }
}

/// The driver's own client API.
fn clients(
    scenario: &Arc<Scenario>,
    seed: u64,
    device: &netdma::hw::Device,
    faults: &Arc<FaultBook>,
    tally: &Tally,
) {
    let mut again = false;
    match Driver::open(device.clone(), options(scenario, faults)) {
        Ok(driver) => match channels(scenario, &driver) {
            Ok(channels) => {
                work(scenario, seed, &driver, &channels, tally);
                tally.note(|counts| counts.worked_ns = Some(world::now_ns()));
                if tally.trial {
                    again = !liveness::channels(&driver, &channels, faults, tally);
                }
                end(scenario, &driver, channels, faults, tally);
            }
            Err(error) => {
                again = true;
                tally.failed(scenario, "allocating the channels", &error);
            }
        },
        Err(error) => {
            again = true;
            refused(scenario, tally, &error);
        }
    }
    if again && tally.trial {
        liveness::reopened(scenario, device, faults, tally);
    }
}

pub(super) fn options(scenario: &Scenario, faults: &Arc<FaultBook>) -> Options {
    Options {
        processors: u32::try_from(scenario.driver.processors.get()).unwrap_or(1),
        trace: Arc::new(Sink(Side::Driver)),
        watchdog: Duration::from_millis(scenario.driver.watchdog_ms.get()),
        timeout: Duration::from_millis(scenario.driver.timeout_ms.get()),
        // One book for both sides: the device asks about its points, the driver about its own.
        faults: Some(faults.clone()),
    }
}

fn refused(scenario: &Scenario, tally: &Tally, error: &OpenError) {
    tally.note(|counts| *counts.failed.entry(Ending::Gone).or_default() += 1);
    if tally.trial {
        tally.say(format!("opening the engine: {error}"));
    } else if !scenario.expect.open_fails {
        world::find(Wrong::Outcome, format!("opening the engine: {error}"));
    }
}

pub(super) fn channels(scenario: &Scenario, driver: &Driver) -> Result<Vec<Channel>, Error> {
    let processors = u32::try_from(scenario.driver.processors.get()).unwrap_or(1);
    let spread = if scenario.driver.spread { CpuSet32::first(processors) } else { CpuSet32::EMPTY };
    let options = ChannelOptions {
        affinity: CpuSet32(u32::MAX),
        ring_slots: scenario.driver.ring_slots.count(),
        spread,
        completion: if scenario.driver.polled { CompletionMode::Polled } else { CompletionMode::Interrupt },
    };
    (0..scenario.device.channels.get()).map(|_| driver.channel(options)).collect()
}

fn work(scenario: &Arc<Scenario>, seed: u64, driver: &Driver, channels: &[Channel], tally: &Tally) {
    let mut tasks = Vec::new();
    let mut stream = 0;
    for (kind, client) in scenario.client.iter().enumerate() {
        for task in 0..client.tasks.count() {
            stream += 1;
            if client.api != Api::Client {
                continue;
            }
            let number = client.channel(task, channels.len());
            let worker = Worker {
                name: format!("client-{kind}-{task}"),
                scenario: scenario.clone(),
                kind,
                driver: driver.clone(),
                channel: channels[number].clone(),
                number,
                random: Random::new(seed, stream),
                tally: tally.clone(),
            };
            let task = Task { name: worker.name.clone(), cpu: None };
            match SimPause.spawn(task, Box::new(move || worker.run())) {
                Ok(task) => tasks.push(task),
                Err(error) => world::find(Wrong::Resource, format!("no stack for a client: {error}")),
            }
        }
    }
    for task in tasks {
        // A panic is a finding already.
        let _ = task.join();
    }
}

/// Everything is still: the counters must add up, and what was taken must come back.
fn end(scenario: &Scenario, driver: &Driver, channels: Vec<Channel>, faults: &FaultBook, tally: &Tally) {
    SimPause.sleep(SETTLE);
    let fired = faults.fired();
    let mut found = world::look(|events| {
        let mut found = judge::dpcs(events, &fired);
        found.extend(judge::counters(driver, &channels, events, &fired));
        found
    });
    let counts = tally.note(|counts| {
        counts.recovered +=
            channels.iter().map(|channel| channel.stats().lost_interrupts_recovered).sum::<u64>();
        counts.clone()
    });
    let clean = counts.failed.is_empty() && !stops(scenario);
    let tolerant = tally.trial || scenario.rules().iter().any(|rule| rule.point == Point::Register);
    for (number, channel) in channels.iter().enumerate() {
        found.extend(judge::completions(number, channel, &counts, clean, tolerant));
    }
    tell(found);
    drop(channels);
    // Channels that were given back can be had again, all of them.
    match self::channels(scenario, driver) {
        Ok(again) => drop(again),
        Err(error) if counts.failed.is_empty() => {
            world::find(Wrong::Resource, format!("the channels cannot be had again: {error}"));
        }
        Err(_) => {}
    }
}

fn tell(found: Found) {
    for (wrong, text) in found {
        world::find(wrong, text);
    }
}
