//! The page that a person reads at the end, and the line that they watch meanwhile.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use ioat_stage::Rule;

use super::findings::{self, Group};
use super::named::quoted;
use crate::experiments::class::Class;
use crate::experiments::exit::Exit;
use crate::experiments::record::Outcome;
use crate::table::Table;

/// Facts of each kind that are shown for a single rule.
const SHOWN: usize = 6;

/// What was found so far.
pub(super) struct Page {
    /// The command that tries the same again, before and behind the rules.
    again: (String, String),
    outcomes: Vec<Outcome>,
    planned: usize,
    /// Of the outcomes, those of an earlier run.
    before: usize,
}

impl Page {
    /// With what an earlier run found, of so many faults in all.
    pub(super) fn new(again: &(String, String), outcomes: Vec<Outcome>, planned: usize) -> Self {
        Self { again: again.clone(), before: outcomes.len(), outcomes, planned }
    }

    /// The command line that repeats an experiment.
    pub(super) fn command(&self, rules: &[Rule]) -> String {
        let words = rules.iter().flat_map(|rule| ["--rule".to_owned(), rule.to_string()]);
        format!("{} {}{}", self.again.0, quoted(&words.collect::<Vec<_>>()), self.again.1)
    }

    /// Takes an outcome, and says where we are.
    pub(super) fn take(&mut self, outcome: Outcome, took: Duration) {
        let finding = outcome.class.is_finding();
        self.outcomes.push(outcome);
        let (done, all) = (self.done(), self.planned);
        let counts = self.counts();
        let line = format!("{done}/{all} after {:.0} s: {counts}", took.as_secs_f64());
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{line}");
            if done == all {
                eprintln!();
            }
        } else if done == all || done % 25 == 0 || finding {
            eprintln!("{line}");
        }
    }

    pub(super) fn done(&self) -> usize {
        self.outcomes.len()
    }

    pub(super) fn planned(&self) -> usize {
        self.planned
    }

    /// `1 crash, 3 masked`.
    fn counts(&self) -> String {
        let there = Class::ALL.into_iter().filter(|class| self.count(*class) > 0);
        there.map(|class| format!("{} {class}", self.count(class))).collect::<Vec<_>>().join(", ")
    }

    /// Findings weigh more than a machine room that failed now and then; without any, its failures leave the question open.
    pub(super) fn exit(&self) -> Exit {
        if self.outcomes.iter().any(|outcome| outcome.class.is_finding()) {
            return Exit::Findings;
        }
        if self.count(Class::InfraError) > 0 { Exit::Infra } else { Exit::Clean }
    }

    /// The page; of a sweep, or of one set of rules.
    pub(super) fn finish(&self, took: Duration, boots: u64, sweep: bool) -> String {
        let now = self.outcomes.len() - self.before;
        let mut text = format!(
            "\n{now} fault{} in {:.1} s ({:.2} a second, {boots} boot{})\n\n{}",
            if now == 1 { "" } else { "s" },
            took.as_secs_f64(),
            rate(now, took),
            if boots == 1 { "" } else { "s" },
            self.table()
        );
        if let [outcome] = self.outcomes.as_slice() {
            let _ = write!(text, "\n{}", story(outcome));
        }
        let sentence = if sweep { self.sentence() } else { self.reproduced() };
        let _ = write!(text, "\n{sentence}\n");
        for group in findings::groups(&self.outcomes) {
            let _ = write!(text, "\n{}", told(&group));
        }
        text
    }

    /// "crashes on 3 of 214, ...".
    fn sentence(&self) -> String {
        let all = self.outcomes.len();
        let verbs = [
            (Class::Crash, "crashes"),
            (Class::Hang, "hangs"),
            (Class::SilentDataCorruption, "corrupts data silently"),
        ];
        let found = verbs.into_iter().filter(|(class, _)| self.count(*class) > 0);
        let found: Vec<String> =
            found.map(|(class, verb)| format!("{verb} on {} of {all}", self.count(class))).collect();
        if !found.is_empty() {
            return found.join(", ");
        }
        // What never fired shows nothing.
        let fired = all - self.count(Class::NotActivated) - self.count(Class::InfraError);
        format!("no findings in {fired} faults that fired, of {all}")
    }

    /// "reproduced 4 of 5": how often the gravest of what the same rules led to came of them.
    fn reproduced(&self) -> String {
        let runs = self.outcomes.iter().filter(|outcome| outcome.class != Class::InfraError);
        let Some(gravest) = runs.min_by_key(|outcome| outcome.class) else {
            return "no run of these rules says anything".to_owned();
        };
        let like = self.outcomes.iter().filter(|outcome| outcome.signature == gravest.signature).count();
        format!("reproduced {like} of {}: {}", self.outcomes.len(), self.counts())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["class", "faults", "what it means"]);
        for class in Class::ALL.into_iter().filter(|class| self.count(*class) > 0) {
            table.row([class.name(), &self.count(class).to_string(), meaning(class)]);
        }
        table
    }

    fn count(&self, class: Class) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.class == class).count()
    }
}

fn told(group: &Group) -> String {
    let Group { class, reason, what, count, replay } = group;
    let faults = if *count == 1 { "1 fault".to_owned() } else { format!("{count} faults") };
    format!("{class}: {reason}\n    {faults}: {what}; again: {replay}\n")
}

/// All that was seen of one experiment.
fn story(outcome: &Outcome) -> String {
    let facts = &outcome.observation;
    let lists = [
        ("infra", &facts.infra),
        ("crash", &facts.crashes),
        ("hang", &facts.hangs),
        ("corruption", &facts.corruptions),
        ("failure", &facts.failures),
        ("noticed", &facts.recoveries),
    ];
    let mut text = String::new();
    for (kind, fact) in
        lists.into_iter().flat_map(|(kind, list)| list.iter().take(SHOWN).map(move |fact| (kind, fact)))
    {
        let _ = writeln!(text, "{kind}: {fact}");
    }
    for fired in &facts.fired {
        let _ = writeln!(text, "fired: {} at operation {}", fired.rule, fired.nth);
    }
    for (name, value) in &facts.device {
        let _ = writeln!(text, "device: {name} {value}");
    }
    text
}

const fn meaning(class: Class) -> &'static str {
    match class {
        Class::InfraError => "the machine room failed, not the driver",
        Class::Crash => "the driver or its kernel died",
        Class::Hang => "it no longer goes on",
        Class::SilentDataCorruption => "wrong data or a false completion, and nobody said so",
        Class::DetectedFailed => "it said so, and the work is lost",
        Class::DetectedRecovered => "it said so, and all the work was done",
        Class::Degraded => "all well, but slow",
        Class::Masked => "nothing came of it",
        Class::NotActivated => "the fault never fired: says nothing",
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
