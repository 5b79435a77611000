//! A task: batches on one channel, every byte of them judged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netdma::client::{Channel, Driver, Error, Submission};
use netdma::contract::ChannelError;

use super::facts::{Found, Kind};
use super::oracle::{Shadow, Target, Write};
use super::workload::Workload;
use crate::cli::data::Data;

/// Between two looks of a wait that polls, and while another task has the channel suspended.
const BREATH: Duration = Duration::from_micros(50);
/// How often a refused submission is tried again.
const PATIENCE: u32 = 20_000;
/// A task whose batches fail one after the other ends: more of the same tells nothing more.
const FAILURES: u32 = 4;

/// One task.
pub(crate) struct Task {
    pub(crate) number: usize,
    pub(crate) driver: Driver,
    pub(crate) channel: Channel,
    pub(crate) workload: Arc<Workload>,
    pub(crate) found: Found,
}

/// What a task leaves: its memory, in which nothing may change any more, and what it was told.
pub(crate) struct Left {
    pub(crate) channel: u64,
    pub(crate) source: Shadow,
    pub(crate) target: Target,
    /// Operations of submissions that ended well.
    pub(crate) told: u64,
    /// Every submission was taken and ended well.
    pub(crate) clean: bool,
}

/// A submission under way.
struct Open {
    number: u32,
    /// For each operation what it writes; none for a NULL.
    writes: Vec<Option<Write>>,
    submission: Submission,
}

/// One operation of a plan.
struct Step {
    from: From,
    write: Option<Write>,
    fence: bool,
}

/// Where an operation's bytes come from.
enum From {
    Nowhere,
    Pattern(u64),
    Source(usize),
    /// What an operation before it writes, with a fence between.
    Target(usize),
}

struct Working {
    task: Task,
    data: Data,
    left: Left,
    open: VecDeque<Open>,
    failures: u32,
}

impl Task {
    /// Runs it. None if there was no memory.
    pub(crate) fn run(self) -> Option<Left> {
        let number = self.number as u64 + 1;
        let mut data = Data::new(self.workload.seed ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
        let memory = self.memory(&mut data);
        match memory {
            Ok((source, target)) => {
                let left = Left { channel: self.channel.index(), source, target, told: 0, clean: true };
                Some(Working { task: self, data, left, open: VecDeque::new(), failures: 0 }.run())
            }
            Err(error) => {
                self.failed("allocating memory", &error);
                None
            }
        }
    }

    fn memory(&self, data: &mut Data) -> Result<(Shadow, Target), Error> {
        // One submission more than stay open is being built.
        let (batch, bytes) = (most(*self.workload.batch.end()), most(*self.workload.bytes.end()));
        let places = batch * (self.workload.in_flight as usize + 1);
        let name = format!("channel {}: target", self.channel.index());
        let target = Shadow::new(&self.driver, Target::size(places, bytes), name, data, &self.found)?;
        Ok((self.source(data)?, Target::new(target, places, bytes)))
    }

    fn source(&self, data: &mut Data) -> Result<Shadow, Error> {
        let name = format!("channel {}: source", self.channel.index());
        Shadow::new(&self.driver, 2 * most(*self.workload.bytes.end()), name, data, &self.found)
    }

    fn failed(&self, what: &str, error: &Error) {
        let kind = if matches!(error, Error::Aborted) { Kind::Aborted } else { Kind::Failure };
        self.found.note(kind, format!("channel {}: {what}: {error}", self.channel.index()));
    }
}

impl Working {
    fn run(mut self) -> Left {
        let workload = self.task.workload.clone();
        for number in 0..workload.batches {
            if self.chance(workload.percents.renew) {
                self.renew();
            }
            while self.open.len() >= workload.in_flight as usize {
                self.finish_one();
            }
            if self.failures >= FAILURES {
                break;
            }
            self.submit(number);
            self.disturb();
        }
        while !self.open.is_empty() {
            self.finish_one();
        }
        self.left.target.shadow.verify_all("after the last batch");
        self.left.source.verify_all("after the last batch");
        self.left
    }

    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.data.next() % 100 < percent
    }

    fn submit(&mut self, number: u32) {
        let count = self.between(&self.task.workload.batch.clone());
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..count {
            let step = self.plan(steps.last());
            steps.push(step);
        }
        let outcome = self.give(&steps);
        let writes = steps.into_iter().map(|step| step.write).collect();
        match outcome {
            Ok(submission) => self.open.push_back(Open { number, writes, submission }),
            Err(error) => {
                self.told_failed(&format!("batch {number}, refused"), &error);
                for write in writes.iter().flatten() {
                    self.left.target.failed(write, "after a refused submission");
                }
            }
        }
    }

    fn between(&mut self, span: &std::ops::RangeInclusive<u64>) -> usize {
        let width = most(span.end() - span.start()).saturating_add(1);
        most(*span.start()) + self.data.below(width)
    }

    /// One operation behind `last`.
    fn plan(&mut self, last: Option<&Step>) -> Step {
        let workload = self.task.workload.clone();
        let weights = workload.weights;
        let choice = self.data.below(most(weights.copy + weights.fill + weights.null)) as u64;
        let fence = self.chance(workload.percents.fence);
        if choice >= weights.copy + weights.fill {
            return Step { from: From::Nowhere, write: None, fence };
        }
        let len = self.between(&workload.bytes);
        let before = last.filter(|last| last.fence).and_then(|last| last.write.as_ref());
        let (from, bytes) = match before.filter(|write| choice < weights.copy && write.bytes.len() >= len) {
            // Behind a fence the engine must see what it wrote itself.
            Some(write) => (From::Target(write.at), write.bytes[..len].to_vec()),
            None if choice < weights.copy => {
                let at = self.data.below(self.left.source.buffer().len() - len + 1);
                (From::Source(at), self.left.source.bytes(at, len).to_vec())
            }
            None => {
                let pattern = self.data.next();
                let bytes = pattern.to_le_bytes().into_iter().cycle().take(len).collect();
                (From::Pattern(pattern), bytes)
            }
        };
        let Some(write) = self.left.target.take(&mut self.data, bytes) else {
            unreachable!("there are places for all that may be open")
        };
        Step { from, write: Some(write), fence }
    }

