//! The summary for a terminal.

use std::fmt::Write as _;

use super::digest::{Digest, Group};
use super::interval::{none_seen, wilson};
use crate::experiments::Class;
use crate::table::Table;

pub(super) fn text(digest: &Digest) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    if let Some(header) = &digest.header {
        let _ = writeln!(
            text,
            "campaign {} on {}: {} of {} experiments",
            header.campaign,
            header.place,
            digest.outcomes.len(),
            header.planned
        );
    }
    let _ = writeln!(text, "\n{}", classes(digest));
    for group in &digest.groups {
        text += &told(digest, group);
    }
    for reason in &digest.gone {
        let _ = writeln!(text, "expected, and not seen: {reason}");
    }
    let new = digest.new_findings().count();
    let known = digest.groups.len() - new;
    let _ = writeln!(text, "{}", last_line(digest, new, known));
    text
}

/// `panics on 3 of 214, ...`: what came of the faults that fired.
pub(super) fn last_line(digest: &Digest, new: usize, known: usize) -> String {
    let fired = digest.activated();
    let words = [
        (Class::Crash, "crashes on"),
        (Class::Hang, "hangs on"),
        (Class::SilentDataCorruption, "silent corruption on"),
    ];
    let counts = words.map(|(class, words)| (digest.classes.count(class), words));
    let said: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(n, words)| format!("{words} {n}")).collect();
    let said = match said.is_empty() {
        true => format!(
            "no finding in {fired} faults that fired (at most {:.2} %, at 95 %)",
            100.0 * none_seen(fired)
        ),
        false => format!("{} of {fired} faults that fired", said.join(", ")),
    };
    match (new, known) {
        (0, 0) => said,
        (new, 0) => format!("{said}; {new} different findings"),
        (new, known) => format!("{said}; {new} new findings, {known} expected"),
    }
}

fn classes(digest: &Digest) -> Table {
    let mut table = Table::new(&["class", "experiments", "share of those that fired", "95 % interval"]);
    let fired = digest.activated();
    for class in Class::ALL {
        let count = digest.classes.count(class);
        let mute = matches!(class, Class::InfraError | Class::NotActivated);
        if count == 0 && mute {
            continue;
        }
        let interval = wilson(count, fired);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let share =
            u32::try_from(count).map_or(0.0, f64::from) / u32::try_from(fired.max(1)).map_or(1.0, f64::from);
        let (share, interval) = match mute {
            true => (String::new(), String::new()),
            false => (percent(share), format!("{} to {}", percent(interval.low), percent(interval.high))),
        };
        table.row([class.name().to_owned(), count.to_string(), share, interval]);
    }
    table
}

fn told(digest: &Digest, group: &Group) -> String {
    let Group { class, first, ids, known, .. } = group;
    let mut text = format!("{class}, {} times: {}\n", ids.len(), first.reason);
    let _ = writeln!(text, "  rule:   {}", first.rules.join(" and "));
    if let Some(minimal) = ids.iter().find_map(|id| digest.minimal.get(id)) {
        let _ = writeln!(text, "  least:  {} ({})", minimal.rules.join(" and "), minimal.workload);
    }
    if let Some(reason) = known {
        let _ = writeln!(text, "  known:  {reason}");
    }
    let _ = writeln!(text, "  again:  {}\n", first.replay);
    text
}
