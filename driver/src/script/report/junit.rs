//! JUnit XML, as CI systems read it: one suite, a test case for each of the script's.

use std::fmt::Write as _;

use crate::script::{Case, Summary, Verdict};

/// The whole file. `script` is its path, as it was given.
#[must_use]
pub fn junit(script: &str, summary: &Summary) -> String {
    let Summary { cases, duration_ns, warnings, left, .. } = summary;
    let count = |wanted: fn(&Verdict) -> bool| cases.iter().filter(|case| wanted(&case.verdict)).count();
    let failures = count(|verdict| *verdict == Verdict::Failed);
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let head = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\"",
        cases.len(),
        seconds(*duration_ns)
    );
    let name = escaped(script);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {head}>\n  <testsuite name=\"{name}\" {head}>\n"
    );
    let _ = writeln!(
        text,
        "    <properties><property name=\"forbidden-register-writes\" value=\"{warnings}\"/></properties>"
    );
    cases.iter().for_each(|case| one(&mut text, &name, case));
    if !left.is_empty() {
        let _ = writeln!(text, "    <system-err>{}</system-err>", escaped(&left.join("\n")));
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn one(text: &mut String, script: &str, case: &Case) {
    let Case { name, verdict, complaints, checks, duration_ns } = case;
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "    <testcase name=\"{}\" classname=\"{script}\" assertions=\"{checks}\" time=\"{}\"",
        escaped(name),
        seconds(*duration_ns)
    );
    match verdict {
        Verdict::Passed => text.push_str("/>\n"),
        Verdict::Skipped(reason) => {
            let _ = writeln!(text, "><skipped message=\"{}\"/></testcase>", escaped(reason));
        }
        Verdict::Failed => {
            text.push_str(">\n");
            for complaint in complaints {
                let place = complaint.line.map_or(script.to_owned(), |line| format!("{script}:{line}"));
                let _ = writeln!(
                    text,
                    "      <failure message=\"{}\" type=\"check\">{place}: {}</failure>",
                    escaped(&complaint.text),
                    escaped(&complaint.to_string())
                );
            }
            text.push_str("    </testcase>\n");
        }
    }
}

fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns % 1_000_000_000 / 1000)
}

/// Text for an element or an attribute. Characters that XML 1.0 has no place for (2.2) are shown as U+FFFD, and line
/// ends are references, for an attribute would lose them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\r' | '\t' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
