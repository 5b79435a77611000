//! The shipped scenarios: each is as it expects, in a range of seeds; and an expectation that is not met is a finding.

use std::sync::Arc;

use netdma_lab::sim::scenario::{SHIPPED, Scenario, ScenarioError};
use netdma_lab::sim::world::Wrong;
use netdma_lab::sim::{Campaign, Outcome, run};

fn campaign(scenario: Scenario, seeds: u64) -> Outcome {
    Campaign { scenario: Arc::new(scenario), seeds: 0..seeds, jobs: 1, keep_going: true }.run(&|_| {})
}

#[test]
fn every_shipped_scenario_is_as_it_expects_in_every_interleaving() {
    for (name, _) in SHIPPED {
        let scenario = Scenario::load(name).unwrap();
        let faulty = !scenario.fault.is_empty();
        let outcome = campaign(scenario, if *name == "storm" { 20 } else { 200 });
        assert!(
            outcome.is_clean(),
            "{name}: {:?} {:?}",
            outcome.failed.first().map(|one| &one.findings),
            outcome.overall
        );
        assert_eq!(outcome.fired > 0, faulty, "{name}: the rules fired in {} seeds", outcome.fired);
    }
}

/// The six actions of the rules, each without the scenario's expectation: then it is a finding.
#[test]
fn what_a_fault_does_is_found_where_nobody_expects_it() {
    for name in [
        "lost-interrupt",
        "lost-completion",
        "early-completion",
        "misaddressed-completion",
        "halt",
        "corrupt-copy",
        "gone",
    ] {
        let mut scenario = Scenario::load(name).unwrap();
        scenario.expect = Default::default();
        let outcome = campaign(scenario, 300);
        assert!(!outcome.failed.is_empty(), "{name}");
    }
}

#[test]
fn an_outcome_that_does_not_come_is_a_finding_of_its_own() {
    let text = "fault = ['copy: nth(100000) corrupt(0)']\n[[client]]\n[expect]\nfinds = ['corruption']\nwhen = 'some-seed'\n";
    let outcome = campaign(Scenario::parse(text, "never.toml").unwrap(), 5);
    assert!(outcome.failed.is_empty() && outcome.overall.is_some());
    let text = "fault = ['copy: nth(3) corrupt(0)']\n[[client]]\nnull = 0\n[expect]\nfinds = ['order']\n";
    let report = run(&Arc::new(Scenario::parse(text, "other.toml").unwrap()), 0);
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.wrong).collect();
    assert!(kinds.contains(&Wrong::Corruption) && kinds.contains(&Wrong::Outcome), "{:?}", report.findings);
}

#[test]
fn limits_end_a_run_and_the_next_seed_goes_on() {
    let limited = Scenario::parse("[[client]]\n[limits]\nevents = 50\n", "limited.toml").unwrap();
    let report = run(&Arc::new(limited), 0);
    assert_eq!(report.findings[0].wrong, Wrong::Limit);
    assert!(report.stuck);
    let default = Arc::new(Scenario::load("default").unwrap());
    assert!(run(&default, 0).findings.is_empty());
}

#[test]
fn bad_toml_names_the_file_the_line_the_key_and_what_was_expected() {
    let parse = |text: &str| Scenario::parse(text, "x.toml").unwrap_err().to_string();
    let unknown = parse("[device]\nchannels = 2\nchanels = 3\n[[client]]\n");
    assert!(
        unknown.starts_with("x.toml:3: ") && unknown.contains("chanels") && unknown.contains("expected"),
        "{unknown}"
    );
    let range = parse("[[client]]\nbatches = 3\n[device]\nchannels = 9\n");
    assert_eq!(range, "x.toml:4: found 9, expected 1 to 8 (in `channels = 9`)");
    let rule = parse("fault = ['msix: nth(3) halt(1)']\n[[client]]\n");
    assert!(rule.starts_with("x.toml:1: ") && rule.contains("msix cannot halt"), "{rule}");
    let channel =
        parse("name = 'x'\nfault = [\n  'msix: nth(3) drop',\n  'msix[ch=2]: nth(3) drop',\n]\n[[client]]\n");
    assert!(
        channel.starts_with("x.toml:4: fault: fault rule 'msix[ch=2]: nth(3) drop' would never fire: 'ch=2': the channels are 0 to 1"),
        "{channel}"
    );
    let table = parse("[[fault]]\npoint = 'msix'\nch = 'first'\nnth = 1\naction = 'drop'\n[[client]]\n");
    assert!(
        table.starts_with("x.toml:3: ") && table.contains("key 'ch': 'first': expected 'ch=N'"),
        "{table}"
    );
    let erratum = parse(
        "[[client]]\n[device]\nlint = false\n\n[[fault]]\npoint = 'msix'\nafter = 'x'\nnth = 1\naction = 'drop'\n",
    );
    assert!(
        erratum.starts_with("x.toml:5: ") && erratum.contains("'after=x': no rule has that name"),
        "{erratum}"
    );
    let slots = parse("[driver]\nring_slots = 48\n[[client]]\n");
    assert_eq!(slots, "x.toml: driver.ring_slots: found 48, expected a power of two");
    let channel = parse("[[client]]\nchannels = [0, 5]\n");
    assert_eq!(channel, "x.toml: client[0].channels: found 5, expected less than device.channels = 2");
    assert!(parse("").contains("expected a [[client]]"));
    assert!(parse("[[client]]\nbatch = [4, 2]\n").contains("smaller number first"));
    let nobody = Scenario::load("no-such-scenario").unwrap_err();
    assert!(matches!(&nobody, ScenarioError::Unknown { known, .. } if known.contains("default")), "{nobody}");
}
