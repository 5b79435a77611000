//! KTAP, version 1. The script's own lines are comments that come as they are said; the plan and the results follow at
//! the end, for how many cases there are is not known before.

use std::fmt::Write as _;

use crate::script::{Summary, Verdict};

/// The version line, and on what it runs.
#[must_use]
pub fn head(script: &str, place: &str) -> String {
    format!("KTAP version 1\n{}\n", comment(&format!("{script} on {place}")))
}

/// Lines that say something and are no results.
#[must_use]
pub fn comment(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("# {line}").trim_end().to_owned()).collect();
    if lines.is_empty() { "#".into() } else { lines.join("\n") }
}

/// The plan, the results, and the totals.
#[must_use]
pub fn results(summary: &Summary) -> String {
    let Summary { cases, left, warnings, .. } = summary;
    let mut text = format!("1..{}\n", cases.len());
    // Writing to a String cannot fail.
    for (index, case) in cases.iter().enumerate() {
        let (number, name) = (index + 1, plain(&case.name));
        for complaint in &case.complaints {
            let _ = writeln!(text, "{}", comment(&format!("{name}: {complaint}")));
        }
        let _ = match &case.verdict {
            Verdict::Passed => writeln!(text, "ok {number} {name}"),
            Verdict::Failed => writeln!(text, "not ok {number} {name}"),
            Verdict::Skipped(reason) => writeln!(text, "ok {number} {name} # SKIP {}", plain(reason)),
        };
    }
    for what in left {
        let _ = writeln!(text, "{}", comment(&format!("not undone: {what}")));
    }
    if *warnings > 0 {
        let _ = writeln!(text, "# {warnings} register writes that the table forbids");
    }
    let count = |wanted: fn(&Verdict) -> bool| cases.iter().filter(|case| wanted(&case.verdict)).count();
    let passed = count(|verdict| *verdict == Verdict::Passed);
    let failed = count(|verdict| *verdict == Verdict::Failed);
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let _ = writeln!(text, "# Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:{skipped} error:0");
    text
}

/// A directive begins with `#`, and a result is one line.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('#', "no. ")
}
