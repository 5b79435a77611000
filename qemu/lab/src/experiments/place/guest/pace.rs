//! How long a driver's work takes without a fault, and what is late.
//!
//! Many drivers say no word when an interrupt is lost: their timer looks, and finds the work done. Only the time tells.

use std::time::Duration;

/// Later than usual by this is late. ioatdma looks 200 ms after it handed work over at the earliest; a busy host's scheduler stays
/// below it where the guest has nothing else to do.
const LATE: Duration = Duration::from_millis(150);

/// The newest passes that count: a host's load changes.
const KEPT: usize = 9;

/// The times of passes without a fault.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Pace(Vec<Duration>);

impl Pace {
    /// Takes the time of a pass that had no fault and no trouble.
    pub(super) fn learn(&mut self, worked: Duration) {
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push(worked);
    }

    /// By how much a pass is late; `None` if it is not, or nothing is known.
    pub(super) fn late(&self, worked: Duration) -> Option<Duration> {
        let more = worked.checked_sub(self.usual()?)?;
        (more >= LATE).then_some(more)
    }

    /// The median, which one busy moment of the host does not move.
    fn usual(&self) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // Of an even number, the lower of the middle two: a moment of the host only ever makes a pass longer.
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(times: &[u64]) -> Pace {
        let mut pace = Pace::default();
        times.iter().for_each(|time| pace.learn(Duration::from_millis(*time)));
        pace
    }

    #[test]
    fn late_is_what_a_watchdog_takes_and_not_what_a_scheduler_does() {
        let pace = pace(&[30, 20]);
        assert_eq!(pace.late(Duration::from_millis(100)), None);
        assert_eq!(pace.late(Duration::from_millis(225)), Some(Duration::from_millis(205)));
        assert_eq!(pace.late(Duration::ZERO), None);
    }

    #[test]
    fn one_busy_moment_moves_nothing_and_old_passes_are_forgotten() {
        assert_eq!(pace(&[20, 900, 20]).usual(), Some(Duration::from_millis(20)));
        let many: Vec<u64> = [900; KEPT].into_iter().chain([20; KEPT]).collect();
        assert_eq!(pace(&many), pace(&[20; KEPT]));
    }

    #[test]
    fn without_a_pass_nothing_is_late() {
        assert_eq!(pace(&[]).late(Duration::from_secs(9)), None);
    }
}
