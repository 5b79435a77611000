//! Runs one step after the other, and finds out whether the engine works on after one that failed.

use std::time::{Duration, Instant};

use anyhow::Context;
use ioat_stage::pause::deadline;
use netdma::client::{Batch, Channel, ChannelOptions, Driver, Error};

use super::cases::{Case, Done};
use super::oracle::{GUARD, Memory, Mismatch, Range};
use crate::cli::config::{Drive, Selftest};
use crate::cli::data::Data;
use crate::cli::report::Step;
use crate::cli::sizes;

/// The largest operation.
pub(crate) const LARGEST: usize = 1 << 20;
/// The largest misalignment that a step may add to a place.
pub(crate) const SLACK: usize = 64;

/// How long an interrupt that was given up may still come.
const LATE: Duration = Duration::from_millis(300);

/// What the steps share.
pub(crate) struct Rig {
    pub(crate) driver: Driver,
    pub(crate) data: Data,
    pub(crate) quick: bool,
    pub(crate) processors: u32,
    pub(crate) timeout: Duration,
    memories: Vec<Memory>,
    channels: Vec<Channel>,
    tally: Tally,
}

/// What a step has done so far.
#[derive(Clone, Copy, Default)]
struct Tally {
    channels: usize,
    verified: u64,
    descriptors: u64,
    /// Batches submitted: each asks for one interrupt.
    asked: u64,
    /// Completions that were found by looking.
    found: u64,
}

/// A step's outcome, and what the verdict needs of its error.
pub(crate) struct Ran {
    pub(crate) step: Step,
    /// A fault was detected, or recovered from.
    pub(crate) noticed: bool,
    /// The device does not answer any more: no step after this one makes sense.
    pub(crate) gone: bool,
}

impl Rig {
    pub(crate) fn new(driver: Driver, mut data: Data, config: &Selftest) -> anyhow::Result<Self> {
        let len = LARGEST + 2 * (GUARD + SLACK);
        let channels = driver.identity().channels;
        let memories = (0..channels).map(|_| Memory::new(&driver, len, &mut data)).collect::<Result<_, _>>();
        let memories = memories.context("allocating memory for the engine")?;
        let Selftest { quick, drive: Drive { processors, timeout, .. }, .. } = *config;
        let (channels, tally) = (Vec::new(), Tally::default());
        Ok(Self { driver, data, quick, processors, timeout, memories, channels, tally })
    }

    /// Runs one step.
    pub(crate) fn run(&mut self, case: &Case) -> Ran {
        let interrupts = self.interrupts();
        self.tally = Tally::default();
        let started = Instant::now();
        let result = (case.run)(self).and_then(|done| self.untouched().map(|()| done));
        let result = result.map_err(|error| (self.afterwards(&error), error));
        let ms = started.elapsed().as_secs_f64() * 1e3;
        self.release();
        let recovered = self.lost(interrupts);
        let Tally { channels, verified, descriptors, .. } = self.tally;
        let mut step = Step {
            name: case.name,
            passed: false,
            skipped: false,
            channels,
            bytes: verified,
            descriptors,
            interrupts: self.interrupts() - interrupts,
            recovered,
            ms: (ms * 1e3).round() / 1e3,
            detail: String::new(),
        };
        let (mut noticed, mut gone) = (recovered > 0, false);
        match result {
            Ok(Done::Ok) => step.passed = true,
            Ok(Done::Skipped(why)) => (step.skipped, step.detail) = (true, why),
            Err(((afterwards, works), error)) => {
                noticed |= typed(&error).is_some() || error.root_cause().is::<Mismatch>();
                gone = !works && matches!(typed(&error), Some(Error::DeviceGone));
                step.detail = afterwards;
            }
        }
        if recovered > 0 {
            let lost =
                format!("recovered {recovered} lost interrupt{}", if recovered == 1 { "" } else { "s" });
            step.detail = if step.detail.is_empty() { lost } else { format!("{}; {lost}", step.detail) };
        }
        Ran { step, noticed, gone }
    }

    /// Takes all channels of the engine, by number. Those taken before are given back.
    pub(crate) fn take(&mut self, options: ChannelOptions) -> anyhow::Result<Vec<Channel>> {
        self.release();
        for _ in 0..self.memories.len() {
            self.channels.push(self.driver.channel(options).context("taking a channel")?);
        }
        self.channels.sort_by_key(Channel::index);
        self.tally.channels = self.channels.len();
        Ok(self.channels.clone())
    }

