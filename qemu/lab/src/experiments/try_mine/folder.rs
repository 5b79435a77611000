//! What a trial leaves behind: campaign, journal, report. What an earlier one left is never lost.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::experiments::campaign::Campaign;
use crate::experiments::class::Class;
use crate::experiments::exit::Trouble;
use crate::experiments::journal::{self, Journal, JournalError};
use crate::experiments::record::{Header, Outcome, Record};
use crate::experiments::report::{self, Digest, Format};

/// The folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub(super) fn make(path: &Path) -> Result<Self, Trouble> {
        fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        let folder = Self(path.to_owned());
        journal::not_busy(&folder.journal_path()).map_err(trouble)?;
        Ok(folder)
    }

    pub(super) fn journal_path(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The journal, and what is in it already: of the same trial if that did not come to its end, else nothing.
    pub(super) fn journal(&self, header: &Header, anew: bool) -> Result<(Journal, Vec<Outcome>), Trouble> {
        let path = self.journal_path();
        if path.exists() && (anew || !goes_on(&path, header)?) {
            self.set_aside()?;
        }
        let (journal, contents) = Journal::resume(&path, header).map_err(trouble)?;
        Ok((journal, said(contents.records)))
    }

    /// Writes the campaign's file, whole or not at all.
    pub(super) fn campaign(&self, text: &str) -> Result<(), Trouble> {
        let path = self.0.join("campaign.toml");
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let new = self.0.join("campaign.toml.new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        Ok(written.with_context(|| path.display().to_string())?)
    }

    /// Writes the report's page from the journal, and names the files; a disk that is full keeps no one from the findings.
    pub(super) fn report(&self, campaign: &Campaign) -> String {
        let (journal, page) = (self.journal_path(), self.0.join("report.html"));
        let written = journal::read(&journal).map_err(anyhow::Error::new).and_then(|contents| {
            let digest = Digest::new(contents.records, &campaign.known);
            Ok(fs::write(&page, report::render(Format::Html, &digest))?)
        });
        let report = match written {
            Ok(()) => page.display().to_string(),
            Err(error) => format!(
                "not written ({error}); later: netdma-lab experiment report {} --format html -o {}",
                journal.display(),
                page.display()
            ),
        };
        format!("\njournal: {}\nreport:  {report}\n", journal.display())
    }

    /// Gives journal and campaign the first number that is free.
    fn set_aside(&self) -> Result<(), Trouble> {
        let numbered = |number: u32| self.0.join(format!("journal-{number}.jsonl"));
        let number = (1..).find(|number| !numbered(*number).exists()).unwrap_or(u32::MAX);
        Journal::set_aside(&self.journal_path(), &numbered(number)).map_err(trouble)?;
        eprintln!("the journal that was there is now {}", numbered(number).display());
        // Without it the journal is still a report's, but nobody can replay by it.
        let _ = fs::rename(self.0.join("campaign.toml"), self.0.join(format!("campaign-{number}.toml")));
        Ok(())
    }
}

/// Whether a journal is of the same trial, and that one did not come to its end.
fn goes_on(path: &Path, header: &Header) -> Result<bool, Trouble> {
    let contents = journal::read(path).map_err(trouble)?;
    let Some(Record::Header(found)) = contents.records.first() else { return Ok(true) };
    let same = (&found.spec, found.version) == (&header.spec, header.version);
    let planned = found.planned;
    Ok(same && (said(contents.records).len() as u64) < planned)
}

/// The results that say something.
fn said(records: Vec<Record>) -> Vec<Outcome> {
    let outcomes = records.into_iter().filter_map(|record| match record {
        Record::Result(outcome) => Some(*outcome),
        _ => None,
    });
    outcomes.filter(|outcome| outcome.class != Class::InfraError).collect()
}

fn trouble(error: JournalError) -> Trouble {
    if error.is_infra() { Trouble::Infra(error.into()) } else { Trouble::Usage(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::experiment::Id;
    use crate::experiments::observation::Observation;

    fn header(spec: &str) -> Header {
        Header {
            version: 1,
            tool: String::new(),
            campaign: "try".into(),
            spec: spec.into(),
            place: "vm:x".into(),
            shard: "1/1".into(),
            planned: 2,
            golden_ns: 1,
            host: String::new(),
            started: 0,
        }
    }

    fn result(id: &str, class: Class) -> Record {
        Record::Result(Box::new(Outcome {
            id: Id(id.into()),
            rules: vec!["msix: nth(1) drop".into()],
            seed: 0,
            class,
            reason: String::new(),
            signature: String::new(),
            wall_ns: 0,
            observation: Observation::default(),
            replay: String::new(),
        }))
    }

    /// The ids that the journal brings along, and whether one was set aside.
    fn opened(folder: &Folder, spec: &str, anew: bool) -> (Journal, Vec<String>, bool) {
        let (journal, before) = folder.journal(&header(spec), anew).unwrap();
        let before = before.into_iter().map(|outcome| outcome.id.0).collect();
        (journal, before, folder.0.join("journal-1.jsonl").exists())
    }

    #[test]
    fn what_was_interrupted_goes_on_and_what_failed_is_run_again() {
        let room = tempfile::tempdir().unwrap();
        let folder = Folder::make(&room.path().join("try-x")).unwrap();
        let (mut journal, before, _) = opened(&folder, "a", false);
        assert!(before.is_empty());
        journal.append(&result("1", Class::Crash)).unwrap();
        journal.append(&result("2", Class::InfraError)).unwrap();
        drop(journal);
        let (_, before, aside) = opened(&folder, "a", false);
        assert_eq!((before, aside), (vec!["1".to_owned()], false));
    }

    #[test]
    fn what_came_to_its_end_or_is_another_trials_is_set_aside_and_kept() {
        for (results, spec, anew) in [(2, "a", false), (1, "b", false), (1, "a", true)] {
            let room = tempfile::tempdir().unwrap();
            let folder = Folder::make(room.path()).unwrap();
            let (mut journal, ..) = opened(&folder, "a", false);
            folder.campaign("one").unwrap();
            for id in ["1", "2"].iter().take(results) {
                journal.append(&result(id, Class::Masked)).unwrap();
            }
            drop(journal);
            let (_journal, before, aside) = opened(&folder, spec, anew);
            assert!(before.is_empty() && aside, "{results} {spec} {anew}");
            let kept = journal::read(&room.path().join("journal-1.jsonl")).unwrap();
            assert_eq!(kept.records.len(), 1 + results);
            assert_eq!(fs::read_to_string(room.path().join("campaign-1.toml")).unwrap(), "one");
        }
    }

    #[test]
    fn a_second_runner_is_refused_and_changes_nothing() {
        let room = tempfile::tempdir().unwrap();
        let folder = Folder::make(room.path()).unwrap();
        let (mut journal, ..) = opened(&folder, "a", false);
        for (spec, anew) in [("a", false), ("b", false), ("a", true)] {
            let error = folder.journal(&header(spec), anew).unwrap_err().to_string();
            assert!(error.contains("another process is writing it"), "{error}");
        }
        journal.append(&result("1", Class::Hang)).unwrap();
        drop(journal);
        assert_eq!(opened(&folder, "a", false).1, ["1"]);
    }
}
