//! `netdma-lab experiment replay` and `minimise` as programs: exact in the simulator, by journal, file or line; what differs is
//! named; and the smallest runs by the one command that is given for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use netdma_lab::experiments::{Class, Record};
use tempfile::TempDir;

const CAMPAIGN: &str = "
[driver]
processors = 2
ring_slots = 16
[[client]]
tasks = 2
batches = 6
bytes = [1, 64]
null = 0
[campaign]
seeds = [3]
[[set]]
name = 'several'
rules = ['isr: every(4) delay(5us)', 'copy: nth(5) corrupt(0)', 'dpc: every(3) duplicate']
expect = ['silent-data-corruption']
[[set]]
name = 'lost'
rules = ['msix: nth(2) drop']
";

struct Room {
    folder: TempDir,
}

impl Room {
    /// A campaign that was run: `own.toml`, `own.jsonl`.
    fn new() -> Self {
        let room = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(room.path("own.toml"), CAMPAIGN).unwrap();
        let ran = room.experiment(&["run", "own.toml", "--journal", "own.jsonl"]);
        assert!(matches!(ran.status.code(), Some(0 | 1)), "{}", said(&ran));
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn experiment(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdma-lab"));
        command.current_dir(self.folder.path()).arg("experiment").args(arguments).output().unwrap()
    }

    fn records(&self) -> Vec<Record> {
        let text = fs::read_to_string(self.path("own.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The id and the replay line of the experiment of this class.
    fn result(&self, class: Class) -> (String, String) {
        let results = self.records().into_iter().filter_map(|record| match record {
            Record::Result(outcome) => Some(outcome),
            _ => None,
        });
        let found = results.into_iter().find(|outcome| outcome.class == class).unwrap();
        (found.id.0, found.replay)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_recorded_experiment_is_the_same_byte_for_byte_by_journal_by_file_and_by_its_line() {
    let room = Room::new();
    let (id, line) = room.result(Class::SilentDataCorruption);
    for arguments in
        [vec!["replay", "own.jsonl", &id], vec!["replay", "own.toml", &id], vec!["replay", &line]]
    {
        let ran = room.experiment(&arguments);
        let text = said(&ran);
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(
            text.contains("silent-data-corruption: ") && text.contains("the same, byte for byte"),
            "{text}"
        );
    }
    // What nothing bad came of ends with 0, and a trace is the run's.
    let (id, _) = room.result(Class::DetectedRecovered);
    let ran = room.experiment(&["replay", "own.jsonl", &id, "--trace", "run.jsonl"]);
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let trace = fs::read_to_string(room.path("run.jsonl")).unwrap();
    assert!(trace.lines().count() > 50, "{trace}");
}

#[test]
fn what_differs_from_the_journal_is_named() {
    let room = Room::new();
    let (id, _) = room.result(Class::DetectedRecovered);
    let text = fs::read_to_string(room.path("own.jsonl")).unwrap();
    let changed = text.replace("\"took_ns\":", "\"took_ns\":1");
    fs::write(room.path("changed.jsonl"), changed).unwrap();
    let ran = room.experiment(&["replay", "changed.jsonl", &id, "--campaign", "own.toml"]);
    let text = said(&ran);
    assert!(text.contains("it is not the same:") && text.contains("took_ns: the journal has 1"), "{text}");
}

#[test]
fn what_is_not_there_is_named_with_what_was_expected() {
    let room = Room::new();
    let (id, _) = room.result(Class::DetectedRecovered);
    fs::write(room.path("other.toml"), CAMPAIGN.replace("batches = 6", "batches = 7")).unwrap();
    for (arguments, part) in [
        (vec!["replay", "own.jsonl", "000000000000"], "it has no result of an experiment '000000000000'"),
        (vec!["replay", "own.toml", "000000000000"], "it has no experiment '000000000000'"),
        (vec!["replay", "own.jsonl"], "this is a journal: which experiment?"),
        (vec!["replay", "own.toml"], "this is a campaign's file: which experiment?"),
        (vec!["replay", "none.toml", &id], "none.toml: No such file"),
        (vec!["replay", "own.jsonl", &id, "--seed", "3"], "--rule and --seed with a journal"),
        (vec!["replay", "own.jsonl", &id, "--campaign", "other.toml"], "the file was changed since"),
        (vec!["replay", "own.toml", "--rule", "irq: nth(1) drop"], "point 'irq': expected a point"),
        (vec!["minimise"], "required"),
    ] {
        let ran = room.experiment(&arguments);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {}", said(&ran));
        assert!(said(&ran).contains(part), "{arguments:?}: {}", said(&ran));
    }
}

#[test]
fn the_smallest_is_a_file_that_fails_by_the_one_command_and_the_journal_has_it() {
    let room = Room::new();
    let (id, _) = room.result(Class::SilentDataCorruption);
    let ran = room.experiment(&["minimise", "own.jsonl", &id]);
    let text = said(&ran);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    for part in ["3 rules -> 1", "the smallest fails alone", "nothing more can be left out"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let file = format!("minimal-{id}.toml");
    let line = text.lines().find_map(|line| line.strip_prefix("again: ")).unwrap();
    let again = room.experiment(&["replay", line]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(
        line.contains(&file) && said(&again).contains("silent-data-corruption: "),
        "{line}: {}",
        said(&again)
    );
    // And it is a campaign.
    let again = room.experiment(&["run", &file]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    let minimal = room.records().into_iter().find_map(|record| match record {
        Record::Minimal(minimal) => Some(minimal),
        _ => None,
    });
    let minimal = minimal.unwrap();
    assert_eq!((minimal.id.0, minimal.rules.len()), (id.clone(), 1));
    assert!(
        minimal.rules[0].starts_with("copy: nth(") && minimal.workload.starts_with("1 x 1 batches"),
        "{}",
        text
    );
    // The journal goes on to be one.
    let resumed = room.experiment(&["replay", "own.jsonl", &id]);
    assert!(said(&resumed).contains("the same, byte for byte"), "{}", said(&resumed));
}

#[test]
fn what_does_not_fail_is_not_minimised_and_a_seed_of_a_scenario_can_be() {
    let room = Room::new();
    let ran = room.experiment(&["minimise", "own.toml", "--rule", "copy: nth(100000) corrupt(0)"]);
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    assert!(said(&ran).contains("it does not fail"), "{}", said(&ran));
    let scenario = "fault = ['copy: nth(9) corrupt(0)', 'isr: every(2) delay(3us)']\n[[client]]\n";
    fs::write(room.path("seed.toml"), scenario).unwrap();
    let ran =
        room.experiment(&["minimise", "--scenario", "seed.toml", "--seed", "5", "--output", "small.toml"]);
    let text = said(&ran);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    let again = text.lines().find_map(|line| line.strip_prefix("again: netdma-lab ")).unwrap();
    let mut sim = Command::new(env!("CARGO_BIN_EXE_netdma-lab"));
    let sim = sim.current_dir(room.folder.path()).args(again.split(' ')).output().unwrap();
    assert_eq!(sim.status.code(), Some(1), "{again}: {}", said(&sim));
}
