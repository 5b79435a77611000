//! A client task: batches through the driver's own client API, every byte of them judged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::Pause;
use netdma::client::{Channel, Driver, Error, Submission};
use netdma::contract::ChannelError;

use super::memory::{Effect, Shadow, Target, Write};
use super::pause::SimPause;
use super::random::Random;
use super::scenario::{Client, Scenario};
use super::tally::Tally;
use super::world::{self, Wrong};

/// A pause in which others go on: long for a simulation's tasks, short for its time limits.
const BREATH: Duration = Duration::from_micros(5);
/// How often a refused submission is tried again while another task has suspended the channel.
const PATIENCE: u32 = 1000;

/// One client task.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) scenario: Arc<Scenario>,
    /// Which of the scenario's kinds.
    pub(super) kind: usize,
    pub(super) driver: Driver,
    pub(super) channel: Channel,
    pub(super) number: usize,
    pub(super) random: Random,
    pub(super) tally: Tally,
}

/// A submission under way.
struct Open {
    number: u64,
    writes: Vec<Write>,
    descriptors: u64,
    /// None: nobody waits for it.
    submission: Option<Submission>,
}

/// One descriptor of a plan.
struct Step {
    /// Where a copy begins in the source.
    from: usize,
    /// What it writes; none for a NULL.
    write: Option<Write>,
    fence: bool,
}

/// A worker with its buffers.
struct Working {
    worker: Worker,
    source: Shadow,
    target: Target,
    open: VecDeque<Open>,
}

impl Worker {
    fn kind(&self) -> &Client {
        &self.scenario.client[self.kind]
    }

    fn places(&self) -> usize {
        // One submission more than stay open is being built.
        self.kind().batch.most() * (self.kind().in_flight.count() + 1)
    }

    fn source(&mut self) -> Result<Shadow, Error> {
        let buffer = self.driver.allocate(2 * self.kind().bytes.most())?;
        let name = format!("{}'s source", self.name);
        Ok(Shadow::new(buffer, name, &mut self.random))
    }

    fn target(&mut self) -> Result<Target, Error> {
        let (places, bytes) = (self.places(), self.kind().bytes.most());
        let buffer = self.driver.allocate(Target::size(places, bytes))?;
        let name = format!("{}'s target", self.name);
        Ok(Target::new(Shadow::new(buffer, name, &mut self.random), places, bytes))
    }

    /// The task.
    pub(super) fn run(mut self) {
        let buffers = self.source().and_then(|source| Ok((source, self.target()?)));
        match buffers {
            Ok((source, target)) => {
                Working { worker: self, source, target, open: VecDeque::new() }.run();
            }
            Err(error) => self.tally.failed(&self.scenario, &self.name, &error),
        }
    }
}

impl Working {
    fn run(mut self) {
        let kind = self.worker.kind().clone();
        for number in 0..kind.batches.get() {
            if kind.gap_us.get() > 0 {
                SimPause.sleep(Duration::from_micros(self.worker.random.within(&(0..=kind.gap_us.get()))));
            }
            if self.worker.random.percent(kind.renew.get()) {
                self.renew();
            }
            while self.open.len() >= kind.in_flight.count() {
                self.finish_one();
            }
            self.submit(&kind, number);
            self.disturb(&kind);
        }
        self.drain();
        self.target.shadow.verify_all("at the end");
        self.source.verify_all("at the end");
    }

    /// Plans a batch and gives it to the channel.
    fn submit(&mut self, kind: &Client, number: u64) {
        let count = self.worker.random.within(&kind.batch.0);
        let steps: Vec<_> = (0..count).map(|_| self.plan(kind)).collect();
        SimPause.point();
        let outcome = self.give(&steps);
        let descriptors = steps.len() as u64;
        let writes = steps.into_iter().filter_map(|step| step.write).collect::<Vec<_>>();
        match outcome {
            Ok(submission) => {
                let (channel, forget) = (self.worker.number, self.worker.random.percent(kind.forget.get()));
                self.worker.tally.note(|counts| *counts.submitted.entry(channel).or_default() += descriptors);
                let submission = (!forget).then_some(submission);
                self.open.push_back(Open { number, writes, descriptors, submission });
            }
            Err(error) => {
                let who = format!("{}: batch {number}, refused", self.worker.name);
                self.worker.tally.failed(&self.worker.scenario, &who, &error);
                self.put_back(&writes, "after a refused submission");
            }
        }
    }

