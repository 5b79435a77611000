//! Lines from a terminal, with everything a line editor has.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use netdma::script::record::tokens::Tokens;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor as LineEditor, Helper};

use super::completion::{Candidate, Completion, Of, complete};
use super::history::History;
use super::words::Words;
use super::{PROMPT, Typed, command, files, hint};

/// Reads statements from a terminal.
pub(super) struct Editor {
    lines: LineEditor<Guide, MemHistory>,
    history: History,
}

impl Editor {
    /// The terminal is standard input and output.
    pub(super) fn open(words: Rc<RefCell<Words>>) -> anyhow::Result<Self> {
        let config = Config::builder().completion_type(CompletionType::List).max_history_size(2000)?.build();
        let past = MemHistory::with_config(&config);
        let mut lines = LineEditor::with_history(config, past)?;
        lines.set_helper(Some(Guide { words }));
        let history = History::of_user();
        for entry in history.load() {
            lines.add_history_entry(entry)?;
        }
        Ok(Self { lines, history })
    }

    /// The next statement, whole.
    pub(super) fn next(&mut self) -> anyhow::Result<Typed> {
        match self.lines.readline(PROMPT) {
            Ok(text) => {
                // False for what was typed just before.
                if !text.trim().is_empty() && self.lines.add_history_entry(text.as_str())? {
                    self.history.add(&text);
                }
                Ok(Typed::Statement(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Dropped),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(anyhow::Error::from(error).context("reading the terminal")),
        }
    }
}

/// What helps while typing. It only asks; what it answers is decided in files without a terminal.
struct Guide {
    words: Rc<RefCell<Words>>,
}

impl Helper for Guide {}

impl Completer for Guide {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (before, after) = line.split_at(at);
        let Completion { start, of } = complete(before, after, &self.words.borrow());
        let candidates = match of {
            Of::Words(candidates) => candidates,
            Of::Files(letters) => files::beginning_with(&letters),
        };
        let pair = |Candidate { shown, inserted }| Pair { display: shown, replacement: inserted };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

impl Hinter for Guide {
    type Hint = Signature;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<Signature> {
        // In the middle of a line it would push aside what is there.
        let at_end = at == line.len();
        let words = self.words.borrow();
        hint::hint(line, &words).filter(|_| at_end).map(|text| Signature(format!("    {text}")))
    }
}

/// A call as it is documented. It is to be read, not to be taken over.
struct Signature(String);

impl Hint for Signature {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Highlighter for Guide {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        // Grey on light and on dark.
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }
}

impl Validator for Guide {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let whole = command::parse(text).is_some() || Tokens::of(text).are_finished();
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}
