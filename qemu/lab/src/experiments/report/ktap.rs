//! KTAP, version 1: a test for each experiment.

use std::fmt::Write as _;

use super::digest::Digest;
use super::junit::expected;
use crate::experiments::{Class, Outcome};

pub(super) fn ktap(digest: &Digest) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", digest.outcomes.len());
    for (number, outcome) in (1..).zip(digest.outcomes.values()) {
        line(&mut text, number, outcome, expected(digest, outcome));
    }
    let count = |class| digest.classes.count(class);
    let failed: usize = digest.new_findings().map(|group| group.ids.len()).sum();
    let infra = usize::try_from(count(Class::InfraError)).unwrap_or(usize::MAX);
    let skipped = usize::try_from(count(Class::NotActivated)).unwrap_or(usize::MAX);
    let passed = digest.outcomes.len().saturating_sub(failed + infra + skipped);
    // Writing to a String does not fail.
    let _ =
        writeln!(text, "# Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:{skipped} error:{infra}");
    text
}

fn line(text: &mut String, number: usize, outcome: &Outcome, expected: Option<&str>) {
    let Outcome { id, rules, seed, class, reason, replay, .. } = outcome;
    let name = plain(&format!("{} seed {seed} {id}", rules.join(" and ")));
    let (class, is_finding) = (*class, class.is_finding());
    let _ = match (class, expected) {
        (Class::NotActivated, _) => writeln!(text, "ok {number} {name} # SKIP the fault never fired"),
        (Class::InfraError, _) => writeln!(text, "not ok {number} {name} # ERROR {}", plain(reason)),
        (_, None) if is_finding => {
            writeln!(text, "# {class}: {}\n# again: {replay}\nnot ok {number} {name}", plain(reason))
        }
        (_, Some(why)) if is_finding => {
            writeln!(text, "# expected {class}: {}: {}\nok {number} {name}", plain(reason), plain(why))
        }
        _ => writeln!(text, "ok {number} {name}"),
    };
}

/// `#` begins a directive, and a line is a line.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('#', "no. ")
}
