//! The page: its files and its data in one text.

use std::fmt::Write;

use serde_json::Value;

use super::embed::data;
use crate::trace::{Linked, Trace};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
/// In the order in which they are run.
const SCRIPTS: [&str; 7] = [
    include_str!("page/words.js"),
    include_str!("page/data.js"),
    include_str!("page/tracks.js"),
    include_str!("page/view.js"),
    include_str!("page/panel.js"),
    include_str!("page/histogram.js"),
    include_str!("page/main.js"),
];

/// The page of a linked trace.
#[must_use]
pub fn page(trace: &Trace, linked: &Linked, title: &str) -> String {
    let parts = [
        ("TITLE", text(title)),
        ("STYLE", STYLE.to_owned()),
        ("DATA", script(&data(trace, linked, title))),
        ("SCRIPTS", SCRIPTS.join("\n")),
    ];
    let mut page = String::new();
    // The template is cut at its places, so that nothing that is put in is looked at again.
    for (n, piece) in HTML.split("{{").enumerate() {
        let Some((name, rest)) = piece.split_once("}}").filter(|_| n > 0) else {
            page += piece;
            continue;
        };
        match parts.iter().find(|(part, _)| *part == name) {
            Some((_, part)) => page += part,
            None => page += name,
        }
        page += rest;
    }
    page
}

/// JSON that may stand in a script element: `<` cannot end or open anything there.
fn script(data: &Value) -> String {
    data.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Text that may stand between tags.
fn text(words: &str) -> String {
    let mut escaped = String::new();
    for letter in words.chars() {
        match letter {
            '<' | '>' | '&' | '"' | '\'' => {
                // Writing to a string does not fail.
                let _ = write!(escaped, "&#{};", u32::from(letter));
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_trace_ends_the_element_that_holds_it() {
        let data = serde_json::json!({ "program": "</script><script>alert(1)</script>{{STYLE}}<!--" });
        let written = script(&data);
        assert!(!written.contains('<'), "{written}");
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), data);
        assert_eq!(text("<b title='x'>&\""), "&#60;b title=&#39;x&#39;&#62;&#38;&#34;");
    }
}
