//! The functions that a statement defines.

use std::ops::Range;

use super::tokens::{Kind, Tokens};

/// One function that is defined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    /// Rhai tells functions apart by name and number of parameters.
    pub(super) arity: usize,
    /// All of it, from `fn` to its last brace.
    pub(super) range: Range<usize>,
}

impl Definition {
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (&self.name, self.arity) == (&other.name, other.arity)
    }
}

/// The functions that `text` defines, in their order.
pub(super) fn definitions(text: &str) -> Vec<Definition> {
    let tokens = Tokens::of(text);
    (0..tokens.list().len()).filter_map(|index| definition(&tokens, index)).collect()
}

/// The one whose `fn` is the token at `index`. Rhai knows `fn` at the outermost level only, and as no other name.
fn definition(tokens: &Tokens<'_>, index: usize) -> Option<Definition> {
    if !tokens.is_word(index, "fn")
        || !tokens.is(index + 1, Kind::Word)
        || !tokens.is(index + 2, Kind::Open('('))
    {
        return None;
    }
    let list = tokens.list();
    let close = tokens.closing_of(index + 2)?;
    let end = tokens.closing_of(close + 1).filter(|_| tokens.is(close + 1, Kind::Open('{')))?;
    let arity = list[index + 3..close].iter().filter(|token| token.kind == Kind::Word).count();
    let private = index.checked_sub(1).filter(|before| tokens.is_word(*before, "private"));
    let start = list[private.unwrap_or(index)].range.start;
    Some(Definition { name: tokens.text(&list[index + 1]).into(), arity, range: start..list[end].range.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_parameters_and_bounds() {
        let text = "let x = 1; private fn one(a, b) { if a { b } } fn two() {} // fn three() {}";
        let found = definitions(text);
        let shown: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.arity, &text[it.range.clone()])).collect();
        assert_eq!(shown, [("one", 2, "private fn one(a, b) { if a { b } }"), ("two", 0, "fn two() {}"),]);
    }

    #[test]
    fn what_is_no_whole_definition_is_none() {
        for text in ["fn", "fn f", "fn f(", "fn f()", "fn f() {", "\"fn f() {}\"", "fn f() 1"] {
            assert_eq!(definitions(text), [], "{text}");
        }
    }
}
