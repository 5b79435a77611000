//! Records, counted: by class, by point and action, by signature.

use std::collections::{BTreeMap, BTreeSet};

use ioat_stage::Rule;

use crate::experiments::expected::Known;
use crate::experiments::{Class, Header, Id, Minimal, Outcome, Record};

/// What a rule does and where, in words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fault {
    /// The point's word.
    pub point: String,
    /// The action's word.
    pub action: String,
}

/// Experiments with one fault, or one kind of several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// By class.
    pub classes: BTreeMap<Class, u64>,
}

impl Cell {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.classes.values().sum()
    }

    /// Those of a class.
    #[must_use]
    pub fn count(&self, class: Class) -> u64 {
        self.classes.get(&class).copied().unwrap_or(0)
    }

    /// The first class by precedence that occurred and says something.
    #[must_use]
    pub fn worst(&self) -> Option<Class> {
        let says = |class: &&Class| !matches!(class, Class::InfraError);
        self.classes.keys().find(says).or(self.classes.keys().next()).copied()
    }

    fn add(&mut self, class: Class) {
        *self.classes.entry(class).or_default() += 1;
    }
}

/// Findings of one signature.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// The signature.
    pub signature: String,
    /// The class of all of them.
    pub class: Class,
    /// The first one in the order of the ids: the same on every machine.
    pub first: Outcome,
    /// All ids.
    pub ids: BTreeSet<Id>,
    /// Why it is expected, if it is.
    pub known: Option<String>,
}

/// Everything that the reports have in common.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Digest {
    /// What was planned. The first header, where a file has several.
    pub header: Option<Header>,
    /// Every experiment once, its last outcome, in the order of the ids.
    pub outcomes: BTreeMap<Id, Outcome>,
    /// What was minimised.
    pub minimal: BTreeMap<Id, Minimal>,
    /// By class.
    pub classes: Cell,
    /// By point and action; experiments with several rules stand in the cell of each.
    pub cells: BTreeMap<Fault, Cell>,
    /// Findings, by class, then the most frequent first.
    pub groups: Vec<Group>,
    /// Reasons of expectations that met nothing.
    pub gone: Vec<String>,
}

impl Digest {
    /// Counts records. A result that is there twice counts as its last one: an infra-error that was run again is no infra-error.
    pub fn new(records: impl IntoIterator<Item = Record>, known: &[Known]) -> Self {
        let mut digest = Self::default();
        for record in records {
            match record {
                Record::Header(header) => {
                    digest.header.get_or_insert(header);
                }
                Record::Result(outcome) => {
                    digest.outcomes.insert(outcome.id.clone(), *outcome);
                }
                Record::Minimal(minimal) => {
                    digest.minimal.insert(minimal.id.clone(), minimal);
                }
            }
        }
        digest.count(known);
        digest
    }

    /// Findings that no expectation covers.
    pub fn new_findings(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.known.is_none())
    }

    /// Experiments in which a fault fired, and which say something about the driver.
    #[must_use]
    pub fn activated(&self) -> u64 {
        let mute = self.classes.count(Class::NotActivated) + self.classes.count(Class::InfraError);
        self.classes.total() - mute
    }

    fn count(&mut self, known: &[Known]) {
        let mut met = BTreeSet::new();
        let mut groups = BTreeMap::<(Class, &str), Group>::new();
        for outcome in self.outcomes.values() {
            self.classes.add(outcome.class);
            let faults: BTreeSet<Fault> = faults(outcome).into_iter().collect();
            faults.into_iter().for_each(|fault| self.cells.entry(fault).or_default().add(outcome.class));
            let expected = known.iter().position(|known| known.covers(outcome));
            met.extend(expected);
            if outcome.class.is_finding() {
                let reason = expected.map(|number| known[number].reason.clone());
                let group = groups.entry((outcome.class, &outcome.signature)).or_insert_with(|| Group {
                    signature: outcome.signature.clone(),
                    class: outcome.class,
                    first: outcome.clone(),
                    ids: BTreeSet::new(),
                    known: reason.clone(),
                });
                group.ids.insert(outcome.id.clone());
                // One that nobody expects makes the group a new one.
                group.known = group.known.take().and(reason);
            }
        }
        self.groups = groups.into_values().collect();
        self.groups.sort_by_key(|group| (group.class, std::cmp::Reverse(group.ids.len())));
        let left = known.iter().enumerate().filter(|(number, _)| !met.contains(number));
        self.gone = left.map(|(_, known)| known.reason.clone()).collect();
    }
}

/// The faults of an experiment. Rules that this version cannot read are one of their own.
pub(crate) fn faults(outcome: &Outcome) -> Vec<Fault> {
    let fault = |rule: &String| match rule.parse::<Rule>() {
        Ok(rule) => Fault { point: rule.point.name().to_owned(), action: rule.action.word().to_owned() },
        Err(_) => Fault { point: "?".to_owned(), action: "?".to_owned() },
    };
    outcome.rules.iter().map(fault).collect()
}
