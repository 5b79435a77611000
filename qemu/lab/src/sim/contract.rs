//! A client of the contract itself: Start, Append, Suspend, Resume, Abort and Reset, with the oracle in NetDMA's place.
//!
//! Each task has a channel of its own. Its [`Ledger`] is the contract's client: every report must name the next
//! descriptors in chain order, once, by the address that their slot has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ioat_spec::descriptor::DESCRIPTOR_SIZE;
use ioat_spec::{Control, Opcode};
use ioat_stage::{Bell, FaultBook, Pause, Side, Task, Wake};
use netdma::client::Error;
use netdma::contract::{
    Chain, ChannelError, ChannelRequest, ChannelState, Completed, CompletionLocation, ControlFlags, CpuSet32,
    DescriptorAddr, DmaLocation, NetDmaChannel, NetDmaClient, NetDmaInterface,
};
use netdma::hw::{Device, DmaBuffer};
use netdma::ioat::IoatProvider;
use netdma::irql::{AtDispatch, AtPassive};
use netdma::ndis::{Processors, ProcessorsOptions, ndis_m_register_interrupt_ex};

use super::judge;
use super::memory::{Effect, Shadow, Target, Write};
use super::pause::{SimPause, Sink};
use super::random::Random;
use super::scenario::{Api, Client, Scenario};
use super::tally::Tally;
use super::world::{self, Wrong};

/// As in [`super::client`].
const BREATH: Duration = Duration::from_micros(5);
/// Between the slots and the completion word.
const GAP: usize = 4096;

/// What the contract has told so far.
#[derive(Default)]
struct Told {
    /// The addresses of what was submitted, by number.
    addresses: BTreeMap<u64, u64>,
    /// Everything up to here was reported, or never will be.
    reported: u64,
    /// Descriptors reported.
    completed: u64,
    attention: bool,
}

impl Told {
    /// Takes a report; says what is wrong with it.
    fn report(&mut self, completed: Completed) -> Option<(Wrong, String)> {
        let Completed { last, sequence, count } = completed;
        let (before, address) = (self.reported, self.addresses.get(&sequence).copied());
        self.reported = before.max(sequence);
        self.completed += count;
        if sequence <= before {
            return Some((
                Wrong::Completion,
                format!("number {sequence} is reported again, or after it was given up"),
            ));
        }
        if count == 0 || sequence - count != before {
            return Some((Wrong::Order, format!("{count} up to {sequence} reported after {before}")));
        }
        let text = || format!("number {sequence} reported at {last:?}, it was submitted at {address:x?}");
        (address != Some(last.get())).then(|| (Wrong::Completion, text()))
    }
}

/// The contract's client, which judges what it is told.
struct Ledger {
    name: String,
    told: Mutex<Told>,
    bell: Bell,
}