    /// One operation or batch of them on a channel, waited for and verified. `fill` adds to the batch and says
    /// what it expects.
    pub(crate) fn verified(
        &mut self,
        channel: &Channel,
        what: impl Fn() -> String,
        fill: impl FnOnce(&mut Memory, &mut Batch<'_>) -> anyhow::Result<Vec<Range>>,
    ) -> anyhow::Result<()> {
        let memory = memory(&mut self.memories, channel)?;
        let mut batch = channel.batch();
        let named = || format!("channel {}: {}", channel.index(), what());
        let ranges = fill(memory, &mut batch).with_context(named)?;
        self.tally.asked += 1;
        let finished = batch.submit().and_then(|submission| submission.wait(self.timeout));
        finished.with_context(named)?;
        for range in ranges {
            self.tally.verified += memory.verify(range).with_context(named)?;
        }
        Ok(())
    }

    /// Submits a batch on every channel, and only then waits for them and verifies.
    pub(crate) fn verified_together(
        &mut self,
        channels: &[Channel],
        fill: impl Fn(&mut Memory, &mut Batch<'_>) -> anyhow::Result<Vec<Range>>,
    ) -> anyhow::Result<()> {
        let mut under_way = Vec::new();
        for channel in channels {
            let named = || format!("channel {}: submitting", channel.index());
            let mut batch = channel.batch();
            let ranges = fill(memory(&mut self.memories, channel)?, &mut batch)?;
            self.tally.asked += 1;
            under_way.push((channel, batch.submit().with_context(named)?, ranges));
        }
        for (channel, submission, ranges) in under_way {
            let named = || format!("channel {}: a batch beside the other channels'", channel.index());
            submission.wait(self.timeout).with_context(named)?;
            for range in ranges {
                self.tally.verified +=
                    memory(&mut self.memories, channel)?.verify(range).with_context(named)?;
            }
        }
        Ok(())
    }

    /// True as soon as `holds`, which follows a completion by moments; false after the time limit.
    pub(crate) fn soon(&self, holds: impl Fn(&Self) -> bool) -> bool {
        self.within(self.timeout, holds)
    }

    fn within(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let pause = ioat_stage::ThreadPause::new();
        let until = deadline(&pause, limit);
        while !holds(self) {
            if ioat_stage::Pause::now_ns(&pause) >= until {
                return false;
            }
            ioat_stage::Pause::sleep(&pause, Duration::from_micros(200));
        }
        true
    }

    /// How many interrupts were lost. One that was only late was given up too early, and comes after all: it is
    /// waited for, so that it is not taken for one of the next step's.
    fn lost(&self, before: u64) -> u64 {
        let Tally { asked, found, .. } = self.tally;
        let missing = |rig: &Self| asked.saturating_sub(rig.interrupts() - before);
        if found > 0 {
            self.within(LATE, |rig| missing(rig) == 0);
        }
        missing(self).min(found)
    }

    fn interrupts(&self) -> u64 {
        self.driver.messages().iter().map(|message| message.interrupts).sum()
    }

    /// All memory holds what it must, also where nothing was to happen.
    fn untouched(&self) -> anyhow::Result<()> {
        let wrong = |(index, memory): (usize, &Memory)| {
            memory.verify_all().with_context(|| format!("channel {index}: all of its memory, after the step"))
        };
        self.memories.iter().enumerate().try_for_each(wrong)
    }

    /// After an error: what it was, in words, and whether the channels work.
    fn afterwards(&mut self, error: &anyhow::Error) -> (String, bool) {
        let restored: anyhow::Result<()> = self.memories.iter().try_for_each(Memory::restore);
        if typed(error).is_none() {
            return match restored {
                Ok(()) => (format!("{error:#}"), true),
                Err(restoring) => (format!("{error:#}; {restoring:#}"), false),
            };
        }
        let again = restored.and_then(|()| self.works());
        match again {
            Ok(()) => (format!("error, recovered: {error:#}"), true),
            Err(again) => (format!("error, not recovered: {error:#}; then: {again:#}"), false),
        }
    }

    /// Every channel copies; on the channel of the step where it had one, so that it is that channel which is judged.
    fn works(&mut self) -> anyhow::Result<()> {
        while self.channels.len() < self.memories.len() {
            let channel = self.driver.channel(ChannelOptions::default()).context("taking a channel")?;
            self.channels.push(channel);
        }
        self.channels.clone().iter().try_for_each(|channel| self.copies(channel, 1))
    }

    /// Plain copies of a page each, verified.
    pub(crate) fn copies(&mut self, channel: &Channel, count: usize) -> anyhow::Result<()> {
        let copies = |memory: &mut Memory, batch: &mut Batch<'_>| {
            let place = |index: usize| index * (4096 + GUARD);
            (0..count).map(|index| memory.copy(batch, place(index), GUARD + place(index), 4096)).collect()
        };
        let what = if count == 1 { "a copy".to_owned() } else { format!("{count} copies") };
        self.verified(channel, || format!("{what} of {}", sizes::show(4096)), copies)
    }

    fn release(&mut self) {
        for channel in self.channels.drain(..) {
            let stats = channel.stats();
            self.tally.descriptors += stats.descriptors;
            self.tally.found += stats.lost_interrupts_recovered;
        }
    }
}

/// The engine's own error in the chain, if it is one.
fn typed(error: &anyhow::Error) -> Option<&Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn memory<'a>(memories: &'a mut [Memory], channel: &Channel) -> anyhow::Result<&'a mut Memory> {
    let index = usize::try_from(channel.index()).unwrap_or(usize::MAX);
    memories.get_mut(index).with_context(|| format!("channel {index} is beyond CHANCNT"))
}
