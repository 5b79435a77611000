//! What a command's end means: its exit status, its last words, and the verdict that it may print itself.

use std::time::Duration;

use crate::experiments::observation::Observation;

/// What a Rust program exits with after a panic.
const RUST_PANIC: i32 = 101;

/// The end of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    /// The command, for messages.
    pub(crate) what: &'a str,
    /// Its exit status; 128 + n for signal n.
    pub(crate) status: i32,
    pub(crate) stdout: &'a [u8],
    pub(crate) stderr: &'a [u8],
}

/// Words with which programs that verify data say that it is wrong.
const WRONG_DATA: [&str; 10] = [
    "miscompare",
    "mismatch",
    "data error",
    "wrong data",
    "corrupt",
    "verify failed",
    "verification failed",
    "expected 0x",
    "differs",
    "compare failed",
];

/// Adds to `facts` what the end means.
///
/// A command that judges itself prints its facts as one JSON object, its last line on standard output, with the lists of
/// [`Observation`]: then they count, and the status only where it tells of a death. Else a status that is not 0 is work that was lost, and
/// it was told; where the last words say that data is wrong, nobody else had said so.
pub(crate) fn judge(end: &End<'_>, facts: &mut Observation) {
    let (stdout, stderr) = (String::from_utf8_lossy(end.stdout), String::from_utf8_lossy(end.stderr));
    let words = last_line(&stderr).or_else(|| last_line(&stdout)).unwrap_or("without a word");
    let told = last_line(&stdout).and_then(|line| serde_json::from_str::<Observation>(line).ok());
    let spoke = told.is_some();
    if let Some(told) = told {
        take_over(told, facts);
    }
    match end.status {
        0 => {}
        RUST_PANIC if stderr.contains("panicked at") => {
            let line = stderr.lines().find(|line| line.contains("panicked at")).unwrap_or(words);
            facts.crashes.push(format!("`{}` panicked: {line}", end.what));
        }
        126 | 127 => facts.infra.push(format!("`{}` does not start: {words}", end.what)),
        status if status > 128 => {
            facts.crashes.push(format!("`{}` died of signal {}: {words}", end.what, status - 128));
        }
        _ if spoke => {}
        status if says_wrong_data(words) => {
            facts.corruptions.push(format!("`{}` ended with {status}: {words}", end.what));
        }
        status => facts.failures.push(format!("`{}` ended with {status}: {words}", end.what)),
    }
}

/// The fact of a command that did not end in time.
pub(crate) fn too_long(what: &str, limit: Duration) -> String {
    format!("`{what}` did not end within {:.1} s", limit.as_secs_f64())
}

/// The facts of one add to those of another; what the device saw is the place's own to say.
fn take_over(told: Observation, facts: &mut Observation) {
    facts.infra.extend(told.infra);
    facts.crashes.extend(told.crashes);
    facts.hangs.extend(told.hangs);
    facts.corruptions.extend(told.corruptions);
    facts.failures.extend(told.failures);
    facts.recoveries.extend(told.recoveries);
    facts.slow |= told.slow;
}

fn says_wrong_data(words: &str) -> bool {
    let words = words.to_lowercase();
    WRONG_DATA.iter().any(|phrase| words.contains(phrase))
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: i32, stdout: &str, stderr: &str) -> Observation {
        let mut facts = Observation::default();
        judge(
            &End { what: "mine", status, stdout: stdout.as_bytes(), stderr: stderr.as_bytes() },
            &mut facts,
        );
        facts
    }

    #[test]
    fn a_status_is_judged_with_the_last_words() {
        assert_eq!(judged(0, "", "a warning\n"), Observation::default());
        assert_eq!(
            judged(1, "", "mine: channel 0 halted\n").failures,
            ["`mine` ended with 1: mine: channel 0 halted"]
        );
        assert_eq!(judged(1, "", "offset 8: expected 0x6d, found 0x6c\n").corruptions.len(), 1);
        assert_eq!(judged(139, "", "").crashes, ["`mine` died of signal 11: without a word"]);
        assert_eq!(judged(101, "", "thread 'main' panicked at src/x.rs:1:2:\nno\n").crashes.len(), 1);
        assert_eq!(judged(127, "", "not found").infra.len(), 1);
    }

    #[test]
    fn a_command_that_judges_itself_is_believed() {
        let facts =
            judged(1, "progress\n{\"corruptions\":[\"guard band\"],\"took_ns\":5}\n", "mine: 1 failed");
        assert_eq!((facts.corruptions.len(), facts.failures.len(), facts.took_ns), (1, 0, 0));
    }
}