impl Ledger {
    fn note<R>(&self, change: impl FnOnce(&mut Told) -> R) -> R {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl NetDmaClient for Ledger {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        let wrong = self.note(|told| told.report(completed));
        if let Some((wrong, text)) = wrong {
            world::find(wrong, format!("{}: {text}", self.name));
        }
        SimPause.ring(&self.bell);
    }

    fn attention(&self, _: &AtDispatch) {
        self.note(|told| told.attention = true);
        SimPause.ring(&self.bell);
    }
}

/// Interface, provider and interrupt, in the order of the contract; then the tasks; then all of it back.
pub(super) fn run(
    scenario: &Arc<Scenario>,
    seed: u64,
    device: &Device,
    faults: &Arc<FaultBook>,
    tally: &Tally,
) {
    if let Err(error) = tried(scenario, seed, device, faults, tally) {
        world::find(Wrong::Outcome, format!("opening the engine: {error}"));
    }
}

fn tried(
    scenario: &Arc<Scenario>,
    seed: u64,
    device: &Device,
    faults: &Arc<FaultBook>,
    tally: &Tally,
) -> anyhow::Result<()> {
    let Some(level) = AtPassive::claim() else { unreachable!("the first task is at PASSIVE_LEVEL") };
    let count = u32::try_from(scenario.driver.processors.get())?;
    let interface = NetDmaInterface::new(Arc::new(SimPause), count);
    let provider = IoatProvider::new(device, interface.clone())?;
    let options = ProcessorsOptions { faults: Some(faults.clone()), ..ProcessorsOptions::default() };
    let processors =
        Processors::start_with(count, options, Arc::new(SimPause), Arc::new(Sink(Side::Driver)))?;
    let registered = interface.register_provider(provider.clone(), provider.characteristics(), &level)?;
    let build = |handle| provider.interrupt_characteristics(handle);
    let interrupt = ndis_m_register_interrupt_ex(&processors, device.interrupts.clone(), build, &level)?;
    let started = match registered.start(provider.attributes(), &level) {
        Ok(started) => started,
        Err((_, error)) => return Err(error.into()),
    };
    let mut tasks = Vec::new();
    let mut stream = 1 << 16;
    for (kind, client) in scenario.client.iter().enumerate().filter(|(_, client)| client.api == Api::Contract)
    {
        for task in 0..client.tasks.count() {
            stream += 1;
            let name = format!("contract-{kind}-{task}");
            let random = Random::new(seed, stream);
            let worker =
                Worker::new(name.clone(), scenario, kind, device, &interface, random, tally.clone())?;
            tasks.push(SimPause.spawn(Task { name, cpu: None }, Box::new(move || worker.run()))?);
        }
    }
    for task in tasks {
        // A panic is a finding already.
        let _ = task.join();
    }
    SimPause.sleep(super::run::SETTLE);
    let fired = faults.fired();
    for (wrong, text) in world::look(|events| judge::dpcs(events, &fired)) {
        world::find(wrong, text);
    }
    started.stop(&level).deregister(&level);
    interrupt.deregister(&level);
    Ok(())
}

/// A submission that was not reported yet.
struct Open {
    last: u64,
    writes: Vec<Write>,
}

struct Worker {
    name: String,
    scenario: Arc<Scenario>,
    kind: Client,
    channel: NetDmaChannel,
    ledger: Arc<Ledger>,
    ring: Arc<DmaBuffer>,
    slots: usize,
    tail: usize,
    submitted: u64,
    open: VecDeque<Open>,
    source: Shadow,
    target: Target,
    random: Random,
    tally: Tally,
}

impl Worker {
    fn new(
        name: String,
        scenario: &Arc<Scenario>,
        kind: usize,
        device: &Device,
        interface: &Arc<NetDmaInterface>,
        mut random: Random,
        tally: Tally,
    ) -> anyhow::Result<Self> {
        let Some(level) = AtPassive::claim() else { unreachable!("the first task is at PASSIVE_LEVEL") };
        let kind = scenario.client[kind].clone();
        let slots = scenario.driver.ring_slots.count();
        let word = (slots * DESCRIPTOR_SIZE).next_multiple_of(GAP) + GAP;
        let ring = Arc::new(device.memory.allocate(word + GAP)?);
        let ledger = Arc::new(Ledger { name: name.clone(), told: Mutex::default(), bell: Bell::new() });
        let request = ChannelRequest {
            completion: CompletionLocation::new(ring.clone(), word)?,
            processors: CpuSet32(u32::MAX),
            group: None,
            priority: 0,
            max_outstanding: slots - 1,
            anchor: None,
        };
        let providers = interface.providers();
        let Some((id, ..)) = providers.first() else { unreachable!("the provider was started above") };
        let channel = interface.allocate_channel(*id, request, ledger.clone(), &level)?;
        let bytes = kind.bytes.most();
        let source = Arc::new(device.memory.allocate(2 * bytes)?);
        let source = Shadow::new(source, format!("{name}'s source"), &mut random);
        // A chain of which a part was reported has slots to spare, and keeps its places until all of it is.
        let places = 2 * slots;
        let target = Arc::new(device.memory.allocate(Target::size(places, bytes))?);
        let target = Target::new(Shadow::new(target, format!("{name}'s target"), &mut random), places, bytes);
        Ok(Self {
            name,
            scenario: scenario.clone(),
            kind,
            channel,
            ledger,
            ring,
            slots,
            tail: 0,
            submitted: 0,
            open: VecDeque::new(),
            source,
            target,
            random,
            tally,
        })
    }

    fn run(mut self) {
        let Some(level) = AtPassive::claim() else { unreachable!("a task begins at PASSIVE_LEVEL") };
        let kind = self.kind.clone();
        for _ in 0..kind.batches.get() {
            let count = self.random.within(&kind.batch.0);
            if self.wait(usize::try_from(count).unwrap_or(1), &level) {
                self.submit(count, &level);
            }
            self.disturb(&kind, &level);
        }
        self.wait(self.slots - 1, &level);
        let completed = self.ledger.note(|told| told.completed);
        let counts = self.channel.counts();
        if (counts.completed, counts.submitted) != (completed, self.submitted) {
            let text = format!("{counts:?}, but {} were submitted and {completed} reported", self.submitted);
            world::find(Wrong::Completion, format!("{}: {text}", self.name));
        }
        if let Err(error) = self.channel.free(&level) {
            world::find(Wrong::Resource, format!("{}: freeing the channel: {error}", self.name));
        }
        self.target.shadow.verify_all("at the end");
        self.source.verify_all("at the end");
    }

