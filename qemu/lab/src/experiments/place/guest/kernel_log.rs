//! What the guest's kernel said, judged: a crash, a hang, a leak, work that is lost, trouble that was noticed.
//!
//! The kernel's own phrases are fixed and known; a driver's are not. So a line at warning or above that no golden run had counts as
//! noticed, whoever says it, and what is known of a driver is a table of its phrases.

use std::collections::{BTreeMap, BTreeSet};

use netdma_vm::message::{KernelLine, LEVEL_WARNING};

use crate::experiments::observation::Observation;

/// The same line so often while a workload ran is a loop. A driver that tries again for as long as its caller waits stays below it:
/// `ioatdma`'s watchdog speaks five times a second, and its callers wait three.
const LOOP_LINES: usize = 50;

/// The same line so often while nobody asks the driver for anything is a loop.
const IDLE_LOOP_LINES: usize = 3;

/// The most lines of an excerpt.
const KEPT_LINES: usize = 40;

/// How many lines an excerpt has before the first of [`DEATHS`].
const LINES_BEFORE: usize = 8;

/// A console's lines of a death. What went wrong is said before the panic that follows from it.
const DEATHS: [&str; 5] = ["kernel BUG at", "BUG:", "general protection fault", "Oops", "Kernel panic"];

/// What a phrase means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    Crash,
    Hang,
    Leak,
    Lost,
    Noticed,
    Nothing,
}

use Meaning::{Crash, Hang, Leak, Lost, Nothing, Noticed};

/// The first phrase that a line has decides.
const PHRASES: &[(&str, Meaning)] = &[
    // The host is slow and shared, and the kernel notices.
    ("clocksource", Nothing),
    ("hogged CPU", Nothing),
    ("interrupt took too long", Nothing),
    ("hrtimer: interrupt took", Nothing),
    ("sched_clock", Nothing),
    ("sched: DL replenish lagged too much", Nothing),
    // `insmod` of what Debian did not sign.
    ("loading out-of-tree module taints kernel", Nothing),
    ("module verification failed", Nothing),
    ("soft lockup", Hang),
    ("hard LOCKUP", Hang),
    ("self-detected stall", Hang),
    ("detected stalls on CPUs", Hang),
    ("detected expedited stalls", Hang),
    ("blocked for more than", Hang),
    ("possible circular locking", Hang),
    ("possible recursive locking", Hang),
    ("nobody cared", Hang),
    ("Kernel panic", Crash),
    ("kernel BUG at", Crash),
    ("BUG:", Crash),
    ("Oops", Crash),
    ("general protection fault", Crash),
    ("use-after-free", Crash),
    ("double free", Crash),
    ("list_add corruption", Crash),
    ("list_del corruption", Crash),
    ("divide error", Crash),
    ("stack guard page was hit", Crash),
    ("Kernel stack is corrupted", Crash),
    ("kernel stack may be corrupted", Crash),
    ("Objects remaining", Leak),
    ("objects remaining", Leak),
    ("Slab cache still has objects", Leak),
    ("pending DMA allocations while released", Leak),
    ("memory leak", Leak),
    // ioatdma: the channel, or the whole function, is not there for anybody.
    ("Self-test", Lost),
    ("selftest cannot", Lost),
    ("channel enumeration error", Lost),
    ("init failed", Lost),
    ("failed to start channel", Lost),
    // What follows a line that counts already.
    ("disables this message", Nothing),
    ("Tainted: ", Nothing),
    // Any driver.
    ("failed with error", Lost),
    ("WARNING:", Noticed),
];

/// The lines of runs without a fault: what a kernel says anyway.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Harmless(BTreeSet<String>);

impl Harmless {
    /// Takes the lines of a run without a fault.
    pub fn learn(&mut self, lines: &[KernelLine]) {
        self.0.extend(lines.iter().map(|line| without_numbers(&line.text)));
    }

    fn has(&self, line: &KernelLine) -> bool {
        self.0.contains(&without_numbers(&line.text))
    }
}

/// Adds to `facts` what these lines say.
pub fn judge(lines: &[KernelLine], harmless: &Harmless, facts: &mut Observation) {
    for line in lines {
        let list = match meaning(line, harmless) {
            Crash => &mut facts.crashes,
            Hang => &mut facts.hangs,
            Leak => &mut facts.corruptions,
            Lost => &mut facts.failures,
            Noticed => &mut facts.recoveries,
            Nothing => continue,
        };
        note(list, line.text.trim().to_owned());
    }
    for (text, count) in repeated(lines, harmless).into_iter().filter(|(_, count)| *count >= LOOP_LINES) {
        note(&mut facts.hangs, format!("it says the same {count} times: {text}"));
    }
}

/// The line of a loop among lines that came while the driver had nothing to do, and how often it came.
#[must_use]
pub fn idle_loop(lines: &[KernelLine], harmless: &Harmless) -> Option<(String, usize)> {
    let often = repeated(lines, harmless).into_iter().filter(|(_, count)| *count >= IDLE_LOOP_LINES);
    often.max_by_key(|(_, count)| *count)
}

