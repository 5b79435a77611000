//! One self-contained page: for a person who did not run it.

use std::fmt::Write as _;

use super::digest::{Cell, Digest, Fault, Group};
use super::interval::wilson;
use super::junit::escaped;
use super::picture::{picture, time};
use super::text::last_line;
use crate::experiments::{Class, Outcome};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// What each class means, for a reader who meets it for the first time.
const MEANINGS: [(Class, &str, &str); 9] = [
    (Class::Crash, "C", "the driver or its kernel died"),
    (Class::Hang, "H", "it no longer goes on"),
    (Class::SilentDataCorruption, "S", "memory is wrong or a completion is a lie, and nobody said so"),
    (Class::DetectedFailed, "F", "it noticed and said so; the work is lost"),
    (Class::DetectedRecovered, "R", "it noticed, and all the work was done"),
    (Class::Degraded, "D", "all is well, but slow"),
    (Class::Masked, "M", "the fault fired, and nothing came of it"),
    (Class::NotActivated, "-", "the fault never fired: says nothing"),
    (Class::InfraError, "I", "the machine room failed: says nothing"),
];

pub(super) fn page(digest: &Digest) -> String {
    let name = digest.header.as_ref().map_or("experiments", |header| header.campaign.as_str());
    let sections = [verdict(digest), classes(digest), map(digest), findings(digest), all(digest)];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{0} - fault campaign</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n{1}\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escaped(name),
        sections.join("\n")
    )
}

/// What ran, and what came of it, in two lines.
fn verdict(digest: &Digest) -> String {
    let new = digest.new_findings().count();
    let said = last_line(digest, new, digest.groups.len() - new);
    let ran = digest.header.as_ref().map_or(String::new(), |header| {
        let missing = match header.planned.saturating_sub(digest.outcomes.len() as u64) {
            0 => String::new(),
            missing => format!(", {missing} not run"),
        };
        format!(
            "{} of {} planned experiments{missing} on <b>{}</b>; {}, host {}, begun {} UTC; fault-free run {}",
            digest.outcomes.len(),
            header.planned,
            escaped(&header.place),
            escaped(&header.tool),
            escaped(&header.host),
            date(header.started),
            time(u32::try_from(header.golden_ns / 1000).map_or(0.0, f64::from) * 1000.0)
        )
    });
    let mood = if new > 0 { "bad" } else { "good" };
    format!("<p class=\"verdict {mood}\">{}</p>\n<p class=\"soft\">{ran}</p>", escaped(&said))
}

fn classes(digest: &Digest) -> String {
    let total = digest.classes.total().max(1);
    let mut bar = String::new();
    let mut rows = String::new();
    for (class, letter, meaning) in MEANINGS {
        let count = digest.classes.count(class);
        let mute = matches!(class, Class::NotActivated | Class::InfraError);
        if count == 0 && mute {
            continue;
        }
        // Writing to a String does not fail.
        if count > 0 {
            let _ = write!(
                bar,
                "<i class=\"{class}\" style=\"flex-grow:{count}\" title=\"{class}: {count} of {total}\"></i>"
            );
        }
        let interval = wilson(count, digest.activated());
        let span = match mute {
            true => "<td></td>".to_owned(),
            false => format!(
                "<td class=\"span\"><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\"><rect class=\"{class}\" x=\"{:.2}\" width=\"{:.2}\" height=\"10\"/></svg>\
                 <span>{:.1} to {:.1} %</span></td>",
                100.0 * interval.low,
                (100.0 * (interval.high - interval.low)).max(0.4),
                100.0 * interval.low,
                100.0 * interval.high
            ),
        };
        let _ = writeln!(
            rows,
            "<tr><td><b class=\"key {class}\">{letter}</b> {class}</td><td class=\"n\">{count}</td>{span}<td class=\"soft\">{meaning}</td></tr>"
        );
    }
    format!(
        "<h2>What came of it</h2>\n<div class=\"bar\">{bar}</div>\n<table class=\"classes\"><thead><tr><th>class</th><th>experiments</th>\
         <th>share of those that fired, 95 % interval</th><th>meaning</th></tr></thead><tbody>\n{rows}</tbody></table>"
    )
}