    /// Waits for room. False if it does not come.
    fn wait(&mut self, room: usize, level: &AtPassive) -> bool {
        let until = SimPause.now_ns() + self.kind.timeout_ms.get() * 1_000_000;
        loop {
            let seen = self.ledger.bell.seen();
            if self.ledger.note(|told| std::mem::take(&mut told.attention)) {
                self.lost("the provider called for attention", level);
            }
            self.settle();
            let outstanding =
                usize::try_from(self.submitted - self.ledger.note(|told| told.reported)).unwrap_or(0);
            if self.slots - 1 - outstanding >= room {
                return true;
            }
            if SimPause.wait(&self.ledger.bell, seen, Some(until)) == Wake::TimedOut {
                let text = format!("{}: {outstanding} descriptors are not reported in time", self.name);
                world::find(Wrong::LostInterrupt, text);
                self.lost("nothing is reported", level);
                return false;
            }
        }
    }

    /// Memory of what was reported must be as computed.
    fn settle(&mut self) {
        let reported = self.ledger.note(|told| told.reported);
        while self.open.front().is_some_and(|open| open.last <= reported) {
            let Some(Open { last, writes }) = self.open.pop_front() else { break };
            for write in &writes {
                self.target.done(write, &format!("up to number {last}"));
            }
        }
    }

    fn submit(&mut self, count: u64, level: &AtPassive) {
        let writes = (0..count).filter_map(|index| self.describe(index + 1 == count)).collect();
        let first = usize::try_from(count).unwrap_or(1);
        let slot = |index: usize| (self.tail + self.slots - first + index) % self.slots;
        let address = |slot: usize| self.ring.iova() + (slot * DESCRIPTOR_SIZE) as u64;
        let addresses: Vec<_> =
            (0..first).filter_map(|index| DescriptorAddr::new(address(slot(index)))).collect();
        let location =
            DmaLocation::new(self.ring.clone(), slot(0) * DESCRIPTOR_SIZE, DESCRIPTOR_SIZE, DESCRIPTOR_SIZE);
        let Ok(location) = location else { unreachable!("slots are inside the ring, and aligned") };
        self.ledger.note(|told| {
            let numbered = (self.submitted + 1..).zip(addresses.iter().map(|address| address.get()));
            told.addresses.extend(numbered);
        });
        let chain = Chain { first: location, descriptors: &addresses };
        SimPause.point();
        let outcome = match self.channel.state() {
            ChannelState::Running => self.channel.append(&chain, level),
            _ => self.channel.start(&chain, level),
        };
        match outcome {
            Ok(submitted) => {
                self.submitted += count;
                if submitted.last_sequence != self.submitted {
                    let text = format!("{}: {submitted:?}, expected {}", self.name, self.submitted);
                    world::find(Wrong::Completion, text);
                }
                self.open.push_back(Open { last: self.submitted, writes });
            }
            Err(error) => {
                self.tally.failed(&self.scenario, &self.name, &Error::Channel(error));
                self.put_back(&writes);
                self.lost("a refused chain", level);
            }
        }
    }

    /// Writes one descriptor at the tail, which moves on.
    fn describe(&mut self, last: bool) -> Option<Write> {
        let random = &mut self.random;
        let (copy, fill) = (self.kind.copy.get(), self.kind.fill.get());
        let choice = random.below(copy + fill + self.kind.null.get());
        let mut control = ControlFlags(0);
        // Words and interrupts in the middle too: reports of parts.
        if last || random.percent(10) {
            control = control.with(ControlFlags::STATUS_UPDATE_ON_COMPLETION);
        }
        if last || random.percent(10) {
            control = control
                .with(ControlFlags::INTERRUPT_ON_COMPLETION)
                .with(ControlFlags::STATUS_UPDATE_ON_COMPLETION);
        }
        let next = self.ring.iova() + ((self.tail + 1) % self.slots * DESCRIPTOR_SIZE) as u64;
        let mut descriptor = netdma::contract::NetDmaDescriptor { size: 1, next, ..Default::default() };
        let mut write = None;
        if choice >= copy + fill {
            control = control.with(ControlFlags::NULL_TRANSFER);
        } else {
            let len = usize::try_from(random.within(&self.kind.bytes.0)).unwrap_or(1);
            let place = self.target.take(random, choice >= copy);
            let Some((place, at)) = place else { unreachable!("there is a place for every slot") };
            descriptor.size = u32::try_from(len).unwrap_or(1);
            descriptor.destination = self.target.shadow.buffer().iova() + at as u64;
            let from = random.index(self.source.buffer().len() - len + 1);
            let effect = if choice < copy {
                descriptor.source = self.source.buffer().iova() + from as u64;
                Effect::Copy(self.source.bytes(from, len).to_vec())
            } else {
                descriptor.source = random.bits();
                control =
                    control.with(ControlFlags(Control::new().with_opcode(Opcode::Fill as u8).into_bits()));
                Effect::Fill(descriptor.source)
            };
            write = Some(Write { place, at, len, effect });
        }
        descriptor.control = control.0;
        let bytes = zerocopy::IntoBytes::as_bytes(&descriptor);
        if let Err(error) = self.ring.write(self.tail * DESCRIPTOR_SIZE, bytes) {
            unreachable!("slots are inside the ring: {error}");
        }
        self.tail = (self.tail + 1) % self.slots;
        write
    }

