//! KTAP, version 1: what the kernel's own tests print, and what their tools read.

use netdma::conformance::{Outcome, Ran};

use super::place::At;
use super::report::Report;

/// The version line, on what it runs, and the plan.
pub(super) fn head(count: usize, at: &At) -> String {
    format!(
        "KTAP version 1\n# {} ({}), profile {}\n1..{count}\n",
        at.place().name(),
        at.device(),
        at.place().profile()
    )
}

/// One result; a failure's reason stands before it, as diagnostics do.
pub(super) fn line(number: usize, ran: &Ran) -> String {
    let Ran { id, test, result, reason, duration_ms, profile, .. } = ran;
    let reason = plain(reason.as_deref().unwrap_or_default());
    let on = profile.as_deref().map_or(String::new(), |profile| format!(" on {profile}"));
    match result {
        Outcome::Passed => format!("# {id}: {duration_ms} ms{on}\nok {number} {id} {test}\n"),
        Outcome::Skipped => format!("ok {number} {id} {test} # SKIP {reason}\n"),
        Outcome::Failed => format!("# {id}: {duration_ms} ms{on}: {reason}\nnot ok {number} {id} {test}\n"),
    }
}

/// The totals, as the kernel's tests print them.
pub(super) fn tail(report: &Report) -> String {
    let Report { passed, failed, skipped, .. } = report;
    format!("# Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:{skipped} error:0\n")
}

/// A directive begins with `#`, and a result is one line.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('#', "no. ")
}

#[cfg(test)]
mod tests {
    use netdma::conformance::Status;

    use super::*;

    fn ran(result: Outcome, reason: Option<&str>) -> Ran {
        Ran {
            id: "C-QD-05",
            test: "c_qd_05_so",
            status: Status::Documented,
            profile: Some("skx".into()),
            result,
            reason: reason.map(str::to_owned),
            duration_ms: 3,
        }
    }

    #[test]
    fn a_result_is_a_line_of_its_own_with_the_directive_last() {
        assert_eq!(line(5, &ran(Outcome::Passed, None)), "# C-QD-05: 3 ms on skx\nok 5 C-QD-05 c_qd_05_so\n");
        let skipped = line(5, &ran(Outcome::Skipped, Some("two\nlines # here")));
        assert_eq!(skipped, "ok 5 C-QD-05 c_qd_05_so # SKIP two lines no.  here\n");
        let failed = line(5, &ran(Outcome::Failed, Some("expected 1, found 2")));
        assert_eq!(failed, "# C-QD-05: 3 ms on skx: expected 1, found 2\nnot ok 5 C-QD-05 c_qd_05_so\n");
    }
}
