//! Where what was typed is evaluated, shown, and kept for the record.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::rc::Rc;

use netdma::script::record::{Reading, Record};
use netdma::script::{self, ErrorKind, Evaluator, Findings, ScriptError, Session, Sink};
use rhai::Dynamic;

use super::command::{self, Command};
use super::words::{Function, Words};
use super::worst::{Verdict, Worst};
use super::{Next, help, show, written};

/// A session under way.
pub(super) struct Bench {
    session: Rc<Session>,
    evaluator: Evaluator,
    record: Record,
    words: Rc<RefCell<Words>>,
    worst: Worst,
    /// Errors name the line of the input, not that of the statement: nobody sees the statement.
    plain: bool,
    /// Lines that were read before the statement at hand.
    lines: usize,
}

/// Prints what scripts say.
pub(super) struct Said;

impl Bench {
    pub(super) fn new(session: Rc<Session>, words: Rc<RefCell<Words>>, plain: bool) -> Self {
        let evaluator = Evaluator::new(session.clone());
        words.replace(Words {
            functions: script::entries().flat_map(Function::of).collect(),
            registers: session.vocabulary().into_iter().map(Into::into).collect(),
            own: Vec::new(),
        });
        let (record, worst) = (Record::new(), Worst::default());
        Self { session, evaluator, record, words, worst, plain, lines: 0 }
    }

    /// Does what was typed.
    pub(super) fn take(&mut self, text: &str) -> Next {
        let mut next = Next::GoOn;
        match command::parse(text) {
            _ if text.trim().is_empty() => {}
            Some(Command::Exit) => next = Next::End,
            Some(command) => {
                let verdict = self.command(command);
                self.worst.add(verdict);
            }
            None => {
                let verdict = self.statement(text);
                self.worst.add(verdict);
            }
        }
        self.lines += text.matches('\n').count();
        next
    }

    /// Leaves the device with nothing running and nothing mapped.
    pub(super) fn wind_up(mut self) -> Worst {
        for left in self.session.wind_up() {
            complain(&left);
            self.worst.add(Verdict::Failed);
        }
        self.worst
    }

    fn command(&mut self, command: Command) -> Verdict {
        match command {
            Command::Exit => Verdict::Fine,
            Command::Help(None) => told(&help::overview()),
            Command::Help(Some(name)) => self.about(&name),
            Command::Wrong(what) => {
                complain(&what);
                Verdict::Wrong
            }
            Command::RecordStart => {
                self.record.restart();
                told("the record begins here")
            }
            Command::Record(recording) => match written::write(&self.record, &self.session, &recording) {
                Ok(said) => told(&said),
                Err(error) => {
                    complain(&format!("{error:#}"));
                    Verdict::Failed
                }
            },
            Command::Run(file) => self.run(&file),
        }
    }

    fn about(&self, name: &str) -> Verdict {
        let register = || self.session.described(name);
        match script::help::about(name, script::entries()).or_else(register) {
            Some(text) => told(&text),
            None => {
                complain(&format!(
                    "help: nothing is called {name}: `help` lists the functions, registers() the registers"
                ));
                Verdict::Wrong
            }
        }
    }

    fn statement(&mut self, text: &str) -> Verdict {
        // Empty lines before it make the places right, those within functions that are called later too.
        let before = if self.plain { "\n".repeat(self.lines) } else { String::new() };
        let (verdict, value) = self.evaluate(&(before + text));
        match (verdict, value) {
            (Verdict::Fine, Some(value)) => {
                self.record.keep(text, value.as_int().ok());
                self.show(text, &value);
            }
            _ => self.record.leave_out(),
        }
        verdict
    }

    fn run(&mut self, file: &str) -> Verdict {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                complain(&format!("run: cannot read {file}: {error}"));
                return Verdict::Failed;
            }
        };
        let (verdict, value) = self.evaluate(&text);
        match (verdict, value) {
            (Verdict::Fine, Some(value)) => {
                self.record.keep_file(file, &text);
                self.show("", &value);
            }
            _ => {
                complain(&format!("run: {file} did not succeed"));
                self.record.leave_out();
            }
        }
        verdict
    }

    /// Evaluates a text. If it does not succeed, its variables and functions are as if it had never been: what is left
    /// out of the record must not be needed by what comes later.
    fn evaluate(&mut self, text: &str) -> (Verdict, Option<Dynamic>) {
        let mark = self.evaluator.mark();
        let before = self.session.findings();
        let result = self.evaluator.compile(text).and_then(|ast| self.evaluator.value(&ast));
        let after = self.session.findings();
        let (verdict, value) = match result {
            Ok(value) if as_expected(&before, &after) => (Verdict::Fine, Some(value)),
            Ok(_) => (Verdict::Failed, None),
            Err(error) => {
                complain(&error.to_string());
                (of_error(&error), None)
            }
        };
        if verdict != Verdict::Fine {
            self.evaluator.back_to(mark);
        }
        self.refresh();
        let gone = after.gone.is_some() && verdict != Verdict::Fine;
        (if gone { Verdict::Gone } else { verdict }, value)
    }

    fn show(&self, text: &str, value: &Dynamic) {
        let decoded = || {
            let Reading { register, field, .. } = Reading::of(text)?;
            self.session.decoded(&register, field.as_deref(), value.as_int().ok()?)
        };
        let shown = decoded().or_else(|| show::shown(value, &|value| self.evaluator.text_of(value)));
        if let Some(shown) = shown {
            told(&shown);
        }
    }

    /// Completion knows what was defined.
    fn refresh(&self) {
        let mut words = self.words.borrow_mut();
        let own = self.evaluator.names().into_iter();
        let own = own.filter(|name| !words.functions.iter().any(|function| function.name == *name));
        words.own = own.filter(|name| !name.contains('$')).collect();
    }
}

/// Everything that was looked at since `before` was as it should be.
fn as_expected(before: &Findings, after: &Findings) -> bool {
    let mut cases = after.cases[before.cases.len()..].iter();
    after.complaints.len() == before.complaints.len()
        && cases.all(|case| case.verdict != script::Verdict::Failed)
}

fn of_error(error: &ScriptError) -> Verdict {
    match error.kind {
        ErrorKind::Syntax => Verdict::Wrong,
        ErrorKind::Skipped(_) => Verdict::Skipped,
        ErrorKind::Failed | ErrorKind::Ended | ErrorKind::Panicked => Verdict::Failed,
    }
}

/// Prints it. Whoever closed the pipe has seen enough, and the next read will end.
fn told(text: &str) -> Verdict {
    let _ = writeln!(io::stdout(), "{text}");
    Verdict::Fine
}

fn complain(text: &str) {
    // In the order in which things were said, where both go to one place.
    let _ = io::stdout().flush();
    let _ = writeln!(io::stderr(), "netdma: {text}");
}

impl Sink for Said {
    fn log(&self, text: &str) {
        told(text);
    }

    fn complain(&self, text: &str) {
        complain(&format!("failed: {text}"));
    }

    fn warn(&self, text: &str) {
        complain(&format!("warning: {text}"));
    }
}
