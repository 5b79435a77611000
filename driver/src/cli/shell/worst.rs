//! The worst that became of a statement, for the exit code.

use super::super::exit::{Gone, NothingRan, Usage};

/// What can become of a statement, from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Verdict {
    #[default]
    Fine,
    /// `skip(reason)`.
    Skipped,
    /// It failed, or something was not as expected.
    Failed,
    /// It makes no sense.
    Wrong,
    /// The device is gone.
    Gone,
}

/// The worst so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Worst {
    verdict: Verdict,
    statements: usize,
    /// Those that were not fine.
    bad: usize,
}

impl Worst {
    /// A statement ended so.
    pub(super) fn add(&mut self, verdict: Verdict) {
        self.statements += 1;
        self.bad += usize::from(verdict > Verdict::Skipped);
        self.verdict = self.verdict.max(verdict);
    }

    /// For the exit code. What went wrong was said when it did; this is how often.
    pub(super) fn into_result(self) -> anyhow::Result<()> {
        let Self { verdict, statements, bad } = self;
        let said = format!("{bad} of {statements} statements failed");
        match verdict {
            Verdict::Fine => Ok(()),
            Verdict::Skipped => Err(NothingRan("a statement was skipped".into()).into()),
            Verdict::Failed => Err(anyhow::anyhow!(said)),
            Verdict::Wrong => Err(Usage(said).into()),
            Verdict::Gone => Err(Gone(said).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_statement_wins_and_all_are_counted() {
        let mut worst = Worst::default();
        for verdict in [Verdict::Fine, Verdict::Wrong, Verdict::Failed, Verdict::Skipped] {
            worst.add(verdict);
        }
        let error = worst.into_result().unwrap_err();
        assert!(error.is::<Usage>());
        assert_eq!(error.to_string(), "2 of 4 statements failed");
        assert!(Worst::default().into_result().is_ok());
    }
}
