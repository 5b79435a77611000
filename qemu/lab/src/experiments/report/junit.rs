//! JUnit XML: one suite, a test case for each experiment.

use std::fmt::Write as _;

use super::digest::Digest;
use crate::experiments::{Class, Outcome};

pub(super) fn junit(digest: &Digest) -> String {
    let name = digest.header.as_ref().map_or("experiments", |header| header.campaign.as_str());
    let count = |wanted: fn(&Class) -> bool| -> u64 {
        digest.classes.classes.iter().filter(|(class, _)| wanted(class)).map(|(_, count)| count).sum()
    };
    let (findings, errors) = (failures(digest), count(|class| *class == Class::InfraError));
    let skipped = count(|class| *class == Class::NotActivated);
    let seconds: f64 = digest.outcomes.values().map(seconds).sum();
    let head = format!(
        "tests=\"{}\" failures=\"{findings}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.6}\"",
        digest.outcomes.len()
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {head}>\n  <testsuite name=\"{}\" {head}>\n",
        escaped(name)
    );
    digest.outcomes.values().for_each(|outcome| case(&mut text, name, outcome, expected(digest, outcome)));
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Findings that nobody expects: those fail.
fn failures(digest: &Digest) -> usize {
    digest.new_findings().map(|group| group.ids.len()).sum()
}

/// Why the finding is expected, if it is one that is.
pub(super) fn expected<'a>(digest: &'a Digest, outcome: &Outcome) -> Option<&'a str> {
    let group = digest.groups.iter().find(|group| group.ids.contains(&outcome.id))?;
    group.known.as_deref()
}

fn case(text: &mut String, suite: &str, outcome: &Outcome, expected: Option<&str>) {
    let Outcome { id, rules, seed, class, reason, replay, .. } = outcome;
    let name = format!("{} seed {seed} {id}", rules.join(" and "));
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{:.6}\">",
        escaped(&name),
        escaped(suite),
        seconds(outcome)
    );
    let said = escaped(&format!("{class}: {reason}"));
    let _ = match (class, expected) {
        (Class::InfraError, _) => write!(text, "<error message=\"{said}\"/>"),
        (Class::NotActivated, _) => write!(text, "<skipped message=\"the fault never fired\"/>"),
        (class, None) if class.is_finding() => {
            write!(text, "<failure message=\"{said}\" type=\"{class}\">{}</failure>", escaped(replay))
        }
        (class, Some(why)) if class.is_finding() => {
            write!(text, "<system-out>expected: {said}: {}</system-out>", escaped(why))
        }
        (class, _) => write!(text, "<system-out>{class}</system-out>"),
    };
    text.push_str("</testcase>\n");
}

fn seconds(outcome: &Outcome) -> f64 {
    std::time::Duration::from_nanos(outcome.wall_ns).as_secs_f64()
}

/// Text that may stand in XML: what XML 1.0 has no place for becomes a question mark.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(letter));
            }
            control if control < ' ' || matches!(control, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            plain => escaped.push(plain),
        }
    }
    escaped
}
