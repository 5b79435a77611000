//! What a script's end is for its caller.

use std::fs;

use super::{command, script};

#[test]
fn a_script_that_finds_all_well_exits_0_and_says_what_it_logs() {
    let ran = script("log(`${ARGS[1]} on ${device().place}`); assert_eq(ARGS.len, 2);", &["one", "two"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "two on sim\n", ""));
}

#[test]
fn arguments_are_seen_in_functions_too() {
    let ran = script("fn first() { ARGS[0] } log(first());", &["seen"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "seen\n"), "{}", ran.err);
}

#[test]
fn an_assertion_that_fails_exits_1_with_line_and_column_and_the_way_there() {
    let ran = script(
        "fn check(n) {\n  assert(n < 2, \"n is too large\");\n}\ncheck(1);\ncheck(2);\nlog(\"no\");",
        &[],
    );
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("line 2, column 3: assertion failed: n is too large"), "{}", ran.err);
    assert!(ran.err.contains("in check(), called at line 5"), "{}", ran.err);
}

#[test]
fn an_expectation_that_fails_exits_1_and_the_rest_still_runs() {
    let ran = script("expect(false, \"first\");\nexpect_eq(7, 8, \"second\");\nlog(\"went on\");", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "went on\n"));
    assert!(ran.err.contains("line 1, column 1: first"), "{}", ran.err);
    assert!(ran.err.contains("line 2, column 1: second: found 7, expected 8"), "{}", ran.err);
}

#[test]
fn a_skipped_script_exits_4_and_one_that_tried_something_does_not() {
    let ran = script("skip(\"no such hardware\");\nlog(\"no\");", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""));
    assert!(ran.err.contains("skipped: no such hardware"), "{}", ran.err);
    let half = script("case(\"a\", || skip(\"not here\")); case(\"b\", || expect(true));", &[]);
    assert_eq!(half.code, 0, "{}", half.err);
}

#[test]
fn no_catch_stops_a_skip() {
    let ran = script("try { skip(\"gone\") } catch { log(\"caught\") }", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""));
}

#[test]
fn a_script_that_does_not_compile_exits_2_with_the_line_and_nothing_ran() {
    let ran = script("log(\"no\");\nlet x = ;\n", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("try.rhai: line 2, column"), "{}", ran.err);
    let unknown = script("log(\"no\");\nlog(not_there);", &[]);
    assert_eq!((unknown.code, unknown.out.as_str()), (2, ""));
    assert!(unknown.err.contains("line 2, column 5: Undefined variable: not_there"), "{}", unknown.err);
}

#[test]
fn a_script_that_is_not_there_is_usage_and_a_device_that_is_not_there_is_3() {
    let missing = command("/nowhere/x.rhai".as_ref()).output().expect("the program starts");
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/x.rhai: cannot read the script"));
    let ran = script("log(1);", &["--on", "socket:/nowhere/s.sock"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.err.contains("/nowhere/s.sock: no such socket"), "{}", ran.err);
}

#[test]
fn a_control_socket_for_the_device_in_process_is_usage() {
    let ran = script("log(1);", &["--control", "/tmp/c.sock"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("--control with --on sim"), "{}", ran.err);
}

#[test]
fn a_script_may_begin_with_the_line_of_its_interpreter() {
    let ran = script("#!/usr/bin/env -S netdma script\nlog(\"ok\");", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok\n"), "{}", ran.err);
}

#[test]
fn a_file_beside_the_script_can_be_imported() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("parts.rhai"), "fn double(n) { 2 * n }").expect("written");
    let file = folder.path().join("main.rhai");
    fs::write(&file, "import \"parts\" as parts;\nassert_eq(parts::double(4), 8);\nlog(\"ok\");")
        .expect("written");
    let output = command(&file).current_dir("/").output().expect("the program starts");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ok\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
