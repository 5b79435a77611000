//! The judges are judged: each part of the oracle finds a violation that is planted for it, and nothing without it.

use std::sync::Arc;

use ioat_stage::{Bell, Event, Mark, Pause, Side, Stage, Task};
use netdma::client::{ChannelOptions, Driver, Options};
use netdma::hw::sim::{Sim, SimOptions};

use super::judge;
use super::memory::{Effect, GUARD, Shadow, Target, Write};
use super::pause::{SimPause, Sink};
use super::random::Random;
use super::run::given_back;
use super::scenario::Scenario;
use super::schedule::Choices;
use super::tally::Counts;
use super::world::{self, Limits, Past, Stamped, Wrong};

const LIMITS: Limits = Limits { events: 10_000, switches: 100_000, time_ns: 10_000_000_000 };

/// Runs `main` as the first task of a world, and gives the kinds of what was found.
fn found(main: impl FnOnce() + Send + 'static) -> Vec<Wrong> {
    let Past { findings, .. } = world::run(1, Choices::Seed, LIMITS, main);
    findings.iter().map(|finding| finding.wrong).collect()
}

fn sim() -> Sim {
    Sim::open(SimOptions { channels: Some(1), ..SimOptions::default() }, Arc::new(SimPause)).unwrap()
}

/// Plays an operation of eight bytes with `stray` in the engine's place, and judges it as done or failed.
fn memory(stray: fn(&Target, &Write), done: bool) -> Vec<Wrong> {
    found(move || {
        let sim = sim();
        let mut random = Random::new(1, 1);
        let buffer = Arc::new(sim.device.memory.allocate(4096).unwrap());
        let mut target = Target::new(Shadow::new(buffer, "target".into(), &mut random), 2, 32);
        let (place, at) = target.take(&mut random, true).unwrap();
        let write = Write { place, at, len: 8, effect: Effect::Fill(0x0102_0304_0506_0708) };
        if done {
            target.shadow.buffer().write(at, &[8, 7, 6, 5, 4, 3, 2, 1]).unwrap();
        }
        stray(&target, &write);
        if done {
            target.done(&write, "done")
        } else {
            target.failed(&write, "failed")
        };
    })
}

#[test]
fn memory_knows_every_byte_inside_and_around_an_operation() {
    fn flip(target: &Target, at: usize) {
        let mut byte = [0];
        target.shadow.buffer().read(at, &mut byte).unwrap();
        target.shadow.buffer().write(at, &[!byte[0]]).unwrap();
    }
    assert_eq!(memory(|_, _| {}, true), []);
    assert_eq!(memory(|target, write| flip(target, write.at + 7), true), [Wrong::Corruption]);
    assert_eq!(memory(|target, write| flip(target, write.at - 1), true), [Wrong::Corruption]);
    assert_eq!(memory(|target, write| flip(target, write.at + 8), true), [Wrong::Corruption]);
    assert_eq!(memory(|target, write| flip(target, write.at + 7 + GUARD), true), [Wrong::Corruption]);
    assert_eq!(
        memory(|target, write| flip(target, write.at + 3), false),
        [],
        "a failed one may have written"
    );
    assert_eq!(memory(|target, write| flip(target, write.at + 8), false), [Wrong::Corruption]);
}

#[test]
fn a_source_that_was_written_is_found() {
    let kinds = found(|| {
        let sim = sim();
        let buffer = Arc::new(sim.device.memory.allocate(4096).unwrap());
        let source = Shadow::new(buffer, "source".into(), &mut Random::new(1, 1));
        assert!(source.verify_all("before"));
        source.buffer().write(100, &[!source.bytes(100, 1)[0]]).unwrap();
        source.verify_all("after");
    });
    assert_eq!(kinds, [Wrong::Corruption]);
}

fn event(stage: Stage, requested: u64, len: u64) -> Stamped {
    let event = Event {
        stage,
        channel: 0,
        generation: 0,
        sequence: 0,
        address: requested,
        len,
        mark: Mark::Ok,
        vector: None,
        processor: None,
    };
    Stamped { t_ns: 0, side: Side::Driver, event }
}

#[test]
fn a_dpc_that_did_not_run_or_ran_twice_or_was_never_asked_for_is_found() {
    let kinds =
        |events: &[Stamped]| judge::dpcs(events, &[]).iter().map(|(wrong, _)| *wrong).collect::<Vec<_>>();
    let queued = event(Stage::Queue, 0b11, 0b10);
    let ran = event(Stage::Dpc, 0, 1);
    assert_eq!(kinds(&[queued, ran]), []);
    assert_eq!(kinds(&[queued]), [Wrong::Dpc]);
    assert_eq!(kinds(&[queued, ran, ran]), [Wrong::Dpc]);
    assert_eq!(kinds(&[event(Stage::Queue, 0b01, 0b10), ran]), [Wrong::Dpc]);
}

