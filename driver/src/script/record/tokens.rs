//! The words of a statement, with their places: as much of Rhai's grammar as it takes to know whether a statement is
//! finished, in which call the cursor stands, and what a statement defines. What it means is the engine's business.

use std::ops::Range;

/// One token of a statement. Comments are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it stands, in bytes.
    pub range: Range<usize>,
}

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A name or a keyword.
    Word,
    /// A number, without its sign.
    Number,
    /// A text in quotes. `closed` is false if the statement ends within it.
    Text {
        /// It ends in a quote.
        closed: bool,
        /// It may go on in the next line.
        lines: bool,
    },
    /// An opening bracket.
    Open(char),
    /// A closing bracket.
    Close(char),
    /// Anything else, one character each.
    Sign(char),
}

/// A statement, cut into tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// It ends within a comment that may go on.
    in_comment: bool,
}

impl<'a> Tokens<'a> {
    /// Cuts `text`. Nothing is wrong for it: what Rhai does not know is a [`Kind::Sign`].
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let mut tokens = Self { text, tokens: Vec::new(), in_comment: false };
        let mut at = 0;
        while let Some(first) = text[at..].chars().next() {
            at = tokens.next(at, first);
        }
        tokens
    }

    /// The tokens, in order.
    #[must_use]
    pub fn list(&self) -> &[Token] {
        &self.tokens
    }

    /// The text of a token.
    #[must_use]
    pub fn text(&self, token: &Token) -> &'a str {
        &self.text[token.range.clone()]
    }

    /// What stands between the quotes of a text token.
    #[must_use]
    pub fn content(&self, token: &Token) -> &'a str {
        let text = self.text(token);
        let Kind::Text { closed, .. } = token.kind else { return text };
        let hashes = text.bytes().take_while(|byte| *byte == b'#').count();
        let end = text.len() - if closed { hashes + 1 } else { 0 };
        // A lone quote is its own beginning and no end.
        text.get(hashes + 1..end).unwrap_or("")
    }

    /// Is it a whole statement, as far as brackets, texts and comments go? A bracket too many, or of the wrong kind,
    /// will not get better by another line: that is finished too.
    #[must_use]
    pub fn are_finished(&self) -> bool {
        let mut open = Vec::new();
        for token in &self.tokens {
            match token.kind {
                Kind::Open(bracket) => open.push(closing(bracket)),
                Kind::Close(bracket) if open.pop() != Some(bracket) => return true,
                Kind::Text { closed: false, lines } => return !lines,
                _ => {}
            }
        }
        open.is_empty() && !self.in_comment
    }

    /// The index of the innermost bracket that is still open at the end.
    #[must_use]
    pub fn innermost_open(&self) -> Option<usize> {
        let mut open = Vec::new();
        for (index, token) in self.tokens.iter().enumerate() {
            match token.kind {
                Kind::Open(_) => open.push(index),
                Kind::Close(_) => drop(open.pop()),
                _ => {}
            }
        }
        open.pop()
    }

    /// The index of the bracket that closes the one at `open`.
    #[must_use]
    pub fn closing_of(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                Kind::Open(_) => depth += 1,
                Kind::Close(_) if depth == 1 => return Some(index),
                Kind::Close(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// Is the token at `index` this word?
    #[must_use]
    pub fn is_word(&self, index: usize, word: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == Kind::Word && self.text(token) == word)
    }

    /// Is the token at `index` of this kind?
    #[must_use]
    pub fn is(&self, index: usize, kind: Kind) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == kind)
    }

    /// Takes the token that begins at `at`, and gives the place behind it.
    fn next(&mut self, at: usize, first: char) -> usize {
        let rest = &self.text[at..];
        let (kind, len) = match first {
            _ if rest.starts_with("//") => return at + rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => return at + self.comment(rest),
            _ if first.is_whitespace() => return at + first.len_utf8(),
            'a'..='z' | 'A'..='Z' | '_' => (Kind::Word, word(rest)),
            '0'..='9' => (Kind::Number, word(rest)),
            '"' | '`' => quoted(rest, first),
            '\'' => (Kind::Sign('\''), character(rest)),
            '#' if raw_quote(rest).is_some() => raw(rest),
            '(' | '[' | '{' => (Kind::Open(first), 1),
            ')' | ']' | '}' => (Kind::Close(first), 1),
            _ => (Kind::Sign(first), first.len_utf8()),
        };
        self.tokens.push(Token { kind, range: at..at + len });
        at + len
    }

    /// The length of a comment in `/* */`, which may hold others.
    fn comment(&mut self, rest: &str) -> usize {
        let mut depth = 0_usize;
        let mut at = 0;
        while at < rest.len() {
            match rest.as_bytes().get(at..at + 2) {
                Some(b"/*") => (depth, at) = (depth + 1, at + 2),
                Some(b"*/") if depth == 1 => return at + 2,
                Some(b"*/") => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        self.in_comment = true;
        rest.len()
    }
}

/// The bracket that closes this one.
fn closing(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// A text in `"`, which ends with its line unless a backslash carries it on, or in backticks, which goes over lines
/// and may hold `${...}`.
fn quoted(rest: &str, quote: char) -> (Kind, usize) {
    let lines = quote == '`';
    let mut escaped = false;
    let mut skip_to = 0;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if at < skip_to => {}
            _ if escaped => escaped = false,
            '\\' if !lines => escaped = true,
            '$' if lines && rest[at..].starts_with("${") => skip_to = at + interpolated(&rest[at..]),
            '\n' if !lines => return (Kind::Text { closed: false, lines }, at),
            _ if c == quote => return (Kind::Text { closed: true, lines }, at + 1),
            _ => {}
        }
    }
    // A backslash at the very end carries the text on.
    (Kind::Text { closed: false, lines: lines || escaped }, rest.len())
}

