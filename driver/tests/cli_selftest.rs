//! `netdma selftest` on the device in its process: without faults, and under each kind of fault rule.
#![cfg(feature = "sim")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

/// What a run of the program left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn report(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "the report is one line:\n{}", self.out);
        serde_json::from_str(&self.out).expect("the report is JSON")
    }
}

/// `selftest --quick` with these arguments and a seed that is always the same.
fn selftest(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_netdma"))
        .args(["selftest", "--quick", "--seed", "7"])
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .expect("the program starts");
    Ran {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn details(report: &Value) -> String {
    let steps = report["steps"].as_array().into_iter().flatten();
    let line = |step: &Value| format!("{}: {}", step["name"], step["detail"].as_str().unwrap_or_default());
    steps.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_step_passes_and_the_tables_say_so() {
    let ran = selftest(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    for part in [
        "selftest on sim skx: 4 channels, 4 processors, seed 7",
        "step                    channels  verified  descriptors  interrupts",
        "every processor",
        "DPCs that ask for DPCs",
        "processor  DPCs  queued  refused  placement",
        "vector  interrupts  ISR on  routing",
    ] {
        assert!(ran.out.contains(part), "no {part:?} in\n{}", ran.out);
    }
    assert_eq!(ran.out.lines().last(), Some("9 passed, 0 failed"));
}

#[test]
fn the_report_for_programs_carries_what_the_table_shows() {
    let ran = selftest(&["--json", "--channels", "2", "--processors", "3"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report = ran.report();
    assert_eq!((&report["device"], &report["on"]), (&"sim skx".into(), &"sim".into()));
    assert_eq!((&report["seed"], &report["passed"], &report["failed"]), (&7.into(), &9.into(), &0.into()));
    for step in report["steps"].as_array().unwrap() {
        assert_ne!(step["passed"], step["skipped"], "{step}");
        assert_eq!(step["channels"], if step["skipped"] == true { 0 } else { 2 }, "{step}");
    }
    let batch = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["name"] == "batch, one interrupt")
        .unwrap();
    assert_eq!((&batch["descriptors"], &batch["bytes"]), (&128.into(), &(2 * 64 * 4096).into()));
    let processors = report["processors"].as_array().unwrap();
    assert_eq!(processors.len(), 3);
    assert!(processors.iter().all(|processor| processor["dpcs"].as_u64() > Some(0)), "{processors:?}");
    assert_eq!(report["vectors"].as_array().unwrap().len(), 2);
    assert_eq!(report["faults_fired"].as_array().unwrap().len(), 0);
    assert!(ran.err.contains("a clean batch"), "progress goes to standard error: {}", ran.err);
}

#[test]
fn more_than_65536_descriptors_wrap_the_count() {
    let output = Command::new(env!("CARGO_BIN_EXE_netdma"))
        .args(["selftest", "--json", "--channels", "1", "--processors", "1"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let step = |name: &str| steps.iter().find(|step| step["name"] == name).unwrap();
    assert_eq!(step("ring and count wrap")["passed"], true, "{}", details(&report));
    assert!(step("ring and count wrap")["descriptors"].as_u64() > Some(65_536));
    let alone = step("DPCs that ask for DPCs");
    assert_eq!((&alone["skipped"], &alone["passed"]), (&true.into(), &false.into()), "{alone}");
}

#[test]
fn lost_msix_is_recovered_and_the_step_passes() {
    let ran = selftest(&["--json", "--fault", "msix: nth(3) drop"]);
    let report = ran.report();
    assert_eq!(ran.code, 0, "{}{}", details(&report), ran.err);
    assert!(details(&report).contains("recovered 1 lost interrupt"), "{}", details(&report));
    let fired = &report["faults_fired"][0];
    assert_eq!((&fired["rule"], &fired["nth"]), (&"msix: nth(3) drop".into(), &3.into()));
}

/// A rule that ends an operation in a typed error: exit 1 with that text, and exit 0 when it is expected.
fn is_a_typed_error_that_the_channel_survives(rule: &str, text: &str) {
    let arguments = ["--json", "--timeout-ms", "1000", "--fault", rule];
    let ran = selftest(&arguments);
    let report = ran.report();
    assert!(details(&report).contains(&format!("error, recovered: {text}")), "{}", details(&report));
    assert_eq!((ran.code, &report["failed"]), (1, &1.into()), "{}", details(&report));
    assert!(ran.err.contains("netdma: selftest: 1 of 9 steps failed, the first is"), "{}", ran.err);
    let expected = selftest(&[&arguments[..], &["--expect-fault"]].concat());
    let report = expected.report();
    assert_eq!((expected.code, &report["failed"]), (0, &0.into()), "{}", details(&report));
    assert!(details(&report).contains(&format!("error, recovered: {text}")), "{}", details(&report));
}

#[test]
fn a_dropped_completion_is_a_timeout_that_the_channel_survives() {
    let text = "channel 2: copy of 1 bytes: not finished after 10";
    is_a_typed_error_that_the_channel_survives("complete[ch=2]: nth(1) drop", text);
}

#[test]
fn a_misaddressed_completion_is_a_bad_completion_that_the_channel_survives() {
    let text = "channel 2: copy of 1 bytes: the engine reported 0x";
    is_a_typed_error_that_the_channel_survives("complete[ch=2]: nth(1) misaddress(+64)", text);
}

#[test]
fn a_halt_names_its_chanerr_bit_and_the_channel_survives() {
    let text = "channel 1: copy of 1 bytes: the engine halted, CHANERR is 0x100 (read-data)";
    is_a_typed_error_that_the_channel_survives("copy[ch=1]: nth(1) halt(read-data)", text);
}

#[test]
fn a_corrupted_byte_is_found_with_channel_offset_expected_and_found() {
    let arguments = ["--fault", "copy[ch=3]: nth(9) corrupt(2, 0x10)"];
    let ran = selftest(&arguments);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{}", ran.err);
    for part in [
        "channel 3: copy of",
        "destination byte at offset 0x",
        "expected 0x",
        "found 0x",
        "--seed 7 repeats it",
    ] {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
    assert_eq!(ran.out.lines().last(), Some("8 passed, 1 failed"));
    assert_eq!(selftest(&[&arguments[..], &["--expect-fault"]].concat()).code, 0);
}

#[test]
fn all_ones_while_the_engine_is_opened_is_a_device_that_is_gone() {
    let ran = selftest(&["--fault", "register: nth(3) all-ones"]);
    assert_eq!((ran.code, ran.err.lines().count()), (3, 1), "{}", ran.err);
    assert!(ran.err.contains("opening the engine: the device is gone: "), "{}", ran.err);
}

#[test]
fn the_drivers_own_points_take_rules_beside_the_devices_and_the_work_is_done() {
    let rules = ["isr: nth(3) drop", "dpc: nth(2) duplicate", "queue: nth(5) delay(1ms)", "msix: nth(9) drop"];
    let arguments: Vec<_> = rules.iter().flat_map(|rule| ["--fault", rule]).collect();
    let ran = selftest(&[&["--json"], arguments.as_slice()].concat());
    let report = ran.report();
    assert_eq!((ran.code, &report["failed"]), (0, &0.into()), "{}", details(&report));
    let fired = report["faults_fired"].as_array().expect("a list").iter();
    let fired: BTreeSet<_> = fired.filter_map(|fired| fired["rule"].as_str()).collect();
    assert_eq!(fired, BTreeSet::from(rules));
    assert!(details(&report).contains("lost interrupt"), "{}", details(&report));
}

#[test]
fn an_expected_fault_that_does_not_happen_fails() {
    let ran = selftest(&["--expect-fault"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no fault was detected and none recovered from"), "{}", ran.err);
    assert_eq!(ran.out.lines().last(), Some("9 passed, 1 failed"));
}

#[test]
fn a_channel_that_never_works_again_does_not_pass_as_expected() {
    let ran = selftest(&[
        "--expect-fault",
        "--timeout-ms",
        "50",
        "--fault",
        "copy[ch=0]: every(1) halt(read-data)",
    ]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("error, not recovered: channel 0: "), "{}", ran.out);
    assert!(ran.out.contains("a clean batch"), "{}", ran.out);
}

#[test]
fn a_trace_holds_all_nine_stages_of_both_sides_in_whole_lines() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ran = selftest(&["--trace", file.path().to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let text = fs::read_to_string(file.path()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (headers, events): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|line| line.get("trace").is_some());
    let sides: BTreeSet<_> = headers.iter().map(|header| header["side"].as_str().unwrap()).collect();
    assert_eq!((headers.len(), sides), (2, BTreeSet::from(["device", "driver"])));
    let seen: BTreeSet<_> = events
        .iter()
        .map(|event| (event["side"].as_str().unwrap(), event["stage"].as_str().unwrap()))
        .collect();
    let device =
        ["doorbell", "fetch", "translate", "copy", "complete", "msix"].map(|stage| ("device", stage));
    let driver = ["doorbell", "isr", "queue", "dpc"].map(|stage| ("driver", stage));
    assert_eq!(seen, device.into_iter().chain(driver).collect());
}
