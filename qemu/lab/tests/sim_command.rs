//! `netdma-lab sim` as a program: exit codes, the command that replays, the trace.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdma-lab")).arg("sim").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn clean_seeds_end_with_0_and_say_the_rate() {
    let output = sim(&["--seeds", "0..20"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    assert!(said.contains("20 seeds, 0 failed") && said.contains("scenarios/s"), "{said}");
}

#[test]
fn a_failing_seed_ends_with_1_and_prints_the_command_that_replays_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, "fault = ['copy: nth(2) corrupt(0)']\n[[client]]\nnull = 0\n").unwrap();
    let path = path.to_str().unwrap();
    let output = sim(&["--seeds", "3..9", path, "--keep-going", "--jobs", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let replay = format!("netdma-lab sim --seeds 3..4 {path} --trace seed-3.jsonl");
    assert!(said.contains(&replay) && said.contains("Corruption"), "{said}");
    // The same, by that command: the same words, and the trace.
    let trace = folder.path().join("seed.jsonl");
    let again = sim(&["--seeds", "3..4", path, "--trace", trace.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    let first = |said: &str| said.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(first(&text(&again.stdout)), first(&said));
    let lines = std::fs::read_to_string(trace).unwrap();
    assert!(lines.lines().count() > 100);
    assert!(lines.contains("\"stage\":\"copy\"") && lines.contains("\"mark\":\"faulted\""));
}

#[test]
fn what_makes_no_sense_ends_with_2_and_says_what_was_expected() {
    for (arguments, expected) in [
        (&["--seeds", "5..5"][..], "A less than B"),
        (&["--seeds", "0..2", "--trace", "/tmp/never"], "--trace writes one seed"),
        (&["no-such-scenario"], "shipped"),
    ] {
        let output = sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}
