//! The search for the smallest candidate that still fails, and the proof that it is one.

use super::candidate::{Candidate, Less};
use super::ddmin::ddmin;
use super::knob::Phase;
use super::symptom::Symptom;
use crate::experiments::place::Infra;

/// Runs candidates.
pub trait Judge {
    /// What came of it; none if nothing did that a driver must not do.
    ///
    /// # Errors
    /// [`Infra`]: the machine room failed, and nothing is known of the candidate.
    fn judge(&mut self, candidate: &Candidate) -> Result<Option<Symptom>, Infra>;
}

/// How long to search, and who is told.
pub struct Search<'a> {
    /// The most runs.
    pub runs: u64,
    /// Seeds that are tried for a smaller workload: the candidate's own, then those from 0. Another workload has other places
    /// where tasks may change, so its own seed need not be the unlucky one.
    pub seeds: u64,
    /// Is told of every run: how many so far, and what is being tried.
    pub progress: &'a dyn Fn(u64, &str),
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Minimum {
    /// The smallest.
    pub candidate: Candidate,
    /// How it fails, as the first one did.
    pub symptom: Symptom,
    /// What was taken away, in order.
    pub steps: Vec<String>,
    /// Runs that it took.
    pub runs: u64,
    /// It was run again, afresh, and failed in the same way.
    pub fails_alone: bool,
    /// Everything less of the kinds that are known was tried, and none of it fails so.
    pub is_minimal: bool,
    /// What could be less, and was tried for the proof.
    pub tried_for_proof: u64,
}

/// Why there is no minimum.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// What was to be made smaller does not fail.
    #[error("it does not fail: nothing that a driver must not do came of it, so there is nothing to minimise")]
    Passes,
    /// The machine room.
    #[error(transparent)]
    Infra(#[from] Infra),
}

/// Why a search ends before its proof.
enum End {
    Runs,
    Infra(Infra),
}

impl Search<'_> {
    /// Makes `first` smaller: rules, then the workload, then the depth, again and again until nothing goes.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn minimum(&self, first: &Candidate, judge: &mut dyn Judge) -> Result<Minimum, SearchError> {
        (self.progress)(1, "the whole experiment");
        let symptom = judge.judge(first)?.ok_or(SearchError::Passes)?;
        let mut at_work = AtWork {
            search: self,
            judge: &mut *judge,
            symptom: symptom.clone(),
            runs: 1,
            best: first.clone(),
            steps: Vec::new(),
            tried_for_proof: 0,
        };
        let is_minimal = match at_work.everything() {
            Ok(()) => true,
            Err(End::Runs) => false,
            Err(End::Infra(infra)) => return Err(infra.into()),
        };
        let AtWork { best, steps, runs, tried_for_proof, .. } = at_work;
        (self.progress)(runs + 1, "the smallest, afresh");
        let fails_alone = judge.judge(&best)?.as_ref() == Some(&symptom);
        let runs = runs + 1;
        Ok(Minimum { candidate: best, symptom, steps, runs, fails_alone, is_minimal, tried_for_proof })
    }
}

struct AtWork<'a> {
    search: &'a Search<'a>,
    judge: &'a mut dyn Judge,
    symptom: Symptom,
    runs: u64,
    best: Candidate,
    steps: Vec<String>,
    tried_for_proof: u64,
}

impl AtWork<'_> {
    fn everything(&mut self) -> Result<(), End> {
        self.rules()?;
        loop {
            let mut smaller = false;
            for phase in [Phase::Rules, Phase::Workload, Phase::Depth] {
                smaller |= self.phase(phase)?;
            }
            // The last round took nothing away: it was the proof.
            if !smaller {
                return Ok(());
            }
        }
    }

    /// Many rules at once: one by one would take too many runs.
    fn rules(&mut self) -> Result<(), End> {
        if self.best.rules.len() < 2 {
            return Ok(());
        }
        let (whole, mut rules) = (self.best.clone(), self.best.rules.clone());
        let before = rules.len();
        let ended = ddmin(&mut rules, |part| {
            let smaller = whole.with_rules(part);
            Ok(self.fails(&smaller, &format!("{} of {before} rules", part.len()))?.is_some())
        });
        if rules.len() < before {
            self.steps.push(format!("{before} rules -> {}", rules.len()));
            self.best = whole.with_rules(&rules);
        }
        ended
    }

    /// Everything of one phase, each as far as it goes. True if something went.
    fn phase(&mut self, phase: Phase) -> Result<bool, End> {
        let mut smaller = false;
        self.tried_for_proof = if phase == Phase::Rules { 0 } else { self.tried_for_proof };
        let mut at = 0;
        while let Some(less) = self.best.less().into_iter().filter(|less| less.phase == phase).nth(at) {
            // After a success the same place holds the next step of the same thing, or what comes after it.
            if self.takes(&less)? {
                smaller = true;
            } else {
                at += 1;
                self.tried_for_proof += 1;
            }
        }
        Ok(smaller)
    }

    fn takes(&mut self, less: &Less) -> Result<bool, End> {
        let Some(candidate) = self.best.with(less) else { return Ok(false) };
        match self.fails(&candidate, &less.says)? {
            None => Ok(false),
            Some(seed) => {
                let seeded = if seed == self.best.seed { String::new() } else { format!(" (seed {seed})") };
                self.steps.push(format!("{}{seeded}", less.says));
                self.best = Candidate { seed, ..candidate };
                Ok(true)
            }
        }
    }

    /// With which seed it fails in the same way.
    fn fails(&mut self, candidate: &Candidate, says: &str) -> Result<Option<u64>, End> {
        let others = (0..self.search.seeds).filter(|seed| *seed != candidate.seed);
        for seed in std::iter::once(candidate.seed).chain(others) {
            if self.runs >= self.search.runs {
                return Err(End::Runs);
            }
            self.runs += 1;
            (self.search.progress)(self.runs, says);
            let candidate = Candidate { seed, ..candidate.clone() };
            if self.judge.judge(&candidate).map_err(End::Infra)?.as_ref() == Some(&self.symptom) {
                return Ok(Some(seed));
            }
        }
        Ok(None)
    }
}