    /// Submits. A channel that another task has suspended refuses; then this is tried again.
    fn give(&self, steps: &[Step]) -> Result<Submission, Error> {
        let (source, target) = (self.left.source.buffer(), self.left.target.shadow.buffer());
        for _ in 0..PATIENCE {
            let mut batch = self.task.channel.batch();
            for Step { from, write, fence } in steps {
                let (at, len) = write.as_ref().map_or((0, 0), |write| (write.at, write.bytes.len()));
                match from {
                    From::Nowhere => batch.null(),
                    From::Pattern(pattern) => batch.fill(target, at, len, *pattern)?,
                    From::Source(from) => batch.copy(source, *from, target, at, len)?,
                    From::Target(from) => batch.copy(target, *from, target, at, len)?,
                };
                if *fence {
                    batch.fence();
                }
            }
            match batch.submit() {
                Err(Error::Channel(ChannelError::Refused(_))) => std::thread::sleep(BREATH),
                other => return other,
            }
        }
        self.task
            .found
            .note(Kind::Hang, format!("channel {}: it stays suspended", self.task.channel.index()));
        Err(Error::Aborted)
    }

    /// Waits for one of those that are open, and settles what is known then.
    fn finish_one(&mut self) {
        let polls = self.chance(self.task.workload.percents.poll);
        let chosen = self.data.below(self.open.len());
        let timeout = Duration::from_millis(self.task.workload.timeout_ms);
        let Some(Open { number, submission, .. }) = self.open.get(chosen) else { return };
        let (number, channel) = (*number, self.left.channel);
        let outcome = if polls { polled(submission, timeout) } else { submission.wait(timeout) };
        // Whoever is told of one is told of all before it: the engine works in order.
        if outcome.is_ok() {
            for earlier in self.open.iter().take(chosen) {
                if earlier.submission.try_poll().is_none() {
                    let text =
                        format!("channel {channel}: batch {number} is done, batch {} is not", earlier.number);
                    self.task.found.note(Kind::Corruption, text);
                }
            }
        }
        let again = submission.try_poll();
        if again.as_ref().is_none_or(|again| again.is_ok() != outcome.is_ok()) {
            let text = format!("channel {channel}: batch {number} was {outcome:?}, and is {again:?} now");
            self.task.found.note(Kind::Corruption, text);
        }
        if let Some(open) = self.open.remove(chosen) {
            self.settle(open, outcome);
        }
    }

    /// What was told of a submission is what memory must show.
    fn settle(&mut self, open: Open, outcome: Result<(), Error>) {
        let Open { number, writes, submission } = open;
        let when = format!("batch {number}");
        let results = submission.results().unwrap_or_default();
        if let Err(error) = &outcome {
            self.told_failed(&when, error);
        } else {
            self.failures = 0;
            self.left.told += writes.len() as u64;
        }
        for (index, write) in writes.iter().enumerate() {
            let done = outcome.is_ok() || matches!(results.get(index), Some(Ok(())));
            match write {
                Some(write) if done => drop(self.left.target.done(write, &when)),
                Some(write) => self.left.target.failed(write, &when),
                None => {}
            }
        }
    }

    fn told_failed(&mut self, what: &str, error: &Error) {
        let percents = self.task.workload.percents;
        self.left.clean = false;
        // Where tasks abort and reset channels, that is how operations end.
        if percents.abort + percents.restart == 0 || !matches!(error, Error::Aborted) {
            self.failures += 1;
            self.task.failed(what, error);
        }
    }

    /// Gives the source back, under way or not, and takes another: the driver keeps it as long as the engine reads it.
    fn renew(&mut self) {
        self.left.source.verify_all("before it is given back");
        match self.task.source(&mut self.data) {
            Ok(source) => self.left.source = source,
            Err(error) => self.task.failed("allocating memory", &error),
        }
    }

    /// Stops the channel now and then, with work under way.
    fn disturb(&mut self) {
        let percents = self.task.workload.percents;
        let channel = self.task.channel.clone();
        if self.chance(percents.suspend) {
            let suspended = channel.suspend();
            let stopped = suspended.is_ok();
            self.commanded("suspend", suspended);
            if stopped {
                std::thread::sleep(BREATH);
                self.commanded("resume", channel.resume());
            }
        }
        if self.chance(percents.abort) {
            self.commanded("abort", channel.abort());
        }
        if self.chance(percents.restart) {
            self.commanded("reset", channel.reset());
        }
    }

    /// A command that the state of the channel forbids is refused, and that is right: another task came first.
    fn commanded(&self, what: &str, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) | Err(Error::Channel(ChannelError::Refused(_))) => {}
            Err(error) => self.task.failed(what, &error),
        }
    }
}

fn polled(submission: &Submission, timeout: Duration) -> Result<(), Error> {
    let until = Instant::now() + timeout;
    loop {
        match submission.try_poll() {
            Some(outcome) => return outcome,
            None if Instant::now() >= until => return submission.wait(Duration::ZERO),
            None => std::thread::sleep(BREATH),
        }
    }
}

fn most(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
