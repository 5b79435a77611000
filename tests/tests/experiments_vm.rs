//! Experiments on our driver in a guest, one boot for all: kernel VFIO, a virtual IOMMU, the device program on the host.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::{Duration, Instant};

use ioat_stage::Point;
use netdma_lab::experiments::place::setup::{Programs, Setup};
use netdma_lab::experiments::place::vm::VmPlace;
use netdma_lab::experiments::{Class, Experiment, Id, Limits, Observation, Place};
use netdma_lab::sim::Scenario;
use netdma_tests::{guest_program, program};
use netdma_vm::kernel::KernelChoice;

const LIMITS: Limits = Limits { hang: Duration::from_secs(30), degraded: Duration::from_secs(30) };

/// Late interrupts of an emulated machine are not taken for lost ones.
const SCENARIO: &str =
    "[driver]\nprocessors = 2\nwatchdog_ms = 200\n[[client]]\ntasks = 2\nbatches = 4\ntimeout_ms = 2000\n";

fn experiment(rule: &str) -> Experiment {
    Experiment { id: Id("000000000000".into()), rules: vec![rule.parse().unwrap()], seed: 7 }
}

#[test]
fn one_boot_serves_experiments_and_a_golden_run_and_the_rate_is_printed() {
    let setup = Setup::of(&Scenario::parse(SCENARIO, "test.toml").unwrap()).unwrap();
    let programs = Programs { device: program("vfio-user-ioat"), netdma: guest_program("netdma") };
    let mut place = VmPlace::new(setup, programs, KernelChoice::Version("6.12".into()));
    eprintln!("{}", place.summary().unwrap());

    let golden = place.golden(7).unwrap();
    let Observation { infra, crashes, hangs, corruptions, failures, .. } = &golden.observation;
    for list in [infra, crashes, hangs, corruptions, failures] {
        assert!(list.is_empty(), "{:?}", golden.observation);
    }
    assert!(golden.operations.get(&(Point::Msix, Some(1))) > Some(&0), "{:?}", golden.operations);

    for (rule, class) in [
        // All of them: behind a single one a later message may come in time.
        ("msix[ch=0]: always drop", Class::DetectedRecovered),
        ("fetch[ch=0]: nth(2) halt(3)", Class::DetectedFailed),
        ("copy[ch=0]: nth(2) corrupt(0)", Class::SilentDataCorruption),
        ("copy[ch=0]: nth(1000000) corrupt(0)", Class::NotActivated),
    ] {
        let seen = place.run(&experiment(rule), &LIMITS).unwrap();
        assert_eq!(seen.class(), class, "{rule}: {seen:?}");
    }

    let (started, count) = (Instant::now(), 20);
    for _ in 0..count {
        let seen = place.run(&experiment("copy[ch=0]: nth(2) corrupt(0)"), &LIMITS).unwrap();
        assert_eq!(seen.class(), Class::SilentDataCorruption, "{seen:?}");
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    eprintln!("{rate:.1} experiments per second in the guest, one boot");

    // A driver that hangs costs its guest.
    let limits = Limits { hang: Duration::from_millis(300), ..LIMITS };
    let seen = place.run(&experiment("complete[ch=0]: every(1) drop"), &limits).unwrap();
    assert_eq!((seen.class(), place.boots()), (Class::Hang, 1), "{seen:?}");
    let seen = place.run(&experiment("msix[ch=0]: always drop"), &LIMITS).unwrap();
    assert_eq!((seen.class(), place.boots()), (Class::DetectedRecovered, 2), "{seen:?}");
}
