//! What was typed in a session, as a script that runs.
//!
//! It keeps the statements that succeeded, in their order. It reads no clock and writes no file: the program gives
//! the date and takes the text.

mod definitions;

mod reading;

pub mod tokens;

use std::fmt::Write as _;

use definitions::{Definition, definitions};
pub use reading::Reading;
use tokens::{Kind, Tokens};

/// What the head comment of a script says. The record itself knows none of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The command that the session was begun with.
    pub recorded_by: String,
    /// The device, as a person knows it.
    pub device: String,
    /// The time, by the system's clock.
    pub date: String,
    /// The command that runs the script.
    pub run_it: String,
}

/// Whether shown values become expectations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readings {
    /// A `get` stays a `get`.
    Repeat,
    /// A `get` whose value was shown becomes an `expect_reg` of that value.
    Expect,
}

/// A session so far.
#[derive(Clone, Default, Debug)]
pub struct Record {
    steps: Vec<Step>,
    failed: usize,
}

#[derive(Clone, Debug)]
struct Step {
    text: String,
    /// The register value that it showed.
    shown: Option<Shown>,
    /// The file that it was read from.
    file: Option<String>,
}

#[derive(Clone, Debug)]
struct Shown {
    reading: Reading,
    value: i64,
}

impl Record {
    /// Nothing was typed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets what was typed so far.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// A statement succeeded. `value` is the number that it had, if it had one.
    pub fn keep(&mut self, text: &str, value: Option<i64>) {
        let shown = value.and_then(|value| Some(Shown { reading: Reading::of(text)?, value }));
        self.steps.push(Step { text: text.trim().into(), shown, file: None });
    }

    /// A file ran to its end.
    pub fn keep_file(&mut self, file: &str, text: &str) {
        // A script may begin with the name of its interpreter; in the middle of another that is an error.
        let text = match text.strip_prefix("#!") {
            Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body),
            None => text,
        };
        self.steps.push(Step { text: text.trim().into(), shown: None, file: Some(file.into()) });
    }

    /// A statement failed: it is left out.
    pub fn leave_out(&mut self) {
        self.failed += 1;
    }

    /// How many statements are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// None is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The script.
    #[must_use]
    pub fn render(&self, head: &Head, readings: Readings) -> String {
        let mut script = self.head(head);
        for (index, step) in self.steps.iter().enumerate() {
            let body = match &step.shown {
                Some(shown) if readings == Readings::Expect => shown.expectation(&step.text),
                _ => self.without_replaced(index, &step.text),
            };
            let body = terminated(&body);
            // Writing to a String cannot fail.
            let _ = match &step.file {
                Some(file) => writeln!(script, "// From {}:\n{body}\n// End of {0}.", one_line(file)),
                None => writeln!(script, "{body}"),
            };
        }
        script
    }

    fn head(&self, head: &Head) -> String {
        let Head { recorded_by, device, date, run_it } = head;
        let mut text = format!(
            "// Recorded by `{}` on {}.\n// Device: {}\n// Run it: {}\n// Statements that succeeded, in their order: {}.",
            one_line(recorded_by),
            one_line(date),
            one_line(device),
            one_line(run_it),
            self.steps.len(),
        );
        if self.failed > 0 {
            let failed = self.failed;
            let _ = write!(
                text,
                " Left out because they failed: {failed};\n// what those did to the device before they failed does not \
                 happen here."
            );
        }
        text + "\n\n"
    }

    /// The text without the functions that a later statement defines anew. A script sees all of its functions from
    /// its first line on, so it can have only one of a name: the last.
    fn without_replaced(&self, index: usize, text: &str) -> String {
        let mut text = text.to_owned();
        let own = definitions(&text);
        // From behind, so that the places before stay true.
        for (place, definition) in own.iter().enumerate().rev() {
            let again = own[place + 1..].iter().any(|later| later.is_like(definition));
            if again || self.defined_after(index, definition) {
                let Definition { name, range, .. } = definition;
                text.replace_range(range.clone(), &format!("/* {name}() is defined anew below. */"));
            }
        }
        text
    }

    fn defined_after(&self, index: usize, definition: &Definition) -> bool {
        let later = self.steps[index + 1..].iter();
        later.flat_map(|step| definitions(&step.text)).any(|later| later.is_like(definition))
    }
}

