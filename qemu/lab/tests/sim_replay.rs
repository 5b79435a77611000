//! Same program, scenario and seed: same trace, byte for byte.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use netdma_lab::sim::scenario::Scenario;
use netdma_lab::sim::{report, run};

/// All lines of a seed's trace.
fn trace(scenario: &Arc<Scenario>, seed: u64) -> Vec<u8> {
    let mut lines = Vec::new();
    report::trace(&run(scenario, seed), &mut lines).unwrap();
    lines
}

#[test]
fn a_thousand_seeds_each_twice_have_the_same_trace_byte_for_byte() {
    let default = Arc::new(Scenario::load("default").unwrap());
    let stops = Arc::new(Scenario::load("stops").unwrap());
    let contract = Arc::new(Scenario::load("contract").unwrap());
    let mut distinct = std::collections::BTreeSet::new();
    // In two passes, so that what a run leaves behind in its thread differs between the two.
    let traces: Vec<_> =
        (0..1000).map(|seed| trace([&default, &default, &stops, &contract][seed % 4], seed as u64)).collect();
    for (seed, first) in traces.iter().enumerate().rev() {
        let again = trace([&default, &default, &stops, &contract][seed % 4], seed as u64);
        assert!(*first == again, "seed {seed} differs");
        distinct.insert(again);
    }
    assert_eq!(distinct.len(), 1000, "every seed is an interleaving of its own");
}

#[test]
fn another_thread_and_other_seeds_before_it_change_nothing() {
    let scenario = Arc::new(Scenario::load("stops").unwrap());
    let alone = trace(&scenario, 77);
    let there = scenario.clone();
    let elsewhere = std::thread::spawn(move || {
        let _ = run(&there, 5);
        trace(&there, 77)
    });
    assert!(elsewhere.join().unwrap() == alone);
}

#[test]
fn a_scenario_has_at_least_five_hundred_events_and_its_trace_every_field() {
    let scenario = Arc::new(Scenario::load("default").unwrap());
    let report = run(&scenario, 1);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(report.events.len() >= 500, "{}", report.events.len());
    let lines = String::from_utf8(trace(&scenario, 1)).unwrap();
    let mut lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    for side in ["device", "driver"] {
        let header = lines.next().unwrap();
        // Nothing of the process: the file is the same in every run.
        let said = [&header["side"], &header["clock"], &header["pid"]];
        assert_eq!(said, [&side.into(), &"virtual".into(), &serde_json::Value::Null], "{header}");
    }
    let first = lines.next().unwrap();
    for key in ["t_ns", "side", "stage", "channel", "generation", "sequence", "address", "len", "mark"] {
        assert!(first.get(key).is_some(), "{key} in {first}");
    }
}
