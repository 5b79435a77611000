//! What was seen: one list of lines for each kind of fact. The lab's observations have the same words.

use std::sync::Arc;

use ioat_stage::sync::Mutex;

/// Lines of one kind that are kept; a device that fails every operation must not fill the memory.
const KEPT: usize = 32;

/// The facts. Every text is one line that names what, where and when.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub(crate) struct Facts {
    /// What did not go on, or did not work again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hangs: Vec<String>,
    /// Wrong bytes, completions that lie, leaks: without an error that says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) corruptions: Vec<String>,
    /// Errors that the driver gave for work that was lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failures: Vec<String>,
    /// What the driver noticed and mended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) recoveries: Vec<String>,
    /// It took longer than `degraded_ms`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) slow: bool,
    /// How long the workload took.
    pub(crate) took_ns: u64,
}

/// Which list a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Hang,
    Corruption,
    Failure,
    /// A failure that another one brought along: it is listed after those.
    Aborted,
    Recovery,
}

/// The facts of a round while it goes on, shared by its tasks.
#[derive(Clone, Default)]
pub(crate) struct Found(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    of: [Vec<String>; 5],
    dropped: [usize; 5],
}

impl Found {
    pub(crate) fn note(&self, kind: Kind, text: impl Into<String>) {
        let mut lines = self.0.lock();
        let slot = kind as usize;
        match lines.of[slot].len() < KEPT {
            true => lines.of[slot].push(text.into()),
            false => lines.dropped[slot] += 1,
        }
    }

    /// Something of this kind was noted.
    #[cfg(test)]
    pub(crate) fn any(&self, kind: Kind) -> bool {
        !self.0.lock().of[kind as usize].is_empty()
    }

    /// The facts so far; they are forgotten here.
    pub(crate) fn take(&self) -> Facts {
        let Lines { of, dropped } = std::mem::take(&mut *self.0.lock());
        let mut lists = of.into_iter().zip(dropped).map(|(mut lines, dropped)| {
            if dropped > 0 {
                lines.push(format!("and {dropped} more like these"));
            }
            lines
        });
        let mut next = || lists.next().unwrap_or_default();
        let (hangs, corruptions, mut failures) = (next(), next(), next());
        failures.extend(next());
        Facts { hangs, corruptions, failures, recoveries: next(), slow: false, took_ns: 0 }
    }
}

impl Facts {
    /// Adds what was seen afterwards. The time stays that of the workload.
    pub(crate) fn extend(&mut self, later: Self) {
        let Self { hangs, corruptions, failures, recoveries, slow, took_ns: _ } = later;
        self.hangs.extend(hangs);
        self.corruptions.extend(corruptions);
        self.failures.extend(failures);
        self.recoveries.extend(recoveries);
        self.slow |= slow;
    }

    /// The first line that makes the exit code 1; none if all went well.
    pub(crate) fn first_failure(&self) -> Option<&str> {
        let lists = [&self.hangs, &self.corruptions, &self.failures];
        lists.into_iter().find_map(|list| list.first()).map(String::as_str)
    }

    /// For people: a line for each fact.
    pub(crate) fn text(&self) -> String {
        let lists = [
            ("hang", &self.hangs),
            ("corruption", &self.corruptions),
            ("failure", &self.failures),
            ("recovered", &self.recoveries),
        ];
        let lines = lists
            .into_iter()
            .flat_map(|(word, list)| list.iter().map(move |text| format!("{word}: {text}\n")));
        let slow = if self.slow { "slow\n" } else { "" };
        lines.chain([slow.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_failure_brought_along_comes_behind_it() {
        let found = Found::default();
        found.note(Kind::Aborted, "aborted");
        found.note(Kind::Failure, "halted");
        assert_eq!(found.take().failures, ["halted", "aborted"]);
        assert_eq!(found.take(), Facts::default());
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let found = Found::default();
        (0..100).for_each(|number| found.note(Kind::Corruption, number.to_string()));
        let facts = found.take();
        assert_eq!(facts.corruptions.len(), KEPT + 1);
        assert_eq!(facts.corruptions.last().map(String::as_str), Some("and 68 more like these"));
    }
}
