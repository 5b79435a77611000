//! What a failure looks like, so that a smaller experiment can be seen to fail in the same way.

use std::fmt;

use crate::experiments::class::Class;
use crate::experiments::observation::Observation;
use crate::sim::world::{Finding, Wrong};

/// The class, and the beginning of the reason without its numbers. The campaign's signature names the rules too; those
/// are what is being taken away here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symptom {
    /// The class.
    pub class: Class,
    /// The reason's words.
    pub words: String,
}

/// Parts of a reason that tell causes apart: its kind, who, what. What follows lists things.
const PARTS: usize = 3;

impl Symptom {
    /// Of an observation.
    #[must_use]
    pub fn of(observation: &Observation) -> Self {
        Self { class: observation.class(), words: words(observation.reason()) }
    }
}

/// How a run of `netdma-lab sim` fails, where a scenario says what is expected; none if nothing is wrong.
#[must_use]
pub fn of_findings(findings: &[Finding]) -> Option<Symptom> {
    let finding = findings.first()?;
    let class = match finding.wrong {
        Wrong::Panic => Class::Crash,
        Wrong::Deadlock | Wrong::Limit | Wrong::Pending | Wrong::LostInterrupt | Wrong::Dpc => Class::Hang,
        Wrong::Corruption | Wrong::Completion | Wrong::Order | Wrong::Resource => Class::SilentDataCorruption,
        Wrong::Outcome | Wrong::Conduct => Class::DetectedFailed,
    };
    Some(Symptom { class, words: words(&reason(finding)) })
}

/// A finding in one line, as an observation has it.
#[must_use]
pub fn reason(finding: &Finding) -> String {
    let kind = serde_json::to_value(finding.wrong).ok();
    let kind = kind.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    format!("{kind}: {}", finding.text)
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.words.is_empty() { "" } else { ": " };
        write!(f, "{}{separator}{}", self.class, self.words)
    }
}

/// `corruption: at 1200 ns: client-0-3: offset 17, ...` becomes `corruption: client-#-#: offset #`.
pub(super) fn words(reason: &str) -> String {
    let plain = without_numbers(reason);
    let parts = plain.split(": ").filter(|part| !part.starts_with("at # "));
    let parts = parts.take(PARTS).map(|part| part.split([';', ',', '(']).next().unwrap_or(part).trim_end());
    parts.collect::<Vec<_>>().join(": ")
}

/// Each number, decimal or hexadecimal, becomes `#`.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|one: char| one.is_ascii_digit()) {
        plain += &rest[..start];
        plain.push('#');
        let number = &rest[start..];
        let hex = number.strip_prefix("0x");
        let (number, digits): (_, fn(char) -> bool) = match hex {
            Some(number) => (number, |one| one.is_ascii_hexdigit()),
            None => (number, |one| one.is_ascii_digit()),
        };
        rest = number.trim_start_matches(digits);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_lists_make_no_difference_and_words_do() {
        let one = words("corruption: at 1200 ns: client-0-3: offset 17: expected 0x6d, found 0x6c");
        assert_eq!(one, "corruption: client-#-#: offset #");
        assert_eq!(one, words("corruption: at 7 ns: client-1-0: offset 0: expected 0x1, found 0x2"));
        let stuck = words("deadlock: at 12 ns: no task can go on: main waits for the end of task 3 since 9 ns; dpc-1 waits");
        assert_eq!(stuck, "deadlock: no task can go on: main waits for the end of task # since # ns");
        assert_eq!(words(""), "");
        assert_ne!(one, words("order: at 1200 ns: client-0-3: offset 17"));
    }
}
