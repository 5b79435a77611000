//! `netdma conformance` on the device in its process: what it prints, which checks it runs, and how it ends.
#![cfg(feature = "sim")]

use std::process::Command;

use serde_json::Value;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn conformance(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_netdma"))
        .arg("conformance")
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

#[test]
fn ktap_has_a_version_a_plan_and_one_line_for_each_statement() {
    let ran = conformance(&["--only", "c-cv-01", "--only", "C-CV-08"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with('#')).collect();
    let expected = [
        "KTAP version 1",
        "1..2",
        "ok 1 C-CV-01 c_cv_01_address_and_status_make_the_word",
        "ok 2 C-CV-08 c_cv_08_one_report_completes_everything_before_it",
    ];
    assert_eq!(lines, expected);
    assert!(ran.out.ends_with("# Totals: pass:2 fail:0 xfail:0 xpass:0 skip:0 error:0\n"), "{}", ran.out);
}

#[test]
fn json_names_the_engine_and_the_profile_of_each_result() {
    let ran = conformance(&["--json", "--only", "C-CV-08", "--only", "C-CH-16"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&report["place"], &report["profile"]), (&"sim".into(), &"skx".into()));
    assert_eq!(report["identity"]["device"], 0x2021);
    let results = report["results"].as_array().expect("results");
    let profiles: Vec<_> = results.iter().map(|result| (&result["id"], &result["profile"])).collect();
    assert_eq!(profiles, [(&"C-CV-08".into(), &"skx".into()), (&"C-CH-16".into(), &"netdma".into())]);
    assert!(results.iter().all(|result| result["result"] == "passed" && result["duration_ms"].is_u64()));
}

#[test]
fn a_name_is_a_whole_id_or_the_beginning_of_some() {
    let listed = |name| {
        let ran = conformance(&["--list", "--only", name]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out.lines().skip(1).count()
    };
    assert_eq!(listed("C-CV"), 9);
    assert_eq!(listed("C-CH-"), 19);
    assert_eq!(listed("L-ST-1"), 1);
    let ran = conformance(&["--only", "C-XX"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.starts_with("netdma: --only C-XX: no statement is called or begins so"), "{}", ran.err);
}

#[test]
fn the_table_is_made_of_results_and_of_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let [good, bad] = ["good.json", "bad.json"].map(|name| folder.path().join(name));
    std::fs::write(&good, conformance(&["--json", "--only", "C-CH-16"]).out).expect("a file");
    std::fs::write(&bad, r#"{"place":"sim","results":[{"id":"C-XX-99","result":"passed"}]}"#)
        .expect("a file");
    let table = |file: &std::path::Path| conformance(&["--table", &file.display().to_string()]);
    let ran = table(&good);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let row = ran.out.lines().find(|line| line.starts_with("| C-CH-16 ")).expect("its row");
    assert!(row.ends_with("| netdma | not run | not run |"), "{row}");
    assert!(!ran.out.contains(" ms"), "a table that is compared holds no times");

    let ran = table(&bad);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("bad.json: this program has no statement C-XX-99"), "{}", ran.err);
}

#[test]
fn flags_that_contradict_each_other_are_usage() {
    for flags in [&["--json", "--ktap"][..], &["--list", "--json"], &["--table", "x", "--json"]] {
        let ran = conformance(flags);
        assert_eq!((ran.code, ran.err.lines().count()), (2, 1), "{flags:?}: {}", ran.err);
    }
    let ran = conformance(&["--on", "socket:/x", "--profile", "netdma"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("give --profile to the device program"), "{}", ran.err);
}
