//! Runs checks one after the other, and says how each ended.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ioat_stage::Pause;

use super::bench::{Bench, NotPassed, Place};
use super::{Needs, Statement, Status};

/// How one check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What the statement says was seen.
    Passed,
    /// Something else was seen.
    Failed,
    /// It could not run here.
    Skipped,
}

/// One check and how it ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ran {
    /// The statement's number.
    pub id: &'static str,
    /// The check's name.
    pub test: &'static str,
    /// Where the statement comes from.
    pub status: Status,
    /// The profile of the engine that it ran on; none if it opened none.
    pub profile: Option<String>,
    /// How it ended.
    pub result: Outcome,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// Why a check of the library alone does not run beside an engine that is elsewhere.
pub const TOUCHES_NO_HARDWARE: &str = "touches no hardware: it runs on the in-process device";

thread_local! {
    /// What the panic of the check that runs on this thread said, and where it was.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Runs one statement's check at `place`. A check that panics has failed, and the next one can go on.
pub fn run(statement: &'static Statement, place: &dyn Place, pause: &dyn Pause) -> Ran {
    let begun = pause.now_ns();
    let bench = Bench::new(place);
    let verdict = if statement.needs == Needs::Library && !place.runs_library_checks() {
        Err(NotPassed::Skipped(TOUCHES_NO_HARDWARE.into()))
    } else {
        caught(|| (statement.check)(&bench))
    };
    let (result, reason) = match verdict {
        Ok(()) => (Outcome::Passed, None),
        Err(NotPassed::Failed(reason)) => (Outcome::Failed, Some(reason)),
        Err(NotPassed::Skipped(reason)) => (Outcome::Skipped, Some(reason)),
    };
    Ran {
        id: statement.id,
        test: statement.test,
        status: statement.status,
        profile: bench.profile_used(),
        result,
        reason,
        duration_ms: pause.now_ns().saturating_sub(begun) / 1_000_000,
    }
}

/// Runs `check` with its panics caught and, while it runs, not printed.
fn caught(check: impl FnOnce() -> super::Verdict) -> super::Verdict {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match CHECKING.get() {
            true => PANIC.set(Some(info.to_string())),
            false => before(info),
        }));
    });
    CHECKING.set(true);
    // What the check worked on is dropped with it, so nobody sees it half done.
    let verdict = catch_unwind(AssertUnwindSafe(check));
    CHECKING.set(false);
    verdict.unwrap_or_else(|_| {
        let said = PANIC.take().unwrap_or_else(|| "without a word".into());
        Err(NotPassed::Failed(format!("the check panicked: {}", said.replace('\n', ": "))))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Unavailable, Verdict, Wanted};
    use super::*;
    use crate::hw::Device;

    struct Nowhere;

    impl Place for Nowhere {
        fn name(&self) -> &'static str {
            "nowhere"
        }

        fn profile(&self) -> &'static str {
            "none"
        }

        fn open(&self, _: &Wanted) -> Result<anyhow::Result<Device>, Unavailable> {
            Err(Unavailable("there is no engine".into()))
        }
    }

    const fn statement(needs: Needs, check: fn(&Bench<'_>) -> Verdict) -> Statement {
        let (id, test, status) = ("C-XX-01", "c_xx_01_says", Status::Documented);
        Statement { id, test, status, source: "nobody", says: "so", needs, check }
    }

    fn ran(statement: &'static Statement) -> (Outcome, Option<String>) {
        let Ran { result, reason, .. } = run(statement, &Nowhere, &ioat_stage::ThreadPause::new());
        (result, reason)
    }

    #[test]
    fn a_check_that_panics_has_failed_with_its_text_and_the_next_one_runs() {
        static PANICS: Statement = statement(Needs::Engine, |_| panic!("so many as {}", 3));
        static PASSES: Statement = statement(Needs::Engine, |_| Ok(()));
        let (result, reason) = ran(&PANICS);
        let reason = reason.unwrap_or_default();
        assert_eq!(result, Outcome::Failed);
        assert!(reason.contains("so many as 3") && reason.contains("run.rs"), "{reason}");
        assert_eq!(ran(&PASSES), (Outcome::Passed, None));
    }

    #[test]
    fn where_there_is_no_such_engine_a_check_is_skipped_with_the_reason() {
        static ASKS: Statement = statement(Needs::Engine, |bench| bench.engine().map(drop));
        assert_eq!(ran(&ASKS), (Outcome::Skipped, Some("there is no engine".into())));
    }

    #[test]
    fn beside_an_engine_that_is_elsewhere_the_library_alone_is_not_checked_again() {
        static LIBRARY: Statement = statement(Needs::Library, |_| panic!("not run"));
        assert_eq!(ran(&LIBRARY), (Outcome::Skipped, Some(TOUCHES_NO_HARDWARE.into())));
    }
}