    /// One descriptor.
    fn plan(&mut self, kind: &Client) -> Step {
        let random = &mut self.worker.random;
        let (copy, fill) = (kind.copy.get(), kind.fill.get());
        let choice = random.below(copy + fill + kind.null.get());
        let fence = random.percent(kind.fence.get());
        if choice >= copy + fill {
            return Step { from: 0, write: None, fence };
        }
        let len = usize::try_from(random.within(&kind.bytes.0)).unwrap_or(1);
        let place = self.target.take(random, choice >= copy);
        let Some((place, at)) = place else { unreachable!("there are places for all that may be open") };
        let from = random.index(self.source.buffer().len() - len + 1);
        let effect = match choice < copy {
            true => Effect::Copy(self.source.bytes(from, len).to_vec()),
            false => Effect::Fill(random.bits()),
        };
        Step { from, write: Some(Write { place, at, len, effect }), fence }
    }

    /// Submits. A channel that another task has suspended refuses; then this is tried again.
    fn give(&self, steps: &[Step]) -> Result<Submission, Error> {
        for _ in 0..PATIENCE {
            let mut batch = self.worker.channel.batch();
            for step in steps {
                let (source, target) = (self.source.buffer(), self.target.shadow.buffer());
                match &step.write {
                    None => batch.null(),
                    Some(Write { at, len, effect: Effect::Copy(_), .. }) => {
                        batch.copy(source, step.from, target, *at, *len)?
                    }
                    Some(Write { at, len, effect: Effect::Fill(pattern), .. }) => {
                        batch.fill(target, *at, *len, *pattern)?
                    }
                };
                if step.fence {
                    batch.fence();
                }
            }
            match batch.submit() {
                Err(Error::Channel(ChannelError::Refused(_))) => SimPause.sleep(BREATH),
                other => return other,
            }
        }
        world::find(Wrong::Pending, format!("{}: the channel stays suspended", self.worker.name));
        Err(Error::Aborted)
    }

    /// Waits for one of those that are open, and settles what is known then.
    fn finish_one(&mut self) {
        let kind = self.worker.kind();
        let (poll, timeout) = (kind.poll.get(), Duration::from_millis(kind.timeout_ms.get()));
        let waited: Vec<_> = (0..self.open.len()).filter(|n| self.open[*n].submission.is_some()).collect();
        let Some(&chosen) = waited.get(self.worker.random.index(waited.len())) else {
            return self.barrier();
        };
        let Some(submission) = &self.open[chosen].submission else { return };
        let outcome = if self.worker.random.percent(poll) {
            let until = SimPause.now_ns() + u64::try_from(timeout.as_nanos()).unwrap_or(0);
            loop {
                match submission.try_poll() {
                    Some(outcome) => break outcome,
                    None if SimPause.now_ns() >= until => break submission.wait(timeout),
                    None => SimPause.sleep(BREATH),
                }
            }
        } else {
            submission.wait(timeout)
        };
        // Whoever is told of one is told of all before it.
        if outcome.is_ok() {
            for earlier in self.open.iter().take(chosen) {
                if earlier.submission.as_ref().is_some_and(|submission| submission.try_poll().is_none()) {
                    let (name, first, second) = (&self.worker.name, self.open[chosen].number, earlier.number);
                    world::find(
                        Wrong::Order,
                        format!("{name}: batch {first} is done, batch {second} is not"),
                    );
                }
            }
        }
        let again = submission.try_poll();
        if again.as_ref().is_none_or(|again| again.is_ok() != outcome.is_ok()) {
            let (name, number) = (&self.worker.name, self.open[chosen].number);
            world::find(
                Wrong::Completion,
                format!("{name}: batch {number} was {outcome:?}, and is {again:?} now"),
            );
        }
        if let Some(open) = self.open.remove(chosen) {
            self.settle(open, outcome);
        }
    }

