//! The driver's own points in the simulator: a scenario's `fault` takes them beside the device's, the driver gets over each of
//! them, and the oracle knows what a rule did.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use netdma_lab::sim::scenario::Scenario;
use netdma_lab::sim::{Report, run};

fn scenario(rules: &[&str], more: &str) -> Arc<Scenario> {
    let rules = rules.iter().map(|rule| format!("'{rule}'")).collect::<Vec<_>>().join(", ");
    let text = format!("fault = [{rules}]\n[[client]]\ntasks = 2\n[expect]\nlost_interrupts = true\n{more}");
    Arc::new(Scenario::parse(&text, "driver-faults.toml").unwrap())
}

/// The firings of a hundred seeds; no seed has a finding.
fn fired(rules: &[&str], more: &str) -> u64 {
    let scenario = scenario(rules, more);
    (0..100)
        .map(|seed| {
            let Report { findings, fired, .. } = run(&scenario, seed);
            assert!(findings.is_empty(), "seed {seed} of {rules:?}: {findings:?}");
            fired
        })
        .sum()
}

#[test]
fn what_the_host_loses_or_delays_or_repeats_harms_no_data_and_completes_nothing_twice() {
    for rule in [
        "isr: nth(2) drop",
        "isr: every(3) delay(1ms)",
        "isr: every(2) duplicate",
        "queue: nth(3) drop",
        "queue: nth(2) corrupt(0, 0xff)",
        "queue: every(3) delay(1ms)",
        "dpc: every(2) delay(1ms)",
        "dpc: every(2) duplicate",
    ] {
        assert!(fired(&[rule], "") >= 50, "{rule}");
    }
}

#[test]
fn with_dpcs_spread_over_all_processors_a_lost_part_of_them_and_a_double_one_leave_no_channel_deaf() {
    for rule in ["queue: every(3) corrupt(0, 0x0a)", "dpc: every(1) duplicate"] {
        assert!(fired(&[rule], "[driver]\nspread = true\n") >= 50, "{rule}");
    }
}

#[test]
fn one_list_has_the_devices_rules_and_the_drivers() {
    let scenario = scenario(&["msix: nth(2) drop", "isr: nth(4) drop"], "");
    let both = (0..20).map(|seed| run(&scenario, seed)).filter(|report| report.fired == 2).count();
    assert!(both >= 15, "{both}");
}

#[test]
fn with_driver_faults_a_seed_is_still_one_run() {
    let scenario = scenario(&["isr: every(3) delay(50us)", "queue: every(2) delay(50us)", "dpc: every(3) duplicate"], "");
    for seed in 0..20 {
        assert_eq!(run(&scenario, seed).events, run(&scenario, seed).events, "seed {seed}");
    }
}
