//! A statement that ends in the reading of a register: `get("NAME")` or `get("NAME", "FIELD")`.

use std::ops::Range;

use super::tokens::{Kind, Tokens};

/// The reading that a statement's value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The register's name, as it was written.
    pub register: String,
    /// The field, if only that was read.
    pub field: Option<String>,
    /// Where the call stands, from the statement's first token that is no blank.
    pub range: Range<usize>,
}

impl Reading {
    /// The reading at the end of `text`, if that is where its value comes from.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let tokens = Tokens::of(text);
        let list = tokens.list();
        let end = list.iter().rposition(|token| token.kind != Kind::Sign(';'))? + 1;
        // get ( TEXT ) is four tokens, get ( TEXT , TEXT ) six.
        [4, 6].into_iter().find_map(|len| {
            let start = end.checked_sub(len)?;
            let whole = start == 0 || tokens.is(start - 1, Kind::Sign(';'));
            let call = tokens.is_word(start, "get")
                && tokens.is(start + 1, Kind::Open('('))
                && tokens.is(end - 1, Kind::Close(')'))
                && (len == 4 || tokens.is(start + 3, Kind::Sign(',')));
            (whole && call).then_some(())?;
            let field = if len == 6 { Some(plain(&tokens, start + 4)?) } else { None };
            let range = list[start].range.start..list[end - 1].range.end;
            Some(Self { register: plain(&tokens, start + 2)?, field, range })
        })
    }
}

/// A text in quotes that says what it means: names have nothing in them that must be escaped.
fn plain(tokens: &Tokens<'_>, index: usize) -> Option<String> {
    let token = &tokens.list()[index];
    let is_text = matches!(token.kind, Kind::Text { closed: true, .. });
    let content = Some(tokens.content(token)).filter(|_| is_text)?;
    (!content.contains(['\\', '"', '$'])).then(|| content.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_the_whole_call_at_the_end() {
        let reading = |register: &str, field: Option<&str>, range| {
            Some(Reading { register: register.into(), field: field.map(Into::into), range })
        };
        assert_eq!(Reading::of(" get(\"A.B\") ; // x"), reading("A.B", None, 0..10));
        assert_eq!(Reading::of("put(\"A\", 1); get(`A`, \"F\")"), reading("A", Some("F"), 13..26));
        for other in [
            "",
            "get(x)",
            "get(\"A\") + 1",
            "let x = get(\"A\")",
            "f(get(\"A\"))",
            "get(\"A\", f)",
            "get(\"A\\n\")",
        ] {
            assert_eq!(Reading::of(other), None, "{other}");
        }
    }
}