/// The lines that an experiment's record keeps: what the driver and its test said and no golden run did, and how a dying kernel ended.
/// Of more than `KEPT_LINES`, the first half and the last.
#[must_use]
pub fn excerpt(said: &[KernelLine], console: Option<&str>, harmless: &Harmless) -> Vec<String> {
    let kept = |line: &&KernelLine| match line.text.contains("dmatest: ") {
        true => is_trouble_of_dmatest(line),
        false => meaning(line, harmless) != Nothing,
    };
    let said = said.iter().filter(kept);
    let mut lines: Vec<String> = said.map(|line| line.text.trim().to_owned()).collect();
    lines.extend(death(console.unwrap_or_default()));
    let surplus = lines.len().saturating_sub(KEPT_LINES);
    if surplus > 0 {
        let from = KEPT_LINES / 2;
        lines.splice(from..=from + surplus, [format!("... {} more lines ...", surplus + 1)]);
    }
    lines
}

/// The end of a console, from shortly before its kernel died. Earlier lines may be of an earlier experiment.
fn death(console: &str) -> impl Iterator<Item = String> {
    // A trace's frames and registers are for who has the kernel's symbols; where it happened is in RIP.
    let register = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        name == "Code" || (name.len() <= 4 && is_name(name) && !["RIP", "BUG", "CPU"].contains(&name))
    };
    let frame = |line: &&str| {
        line.starts_with(' ') || register(line) || (line.contains("+0x") && !line.contains("RIP:"))
    };
    let lines: Vec<&str> =
        console.lines().map(without_stamp).filter(|line| !frame(line) && !line.trim().is_empty()).collect();
    let died = |line: &&str| DEATHS.iter().any(|phrase| line.contains(phrase));
    let from = lines.iter().position(died).map_or(lines.len(), |at| at.saturating_sub(LINES_BEFORE));
    let last: Vec<String> = lines[from..].iter().map(|line| line.trim().to_owned()).collect();
    last.into_iter()
}

/// It says at info level what failed.
fn is_trouble_of_dmatest(line: &KernelLine) -> bool {
    line.text.contains("dmatest: ")
        && line.text.contains(": result #")
        && !line.text.contains("'test passed'")
}

/// What a console that ended in a panic says of it, in one line; `None` if it says nothing of one.
#[must_use]
pub fn panic_of(console: &str) -> Option<String> {
    let lines: Vec<&str> = console.lines().map(without_stamp).collect();
    let find = |phrase: &str| lines.iter().find(|line| line.contains(phrase)).copied();
    let what = DEATHS.iter().find_map(|phrase| find(phrase))?;
    let place = find("RIP: ").and_then(|line| line.split_whitespace().nth(1)).map(|word| {
        let function = word.rsplit(':').next().unwrap_or(word);
        format!(" in {}", function.split('+').next().unwrap_or(function))
    });
    Some(format!("{}{}", what.trim(), place.unwrap_or_default()))
}

/// A line with its numbers taken out, so that the same line of another run is the same text.
#[must_use]
pub fn without_numbers(text: &str) -> String {
    let is_number = |word: &str| {
        word.chars().any(|c| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_hexdigit() || c == 'x')
    };
    let mut out = String::new();
    let mut word = String::new();
    for c in text.trim().chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(if is_number(&word) { "#" } else { &word });
        word.clear();
        if c != '\n' {
            out.push(c);
        }
    }
    out
}

fn meaning(line: &KernelLine, harmless: &Harmless) -> Meaning {
    let known = PHRASES.iter().find(|(phrase, _)| line.text.contains(phrase)).map(|(_, meaning)| *meaning);
    match known {
        Some(meaning @ (Crash | Hang | Nothing)) => meaning,
        _ if harmless.has(line) || line.level > LEVEL_WARNING => Nothing,
        Some(meaning) => meaning,
        None => Noticed,
    }
}

/// Texts without their numbers that are more than noise, with the first line of each kind as it was said, and their counts.
fn repeated(lines: &[KernelLine], harmless: &Harmless) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for line in lines.iter().filter(|line| meaning(line, harmless) != Nothing) {
        let entry =
            counts.entry(without_numbers(&line.text)).or_insert_with(|| (line.text.trim().to_owned(), 0));
        entry.1 += 1;
    }
    counts.into_values().collect()
}

/// A list has each text once, whatever its numbers: a driver that tries again says the same again.
fn note(list: &mut Vec<String>, text: String) {
    let same = without_numbers(&text);
    if list.iter().all(|other| without_numbers(other) != same) {
        list.push(text);
    }
}

/// `[    3.141592] text` into `text`.
fn without_stamp(line: &str) -> &str {
    let stamped = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match stamped {
        Some((stamp, text)) if stamp.trim().parse::<f64>().is_ok() => text,
        _ => line,
    }
}

#[cfg(test)]
#[path = "kernel_log_tests.rs"]
mod tests;
