//! The verb's options, its progress and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::available_parallelism;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};

use super::crew::{Crew, Done, Ended};
use super::outcome::replay_command;
use crate::experiments::campaign::{Campaign, PlaceName};
use crate::experiments::class::Class;
use crate::experiments::exit::{Exit, Trouble};
use crate::experiments::experiment::Id;
use crate::experiments::identity::FORMAT;
use crate::experiments::journal::{self, Journal, JournalError};
use crate::experiments::merge::better;
use crate::experiments::place;
use crate::experiments::plan::{Only, Plan, Planned, Selection};
use crate::experiments::record::{Header, Outcome, Record};
use crate::experiments::report::{self, Digest, Format};
use crate::experiments::shard::Shard;

/// Runs the experiments of a campaign, and writes what came of each into a journal
///
/// Ctrl-C ends it after the experiment that runs; `--resume` goes on. A shard also comes from the environment, if `--shard` is
/// not there: NETDMA_LAB_PARTITION (hash:I/N, counted from 1), Slurm's array variables, or JOB_COMPLETION_INDEX (counted from 0)
/// with JOB_COMPLETIONS.
///
/// Exit codes: 0 no new finding; 1 findings; 2 usage; 3 the machine room failed or it was interrupted, resume it; 4 nothing to run.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The campaign's file
    #[arg(value_name = "CAMPAIGN")]
    campaign: PathBuf,
    /// The journal [default: the campaign's name, with -I-of-N for a shard, .jsonl]
    #[arg(short = 'o', long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Go on with the journal: leave out what is in it; infra-errors are run again
    #[arg(short, long)]
    resume: bool,
    /// Only shard I of N; the first is 1/N
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Workers, each with a place of its own [default: one per core in the simulator, else 1]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// At most so many experiments now
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only those with a fault of this class, at this point, with this action; * is any
    #[arg(long, value_name = "CLASS/POINT/ACTION")]
    only: Option<Only>,
    /// Only those with this text in their id, their rules or their set's name
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Print rates too
    #[arg(long)]
    bench: bool,
}

/// Runs the verb.
///
/// # Errors
/// When the campaign or the journal makes no sense, or the machine room fails.
pub fn run(arguments: &Arguments) -> Result<Exit, Trouble> {
    let campaign = Campaign::load(&arguments.campaign)?;
    let shard = match arguments.shard {
        Some(shard) => shard,
        None => Shard::from_environment(|name| std::env::var(name).ok())
            .map_err(|error| Trouble::Usage(error.to_string()))?
            .unwrap_or(Shard::WHOLE),
    };
    let stop = netdma_vm::stop::on_signals().map_err(|error| Trouble::Infra(error.into()))?;
    let path = arguments.journal.clone().unwrap_or_else(|| default_journal(&campaign, &shard));
    journal::not_busy(&path).map_err(|error| Trouble::Usage(error.to_string()))?;
    let mut place = place::open(&campaign)?;
    let plan = Plan::make(&campaign, place.as_mut())?;
    let selection = Selection { only: arguments.only.clone(), filter: arguments.filter.clone() };
    let chosen = plan.experiments.iter().filter(|it| shard.has(&it.experiment.id) && selection.has(it));
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        let text = format!("{}: none of {} experiments is asked for", campaign.file, plan.experiments.len());
        return Err(Trouble::Skipped(text));
    }
    let header = header(&campaign, &plan, &shard);
    let (journal, before) = open(&path, &header, arguments.resume)?;
    let mut todo: Vec<_> = chosen.iter().map(|it| &it.experiment).collect();
    todo.retain(|experiment| !before.contains_key(&experiment.id));
    let skipped = chosen.len() - todo.len();
    todo.truncate(arguments.limit.unwrap_or(usize::MAX));
    let jobs = jobs(arguments, &campaign);
    let progress = Progress::new(todo.len());
    let crew = Crew {
        campaign: &campaign,
        plan: &plan,
        todo: &todo,
        jobs,
        stop: &|| stop.signal().is_some(),
        replay: &|experiment| replay_command(&campaign.file, experiment),
        heard: &|outcome| progress.heard(outcome),
    };
    let began = Instant::now();
    let done = crew.run(place.as_mut(), Some(journal));
    let seconds = began.elapsed().as_secs_f64();
    progress.bar.finish_and_clear();
    if skipped > 0 {
        println!("{skipped} experiments were in {} already", path.display());
    }
    if arguments.bench {
        rates(done.outcomes.len(), seconds, jobs);
    }
    summary(&campaign, header, &chosen, before, done, todo.len(), &path)
}

/// The journal, and the outcomes that are in it already.
fn open(path: &Path, header: &Header, resume: bool) -> Result<(Journal, BTreeMap<Id, Outcome>), Trouble> {
    let trouble = |error: JournalError| match error.is_infra() {
        true => Trouble::Infra(anyhow::anyhow!(error.to_string())),
        false => Trouble::Usage(error.to_string()),
    };
    if !resume {
        return Journal::create(path, header).map(|journal| (journal, BTreeMap::new())).map_err(trouble);
    }
    let (journal, contents) = Journal::resume(path, header).map_err(trouble)?;
    if contents.cut > 0 {
        eprintln!(
            "netdma-lab: {}: the last line was cut short ({} bytes), and is cut off: its experiment is run again",
            path.display(),
            contents.cut
        );
    }
    let mut before = BTreeMap::new();
    for record in contents.records {
        if let Record::Result(outcome) = record {
            // One that was run again: the one that says something.
            let _ = better(&mut before, *outcome);
        }
    }
    before.retain(|_, outcome| outcome.class != Class::InfraError);
    Ok((journal, before))
}