impl Shown {
    /// The statement with the value expected in the place of the reading.
    fn expectation(&self, text: &str) -> String {
        let Self { reading: Reading { register, field, range }, value } = self;
        let mut text = text.to_owned();
        let call = match field {
            Some(field) => format!("expect_reg(\"{register}\", \"{field}\", {value:#x})"),
            None => format!("expect_reg(\"{register}\", {value:#x})"),
        };
        text.replace_range(range.clone(), &call);
        text
    }
}

/// The statement with a semicolon at its end, before a comment that may follow.
fn terminated(text: &str) -> String {
    let tokens = Tokens::of(text);
    match tokens.list().last() {
        Some(last) if last.kind != Kind::Sign(';') => {
            let (statement, comment) = text.split_at(last.range.end);
            format!("{statement};{comment}")
        }
        _ => text.into(),
    }
}

/// For a comment, which ends with its line.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            recorded_by: "netdma shell --on sim".into(),
            device: "engine".into(),
            date: "today".into(),
            run_it: "netdma script x.rhai --on sim".into(),
        }
    }

    fn body(record: &Record, readings: Readings) -> String {
        record.render(&head(), readings).split_once("\n\n").unwrap().1.into()
    }

    #[test]
    fn statements_are_kept_in_order_and_ended() {
        let mut record = Record::new();
        record.keep("let a = dma(64) // 64 bytes", None);
        record.keep("a.fill(1);", None);
        record.keep("if a.len > 1 {\n  log(\"x\")\n}", None);
        assert_eq!(
            body(&record, Readings::Repeat),
            "let a = dma(64); // 64 bytes\na.fill(1);\nif a.len > 1 {\n  log(\"x\")\n};\n"
        );
    }

    #[test]
    fn the_head_says_what_is_missing_and_stays_a_comment() {
        let mut record = Record::new();
        record.keep("1", Some(1));
        record.leave_out();
        let script = record.render(&Head { device: "two\nlines".into(), ..head() }, Readings::Repeat);
        assert!(script.contains("// Device: two lines\n"), "{script}");
        assert!(script.contains("in their order: 1. Left out because they failed: 1;"), "{script}");
        assert!(script.split_once("\n\n").unwrap().0.lines().all(|line| line.starts_with("//")), "{script}");
    }

    #[test]
    fn values_become_expectations_only_when_asked() {
        let mut record = Record::new();
        record.keep("get(\"CHANCNT\")", Some(4));
        record.keep("put(\"CHAN0.CHANCTRL\", 1); get(\"CHAN0.CHANSTS\", \"STATUS\"); // idle", Some(-1));
        record.keep("get(\"CHANCNT\") + 1", Some(5));
        assert_eq!(body(&record, Readings::Repeat).lines().next().unwrap(), "get(\"CHANCNT\");");
        assert_eq!(
            body(&record, Readings::Expect),
            "expect_reg(\"CHANCNT\", 0x4);\n\
             put(\"CHAN0.CHANCTRL\", 1); expect_reg(\"CHAN0.CHANSTS\", \"STATUS\", 0xffffffffffffffff); // idle\n\
             get(\"CHANCNT\") + 1;\n"
        );
    }

    #[test]
    fn of_a_function_that_was_defined_twice_the_last_stays() {
        let mut record = Record::new();
        record.keep("fn f(a) { a } let x = f(1)", None);
        record.keep("fn f() { 7 }", None);
        record.keep("fn f(b) { b + 1 }", None);
        assert_eq!(
            body(&record, Readings::Repeat),
            "/* f() is defined anew below. */ let x = f(1);\nfn f() { 7 };\nfn f(b) { b + 1 };\n"
        );
    }

    #[test]
    fn a_file_stands_between_its_names_without_its_interpreter() {
        let mut record = Record::new();
        record.keep_file("a.rhai", "#!/usr/bin/netdma script\nlog(\"a\")\n");
        assert_eq!(body(&record, Readings::Repeat), "// From a.rhai:\nlog(\"a\");\n// End of a.rhai.\n");
    }

    #[test]
    fn a_restart_forgets() {
        let mut record = Record::new();
        record.keep("1", None);
        record.leave_out();
        record.restart();
        assert!(record.is_empty());
        assert!(!record.render(&head(), Readings::Repeat).contains("Left out"));
    }
}