/// The heat map: points against actions.
fn map(digest: &Digest) -> String {
    let distinct = |of: fn(&Fault) -> &String| {
        let mut words: Vec<&String> = Vec::new();
        for fault in digest.cells.keys() {
            if !words.contains(&of(fault)) {
                words.push(of(fault));
            }
        }
        words
    };
    let order = |word: &String| ioat_stage::Point::ALL.iter().position(|point| point.name() == word);
    let mut points = distinct(|fault| &fault.point);
    points.sort_by_key(|word| order(word).unwrap_or(usize::MAX));
    let mut actions = distinct(|fault| &fault.action);
    let order = |word: &String| ioat_stage::Action::FORMS.iter().position(|(action, _)| action == word);
    actions.sort_by_key(|word| order(word).unwrap_or(usize::MAX));
    let heads: String =
        actions.iter().map(|action| format!("<th><span>{}</span></th>", escaped(action))).collect();
    let mut rows = String::new();
    for point in points {
        let _ = write!(rows, "<tr><th>{}</th>", escaped(point));
        for action in &actions {
            let fault = Fault { point: point.clone(), action: (*action).clone() };
            rows += &digest.cells.get(&fault).map_or("<td></td>".to_owned(), |cell| square(&fault, cell));
        }
        rows += "</tr>\n";
    }
    format!(
        "<h2>Where</h2>\n<p class=\"soft\">Each square is a fault: its row says where it happens, its column what happens. Colour and letter are the worst \
         outcome, the number is how many of its experiments ended so. Click it to see them.</p>\n<div class=\"wide\"><table class=\"map\"><thead><tr><th></th>{heads}</tr></thead>\
         <tbody>\n{rows}</tbody></table></div>"
    )
}

fn square(fault: &Fault, cell: &Cell) -> String {
    let Some(worst) = cell.worst() else { return "<td></td>".to_owned() };
    let letter = MEANINGS.iter().find(|(class, ..)| *class == worst).map_or("", |(_, letter, _)| letter);
    let counts: Vec<_> = cell.classes.iter().map(|(class, count)| format!("{class} {count}")).collect();
    format!(
        "<td class=\"{worst}\"><button data-find=\"{0}: {1}\" title=\"{0} {1}: {2}\">{letter}<small>{3}/{4}</small></button></td>",
        escaped(&fault.point),
        escaped(&fault.action),
        counts.join(", "),
        cell.count(worst),
        cell.total()
    )
}

fn findings(digest: &Digest) -> String {
    let mut text = "<h2>Findings</h2>\n".to_owned();
    if digest.groups.is_empty() {
        text += "<p>None.</p>\n";
    }
    // What is new comes first.
    let (new, known): (Vec<&Group>, Vec<&Group>) =
        digest.groups.iter().partition(|group| group.known.is_none());
    new.iter().chain(&known).for_each(|group| text += &card(digest, group));
    for reason in &digest.gone {
        let _ = writeln!(text, "<p class=\"soft\">Expected, and not seen: {}</p>", escaped(reason));
    }
    text
}

