//! `netdma-lab experiment replay`: one experiment again.
//!
//! In the simulator the same program, scenario, rules and seed give the same run, so that is checked: every event, and the whole
//! observation against the recorded one. Elsewhere threads, clocks and a guest choose too, and it is counted how often the same
//! comes of it.

pub mod which;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde_json::Value;

use self::which::{Meant, Which};
use super::campaign::PlaceName;
use super::class::Class;
use super::exit::{Exit, Trouble};
use super::minimise::symptom::Symptom;
use super::observation::Observation;
use super::place::{self, Limits};
use crate::sim::world::Stamped;
use crate::sim::{report, trial};

/// Runs one experiment again, and says whether the same came of it
///
/// In the simulator exactly, event by event; elsewhere several times: "reproduced k of n". Exit codes: 0 nothing that a driver
/// must not do; 1 a crash, a hang or silent corruption; 2 usage; 3 the machine room failed.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// How often, where runs differ (not in the simulator)
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Simulator: write the events to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// What came of a replay.
#[derive(Clone, PartialEq, Debug)]
pub struct Replayed {
    /// Runs with what was recorded, or, without a record, with what came of the first.
    pub reproduced: u32,
    /// Runs.
    pub times: u32,
    /// How often each class was seen.
    pub classes: BTreeMap<Class, u32>,
    /// The last run's facts.
    pub observation: Observation,
    /// In the simulator: what differs, from run to run or from the record, one line each; empty: the same, byte for byte.
    pub differs: Option<Vec<String>>,
    /// In the simulator: the events.
    pub events: Vec<Stamped>,
}

/// Runs the verb.
///
/// # Errors
/// [`Trouble`].
pub fn run(arguments: &Arguments) -> Result<Exit, Trouble> {
    let meant = arguments.which.find()?;
    if arguments.trace.is_some() && meant.campaign.place != PlaceName::Sim {
        let text = format!("--trace with the place '{}': it writes a simulation's events", meant.campaign.place);
        return Err(Trouble::Usage(text));
    }
    let shown = std::io::stderr().is_terminal() && meant.campaign.place != PlaceName::Sim;
    let bar = if shown { ProgressBar::new(arguments.times.into()) } else { ProgressBar::hidden() };
    let replayed = replay(&meant, arguments.times, &bar);
    bar.finish_and_clear();
    let replayed = replayed?;
    if let Some(path) = &arguments.trace {
        write_trace(path, &replayed.events)?;
    }
    print!("{}", text(&meant, &replayed));
    Ok(exit(&replayed))
}

/// Runs it again: twice in the simulator, `times` times elsewhere.
///
/// # Errors
/// [`Trouble::Infra`].
pub fn replay(meant: &Meant, times: u32, progress: &ProgressBar) -> Result<Replayed, Trouble> {
    match meant.campaign.place {
        PlaceName::Sim => Ok(exactly(meant)),
        _ => often(meant, times, progress),
    }
}

fn exactly(meant: &Meant) -> Replayed {
    let Meant { campaign, experiment, record } = meant;
    let scenario = &campaign.scenario;
    // The golden run of the place; its census changes nothing but the time that it takes.
    let golden = trial::trial(scenario, experiment.seed, &[], scenario.limits());
    let took = place::Golden { took_ns: golden.worked_ns, ..place::Golden::default() };
    let limits = campaign.factors.limits(&campaign.place, &took);
    let once = || observed(meant, &limits);
    let ((first, before), (observation, events)) = (once(), once());
    let mut differs = Vec::new();
    if before != events {
        let at = before.iter().zip(&events).take_while(|(one, other)| one == other).count();
        differs.push(format!("two runs differ from event {at} on, of {} and {}", before.len(), events.len()));
    }
    differs.extend(differences("the first run", &first, &observation));
    if let Some(record) = record {
        differs.extend(differences("the journal", &record.observation, &observation));
    }
    let reproduced = u32::from(differs.is_empty());
    let classes = [(observation.class(), 1)].into();
    Replayed { reproduced, times: 1, classes, observation, differs: Some(differs), events }
}