/// What the results of this run have in common.
#[must_use]
pub fn header(campaign: &Campaign, plan: &Plan, shard: &Shard) -> Header {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Header {
        version: FORMAT,
        tool: concat!("netdma-lab ", env!("CARGO_PKG_VERSION")).to_owned(),
        campaign: campaign.name.clone(),
        spec: campaign.spec.clone(),
        place: campaign.place.to_string(),
        shard: shard.to_string(),
        planned: plan.experiments.len() as u64,
        golden_ns: plan.golden_ns(),
        host: host.trim().to_owned(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    }
}

fn default_journal(campaign: &Campaign, shard: &Shard) -> PathBuf {
    let part = match *shard == Shard::WHOLE {
        true => String::new(),
        false => format!("-{}-of-{}", shard.index(), shard.count()),
    };
    format!("{}{part}.jsonl", campaign.name.replace('/', "-")).into()
}

fn jobs(arguments: &Arguments, campaign: &Campaign) -> usize {
    let own = || match campaign.place {
        PlaceName::Sim => available_parallelism().ok(),
        _ => None,
    };
    arguments.jobs.or_else(own).map_or(1, NonZeroUsize::get)
}

/// The bar, with a count for each class.
struct Progress {
    bar: ProgressBar,
    counts: Mutex<BTreeMap<Class, u64>>,
}

impl Progress {
    fn new(count: usize) -> Self {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(count as u64),
            false => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}");
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, counts: Mutex::new(BTreeMap::new()) }
    }

    fn heard(&self, outcome: &Outcome) {
        self.bar.inc(1);
        if self.bar.is_hidden() {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *counts.entry(outcome.class).or_default() += 1;
        let said: Vec<_> = counts.iter().map(|(class, count)| format!("{count} {class}")).collect();
        self.bar.set_message(said.join(", "));
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn rates(count: usize, seconds: f64, jobs: usize) {
    let rate = count as f64 / seconds;
    println!(
        "{count} experiments in {seconds:.2} s: {rate:.0} a second with {jobs} workers, {:.0} for each",
        rate / jobs as f64
    );
}

/// What is known now, and how to go on.
fn summary(
    campaign: &Campaign,
    header: Header,
    chosen: &[&Planned],
    before: BTreeMap<Id, Outcome>,
    done: Done,
    asked: usize,
    path: &std::path::Path,
) -> Result<Exit, Trouble> {
    let Done { outcomes, ended } = done;
    let ran = outcomes.len();
    let mut all = before;
    for outcome in outcomes {
        let _ = better(&mut all, outcome);
    }
    let unexpected = unexpected(campaign, chosen, &all);
    let infra = all.values().filter(|outcome| outcome.class == Class::InfraError).count();
    let records = all.into_values().map(|outcome| Record::Result(Box::new(outcome)));
    let digest = Digest::new(std::iter::once(Record::Header(header)).chain(records), &campaign.known);
    print!("{}", report::render(Format::Text, &digest));
    for line in &unexpected {
        println!("{line}");
    }
    println!("journal: {}", path.display());
    let again = || {
        format!(
            "go on with: netdma-lab experiment run {} --journal {} --resume",
            campaign.file,
            path.display()
        )
    };
    match ended {
        Ended::AllRun => {}
        Ended::Stopped => {
            let text = format!("interrupted after {ran} of {asked} experiments; {}", again());
            return Err(Trouble::Infra(anyhow::anyhow!(text)));
        }
        Ended::Journal(error) => {
            let text = format!("{error}; what is in it is kept; {}", again());
            return Err(Trouble::Infra(anyhow::anyhow!(text)));
        }
        Ended::Infra(error) => return Err(Trouble::Infra(error.0.context(again()))),
    }
    if infra > 0 {
        let text = format!("{infra} experiments say nothing (infra-error); {}", again());
        return Err(Trouble::Infra(anyhow::anyhow!(text)));
    }
    let news = digest.new_findings().next().is_some() || !unexpected.is_empty();
    Ok(if news { Exit::Findings } else { Exit::Clean })
}

/// Outcomes of sets that say what they expect, and are something else.
fn unexpected(campaign: &Campaign, chosen: &[&Planned], all: &BTreeMap<Id, Outcome>) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for planned in chosen {
        let Some(set) = planned.set.and_then(|set| campaign.sets.get(set)) else { continue };
        let (Some(expect), Some(outcome)) = (&set.expect, all.get(&planned.experiment.id)) else { continue };
        if !expect.contains(&outcome.class) && outcome.class != Class::InfraError {
            let words: Vec<_> = expect.iter().map(|class| class.name()).collect();
            lines.insert(format!(
                "set '{}', seed {}: found {}, expected {}\n  again:  {}",
                set.name,
                outcome.seed,
                outcome.class,
                words.join(" or "),
                outcome.replay
            ));
        }
    }
    lines.into_iter().collect()
}
