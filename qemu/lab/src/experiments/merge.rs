//! `netdma-lab experiment merge`: one journal of several. In whatever order and grouping they are merged, the file is the
//! same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::campaign::Campaign;
use super::class::Class;
use super::exit::{Exit, Trouble};
use super::experiment::Id;
use super::journal;
use super::place;
use super::plan::Plan;
use super::record::{Header, Minimal, Outcome, Record};
use super::shard::Shard;

/// Makes one journal of several, and says what is missing
///
/// Exit codes: 0 everything is there; 1 two journals disagree about an experiment; 2 usage, or journals of different campaigns; 3
/// shards or experiments are missing.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Journals of shards, or merged ones
    #[arg(required = true, value_name = "JOURNAL")]
    journals: Vec<PathBuf>,
    /// The journal to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// The campaign's file: makes the plan anew, and names each missing experiment
    #[arg(short, long, value_name = "FILE")]
    campaign: Option<PathBuf>,
}

/// Several journals as one.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Merged {
    /// Of each part, once.
    pub headers: Vec<Header>,
    /// Of each experiment the one that says most.
    pub outcomes: BTreeMap<Id, Outcome>,
    /// What was minimised.
    pub minimal: BTreeMap<Id, Minimal>,
    /// Two parts say different things of these.
    pub disagree: BTreeSet<String>,
}

/// Why journals cannot be merged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("journals of different campaigns: {what} is {one} in one and {other} in another")]
pub struct MixedError {
    what: &'static str,
    one: String,
    other: String,
}

impl Merged {
    /// Adds a journal's records.
    ///
    /// # Errors
    /// [`MixedError`]: it is of another campaign; nothing is added.
    pub fn add(&mut self, records: impl IntoIterator<Item = Record>) -> Result<(), MixedError> {
        let records: Vec<_> = records.into_iter().collect();
        for record in &records {
            if let (Record::Header(header), Some(first)) = (record, self.headers.first()) {
                same(first, header)?;
            }
        }
        for record in records {
            match record {
                Record::Header(header) => {
                    if !self.headers.contains(&header) {
                        self.headers.push(header);
                    }
                }
                Record::Result(outcome) => {
                    if let Some(text) = better(&mut self.outcomes, *outcome) {
                        self.disagree.insert(text);
                    }
                }
                Record::Minimal(minimal) => {
                    // The shorter of two; the same one in whatever order they come.
                    let key = |it: &Minimal| {
                        (it.rules.len(), it.workload.len(), it.workload.clone(), it.rules.clone())
                    };
                    let kept = self.minimal.entry(minimal.id.clone()).or_insert_with(|| minimal.clone());
                    if key(&minimal) < key(kept) {
                        *kept = minimal;
                    }
                }
            }
        }
        self.headers.sort_by_key(order);
        Ok(())
    }

    /// The records, in the one order that they have.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let headers = self.headers.iter().cloned().map(Record::Header);
        let outcomes = self.outcomes.values().cloned().map(|outcome| Record::Result(Box::new(outcome)));
        headers.chain(outcomes).chain(self.minimal.values().cloned().map(Record::Minimal)).collect()
    }

    /// Shards of which no journal is there.
    #[must_use]
    pub fn missing_shards(&self) -> Vec<String> {
        let shards: Vec<Shard> = self.headers.iter().filter_map(|header| header.shard.parse().ok()).collect();
        let counts: BTreeSet<_> = shards.iter().map(Shard::count).collect();
        if counts.contains(&1) {
            return Vec::new();
        }
        let there =
            |index, count| shards.iter().any(|shard| (shard.index(), shard.count()) == (index, count));
        let missing = counts.iter().flat_map(|&count| {
            (1..=count)
                .filter(move |index| !there(*index, count))
                .map(move |index| format!("{index}/{count}"))
        });
        missing.collect()
    }

    /// Experiments that were planned, and of which nothing is known but infra-errors.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let known =
            self.outcomes.values().filter(|outcome| outcome.class != Class::InfraError).count() as u64;
        let planned = self.headers.iter().map(|header| header.planned).max().unwrap_or(0);
        planned.saturating_sub(known)
    }
}

fn order(header: &Header) -> (u64, u64, String, u64) {
    let shard = header.shard.parse::<Shard>().ok();
    let (index, count) = shard.map_or((0, 0), |shard| (shard.index(), shard.count()));
    (count, index, header.host.clone(), header.started)
}

