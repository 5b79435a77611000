//! Many seeds of one scenario, shared among threads. A seed's run does not depend on which thread runs it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::run::{self, Report, run};
use super::scenario::{Scenario, When};

/// Seeds that a thread takes at a time.
const SHARE: u64 = 16;
/// Runs that were stuck, after which no more are begun: what each leaves behind (stacks, mappings, descriptors) is
/// lost to the process.
const STUCK_MOST: u64 = 100;

/// Which seeds of what.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The seeds.
    pub seeds: Range<u64>,
    /// Threads.
    pub jobs: usize,
    /// Goes on after a seed that failed.
    pub keep_going: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Seeds run.
    pub seeds: u64,
    /// Of all of them together.
    pub events: u64,
    /// Of all of them together.
    pub switches: u64,
    /// Virtual time of all of them together.
    pub time_ns: u64,
    /// DPC requests of storms.
    pub requests: u64,
    /// The fewest events of a seed.
    pub fewest_events: u64,
    /// Seeds in which a fault fired.
    pub fired: u64,
    /// Of those, seeds in which what the scenario wants found was found.
    pub seen: u64,
    /// Seeds that failed, the lowest first; the first 100 with their events.
    pub failed: Vec<Report>,
    /// What no single seed can tell.
    pub overall: Option<String>,
    /// It was given up, because too many runs were stuck.
    pub given_up: bool,
}

impl Outcome {
    /// Nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.overall.is_none()
    }
}

impl Campaign {
    /// Runs the seeds; `progress` hears of every share that is done.
    pub fn run(&self, progress: &(dyn Fn(u64) + Sync)) -> Outcome {
        let next = AtomicU64::new(self.seeds.start);
        let stop = AtomicBool::new(false);
        let stuck = AtomicU64::new(0);
        let total = Mutex::new(Outcome { fewest_events: u64::MAX, ..Outcome::default() });
        let work = || {
            let mut own = Outcome { fewest_events: u64::MAX, ..Outcome::default() };
            loop {
                let first = next.fetch_add(SHARE, Ordering::Relaxed);
                if first >= self.seeds.end || stop.load(Ordering::Relaxed) {
                    break;
                }
                let share = first..(first + SHARE).min(self.seeds.end);
                let length = share.end - share.start;
                for seed in share {
                    let report = run(&self.scenario, seed);
                    if !report.findings.is_empty() && !self.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if report.stuck && stuck.fetch_add(1, Ordering::Relaxed) >= STUCK_MOST {
                        stop.store(true, Ordering::Relaxed);
                    }
                    own.add(report);
                }
                progress(length);
            }
            total.lock().unwrap_or_else(PoisonError::into_inner).join(own);
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs {
                scope.spawn(work);
            }
            work();
        });
        let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        total.given_up = stuck.into_inner() > STUCK_MOST;
        total.failed.sort_by_key(|report| report.seed);
        let expect = &self.scenario.expect;
        if expect.when == When::SomeSeed && total.seen == 0 && !expect.finds.is_empty() {
            total.overall = Some(format!(
                "a fault fired in {} of {} seeds, and none found {:?}",
                total.fired, total.seeds, expect.finds
            ));
        }
        total
    }
}

impl Outcome {
    fn add(&mut self, report: Report) {
        /// More findings say nothing more.
        const FAILED_MOST: usize = 100;
        self.seeds += 1;
        self.events += report.events.len() as u64;
        self.fewest_events = self.fewest_events.min(report.events.len() as u64);
        self.switches += report.switches;
        self.time_ns += report.time_ns;
        self.requests += report.requests;
        self.fired += u64::from(report.fired > 0);
        self.seen += u64::from(report.fired > 0 && report.seen);
        if report.findings.is_empty() {
            run::reuse(report);
        } else if self.failed.len() < FAILED_MOST {
            self.failed.push(report);
        } else {
            self.failed.push(Report { events: Vec::new(), ..report });
        }
    }

    fn join(&mut self, mut other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.fewest_events = self.fewest_events.min(other.fewest_events);
        self.switches += other.switches;
        self.time_ns += other.time_ns;
        self.requests += other.requests;
        self.fired += other.fired;
        self.seen += other.seen;
        self.failed.append(&mut other.failed);
    }
}
