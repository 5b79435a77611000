//! Experiments on our driver over a socket: a golden run, experiments of each class, and programs that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ioat_stage::Point;
use netdma_lab::experiments::place::setup::{Programs, Setup};
use netdma_lab::experiments::place::socket::SocketPlace;
use netdma_lab::experiments::{Class, Experiment, Id, Limits, Observation, Place};
use netdma_lab::sim::Scenario;
use netdma_tests::program;

const LIMITS: Limits = Limits { hang: Duration::from_secs(20), degraded: Duration::from_secs(20) };

/// Late interrupts of a busy machine are not taken for lost ones.
const SCENARIO: &str = "[driver]\nwatchdog_ms = 300\n[[client]]\ntasks = 2\nbatches = 6\ntimeout_ms = 1000\n";

fn setup() -> Setup {
    Setup::of(&Scenario::parse(SCENARIO, "test.toml").unwrap()).unwrap()
}

fn programs() -> Programs {
    Programs { device: program("vfio-user-ioat"), netdma: program("netdma") }
}

fn place() -> SocketPlace {
    SocketPlace::new(setup(), programs())
}

fn experiment(rules: &[&str]) -> Experiment {
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    Experiment { id: Id("000000000000".into()), rules, seed: 7 }
}

fn run(place: &mut SocketPlace, rules: &[&str]) -> Observation {
    place.run(&experiment(rules), &LIMITS).unwrap()
}

#[test]
fn the_golden_run_is_clean_and_counts_the_operations_of_every_channel() {
    let golden = place().golden(7).unwrap();
    let Observation { infra, crashes, hangs, corruptions, failures, .. } = &golden.observation;
    for list in [infra, crashes, hangs, corruptions, failures] {
        assert!(list.is_empty(), "{:?}", golden.observation);
    }
    assert!(golden.took_ns > 0);
    for point in [Point::Doorbell, Point::Fetch, Point::Copy, Point::Complete, Point::Msix] {
        assert!(golden.operations.get(&(point, Some(0))) > Some(&0), "{point}: {:?}", golden.operations);
        assert!(golden.operations.get(&(point, Some(1))) > Some(&0), "{point}: {:?}", golden.operations);
    }
    assert!(golden.operations.get(&(Point::Config, None)) > Some(&0), "{:?}", golden.operations);
}

#[test]
fn one_pair_of_processes_serves_experiments_of_many_classes() {
    let mut place = place();
    for (rule, class) in [
        // All of them: behind a single one a later message may come in time.
        ("msix[ch=0]: always drop", Class::DetectedRecovered),
        ("fetch[ch=0]: nth(2) halt(3)", Class::DetectedFailed),
        ("copy[ch=0]: nth(2) corrupt(0)", Class::SilentDataCorruption),
        ("msix[ch=0]: nth(2) duplicate", Class::Masked),
        ("copy[ch=0]: nth(1000000) corrupt(0)", Class::NotActivated),
    ] {
        let seen = run(&mut place, &[rule]);
        assert_eq!(seen.class(), class, "{rule}: {seen:?}");
        assert_eq!(seen.fired.is_empty(), class == Class::NotActivated, "{rule}: {seen:?}");
    }
    assert_eq!(place.starts(), 1);
}

#[test]
fn a_device_that_its_rule_kills_is_part_of_the_experiment_and_the_next_one_gets_another() {
    let mut place = place();
    let seen = run(&mut place, &["fetch[ch=0]: nth(3) kill"]);
    assert_eq!(seen.class(), Class::DetectedFailed, "{seen:?}");
    assert_eq!(seen.fired.len(), 1, "{seen:?}");
    assert!(seen.failures[0].contains("the device is gone"), "{seen:?}");
    let seen = run(&mut place, &["msix[ch=0]: nth(2) duplicate"]);
    assert_eq!((seen.class(), place.starts()), (Class::Masked, 2), "{seen:?}");
}

#[test]
fn what_takes_longer_than_the_limit_hangs_and_the_next_experiment_is_not_touched() {
    let mut place = place();
    // The word never comes, and the driver waits a second for it, again and again.
    let limits = Limits { hang: Duration::from_secs(1), degraded: Duration::from_millis(500) };
    let seen = place.run(&experiment(&["complete[ch=0]: every(1) drop"]), &limits).unwrap();
    assert_eq!(seen.class(), Class::Hang, "{seen:?}");
    assert_eq!(seen.reason(), "no end of the workload after 1000 ms");
    let seen = run(&mut place, &["msix[ch=0]: nth(2) duplicate"]);
    assert_eq!((seen.class(), place.starts()), (Class::Masked, 2), "{seen:?}");
}

/// A stand-in for the driver's program.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("netdma");
    fs::write(&path, format!("#!/bin/sh\necho '{{\"ready\":\"a script\"}}'\nread line\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn a_driver_that_dies_has_crashed_and_one_that_babbles_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (text, class, reason) in [
        ("kill -SEGV $$", Class::Crash, "netdma died of signal 11"),
        (
            "echo \"thread 'main' panicked at driver/src/x.rs:1:2:\" >&2; echo 'no such thing' >&2; exit 101",
            Class::Crash,
            "thread 'main' panicked at driver/src/x.rs:1:2: no such thing",
        ),
        ("echo nonsense; read line", Class::InfraError, "netdma exercise answered 'nonsense'"),
    ] {
        let programs = Programs { netdma: script(folder.path(), text), ..programs() };
        let mut place = SocketPlace::new(setup(), programs);
        let seen = place.run(&experiment(&[]), &LIMITS).unwrap();
        assert_eq!((seen.class(), seen.reason()), (class, reason), "{seen:?}");
    }
}

#[test]
fn programs_that_do_not_start_are_the_machine_rooms_failure() {
    let no_device = Programs { device: "/bin/false".into(), ..programs() };
    let error = SocketPlace::new(setup(), no_device).run(&experiment(&[]), &LIMITS).unwrap_err();
    assert!(error.to_string().contains("the device program ended at once"), "{error}");
    let no_driver = Programs { netdma: "/bin/false".into(), ..programs() };
    let error = SocketPlace::new(setup(), no_driver).golden(7).unwrap_err();
    assert!(error.to_string().contains("`netdma exercise` is not ready"), "{error}");
}

#[test]
fn a_device_that_left_and_a_connection_that_broke_are_followed_by_a_clean_batch() {
    let mut place = place();
    for rule in ["pcie[ch=0]: nth(3) remove", "transport: nth(40) disconnect", "transport: nth(40) short(8)"]
    {
        let seen = run(&mut place, &[rule]);
        assert_eq!((seen.class(), seen.fired.len()), (Class::DetectedFailed, 1), "{rule}: {seen:?}");
    }
}

/// Not a verdict: the figure that the choice between one pair for all and one for each rests on.
#[test]
fn the_rate_is_printed() {
    for (name, mut place) in
        [("one pair of processes for all", place()), ("new processes for each", place().fresh())]
    {
        run(&mut place, &[]);
        let (started, count) = (Instant::now(), 20);
        for _ in 0..count {
            let seen = run(&mut place, &["msix[ch=0]: nth(2) duplicate"]);
            assert_eq!(seen.class(), Class::Masked, "{seen:?}");
        }
        eprintln!("{name}: {:.1} experiments per second", f64::from(count) / started.elapsed().as_secs_f64());
    }
}
