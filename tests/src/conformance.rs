//! What the conformance suite must find on an engine that is elsewhere, and where its results go for the table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use netdma::conformance::{Needs, TOUCHES_NO_HARDWARE, statements};
use serde_json::Value;

use crate::build_dir;

/// Statements that need an engine and cannot be checked on one of `profile` with `vectors` message vectors that is not in
/// the checks' own process, with the reason.
#[must_use]
pub fn skips(profile: &str, vectors: u16) -> Vec<(&'static str, String)> {
    let is_not = |profile| format!("this engine is not of profile {profile}");
    let mut skips: Vec<_> = match profile {
        "skx" => ["C-CH-16", "C-CH-17", "C-CH-19"].map(|id| (id, is_not("netdma"))).into(),
        _ => vec![("C-CH-18", is_not("skx"))],
    };
    let other =
        [("C-MT-04", 0), ("L-MT-1", 1), ("L-MT-2", 0)].into_iter().filter(|(_, wanted)| *wanted != vectors);
    skips.extend(
        other.map(|(id, wanted)| (id, format!("this engine has {vectors} message vectors, not {wanted}"))),
    );
    skips
}

/// Checks that a run had no failure, and no skip but those it must have; then keeps it for the table. An engine of ours
/// has four message vectors unless told otherwise.
///
/// # Errors
/// What is wrong with it.
pub fn judge(status: i32, report: &Value, place: &str, profile: &str, vectors: u16) -> Result<()> {
    ensure!(report["place"] == place && report["profile"] == profile, "the suite ran elsewhere: {report}");
    let results = report["results"].as_array().context("a report has results")?;
    ensure!(results.len() == statements().count(), "{} statements", results.len());
    let failed: Vec<&Value> = results.iter().filter(|result| result["result"] == "failed").collect();
    ensure!(status == 0 && failed.is_empty(), "status {status}: {failed:#?}");

    let library = statements().filter(|statement| statement.needs == Needs::Library);
    let library = library.map(|statement| (statement.id, TOUCHES_NO_HARDWARE.to_owned()));
    let expected: BTreeMap<&str, String> = library.chain(skips(profile, vectors)).collect();
    let skipped = results.iter().filter(|result| result["result"] == "skipped");
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let found: BTreeMap<String, String> =
        skipped.map(|result| (text(&result["id"]), text(&result["reason"]))).collect();
    let found: BTreeMap<&str, String> = found.iter().map(|(id, reason)| (&**id, reason.clone())).collect();
    ensure!(found == expected, "skipped were {found:#?}, expected {expected:#?}");
    keep(report, place, profile, vectors)
}

/// Puts a report where `netdma conformance --table` gets it from: `target/conformance/PLACE-PROFILE-VECTORS.json`.
fn keep(report: &Value, place: &str, profile: &str, vectors: u16) -> Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let file = folder.join(format!("{place}-{profile}-{vectors}.json"));
    std::fs::write(&file, report.to_string()).with_context(|| format!("{}", file.display()))
}

/// Beside the folder that cargo builds into.
fn folder() -> PathBuf {
    let build = build_dir();
    build.parent().map_or_else(|| build.join("conformance"), |target| target.join("conformance"))
}
