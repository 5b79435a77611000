//! The findings with a patch: the rule that shows each, and how it looks before and after.

use super::guest::Seen;
use crate::kmod::Patch;

/// Copies that dmatest makes; with the driver's own null descriptor at the channel's start, the last is the 21st.
pub(super) const COPIES: u32 = 20;

/// Restarts while nothing happens, from which on it is a loop: the watchdog makes five in a second.
const LOOP_RESETS: usize = 5;

/// A finding, its rule, its patch.
#[derive(Debug)]
pub struct Mend {
    /// Its name.
    pub name: &'static str,
    /// What was found.
    pub found: &'static str,
    /// The rule that shows it, on the channel that dmatest uses.
    pub rule: &'static str,
    /// The patch's file, below the project's folder.
    pub file: &'static str,
    text: &'static str,
    /// How it fails, if it does.
    pub(super) fails: fn(&Seen) -> Option<String>,
    /// How it passes, if it does.
    pub(super) passes: fn(&Seen) -> Option<String>,
}

/// All that can be mended.
pub const CATALOG: [Mend; 3] = [
    Mend {
        name: "completion-word",
        found: "one wrong completion word stops the kernel",
        rule: "complete[ch=1]: nth(20) misaddress(+4096)",
        file: "qemu/lab/patches/ioatdma-completion-word.patch",
        text: include_str!("../../patches/ioatdma-completion-word.patch"),
        fails: panics,
        passes: all_copies_are_right,
    },
    Mend {
        name: "failed-copy",
        found: "a copy that failed reads as complete, and no byte was moved",
        rule: "copy[ch=1]: nth(20) halt(8)",
        file: "qemu/lab/patches/ioatdma-failed-copy.patch",
        text: include_str!("../../patches/ioatdma-failed-copy.patch"),
        fails: wrong_data_as_complete,
        passes: the_copy_has_an_error,
    },
    Mend {
        name: "reset-loop",
        found: "after an error halt an idle channel is reset for ever",
        rule: "copy[ch=1]: nth(21) halt(0)",
        file: "qemu/lab/patches/ioatdma-reset-loop.patch",
        text: include_str!("../../patches/ioatdma-reset-loop.patch"),
        fails: loops,
        passes: is_reset_once,
    },
];

/// The mend of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Mend> {
    CATALOG.iter().find(|mend| mend.name == name)
}

impl Mend {
    /// Its patch.
    #[must_use]
    pub fn patch(&self) -> Patch {
        Patch { name: self.file.into(), text: self.text.into() }
    }
}

fn panics(seen: &Seen) -> Option<String> {
    let bug = seen.log.iter().find(|line| line.contains("kernel BUG at drivers/dma/ioat/"))?;
    seen.panicked.then(|| format!("panic: {}", bug.trim_end_matches('!')))
}

fn all_copies_are_right(seen: &Seen) -> Option<String> {
    let verdict = seen.verdict.as_ref()?;
    let said = seen.log.iter().any(|line| line.contains("names no descriptor in flight"));
    (verdict.failures == 0 && said).then(|| format!("says so, all {} copies right", verdict.tests))
}

fn wrong_data_as_complete(seen: &Seen) -> Option<String> {
    let verdict = seen.verdict.as_ref()?;
    let wrong = verdict.results.iter().any(|line| line.contains("'data error'"));
    wrong.then(|| format!("complete, and wrong data: {} of {} copies", verdict.failures, verdict.tests))
}

fn the_copy_has_an_error(seen: &Seen) -> Option<String> {
    let verdict = seen.verdict.as_ref()?;
    let mut results = verdict.results.iter();
    let told = results.all(|line| line.contains("'completion error status'"));
    // On a slow machine the watchdog may abort another one; that has its error, too.
    let (lost, right) = (verdict.failures, verdict.tests.saturating_sub(verdict.failures));
    (told && lost > 0).then(|| format!("error status for that copy ({lost} in all), {right} right"))
}

fn loops(seen: &Seen) -> Option<String> {
    (seen.resets >= LOOP_RESETS).then(|| format!("{} resets in {} s of idleness", seen.resets, seen.idle_s))
}

fn is_reset_once(seen: &Seen) -> Option<String> {
    seen.verdict.as_ref()?;
    // On a slow machine the watchdog may come once more.
    matches!(seen.resets, 1 | 2).then(|| format!("{} reset, then quiet for {} s", seen.resets, seen.idle_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmod::dmatest::Verdict;

    fn seen(resets: usize, failures: u64, results: &[&str]) -> Seen {
        let results = results.iter().map(|text| (*text).to_owned()).collect();
        let verdict = Some(Verdict { tests: 20, failures, results });
        Seen { panicked: false, verdict, resets, log: Vec::new(), idle_s: 3 }
    }

    #[test]
    fn every_mend_has_a_rule_that_parses_and_a_patch_of_ioatdma_with_its_license() {
        for mend in &CATALOG {
            mend.rule.parse::<ioat_stage::Rule>().unwrap();
            assert!(mend.text.starts_with("SPDX-License-Identifier: GPL-2.0-only\n"), "{}", mend.file);
            let patch = mend.patch();
            assert!(patch.files().count() > 0, "{}", mend.file);
            assert!(patch.files().all(|file| file.starts_with("b/drivers/dma/ioat/")), "{}", mend.file);
            assert_eq!(find(mend.name).unwrap().rule, mend.rule);
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn no_mend_takes_the_same_for_broken_and_for_mended() {
        let bug = "kernel BUG at drivers/dma/ioat/dma.c:703!".to_owned();
        let complaint = "completion 0x40 names no descriptor in flight".to_owned();
        let cases = [
            Seen { panicked: true, verdict: None, resets: 0, log: vec![bug], idle_s: 3 },
            Seen { log: vec![complaint], ..seen(0, 0, &[]) },
            seen(0, 0, &[]),
            seen(0, 1, &["result #19: 'data error'"]),
            seen(1, 1, &["result #19: 'completion error status'"]),
            seen(20, 1, &["result #20: 'test timed out'"]),
        ];
        for mend in &CATALOG {
            let fails = cases.iter().filter(|seen| (mend.fails)(seen).is_some()).count();
            let passes = cases.iter().filter(|seen| (mend.passes)(seen).is_some()).count();
            assert_eq!((fails, passes), (1, 1), "{}", mend.name);
            assert!(cases.iter().all(|seen| (mend.fails)(seen).is_none() || (mend.passes)(seen).is_none()));
        }
    }
}
