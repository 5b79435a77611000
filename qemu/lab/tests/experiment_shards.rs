//! What comes of an experiment is a function of its id alone: not of shards, workers, order, nor of what ran before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use netdma_lab::experiments::campaign::Campaign;
use netdma_lab::experiments::merge::Merged;
use netdma_lab::experiments::place::sim::SimPlace;
use netdma_lab::experiments::plan::Plan;
use netdma_lab::experiments::run::{Crew, Ended, header, replay_command};
use netdma_lab::experiments::shard::Shard;
use netdma_lab::experiments::{Experiment, Id, Outcome, Record};
use proptest::prelude::*;

const TEXT: &str = "
    [campaign]
    seeds = '0..2'
    [device]
    channels = 2
    [driver]
    processors = 2
    ring_slots = 16
    [[client]]
    tasks = 2
    batches = 3
    batch = [1, 2]
    bytes = [1, 64]
    [sweep]
    points = ['msix', 'complete', 'copy', 'register']
    occurrences = 2
    [random]
    [[set]]
    rules = ['copy: every(2) corrupt(0)', 'msix: p(0.5) drop']
";

fn campaign() -> Campaign {
    Campaign::parse(TEXT, "shards.toml").unwrap()
}

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| Plan::make(&campaign(), &mut place()).unwrap())
}

fn place() -> SimPlace {
    SimPlace::new(Arc::clone(&campaign().scenario))
}

/// Everything of an outcome but the wall time.
fn facts(outcome: Outcome) -> (Id, String) {
    let outcome = Outcome { wall_ns: 0, ..outcome };
    (outcome.id.clone(), serde_json::to_string(&outcome).unwrap())
}

fn run(todo: &[&Experiment], jobs: usize) -> Vec<Outcome> {
    let campaign = campaign();
    let crew = Crew {
        campaign: &campaign,
        plan: plan(),
        todo,
        jobs,
        stop: &|| false,
        replay: &|experiment| replay_command("own.toml", experiment),
        heard: &|_| {},
    };
    let done = crew.run(&mut place(), None);
    assert!(matches!(done.ended, Ended::AllRun), "{:?}", done.ended);
    done.outcomes
}

fn whole() -> &'static BTreeMap<Id, String> {
    static WHOLE: OnceLock<BTreeMap<Id, String>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let todo: Vec<_> = plan().experiments.iter().map(|planned| &planned.experiment).collect();
        run(&todo, 1).into_iter().map(facts).collect()
    })
}

#[test]
fn the_campaign_of_this_test_finds_something_of_several_classes() {
    let mut classes: Vec<_> =
        whole().values().map(|text| serde_json::from_str::<Outcome>(text).unwrap().class).collect();
    classes.sort_unstable();
    classes.dedup();
    assert!(classes.len() >= 4 && whole().len() >= 50, "{} experiments: {classes:?}", whole().len());
}

#[test]
fn the_plan_is_the_same_every_time_and_no_id_is_there_twice() {
    let again = Plan::make(&campaign(), &mut place()).unwrap();
    assert_eq!(again.experiments, plan().experiments);
    assert_eq!(whole().len(), plan().experiments.len());
}

#[test]
fn a_wide_sweep_that_hangs_now_and_then_is_the_same_with_one_worker_and_with_four() {
    let todo: Vec<_> = plan().experiments.iter().map(|planned| &planned.experiment).collect();
    let four: BTreeMap<_, _> = run(&todo, 4).into_iter().map(facts).collect();
    assert_eq!(&four, whole());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn shards_in_any_number_and_order_give_what_one_run_gives(
        count in 1..7_u64,
        jobs in 1..4_usize,
        order in any::<u64>(),
        turned in any::<bool>(),
    ) {
        let mut shards: Vec<u64> = (1..=count).collect();
        shards.sort_by_key(|shard| shard.wrapping_mul(order | 1));
        let campaign = campaign();
        let mut merged = Merged::default();
        for index in shards {
            let shard: Shard = format!("{index}/{count}").parse().unwrap();
            let mut todo: Vec<_> = plan().experiments.iter().map(|planned| &planned.experiment).collect();
            todo.retain(|experiment| shard.has(&experiment.id));
            if turned {
                todo.reverse();
            }
            let mut records = vec![Record::Header(header(&campaign, plan(), &shard))];
            records.extend(run(&todo, jobs).into_iter().map(|outcome| Record::Result(Box::new(outcome))));
            merged.add(records).unwrap();
        }
        prop_assert!(merged.disagree.is_empty() && merged.missing() == 0 && merged.missing_shards().is_empty());
        let found: BTreeMap<_, _> = merged.outcomes.into_values().map(facts).collect();
        prop_assert_eq!(&found, whole());
    }

    #[test]
    fn merging_is_associative_and_knows_no_order(cuts in prop::collection::vec(0..3_usize, 60), turn in 0..3_usize) {
        let campaign = campaign();
        let outcomes: Vec<Outcome> = whole().values().map(|text| serde_json::from_str(text).unwrap()).collect();
        let mut parts: Vec<Vec<Record>> = (1..=3)
            .map(|index| vec![Record::Header(header(&campaign, plan(), &format!("{index}/3").parse().unwrap()))])
            .collect();
        // Some are there twice, and some of those disagree.
        for (number, (outcome, part)) in outcomes.iter().zip(&cuts).enumerate() {
            parts[*part].push(Record::Result(Box::new(outcome.clone())));
            if number % 5 == 0 {
                let mut other = outcome.clone();
                other.signature.push('!');
                parts[(*part + 1) % 3].push(Record::Result(Box::new(other)));
            }
        }
        // Times of day differ from call to call; here they are one.
        for record in parts.iter_mut().flatten() {
            if let Record::Header(header) = record {
                header.started = 1;
            }
        }
        let merge = |lists: &[&[Record]]| {
            let mut merged = Merged::default();
            for list in lists {
                merged.add(list.iter().cloned()).unwrap();
            }
            merged
        };
        let (a, b, c) = (&parts[turn][..], &parts[(turn + 1) % 3][..], &parts[(turn + 2) % 3][..]);
        let flat = merge(&[a, b, c]);
        prop_assert!(!flat.disagree.is_empty());
        let left = merge(&[&merge(&[a, b]).records(), c]);
        let right = merge(&[&merge(&[c, b]).records(), a]);
        prop_assert_eq!(left.records(), flat.records());
        prop_assert_eq!(right.records(), flat.records());
    }
}
