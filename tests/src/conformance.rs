//! What the conformance suite must find on an engine that is elsewhere, and where its results go for the table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use netdma::conformance::{Needs, TOUCHES_NO_HARDWARE, statements};
use serde_json::Value;

use crate::build_dir;

/// Statements that need an engine and cannot be checked on one of `profile` that is not in the checks' own process,
/// with the reason.
#[must_use]
pub fn skips(profile: &str) -> Vec<(&'static str, &'static str)> {
    match profile {
        "skx" => vec![
            ("C-CH-16", "this engine is not of profile netdma"),
            ("C-CH-17", "this engine is not of profile netdma"),
            ("C-CH-19", "this engine is not of profile netdma"),
        ],
        _ => vec![("C-CH-18", "this engine is not of profile skx")],
    }
}

/// Checks that a run had no failure, and no skip but those it must have; then keeps it for the table.
///
/// # Errors
/// What is wrong with it.
pub fn judge(status: i32, report: &Value, place: &str, profile: &str) -> Result<()> {
    ensure!(report["place"] == place && report["profile"] == profile, "the suite ran elsewhere: {report}");
    let results = report["results"].as_array().context("a report has results")?;
    ensure!(results.len() == statements().count(), "{} statements", results.len());
    let failed: Vec<&Value> = results.iter().filter(|result| result["result"] == "failed").collect();
    ensure!(status == 0 && failed.is_empty(), "status {status}: {failed:#?}");

    let library = statements().filter(|statement| statement.needs == Needs::Library);
    let expected: BTreeMap<&str, &str> =
        library.map(|statement| (statement.id, TOUCHES_NO_HARDWARE)).chain(skips(profile)).collect();
    let skipped = results.iter().filter(|result| result["result"] == "skipped");
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let found: BTreeMap<String, String> =
        skipped.map(|result| (text(&result["id"]), text(&result["reason"]))).collect();
    let found: BTreeMap<&str, &str> = found.iter().map(|(id, reason)| (&**id, &**reason)).collect();
    ensure!(found == expected, "skipped were {found:#?}, expected {expected:#?}");
    keep(report, place, profile)
}

/// Puts a report where `netdma conformance --table` gets it from: `target/conformance/PLACE-PROFILE.json`.
fn keep(report: &Value, place: &str, profile: &str) -> Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let file = folder.join(format!("{place}-{profile}.json"));
    std::fs::write(&file, report.to_string()).with_context(|| format!("{}", file.display()))
}

/// Beside the folder that cargo builds into.
fn folder() -> PathBuf {
    let build = build_dir();
    build.parent().map_or_else(|| build.join("conformance"), |target| target.join("conformance"))
}
