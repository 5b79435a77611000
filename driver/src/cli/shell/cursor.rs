//! Where the cursor stands in what is typed: in which place of which call, and behind which letters.

use netdma::script::record::tokens::{Kind, Tokens};

/// The place of the cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place<'a> {
    /// What is being typed there.
    pub(super) typing: Typing<'a>,
    /// The call around it, if there is one.
    pub(super) call: Option<Call<'a>>,
}

/// What is being typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Typing<'a> {
    /// A name that begins at `start`; after a dot if `method`.
    Name { start: usize, letters: &'a str, method: bool },
    /// A text in quotes whose content begins at `start`.
    Text { start: usize, letters: &'a str },
    /// Nothing that has a name: a number, a bracket, a sign.
    Other,
}

/// A call whose bracket is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    /// Called on a value, after a dot.
    pub(super) method: bool,
    /// The arguments before the cursor's, as they were written.
    pub(super) before: Vec<Argument<'a>>,
    /// Where the cursor's argument begins, and what of it is there.
    pub(super) argument: (usize, &'a str),
}

/// An argument that is already there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Argument<'a> {
    /// A text in quotes.
    Text(&'a str),
    /// Whatever else.
    Other,
}

/// The place at the end of `text`.
pub(super) fn place(text: &str) -> Place<'_> {
    let tokens = Tokens::of(text);
    Place { typing: typing(text, &tokens), call: call(text, &tokens) }
}

fn typing<'a>(text: &'a str, tokens: &Tokens<'a>) -> Typing<'a> {
    let empty = |method| Typing::Name { start: text.len(), letters: "", method };
    let Some((last, before)) = tokens.list().split_last() else { return empty(false) };
    let dotted = |at: Option<&_>| {
        at.is_some_and(|token: &netdma::script::record::tokens::Token| token.kind == Kind::Sign('.'))
    };
    match last.kind {
        Kind::Text { closed: false, .. } => {
            let letters = tokens.content(last);
            Typing::Text { start: text.len() - letters.len(), letters }
        }
        Kind::Word if last.range.end == text.len() => Typing::Name {
            start: last.range.start,
            letters: tokens.text(last),
            method: dotted(before.last()),
        },
        // Letters may begin behind a bracket or a sign, not glued to a number or a text.
        Kind::Number | Kind::Text { .. } if last.range.end == text.len() => Typing::Other,
        _ => empty(last.kind == Kind::Sign('.')),
    }
}

/// The call around the end of the text.
fn call<'a>(text: &'a str, tokens: &Tokens<'a>) -> Option<Call<'a>> {
    let open = tokens.innermost_open().filter(|open| tokens.is(*open, Kind::Open('(')))?;
    let name = open.checked_sub(1).filter(|name| tokens.is(*name, Kind::Word))?;
    let method = name.checked_sub(1).is_some_and(|dot| tokens.is(dot, Kind::Sign('.')));
    let list = tokens.list();
    let mut before = Vec::new();
    let mut start = open + 1;
    let mut depth = 0_usize;
    for (index, token) in list.iter().enumerate().skip(open + 1) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => depth = depth.saturating_sub(1),
            Kind::Sign(',') if depth == 0 => {
                before.push(argument(tokens, start..index));
                start = index + 1;
            }
            _ => {}
        }
    }
    let at = list.get(start).map_or(text.len(), |token| token.range.start);
    Some(Call { name: tokens.text(&list[name]), method, before, argument: (at, &text[at..]) })
}

fn argument<'a>(tokens: &Tokens<'a>, range: std::ops::Range<usize>) -> Argument<'a> {
    match &tokens.list()[range] {
        [one] if matches!(one.kind, Kind::Text { closed: true, .. }) => Argument::Text(tokens.content(one)),
        _ => Argument::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_typed_at_the_beginning_behind_a_bracket_and_behind_a_dot() {
        let name = |start, letters, method| Typing::Name { start, letters, method };
        assert_eq!(place("").typing, name(0, "", false));
        assert_eq!(place("ir").typing, name(0, "ir", false));
        assert_eq!(place("f(ir").typing, name(2, "ir", false));
        assert_eq!(place("a.").typing, name(2, "", true));
        assert_eq!(place("a.fi").typing, name(2, "fi", true));
        assert_eq!(place("let x = ").typing, name(8, "", false));
        assert_eq!(place("12").typing, Typing::Other);
    }

    #[test]
    fn a_text_is_typed_in_an_argument_of_a_call() {
        let place = place("put(\"CHAN0.CHANCTRL\", \"IN");
        assert_eq!(place.typing, Typing::Text { start: 23, letters: "IN" });
        let call = place.call.unwrap();
        assert_eq!((call.name, call.method), ("put", false));
        assert_eq!(call.before, [Argument::Text("CHAN0.CHANCTRL")]);
        assert_eq!(call.argument, (22, "\"IN"));
    }

    #[test]
    fn the_innermost_open_call_counts_its_own_commas() {
        let call = place("f(1, a.copy([2, 3], (4), ").call.unwrap();
        assert_eq!((call.name, call.method, call.before.len()), ("copy", true, 2));
        assert_eq!(call.argument, (25, ""));
        assert_eq!(place("f(1, [2, ").call, None);
        assert_eq!(place("f(1)").call, None);
        assert_eq!(place("(1").call, None);
    }

    #[test]
    fn a_comment_is_no_place_of_a_call() {
        assert_eq!(place("x // f(").call, None);
    }
}
