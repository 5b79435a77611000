//! `experiment minimise` and the schedules below it: the known cause is found, what is left fails, nothing more can go.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ioat_stage::Stage;
use ioat_stage::plant::{Plant, plant};
use netdma_lab::experiments::Class;
use netdma_lab::experiments::minimise::search::{Search, SearchError};
use netdma_lab::experiments::minimise::{Minimised, minimise_seed};
use netdma_lab::sim::scenario::Scenario;
use netdma_lab::sim::schedule::{Choices, Switch};
use netdma_lab::sim::{run, run_by};

/// Plants are the process's: one test at a time, and none is left.
struct Planted(#[expect(dead_code, reason = "it is held")] MutexGuard<'static, ()>);

fn planted(plants: &[Plant]) -> Planted {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    plant(plants);
    Planted(guard)
}

impl Drop for Planted {
    fn drop(&mut self) {
        plant(&[]);
    }
}

/// The first seed that fails.
fn failing(scenario: &Scenario, most: u64) -> u64 {
    let scenario = Arc::new(scenario.clone());
    (0..most).find(|seed| !run(&scenario, *seed).findings.is_empty()).unwrap()
}

fn minimum(scenario: &Scenario, seed: u64, runs: u64) -> Minimised {
    let search = Search { runs, seeds: 8, progress: &|_, _| {} };
    minimise_seed(scenario, seed, &search).unwrap()
}

/// The file that was written, run as the command says.
fn fails_as_written(minimised: &Minimised) -> bool {
    let scenario = Arc::new(Scenario::parse(&minimised.file, "minimal.toml").unwrap());
    let report = run(&scenario, minimised.minimum.candidate.seed);
    let first = report.findings.first();
    first.is_some_and(|finding| minimised.minimum.symptom.words.starts_with(&kind(finding.wrong)))
}

fn kind(wrong: netdma_lab::sim::world::Wrong) -> String {
    serde_json::to_value(wrong).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn of_many_rules_the_one_that_is_the_cause_is_left_and_its_workload_is_the_least() {
    let _planted = planted(&[]);
    let text = "fault = ['isr: every(7) delay(20us)', 'dpc: every(5) duplicate', 'copy: nth(2) corrupt(0)', \
                'queue: every(9) delay(10us)', 'fetch: every(6) delay(5us)']\n\
                [device]\nchannels = 4\n[[client]]\ntasks = 3\n[[client]]\ntasks = 2\nchannels = [1]\n\
                [expect]\nlost_interrupts = true\n";
    let scenario = Scenario::parse(text, "many.toml").unwrap();
    let minimised = minimum(&scenario, failing(&scenario, 50), 3000);
    let minimum = &minimised.minimum;
    let rules: Vec<_> = minimum.candidate.rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules.len(), 1, "{rules:?}");
    assert!(rules[0].starts_with("copy: nth(2) corrupt(0"), "{rules:?}");
    assert_eq!(minimum.symptom.class, Class::SilentDataCorruption);
    assert!(minimum.fails_alone && minimum.is_minimal && minimum.tried_for_proof > 0, "{minimum:?}");
    let scenario = &minimum.candidate.scenario;
    assert_eq!((scenario.client.len(), scenario.client[0].tasks.get()), (1, 1));
    assert_eq!((scenario.device.channels.get(), scenario.driver.processors.get()), (1, 1));
    // The second copy there is: one batch of two, or two of one.
    let copies = scenario.client[0].batches.get() * *scenario.client[0].batch.0.end();
    assert!(copies <= 3, "{}", minimised.file);
    assert!(fails_as_written(&minimised), "{}", minimised.file);
    // No order of events is the cause.
    assert!(minimised.schedule.unwrap().fails.taken.is_empty());
}

#[test]
fn the_same_seed_gives_the_same_minimum() {
    let _planted = planted(&[]);
    let text = "fault = ['copy: nth(3) corrupt(0)', 'msix: nth(2) delay(5us)']\n[[client]]\n[expect]\nlost_interrupts = true\n";
    let scenario = Scenario::parse(text, "twice.toml").unwrap();
    let seed = failing(&scenario, 50);
    let (one, two) = (minimum(&scenario, seed, 2000), minimum(&scenario, seed, 2000));
    assert_eq!((one.file, one.minimum.steps), (two.file, two.minimum.steps));
}

#[test]
fn an_interrupt_before_its_word_comes_down_to_one_batch_and_a_service_routine_that_comes_too_early() {
    let _planted = planted(&[Plant::InterruptBeforeWord]);
    let scenario = Scenario::load("default").unwrap();
    let minimised = minimum(&scenario, failing(&scenario, 100), 4000);
    let minimum = &minimised.minimum;
    assert!(minimum.symptom.words.starts_with("lost-interrupt"), "{}", minimum.symptom);
    assert!(minimum.fails_alone, "{minimum:?}");
    assert_eq!(minimum.candidate.scenario.client.iter().map(|client| client.tasks.get()).sum::<u64>(), 1);
    assert!(fails_as_written(&minimised), "{}", minimised.file);
    let shortest = minimised.schedule.as_ref().unwrap();
    assert!(shortest.is_minimal && shortest.fails.taken.len() <= 4, "{}", minimised.schedules());
    assert!(shortest.fails.taken.len() < shortest.of_seed);
    // The cause in the events: the service routine runs before the word of the batch is stored.
    let nearest = shortest.passes.as_ref().unwrap();
    let order = |events: &[netdma_lab::sim::world::Stamped]| {
        let at = |stage| events.iter().position(|stamped| stamped.event.stage == stage);
        at(Stage::Isr) < at(Stage::Complete)
    };
    assert!(order(&shortest.fails.events) && !order(&nearest.played.events), "{}", minimised.schedules());
    let text = minimised.schedules();
    assert!(text.contains("the nearest that passes: ") && text.contains("\n> "), "{text}");
}

#[test]
fn a_mark_cleared_late_comes_down_to_two_interrupts_on_one_processor() {
    let _planted = planted(&[Plant::MarkClearedLate]);
    let scenario = Scenario::load("storm").unwrap();
    let minimised = minimum(&scenario, failing(&scenario, 20), 3000);
    let storm = &minimised.minimum.candidate.scenario.storm;
    assert_eq!(storm.len(), 1);
    assert!(storm[0].interrupts.get() <= 3 && storm[0].dpcs.get() == 1, "{}", minimised.file);
    assert!(minimised.minimum.fails_alone && minimised.minimum.is_minimal, "{:?}", minimised.minimum);
    let shortest = minimised.schedule.unwrap();
    assert!(shortest.is_minimal && shortest.passes.is_some(), "{:?}", shortest.fails.taken);
}

#[test]
fn what_does_not_fail_is_not_made_smaller() {
    let _planted = planted(&[]);
    let search = Search { runs: 10, seeds: 0, progress: &|_, _| {} };
    let passes = minimise_seed(&Scenario::load("default").unwrap(), 0, &search);
    assert!(matches!(passes, Err(SearchError::Passes)), "{passes:?}");
}

#[test]
fn a_limit_on_runs_ends_the_search_and_says_so() {
    let _planted = planted(&[]);
    let text = "fault = ['copy: nth(3) corrupt(0)']\n[[client]]\ntasks = 4\n";
    let scenario = Scenario::parse(text, "limited.toml").unwrap();
    let minimised = minimum(&scenario, failing(&scenario, 50), 12);
    assert!(!minimised.minimum.is_minimal && minimised.minimum.runs <= 13, "{:?}", minimised.minimum);
}

/// Invariant 7: writing the switches down changes nothing, and they are the whole of what the seed chose.
#[test]
fn a_seeds_switches_played_again_are_the_seeds_run() {
    let _planted = planted(&[]);
    for name in ["default", "stops", "contract", "storm", "lost-interrupt", "line"] {
        let scenario = Arc::new(Scenario::load(name).unwrap());
        for seed in 0..if name == "storm" { 2 } else { 10 } {
            let plain = run(&scenario, seed);
            let (recorded, taken) = run_by(&scenario, seed, Choices::Recorded);
            assert_eq!((&plain.events, plain.time_ns), (&recorded.events, recorded.time_ns), "{name} {seed}");
            let switches: Vec<Switch> = taken.iter().map(|taken| taken.switch).collect();
            let (played, again) = run_by(&scenario, seed, Choices::Played(switches));
            assert_eq!((&plain.events, plain.time_ns), (&played.events, played.time_ns), "{name} {seed}");
            assert_eq!(taken, again, "{name} {seed}");
        }
    }
}

#[test]
fn without_any_switch_every_scenario_ends_and_a_part_of_the_switches_is_a_schedule_too() {
    let _planted = planted(&[]);
    for name in ["default", "stops", "contract", "polled"] {
        let scenario = Arc::new(Scenario::load(name).unwrap());
        let (report, taken) = run_by(&scenario, 3, Choices::Played(Vec::new()));
        assert!(report.findings.is_empty() && taken.is_empty(), "{name}: {:?}", report.findings);
        let (_, taken) = run_by(&scenario, 3, Choices::Recorded);
        let half = taken.iter().step_by(2).map(|taken| taken.switch).collect();
        let (report, _) = run_by(&scenario, 3, Choices::Played(half));
        assert!(report.findings.is_empty(), "{name}: {:?}", report.findings);
    }
}
