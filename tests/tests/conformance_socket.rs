//! The conformance suite on the device program: two processes and a socket, no guest.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use netdma_tests::conformance::judge;
use netdma_tests::device::Device;
use netdma_tests::process::{Ran, run};
use netdma_tests::program;

fn conformance(on: &str, arguments: &[&str]) -> Ran {
    run(std::process::Command::new(program("netdma")).args(["conformance", "--on", on]).args(arguments))
}

fn suite_on(profile: &str, vectors: u16) {
    let device = Device::start(&["--profile", profile, "--vectors", &vectors.to_string()]);
    let ran = conformance(&device.on(), &["--json"]);
    let report = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    judge(ran.code.unwrap(), &report, "socket", profile, vectors).unwrap();
}

#[test]
fn every_statement_holds_on_the_device_program() {
    suite_on("skx", 4);
}

#[test]
fn every_statement_holds_on_the_device_program_of_the_synthetic_profile() {
    suite_on("netdma", 4);
}

#[test]
fn every_statement_holds_where_all_channels_share_one_message() {
    suite_on("skx", 1);
}

#[test]
fn every_statement_holds_where_there_is_nothing_but_the_line() {
    suite_on("skx", 0);
}

#[test]
fn where_nothing_can_be_checked_the_code_is_4_and_ktap_says_why() {
    let device = Device::start(&[]);
    let ran = conformance(&device.on(), &["--only", "C-CH-16", "--only", "C-CV-01"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let results: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with('#')).collect();
    let expected = [
        "KTAP version 1",
        "1..2",
        "ok 1 C-CV-01 c_cv_01_address_and_status_make_the_word # SKIP touches no hardware: it runs on the \
         in-process device",
        "ok 2 C-CH-16 c_ch_16_a_page_break_splits_each_side_at_the_end_of_its_first_page # SKIP this engine is \
         not of profile netdma",
    ];
    assert_eq!(results, expected);
    assert!(ran.err.contains("none of 2 statements could run here"), "{}", ran.err);
}

#[test]
fn a_device_that_is_not_there_is_code_3() {
    let ran = conformance("socket:/nowhere/dma.sock", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert!(
        ran.err.starts_with("netdma: --on socket:/nowhere/dma.sock: opening the engine: "),
        "{}",
        ran.err
    );
}