    /// Nobody waits for what is open: a NULL behind it tells when it is over.
    fn barrier(&mut self) {
        let outcome = self.give(&[Step { from: 0, write: None, fence: false }]).and_then(|submission| {
            let number = self.worker.number;
            self.worker.tally.note(|counts| *counts.submitted.entry(number).or_default() += 1);
            submission.wait(Duration::from_millis(self.worker.kind().timeout_ms.get()))
        });
        if outcome.is_ok() {
            let number = self.worker.number;
            self.worker.tally.note(|counts| *counts.completed.entry(number).or_default() += 1);
        } else if let Err(error) = &outcome {
            self.worker.tally.failed(&self.worker.scenario, &self.worker.name, error);
        }
        for open in std::mem::take(&mut self.open) {
            // A failure of the NULL is one of the channel: what was before it may have failed with it.
            self.settle(open, outcome.clone());
        }
    }

    /// What is known of a submission is what memory must show.
    fn settle(&mut self, open: Open, outcome: Result<(), Error>) {
        let Open { number, writes, descriptors, submission } = open;
        let when = format!("batch {number}");
        // Nobody was told how a forgotten one ended, and where channels are stopped it may have failed.
        let unsure = submission.is_none() && self.may_fail();
        match outcome {
            Ok(()) if !unsure => {
                for write in &writes {
                    self.target.done(write, &when);
                }
                let channel = self.worker.number;
                self.worker.tally.note(|counts| *counts.completed.entry(channel).or_default() += descriptors);
            }
            Ok(()) => self.put_back(&writes, &when),
            Err(error) => {
                if submission.is_some() {
                    let who = format!("{}: batch {number}", self.worker.name);
                    self.worker.tally.failed(&self.worker.scenario, &who, &error);
                }
                self.put_back(&writes, &when);
            }
        }
    }

    fn may_fail(&self) -> bool {
        let stops = |client: &Client| client.abort.get() + client.reset.get() > 0;
        self.worker.tally.trial
            || self.worker.scenario.client.iter().any(stops)
            || !self.worker.scenario.expect.errors.is_empty()
    }

    fn put_back(&mut self, writes: &[Write], when: &str) {
        for write in writes {
            self.target.failed(write, when);
        }
    }

    fn drain(&mut self) {
        while !self.open.is_empty() {
            self.finish_one();
        }
    }

    /// Frees a buffer, under way or not, and takes another.
    fn renew(&mut self) {
        let renewed = if self.worker.random.percent(50) {
            // The driver keeps it as long as the engine reads it; the unmap comes in the middle of other work.
            self.source.verify_all("before it is freed");
            self.worker.source().map(|source| self.source = source)
        } else {
            self.drain();
            self.target.shadow.verify_all("before it is freed");
            self.worker.target().map(|target| self.target = target)
        };
        if let Err(error) = renewed {
            self.worker.tally.failed(&self.worker.scenario, &self.worker.name, &error);
        }
    }

    /// Stops the channel now and then, with work under way.
    fn disturb(&mut self, kind: &Client) {
        let random = &mut self.worker.random;
        let channel = &self.worker.channel;
        let (suspend, abort) = (random.percent(kind.suspend.get()), random.percent(kind.abort.get()));
        let reset = random.percent(kind.reset.get());
        if suspend {
            let suspended = channel.suspend();
            let stopped = suspended.is_ok();
            self.told(suspended);
            if stopped {
                SimPause.sleep(BREATH);
                let resumed = self.worker.channel.resume();
                self.told(resumed);
            }
        }
        if abort {
            let aborted = self.worker.channel.abort();
            self.told(aborted);
        }
        if reset {
            let reset = self.worker.channel.reset();
            self.told(reset);
        }
    }

    /// A command that the state of the channel forbids is refused, and that is right: another task came first.
    fn told(&self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) | Err(Error::Channel(ChannelError::Refused(_))) => {}
            Err(error) => self.worker.tally.failed(&self.worker.scenario, &self.worker.name, &error),
        }
    }
}
