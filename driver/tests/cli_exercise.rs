//! `netdma exercise` on the device in its process: facts of each kind from a rule of each kind, and its conversation.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run of the program left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// The last line.
    fn facts(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

fn exercise(arguments: &[&str], input: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdma"));
    command.arg("exercise").args(arguments).env_remove("RUST_LOG");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// On two channels, with a seed that is always the same. Late interrupts of a busy machine are not taken for lost ones.
fn facts(rule: &str) -> (i32, Value) {
    let usual = ["--json", "--seed", "7", "--channels", "2", "--watchdog-ms", "300", "--timeout-ms", "3000"];
    let ran = exercise(&[&usual[..], &["--fault", rule]].concat(), "");
    (ran.code, ran.facts())
}

fn first<'a>(facts: &'a Value, list: &str) -> &'a str {
    facts[list][0].as_str().unwrap_or_else(|| panic!("no {list} in {facts}"))
}

#[test]
fn without_a_fault_there_is_nothing_to_tell_but_the_time() {
    let ran = exercise(&["--json", "--seed", "7", "--watchdog-ms", "2000"], "");
    let facts = ran.facts();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let names: Vec<_> = facts.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["took_ns"], "{facts}");
    let ran = exercise(&["--seed", "7", "--watchdog-ms", "2000"], "");
    assert!(
        ran.out.contains("exercise on sim skx: seed 7") && ran.out.contains("all as it must be"),
        "{}",
        ran.out
    );
}

#[test]
fn a_lost_interrupt_is_a_recovery() {
    let (code, facts) = facts("msix: always drop");
    assert!(first(&facts, "recoveries").contains("found by looking"), "{facts}");
    assert_eq!(code, 0);
}

#[test]
fn an_error_that_the_driver_tells_is_a_failure_and_the_clean_batch_works() {
    for (rule, text) in [
        ("fetch[ch=0]: nth(2) halt(3)", "channel 0: batch 0: the engine halted, CHANERR is 0x8"),
        ("complete: nth(3) misaddress(+0x40000)", "where no descriptor is under way"),
    ] {
        // One at a time: else a word that is right may come over the wrong one before the driver looks.
        let usual =
            ["--json", "--seed", "7", "--channels", "2", "--watchdog-ms", "300", "--timeout-ms", "3000"];
        let ran =
            exercise(&[&usual[..], &["--in-flight", "1", "--tasks", "2", "--fault", rule]].concat(), "");
        let (code, facts) = (ran.code, ran.facts());
        assert!(facts["failures"].to_string().contains(text), "{rule}: {facts}");
        assert!(facts["hangs"].is_null() && facts["corruptions"].is_null(), "{rule}: {facts}");
        assert_eq!(code, 1, "{rule}");
    }
}

#[test]
fn a_wrong_byte_is_a_corruption_with_its_place() {
    let (code, facts) = facts("copy: nth(2) corrupt(0)");
    let text = first(&facts, "corruptions");
    assert!(text.contains("target, batch") && text.contains("1 wrong bytes, the first at 0x"), "{text}");
    assert_eq!(code, 1);
}

#[test]
fn an_engine_that_never_opened_is_a_failure_and_works_without_the_fault() {
    let (code, facts) = facts("register: every(1) all-ones");
    assert!(first(&facts, "failures").starts_with("opening the engine: the device is gone"), "{facts}");
    assert!(facts["hangs"].is_null(), "{facts}");
    assert_eq!(code, 1);
}

#[test]
fn a_round_that_does_not_end_is_told_with_its_place() {
    let rule = ["--fault", "complete: every(1) drop", "--timeout-ms", "60000", "--hang-ms", "2000"];
    let ran = exercise(&[&["--json", "--channels", "1"], &rule[..]].concat(), "");
    assert_eq!(first(&ran.facts(), "hangs"), "no end of the workload after 2000 ms");
    assert_eq!(ran.code, 1);
}

#[test]
fn a_slow_workload_is_slow() {
    let ran = exercise(&["--json", "--batches", "2000", "--degraded-ms", "1"], "");
    assert_eq!(ran.facts()["slow"], true);
}

#[test]
fn commands_in_the_middle_of_work_fail_nothing() {
    let busy = ["--suspend", "30", "--abort", "30", "--restart", "30", "--batches", "40", "--tasks", "4"];
    let ran = exercise(&[&["--json", "--seed", "3", "--channels", "2"], &busy[..]].concat(), "");
    let facts = ran.facts();
    for list in ["failures", "corruptions", "hangs"] {
        assert!(facts[list].is_null(), "{facts}");
    }
}

#[test]
fn one_process_serves_many_rounds_and_says_what_it_did_not_understand() {
    let input = "{\"seed\":1}\n{\"do\":\"run\",\"seed\":2,\"batches\":3}\n{\"do\":\"end\"}\nnonsense\n\
                 {\"sead\":1}\n{\"batch\":[9,1]}\n{\"channels\":3}\n{\"do\":\"both\",\"reset\":false}\n";
    let ran = exercise(&["--serve", "--channels", "2", "--watchdog-ms", "2000"], input);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ran.code, lines.len()), (0, 9), "{}{}", ran.out, ran.err);
    assert_eq!((&lines[0]["ready"], &lines[0]["channels"]), (&"sim skx".into(), &2.into()));
    for clean in [1, 2, 3, 8] {
        assert_eq!(lines[clean].as_object().unwrap().len(), 1, "{}", lines[clean]);
    }
    for (line, text) in [
        (4, "no request: expected"),
        (5, "unknown field `sead`"),
        (6, "batch 9 to 1: expected the smaller number first"),
        (7, "channels 3: the engine has 2"),
    ] {
        assert!(lines[line]["error"].as_str().unwrap().contains(text), "{}", lines[line]);
    }
}

#[test]
fn bad_input_is_named_with_what_was_expected() {
    for (arguments, text) in [
        (vec!["--bytes", "5-6"], "--bytes '5-6' is no range: write 8, 1..9 or 1..=8"),
        (vec!["--bytes", "1..4M"], "--bytes 4194303: expected 1 to 1048576"),
        (vec!["--copy", "0", "--fill", "0", "--null", "0"], "--copy 0: no operation has a weight"),
        (vec!["--ring-slots", "3"], "--ring-slots 3: expected a power of two"),
        (vec!["--tasks", "99"], "--tasks 99: expected 1 to 64"),
        (vec!["--on", "nowhere"], "--on nowhere: this is no device"),
    ] {
        let ran = exercise(&arguments, "");
        assert!(ran.err.contains(text), "{}", ran.err);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    }
    let ran = exercise(&["--on", "socket:/no/such/socket"], "");
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{}", ran.err);
}
