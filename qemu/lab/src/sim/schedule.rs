//! A schedule: who went on where, as a list of switches that can be made shorter.
//!
//! At every point somebody goes on. Without a switch it is who was there; after a wait it is the first of those that are
//! ready. So a run is its switches, those places where somebody else went on, and a list of them can be played again,
//! whole or in part. A seed's list, played whole, is the seed's run, event for event.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Points that a task may pass on end while others are ready: one that looks again and again for what another would do
/// must not keep that one away for ever.
const PATIENCE: u32 = 1024;

/// At one point, somebody else goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Switch {
    /// The point's number in its run, from 1.
    pub at: u64,
    /// The task, in the order in which they were started. If it is not ready there, nothing is switched.
    pub to: usize,
}

/// A switch that was carried out, with the words for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Which.
    pub switch: Switch,
    /// When.
    pub t_ns: u64,
    /// Who had gone on without it.
    pub instead_of: String,
    /// Who went on.
    pub name: String,
}

/// Who chooses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choices {
    /// The seed, and nobody writes it down.
    Seed,
    /// The seed, and its switches are written down.
    Recorded,
    /// These switches, in the order of their points, and else nobody.
    Played(Vec<Switch>),
}

/// The choices at work.
pub(super) struct Chooser {
    played: Option<VecDeque<Switch>>,
    records: bool,
    /// Points that the current task has passed on end.
    stayed: u32,
    taken: Vec<Taken>,
}

impl Chooser {
    pub(super) fn new(choices: Choices) -> Self {
        let records = choices != Choices::Seed;
        let played = match choices {
            Choices::Seed | Choices::Recorded => None,
            Choices::Played(switches) => Some(switches.into()),
        };
        Self { played, records, stayed: 0, taken: Vec::new() }
    }

    /// The seed chooses, and nothing is written down.
    pub(super) fn is_plain(&self) -> bool {
        !self.records
    }

    /// Who goes on without a switch. `here` is who is at the point; none after a wait.
    pub(super) fn usual(&self, here: Option<usize>, ready: &[usize]) -> usize {
        let first = ready.iter().copied().min().unwrap_or_else(|| unreachable!("somebody is ready"));
        match here {
            Some(here) if self.stayed < PATIENCE => here,
            Some(here) => ready.iter().copied().filter(|task| *task > here).min().unwrap_or(first),
            None => first,
        }
    }

    /// Who goes on at point `at` by the switches; none where the seed chooses.
    pub(super) fn plays(&mut self, at: u64, usual: usize, ready: &[usize]) -> Option<usize> {
        let switches = self.played.as_mut()?;
        while switches.front().is_some_and(|switch| switch.at < at) {
            switches.pop_front();
        }
        let here = switches.front().filter(|switch| switch.at == at && ready.contains(&switch.to));
        Some(here.map_or(usual, |switch| switch.to))
    }

    /// Somebody goes on at a point.
    pub(super) fn note(&mut self, task: usize, here: Option<usize>, taken: impl FnOnce() -> Option<Taken>) {
        self.stayed = if here == Some(task) { self.stayed + 1 } else { 0 };
        self.taken.extend(taken());
    }

    pub(super) fn taken(self) -> Vec<Taken> {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_switch_the_task_goes_on_and_after_a_wait_the_first() {
        let chooser = Chooser::new(Choices::Recorded);
        assert_eq!(chooser.usual(Some(3), &[5, 3, 1]), 3);
        assert_eq!(chooser.usual(None, &[5, 3, 1]), 1);
    }

    #[test]
    fn who_passes_too_many_points_gives_way_to_the_next_one() {
        let mut chooser = Chooser::new(Choices::Played(Vec::new()));
        for _ in 0..PATIENCE {
            assert_eq!(chooser.usual(Some(3), &[1, 3, 5]), 3);
            chooser.note(3, Some(3), || None);
        }
        assert_eq!(chooser.usual(Some(3), &[1, 3, 5]), 5);
        assert_eq!(chooser.usual(Some(5), &[1, 3, 5]), 1);
        chooser.note(5, Some(3), || None);
        assert_eq!(chooser.usual(Some(5), &[1, 3, 5]), 5);
    }

    #[test]
    fn a_switch_to_who_is_not_ready_is_none_and_one_whose_point_is_over_is_forgotten() {
        let switches = vec![Switch { at: 2, to: 9 }, Switch { at: 4, to: 1 }, Switch { at: 5, to: 0 }];
        let mut chooser = Chooser::new(Choices::Played(switches));
        assert_eq!(chooser.plays(2, 0, &[0, 1]), Some(0));
        assert_eq!(chooser.plays(3, 0, &[0, 1]), Some(0));
        assert_eq!(chooser.plays(4, 0, &[0, 1]), Some(1));
        assert_eq!(chooser.plays(7, 1, &[0, 1]), Some(1));
        assert_eq!(Chooser::new(Choices::Seed).plays(1, 0, &[0]), None);
    }
}
