//! The examples run, and print what they promise.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::PathBuf;
use std::process::Command;

fn run(example: &str) -> String {
    // Plain `cargo test` builds the examples too, next to the folder of the test programs.
    let tests: PathBuf = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join(example);
    let output = Command::new(&program).output().unwrap_or_else(|error| {
        panic!("{program:?}: {error}; with --test alone, run cargo build -p netdma --examples first")
    });
    assert!(output.status.success(), "{example}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn scatter_gather_joins_the_pieces() {
    let output = run("scatter_gather");
    assert_eq!(
        output,
        "1 operation, 3 descriptors, one doorbell\nthe engine gathers what arrived in pieces\n"
    );
}

#[test]
fn completions_come_in_order_and_a_failed_batch_says_how_far_it_came() {
    let output = run("completions");
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[0], "batch 0: done");
    assert!(lines[1].starts_with("batch 1: the engine halted"), "{output}");
    assert!(lines[1].ends_with("1 of 4 operations were done before"), "{output}");
    assert_eq!(&lines[2..], ["batch 2: done", "batch 3: done", "1 recovery"]);
}

#[test]
fn events_tell_of_every_fill() {
    assert_eq!(run("events"), "fill 0 is done\nfill 1 is done\nfill 2 is done\n");
}

#[test]
fn polled_channels_raise_no_interrupt() {
    let output = run("polled");
    assert!(output.lines().nth(1).unwrap().ends_with(" 0 interrupts"), "{output}");
}