/// Results of two headers add up.
fn same(one: &Header, other: &Header) -> Result<(), MixedError> {
    let pairs = [
        ("the format's version", one.version.to_string(), other.version.to_string()),
        ("the hash of what decides its experiments", one.spec.clone(), other.spec.clone()),
        ("the place", one.place.clone(), other.place.clone()),
    ];
    match pairs.into_iter().find(|(_, one, other)| one != other) {
        None => Ok(()),
        Some((what, one, other)) => Err(MixedError { what, one, other }),
    }
}

/// Keeps the better of two outcomes of one experiment: not an infra-error, then the worse class, then the smaller text, so that
/// the order in which they come makes no difference. What they disagree in, if they do.
pub(super) fn better(all: &mut BTreeMap<Id, Outcome>, outcome: Outcome) -> Option<String> {
    let Some(kept) = all.get_mut(&outcome.id) else {
        all.insert(outcome.id.clone(), outcome);
        return None;
    };
    let infra = |it: &Outcome| it.class == Class::InfraError;
    let differ = !infra(kept)
        && !infra(&outcome)
        && (kept.class, &kept.signature) != (outcome.class, &outcome.signature);
    let (first, second) = if kept.class <= outcome.class { (&*kept, &outcome) } else { (&outcome, &*kept) };
    let text =
        differ.then(|| format!("{}: {} and {}: {}", outcome.id, first.class, second.class, outcome.replay));
    let key = |it: &Outcome| (infra(it), it.class, it.signature.clone(), it.wall_ns, it.reason.clone());
    if key(&outcome) < key(kept) {
        *kept = outcome;
    }
    text
}

/// Runs the verb.
///
/// # Errors
/// When a file is no journal, they are of different campaigns, or the new one cannot be written.
pub fn run(arguments: &Arguments) -> Result<Exit, Trouble> {
    let mut merged = Merged::default();
    for path in &arguments.journals {
        let contents = journal::read(path).map_err(|error| Trouble::Usage(error.to_string()))?;
        if contents.cut > 0 {
            eprintln!("netdma-lab: {}: the last line is cut short, and left out", path.display());
        }
        let name = path.display();
        merged.add(contents.records).map_err(|error| Trouble::Usage(format!("{name}: {error}")))?;
    }
    if merged.headers.is_empty() {
        return Err(Trouble::Usage("the journals are empty: expected a header in one at least".into()));
    }
    write(&merged, &arguments.out)?;
    println!(
        "{}: {} experiments of {} journals",
        arguments.out.display(),
        merged.outcomes.len(),
        arguments.journals.len()
    );
    for text in &merged.disagree {
        println!("disagree: {text}");
    }
    let shards = merged.missing_shards();
    if !shards.is_empty() {
        println!("missing shards: {}", shards.join(", "));
    }
    let missing = merged.missing();
    if missing > 0 {
        println!("missing: {missing} experiments");
    }
    let named = match &arguments.campaign {
        Some(file) => named(file, &merged)?,
        None => String::new(),
    };
    print!("{named}");
    Ok(match (merged.disagree.is_empty(), missing > 0 || !shards.is_empty() || !named.is_empty()) {
        (false, _) => Exit::Findings,
        (true, true) => Exit::Infra,
        (true, false) => Exit::Clean,
    })
}

/// Each missing experiment, by its plan.
fn named(file: &Path, merged: &Merged) -> Result<String, Trouble> {
    let campaign = Campaign::load(file)?;
    if merged.headers.iter().any(|header| header.spec != campaign.spec) {
        return Err(Trouble::Usage(format!("{}: the journals are of another campaign", campaign.file)));
    }
    let plan = Plan::make(&campaign, place::open(&campaign)?.as_mut())?;
    let mut text = String::new();
    for planned in &plan.experiments {
        let known = merged.outcomes.get(&planned.experiment.id);
        if known.is_none_or(|outcome| outcome.class == Class::InfraError) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "missing: {} seed {}", planned.experiment.id, planned.experiment.seed);
        }
    }
    Ok(text)
}

/// Whole, or not at all: it may be one of those that it is made of.
fn write(merged: &Merged, path: &Path) -> Result<(), Trouble> {
    let place = || format!("journal {}", path.display());
    let new = path.with_extension("jsonl.new");
    let mut bytes = Vec::new();
    for record in merged.records() {
        serde_json::to_writer(&mut bytes, &record).with_context(place)?;
        bytes.push(b'\n');
    }
    let mut file = std::fs::File::create(&new).with_context(place)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).with_context(place)?;
    std::fs::rename(&new, path).with_context(place)?;
    Ok(())
}