/// The length of a `${...}`: to its brace, or to the end.
fn interpolated(rest: &str) -> usize {
    let inner = Tokens::of(&rest[1..]);
    inner.closing_of(0).map_or(rest.len(), |close| 1 + inner.tokens[close].range.end)
}

/// A character as `'x'` or `'\''`; a lone `'` is one byte.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            // The character after the backslash is never the end.
            let tail = characters.nth(1).map_or(rest.len(), |(at, _)| at);
            rest[tail..]
                .find(['\'', '\n'])
                .filter(|end| rest[tail + end..].starts_with('\''))
                .map_or(1, |end| tail + end + 1)
        }
        Some((_, '\'' | '\n')) | None => 1,
        Some(_) => characters.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
    }
}

/// How many `#` stand before the quote of a raw text.
fn raw_quote(rest: &str) -> Option<usize> {
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// A text as `#"..."#`, with as many `#` at its end as at its beginning.
fn raw(rest: &str) -> (Kind, usize) {
    let hashes = raw_quote(rest).unwrap_or(0);
    let end = format!("\"{}", "#".repeat(hashes));
    match rest[hashes + 1..].find(&end) {
        Some(at) => (Kind::Text { closed: true, lines: true }, hashes + 1 + at + end.len()),
        None => (Kind::Text { closed: false, lines: true }, rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(text: &str) -> bool {
        Tokens::of(text).are_finished()
    }

    #[test]
    fn open_brackets_texts_and_comments_go_on() {
        for open in [
            "if x {",
            "foo(1,",
            "[1, [2]",
            "#{a: 1",
            "/* why",
            "/* a /* b */",
            "`two",
            "#\"raw\"",
            "\"a\\",
            "`${f(`",
        ] {
            assert!(!finished(open), "{open}");
        }
    }

    #[test]
    fn what_no_further_line_mends_is_finished() {
        for done in [
            "",
            "x",
            "f(1)",
            "{}}",
            "(]",
            "\"abc",
            "// (",
            "'('",
            "\"(\"",
            "`${f(\"`\")}`",
            "##\"(\"#\"##",
            "'\\''",
            "'",
        ] {
            assert!(finished(done), "{done}");
        }
    }

    #[test]
    fn texts_keep_what_stands_between_their_quotes() {
        let tokens = Tokens::of(r##"f("a\"b", `c`, #"d"e"#, "open"##);
        let texts: Vec<_> = tokens
            .list()
            .iter()
            .filter(|t| matches!(t.kind, Kind::Text { .. }))
            .map(|t| tokens.content(t))
            .collect();
        assert_eq!(texts, ["a\\\"b", "c", "d\"e", "open"]);
        let lone = Tokens::of("\"");
        assert_eq!(lone.content(&lone.list()[0]), "");
    }

    #[test]
    fn letters_of_any_language_cut_nothing_in_half() {
        for text in ["\"ä", "ä", "'ä'", "'\\ä", "`ä${ä", "/*ä", "#\"ä", "\\", "'\\"] {
            let tokens = Tokens::of(text);
            assert!(tokens.list().iter().all(|token| !tokens.text(token).is_empty()), "{text}");
        }
    }
}
