//! What is wrong with a rule.

/// Why a rule cannot be read, or would never fire.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuleError {
    /// It has not the shape of a rule.
    #[error("fault rule '{rule}': expected '{}', for example 'msix[ch=0]: nth(3) drop'{hint}", super::SHAPE)]
    Shape {
        /// The whole rule; `[[fault]]` where it is a table.
        rule: String,
        /// What is missing, or empty.
        hint: &'static str,
    },
    /// One part of it is wrong.
    #[error("fault rule '{rule}': {part} '{found}': expected {expected}")]
    Part {
        /// The whole rule; `[[fault]]` where it is a table.
        rule: String,
        /// Which: point, filter, trigger, action, name; or a table's key.
        part: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// It can be read, and never fires.
    #[error("fault rule '{rule}' would never fire: {why}")]
    Never {
        /// The whole rule.
        rule: String,
        /// Why not.
        why: String,
    },
}

impl RuleError {
    /// The most of a rule that an error repeats.
    const SHOWN: usize = 200;

    pub(super) fn part(rule: &str, part: &str, found: &str, expected: impl Into<String>) -> Self {
        let (rule, found) = (shown(rule), shown(found));
        Self::Part { rule, part: part.to_owned(), found, expected: expected.into() }
    }

    pub(super) fn shape(rule: &str, hint: &'static str) -> Self {
        Self::Shape { rule: shown(rule), hint }
    }
}

/// Not all of a text that has no end.
fn shown(text: &str) -> String {
    if text.chars().count() <= RuleError::SHOWN {
        return text.to_owned();
    }
    text.chars().take(RuleError::SHOWN).chain("...".chars()).collect()
}
