//! `netdma-lab experiment plan`, `run` and `merge` as a program: exit codes, the journal, resuming, gates.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use netdma_lab::experiments::journal::Journal;
use netdma_lab::experiments::place::sim::SimPlace;
use netdma_lab::experiments::plan::Plan;
use netdma_lab::experiments::run::header;
use netdma_lab::experiments::shard::Shard;
use netdma_lab::experiments::{Campaign, Class, Outcome, Record};
use tempfile::TempDir;

const WORKLOAD: &str = "
[driver]
processors = 2
ring_slots = 16
[[client]]
tasks = 2
batches = 3
batch = [1, 2]
bytes = [1, 64]
null = 0
";

struct Room {
    folder: TempDir,
}

impl Room {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A campaign of this workload with these tables.
    fn campaign(&self, name: &str, tables: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("{WORKLOAD}{tables}")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn experiment(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdma-lab"));
        for name in ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "NETDMA_LAB_PARTITION"] {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).arg("experiment").args(arguments).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.experiment(&[&["run"], arguments].concat())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn results(path: &Path) -> Vec<Outcome> {
    let text = fs::read_to_string(path).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap());
    let results = records.filter_map(|record| match record {
        Record::Result(outcome) => Some(*outcome),
        _ => None,
    });
    results.collect()
}

const MASKED: &str = "[sweep]\npoints = ['msix']\nactions = ['drop', 'duplicate']\n";

#[test]
fn a_campaign_without_findings_ends_with_0_and_its_journal_has_one_line_for_each() {
    let room = Room::new();
    let file = room.campaign("c.toml", MASKED);
    let plan = room.experiment(&["plan", &file, "--count"]);
    let count: usize = said(&plan).trim().parse().unwrap();
    let output = room.run(&[&file, "--journal", "j.jsonl", "--bench"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("experiments in ") && said(&output).contains("a second"),
        "{}",
        said(&output)
    );
    let results = results(&room.path("j.jsonl"));
    assert_eq!(results.len(), count);
    assert!(results.iter().any(|outcome| outcome.class == Class::DetectedRecovered), "{}", said(&output));
    let json = room.experiment(&["plan", &file, "--json"]);
    let ids: Vec<String> = said(&json)
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(results.iter().all(|outcome| ids.contains(&outcome.id.0)) && ids.len() == count);
}

#[test]
fn a_finding_ends_with_1_and_is_printed_with_the_line_that_replays_it() {
    let room = Room::new();
    let file = room.campaign("c.toml", "[[set]]\nrules = ['copy: nth(2) corrupt(0)']\n");
    let output = room.run(&[&file, "--journal", "j.jsonl"]);
    assert_eq!(code(&output), Some(1), "{}", said(&output));
    let line = format!("netdma-lab experiment replay {file} --seed 0 --rule 'copy: nth(2) corrupt(0");
    assert!(said(&output).contains(&line), "{}", said(&output));
    assert_eq!(results(&room.path("j.jsonl"))[0].class, Class::SilentDataCorruption);
}

#[test]
fn a_finding_that_is_known_is_no_news_and_one_that_is_gone_is_said() {
    let room = Room::new();
    let known = "
        [[set]]
        rules = ['copy: nth(2) corrupt(0)']
        [[known]]
        class = 'silent-data-corruption'
        point = 'copy'
        action = 'corrupt'
        reason = 'no driver can see it'
        [[known]]
        class = 'hang'
        reason = 'it hung in spring'
    ";
    let file = room.campaign("c.toml", known);
    let output = room.run(&[&file, "--journal", "j.jsonl"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(said(&output).contains("no driver can see it"), "{}", said(&output));
    assert!(said(&output).contains("expected, and not seen: it hung in spring"), "{}", said(&output));
}

#[test]
fn a_set_is_held_to_what_it_expects() {
    let room = Room::new();
    let set = |expect: &str| {
        format!("[[set]]\nname = 'flip'\nrules = ['copy: nth(2) corrupt(0)']\nexpect = ['{expect}']\n")
    };
    let right = room.campaign("right.toml", &set("silent-data-corruption"));
    assert_eq!(code(&room.run(&[&right])), Some(0));
    let wrong = room.campaign("wrong.toml", &set("masked"));
    let output = room.run(&[&wrong]);
    assert_eq!(code(&output), Some(1));
    assert!(
        said(&output).contains("set 'flip', seed 0: found silent-data-corruption, expected masked"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_run_goes_on_where_it_was_and_a_line_cut_short_is_run_again() {
    let room = Room::new();
    let file = room.campaign("c.toml", MASKED);
    let journal = room.path("j.jsonl");
    let run = |more: &[&str]| room.run(&[&[&*file, "--journal", "j.jsonl"], more].concat());
    assert_eq!(code(&run(&["--limit", "3"])), Some(0));
    assert_eq!(results(&journal).len(), 3);
    // Killed in the middle of a line.
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 20]).unwrap();
    let again = run(&[]);
    assert_eq!(code(&again), Some(2), "{}", said(&again));
    assert!(said(&again).contains("or --resume"), "{}", said(&again));
    let output = run(&["--resume"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(said(&output).contains("the last line was cut short"), "{}", said(&output));
    assert!(said(&output).contains("2 experiments were in"), "{}", said(&output));
    let all = results(&journal);
    let mut ids: Vec<_> = all.iter().map(|outcome| outcome.id.clone()).collect();
    ids.sort();
    ids.dedup();
    let count: usize = said(&room.experiment(&["plan", &file, "--count"])).trim().parse().unwrap();
    assert_eq!((all.len(), ids.len()), (count, count));
}

#[test]
fn a_journal_of_another_campaign_or_shard_and_one_that_is_none_are_refused() {
    let room = Room::new();
    let one = room.campaign("one.toml", MASKED);
    let two = room.campaign("two.toml", "[sweep]\npoints = ['copy']\nactions = ['delay']\n");
    assert_eq!(code(&room.run(&[&one, "--journal", "j.jsonl", "--limit", "1"])), Some(0));
    let before = fs::read(room.path("j.jsonl")).unwrap();
    for (arguments, part) in [
        (vec![&*two, "--journal", "j.jsonl", "--resume"], "its campaign"),
        (vec![&*one, "--journal", "j.jsonl", "--resume", "--shard", "1/2"], "its shard is 1/1, expected 1/2"),
    ] {
        let output = room.run(&arguments);
        assert_eq!(code(&output), Some(2), "{}", said(&output));
        assert!(said(&output).contains(part), "{}", said(&output));
        assert_eq!(fs::read(room.path("j.jsonl")).unwrap(), before);
    }
    fs::write(room.path("none.jsonl"), "{\"hello\":1}\n{}\n").unwrap();
    let output = room.run(&[&one, "--journal", "none.jsonl", "--resume"]);
    assert_eq!(code(&output), Some(2));
    assert!(said(&output).contains("none.jsonl:1: no record of an experiment"), "{}", said(&output));
}

#[test]
fn a_journal_that_cannot_be_written_ends_with_3() {
    let room = Room::new();
    let file = room.campaign("c.toml", MASKED);
    let output = room.run(&[&file, "--journal", "/dev/full"]);
    assert_eq!(code(&output), Some(3), "{}", said(&output));
    assert!(said(&output).contains("/dev/full"), "{}", said(&output));
}

#[test]
fn a_workload_that_fails_without_a_fault_is_refused() {
    let room = Room::new();
    let file = room.campaign("c.toml", "start_latency_us = 0\n");
    assert_eq!(code(&room.run(&[&file])), Some(2), "a key in the wrong table");
    let path = room.path("slow.toml");
    // The device takes longer to start than a client waits.
    fs::write(&path, "[device]\nstart_latency_us = 900000\n[[client]]\ntimeout_ms = 1\n[sweep]\n").unwrap();
    let output = room.run(&[path.to_str().unwrap()]);
    assert_eq!(code(&output), Some(2), "{}", said(&output));
    assert!(said(&output).contains("the golden run of seed 0 fails without any fault"), "{}", said(&output));
}

#[test]
fn what_is_not_asked_for_is_skipped_with_4_and_a_wrong_word_is_2() {
    let room = Room::new();
    let file = room.campaign("c.toml", MASKED);
    let output = room.run(&[&file, "--only", "data"]);
    assert_eq!(code(&output), Some(4), "{}", said(&output));
    let output = room.run(&[&file, "--only", "interrupts/msix/drop", "--journal", "drop.jsonl"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(results(&room.path("drop.jsonl")).iter().all(|outcome| outcome.rules[0].ends_with("drop")));
    for (arguments, part) in [
        (vec!["--only", "irq"], "'irq' is no class of faults"),
        (vec!["--shard", "0/2"], "I from 1 to N"),
        (vec!["--jobs", "0"], "--jobs"),
    ] {
        let output = room.run(&[&[&*file], &arguments[..]].concat());
        assert_eq!(code(&output), Some(2));
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}

#[test]
fn shards_of_a_scheduler_are_merged_into_what_one_run_gives_and_missing_ones_are_named() {
    let room = Room::new();
    let file = room.campaign("c.toml", MASKED);
    for index in ["0", "1", "2"] {
        let output = Command::new(env!("CARGO_BIN_EXE_netdma-lab"))
            .current_dir(room.folder.path())
            .args(["experiment", "run", &file, "--journal", &format!("s{index}.jsonl")])
            .env("SLURM_ARRAY_TASK_ID", index)
            .env("SLURM_ARRAY_TASK_MIN", "0")
            .env("SLURM_ARRAY_TASK_COUNT", "3")
            .output()
            .unwrap();
        assert!(matches!(code(&output), Some(0 | 4)), "{}", said(&output));
    }
    assert_eq!(code(&room.run(&[&file, "--journal", "whole.jsonl"])), Some(0));
    let merge = |parts: &[&str]| room.experiment(&[&["merge", "--out", "m.jsonl"], parts].concat());
    let part = merge(&["s0.jsonl", "s2.jsonl", "--campaign", &file]);
    assert_eq!(code(&part), Some(3), "{}", said(&part));
    assert!(
        said(&part).contains("missing shards: 2/3") && said(&part).contains("missing: "),
        "{}",
        said(&part)
    );
    let all = merge(&["m.jsonl", "s1.jsonl"]);
    assert_eq!(code(&all), Some(0), "{}", said(&all));
    let same = |path: &str| {
        let facts = results(&room.path(path)).into_iter().map(|outcome| Outcome { wall_ns: 0, ..outcome });
        let mut facts: Vec<_> = facts.map(|outcome| serde_json::to_string(&outcome).unwrap()).collect();
        facts.sort();
        facts
    };
    assert_eq!(same("m.jsonl"), same("whole.jsonl"));
    let other = room.campaign("other.toml", "[sweep]\npoints = ['copy']\nactions = ['delay']\n");
    assert_eq!(code(&room.run(&[&other, "--journal", "other.jsonl"])), Some(0));
    let mixed = merge(&["whole.jsonl", "other.jsonl"]);
    assert_eq!(code(&mixed), Some(2), "{}", said(&mixed));
    assert!(said(&mixed).contains("journals of different campaigns"), "{}", said(&mixed));
}

#[test]
fn a_sweep_survives_many_hangs() {
    let room = Room::new();
    // No completion word is ever written, and the virtual time ends before the driver gives its work up.
    let hang = "[campaign]\nseeds = '0..70'\n[limits]\nvirtual_ms = 400\n[[set]]\nrules = ['complete: always drop']\n";
    let file = room.campaign("c.toml", hang);
    let output = room.run(&[&file, "--journal", "j.jsonl", "--jobs", "2"]);
    assert_eq!(code(&output), Some(1), "{}", said(&output));
    let results = results(&room.path("j.jsonl"));
    assert_eq!(results.len(), 70);
    assert!(results.iter().all(|outcome| outcome.class == Class::Hang), "{}", said(&output));
}

/// A campaign that takes a while.
const LONG: &str = "[campaign]\nseeds = '0..1500'\n[[set]]\nrules = ['msix: nth(1) duplicate']\n";

/// Runs it until its journal has a few results, and sends its runner a signal.
fn interrupted(room: &Room, file: &str, signal: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdma-lab"));
    command.current_dir(room.folder.path()).args([
        "experiment",
        "run",
        file,
        "--journal",
        "j.jsonl",
        "--jobs",
        "1",
    ]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let runner = command.spawn().unwrap();
    let size = || fs::metadata(room.path("j.jsonl")).map_or(0, |file| file.len());
    for _ in 0..6000 {
        if size() > 4000 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let sent = Command::new("kill").args([signal, &runner.id().to_string()]).status().unwrap();
    assert!(sent.success());
    runner.wait_with_output().unwrap()
}

#[test]
fn a_runner_that_is_interrupted_ends_with_3_and_one_that_is_killed_loses_nothing() {
    for (signal, ended) in [("-INT", Some(3)), ("-KILL", None)] {
        let room = Room::new();
        let file = room.campaign("c.toml", LONG);
        let output = interrupted(&room, &file, signal);
        assert_eq!(code(&output), ended, "{}", said(&output));
        if ended.is_some() {
            assert!(
                said(&output).contains("interrupted after") && said(&output).contains("--resume"),
                "{}",
                said(&output)
            );
        }
        let before = fs::read(room.path("j.jsonl")).unwrap();
        let resumed = room.run(&[&file, "--journal", "j.jsonl", "--resume"]);
        assert_eq!(code(&resumed), Some(0), "{}", said(&resumed));
        let after = fs::read(room.path("j.jsonl")).unwrap();
        let whole = before.iter().rposition(|byte| *byte == b'\n').unwrap();
        assert_eq!(after[..whole], before[..whole], "what was written stays");
        assert_eq!(results(&room.path("j.jsonl")).len(), 1500);
    }
}

#[test]
fn two_runners_on_one_journal_are_one_too_many_and_the_first_loses_nothing() {
    let room = Room::new();
    let file = room.campaign("c.toml", MASKED);
    assert_eq!(code(&room.run(&[&file, "--journal", "j.jsonl", "--limit", "2"])), Some(0));
    let campaign = Campaign::load(Path::new(&file)).unwrap();
    let mut place = SimPlace::new(campaign.scenario.clone());
    let header = header(&campaign, &Plan::make(&campaign, &mut place).unwrap(), &Shard::WHOLE);
    let (first, _) = Journal::resume(&room.path("j.jsonl"), &header).unwrap();
    let before = fs::read(room.path("j.jsonl")).unwrap();
    let second = room.run(&[&file, "--journal", "j.jsonl", "--resume"]);
    assert_eq!(code(&second), Some(2), "{}", said(&second));
    assert!(said(&second).contains("j.jsonl: another process is writing it"), "{}", said(&second));
    assert_eq!(fs::read(room.path("j.jsonl")).unwrap(), before);
    drop(first);
    let third = room.run(&[&file, "--journal", "j.jsonl", "--resume"]);
    assert_eq!(code(&third), Some(0), "{}", said(&third));
}

#[test]
fn a_journal_on_a_full_disk_is_the_machine_rooms_failure() {
    let room = Room::new();
    let file = room.campaign("c.toml", MASKED);
    let output = room.run(&[&file, "--journal", "/dev/full"]);
    assert_eq!(code(&output), Some(3), "{}", said(&output));
    assert!(said(&output).contains("journal /dev/full: No space left on device"), "{}", said(&output));
}