fn observed(meant: &Meant, limits: &Limits) -> (Observation, Vec<Stamped>) {
    let Meant { campaign, experiment, .. } = meant;
    let world = place::sim::world_limits(&campaign.scenario, limits);
    let trial = trial::trial(&campaign.scenario, experiment.seed, &experiment.rules, world);
    // The observation counts them, and gives their memory back.
    let events = trial.events.clone();
    (place::sim::observation(trial, limits), events)
}

fn often(meant: &Meant, times: u32, progress: &ProgressBar) -> Result<Replayed, Trouble> {
    let Meant { campaign, experiment, record } = meant;
    let mut place = place::open(campaign)?;
    let golden = place.golden(experiment.seed)?;
    let limits = campaign.factors.limits(&campaign.place, &golden);
    let mut wanted = record.as_ref().map(|record| Symptom::of(&record.observation));
    let mut replayed = Replayed {
        reproduced: 0,
        times,
        classes: BTreeMap::new(),
        observation: Observation::default(),
        differs: None,
        events: Vec::new(),
    };
    for _ in 0..times {
        let observation = place.run(experiment, &limits)?;
        let symptom = Symptom::of(&observation);
        replayed.reproduced += u32::from(*wanted.get_or_insert_with(|| symptom.clone()) == symptom);
        *replayed.classes.entry(observation.class()).or_default() += 1;
        replayed.observation = observation;
        progress.inc(1);
    }
    Ok(replayed)
}

/// The keys in which two observations differ.
fn differences(whose: &str, was: &Observation, is: &Observation) -> Vec<String> {
    let object = |it: &Observation| serde_json::to_value(it).unwrap_or_default();
    let (Value::Object(was), Value::Object(is)) = (object(was), object(is)) else { return Vec::new() };
    let keys: std::collections::BTreeSet<_> = was.keys().chain(is.keys()).collect();
    let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    let keys = keys.into_iter().filter(|key| was.get(*key) != is.get(*key));
    keys.map(|key| format!("{key}: {whose} has {}, now {}", show(was.get(key)), show(is.get(key)))).collect()
}

fn write_trace(path: &Path, events: &[Stamped]) -> anyhow::Result<()> {
    let place = || format!("trace file {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(place)?);
    report::lines(events, &mut out).with_context(place)?;
    out.flush().with_context(place)
}

/// What a replay has to say.
#[must_use]
pub fn text(meant: &Meant, replayed: &Replayed) -> String {
    let Replayed { reproduced, times, classes, observation, differs, events } = replayed;
    let rules = meant.experiment.rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let mut text = format!("experiment {} (seed {}): {rules}\n", meant.experiment.id, meant.experiment.seed);
    for fired in &observation.fired {
        text += &format!("  fired: {} (operation {})\n", fired.rule, fired.nth);
    }
    let class = observation.class();
    let reason = observation.reason();
    text += &format!("  {class}{}{reason}\n", if reason.is_empty() { "" } else { ": " });
    match differs {
        Some(differs) if differs.is_empty() => {
            let to = if meant.record.is_some() { "the journal's" } else { "the run before" };
            text += &format!("the same, byte for byte: {} events, and the observation is {to}\n", events.len());
        }
        Some(differs) => {
            text += "it is not the same:\n";
            text.extend(differs.iter().map(|line| format!("  {line}\n")));
        }
        None => {
            let seen = classes.iter().map(|(class, count)| format!("{class} {count}")).collect::<Vec<_>>();
            text += &format!("reproduced {reproduced} of {times}: {}\n", seen.join(", "));
        }
    }
    text
}

fn exit(replayed: &Replayed) -> Exit {
    let seen = |test: fn(&Class) -> bool| replayed.classes.keys().any(test);
    if seen(|class| class.is_finding()) {
        Exit::Findings
    } else if seen(|class| *class == Class::InfraError) {
        Exit::Infra
    } else {
        Exit::Clean
    }
}
