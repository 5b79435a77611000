//! Sections of a page: read from the text behind a program's options, and written in troff's language.

use std::io::{self, Write};

/// A title and what stands below it: lines as they are, then names with what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
    pub(crate) pairs: Vec<(&'static str, &'static str)>,
}

/// A title of more words than this is a sentence, and gets no section of its own.
const TITLE_WORDS: usize = 3;

impl Section {
    /// Reads `Title:` with indented lines below it, as often as it comes. What stands under a sentence, or under nothing, is for
    /// the section `Notes`.
    pub(crate) fn read(text: &str) -> Vec<Self> {
        let mut sections: Vec<Self> = Vec::new();
        for line in text.lines() {
            let title = line.strip_suffix(':').filter(|title| {
                let words = title.split_whitespace().count();
                !line.starts_with(' ') && (1..=TITLE_WORDS).contains(&words)
            });
            // A line at the margin ends a titled section.
            let margin = !line.is_empty() && !line.starts_with(' ');
            match (title, sections.last_mut()) {
                (Some(title), _) => sections.push(Self { title: title.into(), ..Self::default() }),
                (None, Some(last)) if !margin || last.title == "Notes" => last.lines.push(line.into()),
                _ => {
                    sections.push(Self { title: "Notes".into(), lines: vec![line.into()], ..Self::default() })
                }
            }
        }
        for section in &mut sections {
            section.trim();
        }
        sections
    }

    /// From pairs: a name, and what it is for.
    pub(crate) fn of_pairs(title: &str, pairs: &[(&'static str, &'static str)]) -> Option<Self> {
        let section = Self { title: title.into(), pairs: pairs.to_vec(), ..Self::default() };
        (!pairs.is_empty()).then_some(section)
    }

    /// The examples that begin with `command`, with the comments that stand above them.
    pub(crate) fn examples_of(&self, command: &str) -> Option<Self> {
        let is_its_own = |line: &&String| {
            let words = line.trim_start();
            words.strip_prefix(command).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let lines: Vec<_> = self.lines.iter().filter(is_its_own).cloned().collect();
        (!lines.is_empty()).then(|| Self { title: self.title.clone(), lines, ..Self::default() })
    }

    /// Writes it: the lines are not filled, the pairs are a list of terms.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, ".SH \"{}\"", escaped(&self.title.to_uppercase()).replace('"', "\\(dq"))?;
        if !self.lines.is_empty() {
            writeln!(out, ".nf")?;
            for line in &self.lines {
                writeln!(out, "{}", escaped(line))?;
            }
            writeln!(out, ".fi")?;
        }
        for (name, what) in &self.pairs {
            writeln!(out, ".TP\n\\fB{}\\fR\n{}", escaped(name), escaped(what))?;
        }
        Ok(())
    }

    fn trim(&mut self) {
        while self.lines.last().is_some_and(|line| line.trim().is_empty()) {
            self.lines.pop();
        }
    }
}

/// Troff reads a backslash, a dash, and a dot or quote that begins a line.
pub(crate) fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    let text = text.replace('^', "\\(ha").replace('~', "\\(ti");
    if text.starts_with('.') || text.starts_with("\\(aq") { format!("\\&{text}") } else { text }
}
