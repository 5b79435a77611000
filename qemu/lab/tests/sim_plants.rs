//! The simulator finds planted bugs: how many seeds each takes, and that the same seeds are clean without it.
//!
//! Not here: a plain store in place of a read-modify-write. That is a matter of memory order, which one thread
//! cannot see; loom shows it (`driver/tests/loom_dpc.rs`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use ioat_stage::plant::{Plant, plant};
use netdma_lab::sim::scenario::Scenario;
use netdma_lab::sim::world::Wrong;
use netdma_lab::sim::{Report, run};

/// The first seed below `most` in which something is found.
fn first(name: &str, plants: &[Plant], most: u64) -> Option<Report> {
    let scenario = Arc::new(Scenario::load(name).unwrap());
    plant(plants);
    let found = (0..most).map(|seed| run(&scenario, seed)).find(|report| !report.findings.is_empty());
    plant(&[]);
    if let Some(report) = &found {
        let Report { seed, findings, .. } = report;
        println!("{plants:?}: {} seeds of {name}: {}", seed + 1, findings[0].text);
    }
    found
}

fn kinds(report: &Report) -> Vec<Wrong> {
    report.findings.iter().map(|finding| finding.wrong).collect()
}

#[test]
fn a_mark_cleared_after_the_routine_loses_work_in_a_storm() {
    assert!(first("storm", &[], 20).is_none());
    let report = first("storm", &[Plant::MarkClearedLate], 20).unwrap();
    assert!(kinds(&report).contains(&Wrong::Dpc), "{:?}", report.findings);
}

#[test]
fn an_interrupt_before_its_completion_word_is_a_lost_interrupt() {
    assert!(first("default", &[], 100).is_none());
    let report = first("default", &[Plant::InterruptBeforeWord], 100).unwrap();
    assert!(kinds(&report).contains(&Wrong::LostInterrupt), "{:?}", report.findings);
}

#[test]
fn a_rearming_that_the_refused_request_forgets_leaves_the_channel_deaf() {
    assert!(first("stops", &[], 100).is_none());
    let report = first("stops", &[Plant::RearmForgotten], 3000).unwrap();
    assert!(kinds(&report).contains(&Wrong::LostInterrupt), "{:?}", report.findings);
}

/// This device holds an interrupt back and sends it at the re-arming, so on it the second look is never needed; an
/// engine that forgets such an interrupt is what the second look is for.
#[test]
fn mt_4_without_the_second_look_an_engine_that_forgets_held_interrupts_loses_completions() {
    assert!(first("default", &[Plant::HeldLost], 100).is_none());
    assert!(first("default", &[Plant::RecheckLeftOut], 100).is_none());
    let report = first("default", &[Plant::HeldLost, Plant::RecheckLeftOut], 1000).unwrap();
    assert!(kinds(&report).contains(&Wrong::LostInterrupt), "{:?}", report.findings);
}
