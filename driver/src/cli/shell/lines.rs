//! Lines from a pipe, or from a terminal that cannot do more than print: no escape sequence is ever sent.

use std::io::{self, BufRead, IsTerminal, Write};

use netdma::script::record::tokens::Tokens;

use super::{MORE, PROMPT, Signals, Typed, command};

/// Reads statements line by line.
pub(super) struct Lines<R> {
    input: R,
    /// Where a person sees what is asked for; nobody does at a pipe.
    prompt: bool,
    signals: Signals,
}

impl Lines<io::StdinLock<'static>> {
    pub(super) fn of_stdin(signals: Signals) -> Self {
        let prompt = io::stdin().is_terminal() && io::stdout().is_terminal();
        Self { input: io::stdin().lock(), prompt, signals }
    }
}

impl<R: BufRead> Lines<R> {
    /// A person sits there.
    pub(super) fn prompts(&self) -> bool {
        self.prompt
    }

    /// The next statement, whole; what is left when the input ends is one too, and will be told to be unfinished.
    pub(super) fn next(&mut self) -> anyhow::Result<Typed> {
        let mut text = String::new();
        loop {
            self.ask(if text.is_empty() { PROMPT } else { MORE })?;
            let mut line = Vec::new();
            match self.line(&mut line)? {
                Read::Line => {}
                Read::Interrupted => return Ok(if self.prompt { Typed::Dropped } else { Typed::End }),
                Read::End if text.is_empty() && line.is_empty() => return Ok(Typed::End),
                Read::End => return Ok(Typed::Statement(text + &*String::from_utf8_lossy(&line))),
            }
            text.push_str(&String::from_utf8_lossy(&line));
            if command::parse(&text).is_some() || Tokens::of(&text).are_finished() {
                return Ok(Typed::Statement(text));
            }
        }
    }

    fn ask(&self, prompt: &str) -> io::Result<()> {
        if self.prompt {
            io::stdout().write_all(prompt.as_bytes())?;
        }
        io::stdout().flush()
    }

    /// As `read_until`, but a signal ends it.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<Read> {
        loop {
            if self.signals.came() {
                return Ok(Read::Interrupted);
            }
            let data = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                data => data?,
            };
            if data.is_empty() {
                return Ok(Read::End);
            }
            let end = data.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(data.len(), |end| end + 1);
            line.extend_from_slice(&data[..taken]);
            self.input.consume(taken);
            if end.is_some() {
                return Ok(Read::Line);
            }
        }
    }
}

enum Read {
    Line,
    Interrupted,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut lines = Lines { input: text.as_bytes(), prompt: false, signals: Signals::default() };
        let mut all = Vec::new();
        while let Typed::Statement(text) = lines.next().unwrap() {
            all.push(text);
        }
        all
    }

    #[test]
    fn a_statement_takes_the_lines_that_it_needs() {
        assert_eq!(all("one\nif x {\n  two\n}\nthree"), ["one\n", "if x {\n  two\n}\n", "three"]);
        assert_eq!(all("\n\n"), ["\n", "\n"]);
        assert_eq!(all("f(\n1"), ["f(\n1"]);
        assert_eq!(all("?get(\nx"), ["?get(\n", "x"]);
    }

    #[test]
    fn bytes_that_are_no_text_reach_the_engine_as_what_they_are_not() {
        let mut lines = Lines { input: &b"\xff\n"[..], prompt: false, signals: Signals::default() };
        assert!(matches!(lines.next().unwrap(), Typed::Statement(text) if text == "\u{fffd}\n"));
    }
}
