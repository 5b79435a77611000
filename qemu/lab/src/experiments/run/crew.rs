//! Several workers, each with a place of its own, and one journal. What comes of an experiment does not depend on who
//! runs it, nor on what ran before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::experiments::campaign::Campaign;
use crate::experiments::class::Class;
use crate::experiments::experiment::Experiment;
use crate::experiments::journal::{Journal, JournalError};
use crate::experiments::observation::Observation;
use crate::experiments::place::{self, Golden, Infra, Place};
use crate::experiments::plan::Plan;
use crate::experiments::record::{Outcome, Record};

use super::outcome::outcome;

/// Infra-errors on end after which it is the machine room that is broken, not the experiment.
const INFRA_MOST: usize = 10;

/// Who runs what.
pub struct Crew<'a> {
    /// The campaign.
    pub campaign: &'a Campaign,
    /// Its golden runs.
    pub plan: &'a Plan,
    /// What is to be run.
    pub todo: &'a [&'a Experiment],
    /// Workers.
    pub jobs: usize,
    /// Asks to end.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// The command line that runs an experiment again.
    pub replay: &'a (dyn Fn(&Experiment) -> String + Sync),
    /// Hears of every outcome.
    pub heard: &'a (dyn Fn(&Outcome) + Sync),
}

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// The outcomes, as they came.
    pub outcomes: Vec<Outcome>,
    /// Why it ended.
    pub ended: Ended,
}

/// Why a crew ended.
#[derive(Debug)]
pub enum Ended {
    /// Everything was run.
    AllRun,
    /// It was asked to.
    Stopped,
    /// The journal takes no more.
    Journal(JournalError),
    /// The machine room is broken.
    Infra(Infra),
}

struct Shared {
    next: AtomicUsize,
    over: AtomicBool,
    infra: AtomicUsize,
    log: Mutex<Log>,
}

struct Log {
    journal: Option<Journal>,
    outcomes: Vec<Outcome>,
    ended: Option<Ended>,
}

impl Shared {
    fn log<R>(&self, change: impl FnOnce(&mut Log) -> R) -> R {
        change(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first reason counts.
    fn end(&self, why: Ended) {
        self.over.store(true, Ordering::Relaxed);
        self.log(|log| {
            log.ended.get_or_insert(why);
        });
    }
}

impl Crew<'_> {
    /// Runs all of it, into the journal if there is one. `place` is the first worker's.
    pub fn run(&self, place: &mut dyn Place, journal: Option<Journal>) -> Done {
        let shared = Shared {
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            infra: AtomicUsize::new(0),
            log: Mutex::new(Log { journal, outcomes: Vec::with_capacity(self.todo.len()), ended: None }),
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs.min(self.todo.len()) {
                scope.spawn(|| match place::open(self.campaign) {
                    Ok(mut place) => self.work(place.as_mut(), &shared),
                    Err(error) => shared.end(Ended::Infra(error)),
                });
            }
            self.work(place, &shared);
        });
        let Log { outcomes, ended, .. } = shared.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        Done { outcomes, ended: ended.unwrap_or(Ended::AllRun) }
    }

    fn work(&self, place: &mut dyn Place, shared: &Shared) {
        let nothing = Golden::default();
        while !shared.over.load(Ordering::Relaxed) {
            if (self.stop)() {
                return shared.end(Ended::Stopped);
            }
            let next = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(experiment) = self.todo.get(next) else { return };
            let golden = self.plan.golden.get(&experiment.seed).unwrap_or(&nothing);
            let limits = self.campaign.factors.limits(&self.campaign.place, golden);
            let began = Instant::now();
            let observation = match place.run(experiment, &limits) {
                // What was interrupted says nothing, and is not written down: it will be run again. A signal to the whole
                // group ends the driver's process too, which looks as if it had died by itself.
                Ok(observation) if observation.class() <= Class::Hang && (self.stop)() => {
                    return shared.end(Ended::Stopped);
                }
                Ok(observation) => observation,
                Err(_) if (self.stop)() => return shared.end(Ended::Stopped),
                Err(error) => Observation { infra: vec![error.to_string()], ..Observation::default() },
            };
            self.told(experiment, observation, began, shared);
        }
    }

    fn told(&self, experiment: &Experiment, observation: Observation, began: Instant, shared: &Shared) {
        let broken = match observation.infra.first() {
            None => {
                shared.infra.store(0, Ordering::Relaxed);
                None
            }
            Some(why) => {
                (shared.infra.fetch_add(1, Ordering::Relaxed) + 1 >= INFRA_MOST).then(|| why.clone())
            }
        };
        let replay = (self.replay)(experiment);
        let outcome = outcome(experiment, observation, began.elapsed(), replay);
        (self.heard)(&outcome);
        let record = Record::Result(Box::new(outcome));
        let written =
            shared.log(|log| log.journal.as_mut().map_or(Ok(()), |journal| journal.append(&record)));
        match written {
            Err(error) => shared.end(Ended::Journal(error)),
            Ok(()) => {
                if let Record::Result(outcome) = record {
                    shared.log(|log| log.outcomes.push(*outcome));
                }
            }
        }
        if let Some(why) = broken {
            let text = format!("{INFRA_MOST} experiments on end said nothing, the last one: {why}");
            shared.end(Ended::Infra(Infra(anyhow::anyhow!(text))));
        }
    }
}
