//! For a run of the simulator: the shortest list of switches with which it fails, and the nearest list with which it passes.

use super::ddmin::ddmin;
use super::symptom::Symptom;
use crate::sim::schedule::{Choices, Switch, Taken};
use crate::sim::world::Stamped;

/// What came of one schedule.
#[derive(Clone, Debug)]
pub struct Played {
    /// How it fails; none if it passes.
    pub symptom: Option<Symptom>,
    /// Its first finding, whole.
    pub reason: String,
    /// The stages' events.
    pub events: Vec<Stamped>,
    /// The switches that were carried out.
    pub taken: Vec<Taken>,
}

/// Plays schedules of one workload, rules and seed.
pub trait Stage {
    /// Plays one.
    fn play(&mut self, choices: Choices) -> Played;
}

/// The shortest failing schedule beside its nearest passing one.
#[derive(Clone, Debug)]
pub struct Shortest {
    /// Switches of the seed's own run.
    pub of_seed: usize,
    /// The shortest that fails, played afresh.
    pub fails: Played,
    /// The nearest that passes; none if it fails without any switch, whoever goes on.
    pub passes: Option<Nearest>,
    /// Every switch of it was left out alone, and then it passed.
    pub is_minimal: bool,
    /// Runs that it took.
    pub runs: u64,
}

/// A schedule that passes.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// What is different, in words.
    pub without: String,
    /// It, played.
    pub played: Played,
}

/// No more runs.
struct Over;

/// Looks for it. `symptom` is how the seed's own run fails; none if that run, played from its switches, does not.
pub fn shortest(
    stage: &mut dyn Stage,
    symptom: &Symptom,
    most_runs: u64,
    progress: &dyn Fn(u64, &str),
) -> Option<Shortest> {
    let recorded = stage.play(Choices::Recorded);
    if recorded.symptom.as_ref() != Some(symptom) {
        return None;
    }
    let mut switches: Vec<Switch> = recorded.taken.iter().map(|taken| taken.switch).collect();
    let of_seed = switches.len();
    let mut player = Player { stage, symptom, runs: 1, most_runs, progress };
    let found = player.prefix(&mut switches).and_then(|()| {
        ddmin(&mut switches, |part| player.fails(part, "fewer switches"))
    });
    let fails = player.stage.play(Choices::Played(switches.clone()));
    player.runs += 1;
    // Switches to who was not ready did nothing.
    let (passes, all_pass) = player.nearest(&switches, &fails);
    let is_minimal = found.is_ok() && all_pass;
    Some(Shortest { of_seed, fails, passes, is_minimal, runs: player.runs })
}

struct Player<'a> {
    stage: &'a mut dyn Stage,
    symptom: &'a Symptom,
    runs: u64,
    most_runs: u64,
    progress: &'a dyn Fn(u64, &str),
}

impl Player<'_> {
    fn fails(&mut self, switches: &[Switch], says: &str) -> Result<bool, Over> {
        if self.runs >= self.most_runs {
            return Err(Over);
        }
        self.runs += 1;
        (self.progress)(self.runs, &format!("{says}: {}", switches.len()));
        let played = self.stage.play(Choices::Played(switches.to_vec()));
        Ok(played.symptom.as_ref() == Some(self.symptom))
    }

    /// The switches up to one without which it passes: a failure in the middle of a run needs none of those after it. By
    /// halves: a prefix that fails, and the one before it that does not.
    fn prefix(&mut self, switches: &mut Vec<Switch>) -> Result<(), Over> {
        let (mut passes, mut fails) = (0, switches.len());
        if self.fails(&[], "no switch")? {
            switches.clear();
            return Ok(());
        }
        while fails - passes > 1 {
            let middle = passes + (fails - passes) / 2;
            if self.fails(&switches[..middle], "the first switches")? {
                fails = middle;
                switches.truncate(fails);
            } else {
                passes = middle;
            }
        }
        Ok(())
    }

    /// Each switch left out alone: of those that pass, the one whose events differ last. Second: whether all pass.
    fn nearest(&mut self, switches: &[Switch], fails: &Played) -> (Option<Nearest>, bool) {
        let (mut best, mut all_pass) = (None::<(usize, Nearest)>, true);
        for out in 0..switches.len() {
            let mut less = switches.to_vec();
            let left_out = less.remove(out);
            self.runs += 1;
            (self.progress)(self.runs, &format!("without switch {} of {}", out + 1, switches.len()));
            let played = self.stage.play(Choices::Played(less));
            if played.symptom.is_some() {
                all_pass &= played.symptom.as_ref() != Some(self.symptom);
                continue;
            }
            let alike = alike(&played.events, &fails.events);
            if best.as_ref().is_none_or(|(most, _)| alike > *most) {
                let of = fails.taken.iter().find(|taken| taken.switch == left_out);
                let without = of.map_or_else(
                    || format!("without the switch at point {}", left_out.at),
                    |taken| {
                        format!(
                            "at point {} {} goes on, not {}",
                            left_out.at, taken.instead_of, taken.name
                        )
                    },
                );
                best = Some((alike, Nearest { without, played }));
            }
        }
        (best.map(|(_, nearest)| nearest), all_pass)
    }
}

/// Events that two runs have in common from the start on.
#[must_use]
pub fn alike(one: &[Stamped], other: &[Stamped]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
