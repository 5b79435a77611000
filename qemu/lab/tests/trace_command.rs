//! `netdma-lab trace` and `timeline` as programs: what they write, what they refuse, and their exit codes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod trace_support;

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use trace_support::simulated;

fn lab(folder: &TempDir, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_netdma-lab");
    Command::new(program).current_dir(folder.path()).args(arguments).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a simulated trace, whole and by side; the driver's is on a clock that is 7 s behind.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let whole = simulated("default", 1);
    put("both.jsonl", &whole);
    let of = |side: &str, more: u64| {
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| line["side"] == side && line["trace"].is_null());
        let late = lines.map(|mut line| {
            line["t_ns"] = (line["t_ns"].as_u64().unwrap() + more).into();
            format!("{line}\n")
        });
        late.collect::<String>()
    };
    put("device.jsonl", &of("device", 7_000_000_000));
    put("driver.jsonl", &of("driver", 0));
    folder
}

#[test]
fn stats_are_a_table_or_one_json_object_of_all_or_of_one_channel() {
    let folder = folder();
    let text = lab(&folder, &["trace", "stats", "both.jsonl"]);
    assert_eq!(text.status.code(), Some(0), "{}", said(&text.stderr));
    let text = said(&text.stdout);
    assert!(text.contains("stage") && text.contains("p99") && text.contains("total"), "{text}");
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_slice(
            &lab(&folder, &[&["trace", "stats", "both.jsonl", "--json"], arguments].concat()).stdout,
        )
        .unwrap()
    };
    let count = |value: &Value| value["descriptors"].as_u64().unwrap();
    let (all, zero, one) = (json(&[]), json(&["--channel", "0"]), json(&["--channel", "1"]));
    assert!(count(&zero) > 0 && count(&one) > 0);
    assert_eq!(count(&all), count(&zero) + count(&one));
}

#[test]
fn merge_prints_offset_drift_error_and_contradictions_and_its_output_is_a_trace_on_one_clock() {
    let folder = folder();
    let merged = lab(&folder, &["trace", "merge", "device.jsonl", "driver.jsonl", "-o", "merged.jsonl"]);
    let text = said(&merged.stdout);
    assert_eq!(merged.status.code(), Some(0), "{}", said(&merged.stderr));
    for word in ["pairs: ", "offset: ", "drift: ", "error: at most ", "impossible: 0 pairs"] {
        assert!(text.contains(word), "no '{word}' in {text}");
    }
    let number = |before: &str| -> i64 {
        let rest = text.split(before).nth(1).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!((number("offset: ") - 7_000_000_000).abs() <= number("error: at most "), "{text}");
    let stats: Value =
        serde_json::from_slice(&lab(&folder, &["trace", "stats", "merged.jsonl", "--json"]).stdout).unwrap();
    assert!(stats["clock_error_ns"].as_u64().unwrap() < 100_000, "{stats}");
    let whole: Value =
        serde_json::from_slice(&lab(&folder, &["trace", "stats", "both.jsonl", "--json"]).stdout).unwrap();
    assert_eq!((&stats["descriptors"], &stats["bytes"]), (&whole["descriptors"], &whole["bytes"]));
}

#[test]
fn convert_and_timeline_write_what_was_asked_for() {
    let folder = folder();
    for (arguments, output, begin) in [
        (
            &["trace", "convert", "both.jsonl", "--format", "perfetto", "-o", "p.json"][..],
            "p.json",
            "{\"displayTimeUnit\"",
        ),
        (&["trace", "convert", "device.jsonl", "driver.jsonl", "-o", "all.jsonl"], "all.jsonl", "{\"t"),
        (&["timeline", "both.jsonl", "-o", "t.html"], "t.html", "<!DOCTYPE html>"),
        (&["timeline", "device.jsonl", "driver.jsonl", "-o", "two.html"], "two.html", "<!DOCTYPE html>"),
    ] {
        let ran = lab(&folder, arguments);
        assert_eq!(ran.status.code(), Some(0), "{arguments:?}: {}", said(&ran.stderr));
        let written = std::fs::read_to_string(folder.path().join(output)).unwrap();
        assert!(written.starts_with(begin), "{arguments:?}: {}", &written[..60]);
    }
    let page = std::fs::read_to_string(folder.path().join("two.html")).unwrap();
    assert!(
        page.contains("\"clock_error_ns\":") && page.contains("\"error_ns\":"),
        "two clocks are fitted, and the page says so"
    );
}

#[test]
fn bad_input_ends_with_2_and_names_what_is_wrong_and_writes_nothing() {
    let folder = folder();
    std::fs::write(folder.path().join("bad.jsonl"), "{\"t_ns\":1}\n").unwrap();
    for (arguments, expected) in [
        (&["trace", "stats", "none.jsonl"][..], "none.jsonl: cannot be read"),
        (&["trace", "convert", "bad.jsonl", "-o", "out"], "bad.jsonl:1: expected"),
        (&["timeline", "bad.jsonl", "-o", "out"], "bad.jsonl:1: expected"),
        (&["trace", "merge", "driver.jsonl", "device.jsonl", "-o", "out"], "holds events of the other side"),
        (&["trace", "merge", "device.jsonl", "device.jsonl", "-o", "out"], "expected only the driver's"),
        (&["trace", "convert", "both.jsonl", "-o", "both.jsonl"], "both.jsonl: is the trace that is read"),
        (&["trace", "convert", "both.jsonl", "-o", "no/such/folder"], "no/such/folder: cannot be written"),
        (&["trace", "convert", "both.jsonl", "--format", "svg", "-o", "out"], "perfetto"),
    ] {
        let ran = lab(&folder, arguments);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}");
        assert!(said(&ran.stderr).contains(expected), "{arguments:?}: {}", said(&ran.stderr));
        assert!(!folder.path().join("out").exists(), "{arguments:?} left a file");
    }
}