#[test]
fn counters_and_completions_that_do_not_add_up_are_found() {
    let kinds = found(|| {
        let sim = sim();
        let options = Options { processors: 2, trace: Arc::new(Sink(Side::Driver)), ..Options::default() };
        let driver = Driver::open(sim.device, options).unwrap();
        let channel = driver.channel(ChannelOptions::default()).unwrap();
        channel.null().unwrap();
        SimPause.sleep(super::run::SETTLE);
        let channels = [channel];
        let honest = Counts { submitted: [(0, 1)].into(), completed: [(0, 1)].into(), ..Counts::default() };
        let judge_all = |events: &[Stamped], counts: &Counts| {
            let mut found = judge::counters(&driver, &channels, events, &[]);
            found.extend(judge::completions(0, &channels[0], counts, true, false));
            found.into_iter().map(|(wrong, _)| wrong).collect::<Vec<_>>()
        };
        world::look(|events| {
            assert_eq!(judge_all(events, &honest), []);
            let without =
                |stage| events.iter().filter(|one| one.event.stage != stage).copied().collect::<Vec<_>>();
            assert_eq!(judge_all(&without(Stage::Dpc), &honest), [Wrong::Dpc, Wrong::Dpc]);
            assert_eq!(judge_all(&without(Stage::Isr), &honest), [Wrong::Dpc, Wrong::Dpc]);
            let twice = Counts { completed: [(0, 2)].into(), ..honest.clone() };
            assert_eq!(judge_all(events, &twice), [Wrong::Completion, Wrong::Completion]);
            let never = Counts { completed: [(0, 0)].into(), ..honest.clone() };
            assert_eq!(judge_all(events, &never), [Wrong::Completion]);
        });
    });
    assert_eq!(kinds, []);
}

#[test]
fn a_completion_found_by_looking_is_a_lost_interrupt_unless_a_rule_dropped_its_message() {
    let scenario = |expect| {
        Scenario::parse(&format!("[[client]]\n[expect]\nlost_interrupts = {expect}\n"), "x").unwrap()
    };
    let counts = Counts { recovered: 1, fired: 1, ..Counts::default() };
    assert_eq!(judge::interrupts(&scenario(true), &counts), []);
    assert_eq!(judge::interrupts(&scenario(false), &counts)[0].0, Wrong::LostInterrupt);
    let more = Counts { recovered: 2, fired: 1, ..Counts::default() };
    assert_eq!(judge::interrupts(&scenario(true), &more)[0].0, Wrong::LostInterrupt);
}

#[test]
fn memory_that_is_not_given_back_is_found() {
    for leak in [false, true] {
        let kinds = found(move || {
            let sim = sim();
            let engine = Arc::downgrade(&sim.device.registers);
            let buffer = sim.device.memory.allocate(4096).unwrap();
            if leak {
                std::mem::forget(buffer);
            } else {
                drop(buffer);
            }
            drop(sim);
            given_back(&engine);
        });
        // A leaked buffer keeps the engine, and so its worker, alive for good: that is found too.
        let expected = if leak { vec![Wrong::Resource, Wrong::Deadlock] } else { vec![] };
        assert_eq!(kinds, expected);
    }
}

#[test]
fn a_task_that_waits_for_ever_and_one_that_panics_are_found_and_the_next_world_is_clean() {
    assert_eq!(
        found(|| {
            let bell = Bell::new();
            SimPause.wait(&bell, bell.seen(), None);
        }),
        [Wrong::Deadlock]
    );
    let kinds = found(|| {
        let task = Task { name: "unlucky".into(), cpu: None };
        let task = SimPause.spawn(task, Box::new(|| panic!("on purpose"))).unwrap();
        assert!(!task.join());
    });
    assert_eq!(kinds, [Wrong::Panic]);
    assert_eq!(found(|| SimPause.sleep(std::time::Duration::from_secs(1))), []);
}

#[test]
fn time_passes_only_when_nobody_can_run_and_deadlines_cost_nothing() {
    let Past { time_ns, switches, .. } =
        world::run(1, Choices::Seed, Limits { time_ns: u64::MAX, ..LIMITS }, || {
            SimPause.sleep(std::time::Duration::from_secs(3600));
        });
    assert!((3_600_000_000_000..3_600_000_010_000).contains(&time_ns), "{time_ns}");
    assert!(switches < 10);
}