fn card(digest: &Digest, group: &Group) -> String {
    let Group { class, first, ids, known, .. } = group;
    let mut rows = String::new();
    let mut row = |name: &str, text: &str| {
        let _ = write!(rows, "<dt>{name}</dt><dd>{text}</dd>");
    };
    if let Some(reason) = known {
        row("expected", &escaped(reason));
    }
    row("rule", &code(&first.rules.join(" and ")));
    let fired: Vec<_> = first.observation.fired.iter().map(|fired| fired.again.as_str()).take(3).collect();
    if !fired.is_empty() {
        row("fired as", &code(&fired.join(" and ")));
    }
    if let Some(minimal) = ids.iter().find_map(|id| digest.minimal.get(id)) {
        let least = format!(
            "{}<br>{}<br>{}",
            code(&minimal.rules.join(" and ")),
            escaped(&minimal.workload),
            command(&minimal.replay)
        );
        row("minimal", &least);
    }
    row("again", &command(&first.replay));
    if ids.len() > 1 {
        row(
            "all of them",
            &code(&ids.iter().take(40).map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        );
    }
    let facts = facts(first);
    let open = if known.is_none() { " open" } else { "" };
    format!(
        "<details class=\"card\"{open}><summary><b class=\"key {class}\">{class}</b> {} <span class=\"soft\">{} experiment{}{}</span></summary>\n\
         <dl>{rows}</dl>\n{}{facts}</details>\n",
        escaped(&first.reason),
        ids.len(),
        if ids.len() == 1 { "" } else { "s" },
        if known.is_some() { ", expected" } else { "" },
        picture(&first.observation.events)
    )
}

/// Every fact of an observation, in the order of the classes.
fn facts(outcome: &Outcome) -> String {
    let seen = &outcome.observation;
    let kinds = [
        ("infra", &seen.infra),
        ("crash", &seen.crashes),
        ("hang", &seen.hangs),
        ("corruption", &seen.corruptions),
        ("failure", &seen.failures),
        ("recovery", &seen.recoveries),
    ];
    let lines: String = kinds
        .into_iter()
        .flat_map(|(kind, texts)| {
            texts.iter().map(move |text| format!("<li><em>{kind}</em> {}</li>", escaped(text)))
        })
        .collect();
    let device: String = seen
        .device
        .iter()
        .map(|(name, value)| format!("<li><em>{}</em> {}</li>", escaped(name), escaped(&value.to_string())))
        .collect();
    let device =
        if device.is_empty() { device } else { format!("<p>What the device saw:</p><ul>{device}</ul>") };
    format!("<details><summary>everything that was seen</summary><ul>{lines}</ul>{device}</details>")
}

fn all(digest: &Digest) -> String {
    let mut rows = String::new();
    for outcome in digest.outcomes.values() {
        let Outcome { id, rules, seed, class, reason, .. } = outcome;
        let _ = writeln!(
            rows,
            "<tr data-words=\"{}\"><td><code>{id}</code></td><td class=\"n\">{seed}</td><td>{}</td><td><b class=\"key {class}\">{class}</b></td><td>{}</td></tr>",
            escaped(&words(outcome)),
            code(&rules.join(" and ")),
            escaped(reason)
        );
    }
    format!(
        "<h2 id=\"all\">All experiments</h2>\n<p><input id=\"find\" type=\"search\" placeholder=\"find: a class, a point, a word\" size=\"40\"> <span id=\"found\" class=\"soft\"></span></p>\n\
         <div class=\"wide\"><table class=\"all\"><thead><tr><th>id</th><th>seed</th><th>rules</th><th>class</th><th>why</th></tr></thead><tbody>\n{rows}</tbody></table></div>"
    )
}

/// What the search looks at: `point: action` of each rule, and the row's own words.
fn words(outcome: &Outcome) -> String {
    let faults = super::digest::faults(outcome);
    let faults: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.point, fault.action)).collect();
    format!(
        "{} {} {} {} {}",
        faults.join(" "),
        outcome.rules.join(" "),
        outcome.class,
        outcome.reason,
        outcome.id
    )
    .to_lowercase()
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

fn command(text: &str) -> String {
    format!("<code class=\"command\">{}</code> <button class=\"copy\">copy</button>", escaped(text))
}

/// `2026-11-21 19:45` of seconds since 1970 (days by the civil calendar's 400-year cycle).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!(
        "{:04}-{month:02}-{of_month:02} {:02}:{:02}",
        era * 400 + year + carry,
        rest / 3600,
        rest / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(951_782_399), "2000-02-28 23:59");
        assert_eq!(date(951_782_400), "2000-02-29 00:00");
        assert_eq!(date(1_795_290_300), "2026-11-21 19:45");
    }
}