    fn disturb(&mut self, kind: &Client, level: &AtPassive) {
        let [suspend, abort, reset] =
            [&kind.suspend, &kind.abort, &kind.reset].map(|percent| self.random.percent(percent.get()));
        if suspend {
            self.suspend(level);
        }
        if abort {
            let outcome = self.channel.abort(level);
            self.stopped(outcome);
        }
        if reset {
            let outcome = self.channel.reset(level);
            self.stopped(outcome);
        }
    }

    fn suspend(&mut self, level: &AtPassive) {
        match self.channel.suspend(level) {
            Err(ChannelError::Refused(_)) => return,
            Err(error) => return self.tally.failed(&self.scenario, &self.name, &Error::Channel(error)),
            Ok(last) => {
                // The one processed last is one of those submitted, and nothing before what was reported.
                let known = last.is_none_or(|last| {
                    self.ledger.note(|told| told.addresses.values().any(|address| *address == last.get()))
                });
                if !known {
                    world::find(
                        Wrong::Completion,
                        format!("{}: suspended at {last:?}, never submitted", self.name),
                    );
                }
            }
        }
        SimPause.sleep(BREATH);
        if self.channel.state() != ChannelState::Suspended {
            world::find(Wrong::Outcome, format!("{}: suspended, but {:?}", self.name, self.channel.state()));
        }
        if let Err(error) = self.channel.resume(level) {
            self.tally.failed(&self.scenario, &self.name, &Error::Channel(error));
        }
    }

    /// After Abort and Reset nothing is reported any more (ND-P12, ND-P13).
    fn stopped(&mut self, outcome: Result<(), ChannelError>) {
        if let Err(error) = outcome {
            if !matches!(error, ChannelError::Refused(_)) {
                self.tally.failed(&self.scenario, &self.name, &Error::Channel(error));
            }
            return;
        }
        self.settle();
        let forgotten = std::mem::take(&mut self.open);
        self.ledger.note(|told| told.reported = self.submitted);
        for open in forgotten {
            self.put_back(&open.writes);
        }
    }

    fn lost(&mut self, why: &str, level: &AtPassive) {
        let outcome = self.channel.reset(level);
        if let Err(error) = &outcome {
            world::find(Wrong::Pending, format!("{}: {why}, and the reset failed: {error}", self.name));
        }
        self.stopped(outcome);
    }

    fn put_back(&mut self, writes: &[Write]) {
        for write in writes {
            self.target.failed(write, "after it was stopped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(told: &mut Told, address: u64, sequence: u64, count: u64) -> Option<Wrong> {
        let last = DescriptorAddr::new(address).unwrap();
        told.report(Completed { last, sequence, count }).map(|(wrong, _)| wrong)
    }

    #[test]
    fn each_rule_of_reports_can_be_broken() {
        let mut told =
            Told { addresses: (1..=9).map(|number| (number, number * 64)).collect(), ..Told::default() };
        assert_eq!(report(&mut told, 128, 2, 2), None);
        assert_eq!(report(&mut told, 128, 2, 1), Some(Wrong::Completion), "twice");
        assert_eq!(report(&mut told, 4 * 64, 4, 1), Some(Wrong::Order), "the third was left out");
        assert_eq!(report(&mut told, 640, 5, 1), Some(Wrong::Completion), "where the tenth lies");
        assert_eq!(report(&mut told, 640, 10, 5), Some(Wrong::Completion), "never submitted");
    }
}
