//! `netdma shell`: what scripts do, statement by statement.
//!
//! In reading order: what was typed (a terminal's `editor` with its `history`, or plain `lines`), whether it is a
//! `command` or a statement, the `bench` where it is evaluated, and how a value is `show`n. What Tab offers and what the
//! hint says is decided without a terminal: `cursor` says where one stands, `words` what there is, `signature` how
//! calls are written, `completion` and `hint` choose.

mod signals;

mod editor;

mod history;

mod lines;

mod command;

mod bench;

mod written;

mod date;

mod show;

mod help;

mod cursor;

mod words;

mod signature;

mod completion;

mod files;

mod hint;

mod worst;

use std::cell::RefCell;
use std::env;
use std::io::{self, IsTerminal};
use std::rc::Rc;

use bench::Bench;
use editor::Editor;
use lines::Lines;
use signals::Signals;
use words::Words;

use super::config;
use super::session;

/// Before a statement, and before each further line of it.
const PROMPT: &str = "netdma> ";
const MORE: &str = "   ...> ";

/// What a person, or a pipe, gave.
enum Typed {
    /// A statement or a command, whole.
    Statement(String),
    /// Ctrl-C: nothing of it counts.
    Dropped,
    End,
}

/// What becomes of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    GoOn,
    End,
}

/// Opens the device, evaluates what is typed until that ends, and winds up.
pub(crate) fn run(config: &config::Session) -> anyhow::Result<()> {
    let session = session::open(config, Vec::new(), None, Box::new(bench::Said))?;
    let signals = Signals::watch(session::interrupts());
    let words = Rc::default();
    let mut input = Input::open(&words, &signals)?;
    let mut bench = Bench::new(session, words, input.is_plain());
    if input.at_terminal() {
        println!("{}: `help` has what there is, Tab completes, Ctrl-D ends.", config.on.written());
    }
    loop {
        let typed = input.next()?;
        if input.at_terminal() {
            signals.forget();
        }
        match typed {
            Typed::End => break,
            Typed::Statement(text) if bench.take(&text) == Next::End => break,
            Typed::Statement(_) | Typed::Dropped if signals.end() => break,
            Typed::Statement(_) | Typed::Dropped => {}
        }
        if input.at_terminal() {
            signals.forget();
        }
    }
    let worst = bench.wind_up();
    // A person at a terminal has seen what failed; a pipe wants to know.
    if input.is_plain() { worst.into_result() } else { Ok(()) }
}

/// Where statements come from.
enum Input {
    Editor(Box<Editor>),
    Lines(Lines<io::StdinLock<'static>>),
}

impl Input {
    fn open(words: &Rc<RefCell<Words>>, signals: &Signals) -> anyhow::Result<Self> {
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let term = env::var("TERM").unwrap_or_default();
        // These cannot move the cursor; without a name it is not known what the terminal can do.
        let able = !["", "dumb", "cons25", "emacs"].contains(&term.as_str());
        Ok(match terminal && able {
            true => Self::Editor(Box::new(Editor::open(words.clone())?)),
            false => Self::Lines(Lines::of_stdin(signals.clone())),
        })
    }

    fn next(&mut self) -> anyhow::Result<Typed> {
        match self {
            Self::Editor(editor) => editor.next(),
            Self::Lines(lines) => lines.next(),
        }
    }

    /// Nothing but lines.
    fn is_plain(&self) -> bool {
        matches!(self, Self::Lines(_))
    }

    /// A person sits there.
    fn at_terminal(&self) -> bool {
        match self {
            Self::Editor(_) => true,
            Self::Lines(lines) => lines.prompts(),
        }
    }
}
