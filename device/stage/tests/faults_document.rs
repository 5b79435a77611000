//! `scripts/experiments/FAULTS.md` is what the catalog and the language say. To write it anew:
//!
//! ```sh
//! NETDMA_WRITE_FAULTS=1 cargo test -p ioat-stage --test faults_document
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use ioat_stage::fault::catalog::{CATALOG, Class, Entry, Reach};
use ioat_stage::fault::{Action, ERRATA, FILTERS, Form, Point, SHAPE, TRIGGERS, Written};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/experiments/FAULTS.md");

const LINES: &str = "\
fault = [\"msix[ch=0]: nth(3) drop\", \"errata:tbg0-spurious-parity\"]
";

const TABLES: &str = "\
[[fault]]
name = \"lost\"
point = \"msix\"
vector = 1
nth = 3
action = \"drop\"

[[fault]]
point = \"register\"
op = \"read\"
reg = \"CHANSTS\"
after = \"lost\"              # a string: the filter; a number: the trigger after(N)
when = \"every(2) times(3)\"  # triggers in the one-line form, beside those with a key of their own
action = \"corrupt(8, 0x80)\"
";

const RULES: &str = "\
A rule counts the operations of its point that match all of its filters, from the moment when it is armed. It fires at those
whose number all of its triggers accept. Every operation of a point is offered to every rule of it; of those that would fire
the one that was armed first decides. A rule that can never fire where it is armed is refused, with the reason. What fired is
logged and listed with the rule that hits the same operation alone (`again`): point, channel, `nth` and action.

Numbers are decimal or 0x-hexadecimal. A range `A..B` is without B; `A..` has no end, `..B` begins at 0, one number is a range
of its own. Times have a unit: `ns`, `us`, `ms`, `s`. A name has letters, digits, `-` and `_`.

In TOML files a rule is a line, or a table with the same words as keys:
";

#[test]
fn the_document_says_what_the_catalog_says() {
    let document = document();
    if std::env::var_os("NETDMA_WRITE_FAULTS").is_some() {
        fs::write(FILE, &document).unwrap();
    }
    let written = fs::read_to_string(FILE).unwrap_or_default();
    let differs = written.lines().zip(document.lines()).position(|(one, other)| one != other);
    assert!(
        written == document,
        "scripts/experiments/FAULTS.md is not what the catalog says (line {:?}): write it with NETDMA_WRITE_FAULTS=1 cargo \
         test -p ioat-stage --test faults_document",
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_tables_of_the_document_are_rules() {
    for text in [LINES, TABLES] {
        let file: BTreeMap<String, Vec<Written>> = toml::from_str(text).unwrap();
        assert_eq!(file["fault"].len(), 2, "{text}");
    }
}

fn document() -> String {
    let mut text = String::from(
        "# Faults: the rules, and what each point can do\n\n\
         Generated from the code by `NETDMA_WRITE_FAULTS=1 cargo test -p ioat-stage --test faults_document`; the same test\n\
         without the variable compares. `query-points` on a device's control socket tells the same as JSON.\n\n## A rule\n\n",
    );
    let _ = writeln!(text, "```text\n{SHAPE}\n```\n\n{RULES}\n```toml\n{LINES}```\n\n```toml\n{TABLES}```\n");
    forms(&mut text, "Filters", FILTERS);
    forms(&mut text, "Triggers", TRIGGERS);
    actions(&mut text);
    points(&mut text);
    errata(&mut text);
    catalog(&mut text);
    text
}

fn forms(text: &mut String, title: &str, forms: &[Form]) {
    let _ = writeln!(text, "## {title}\n\n| form | what it means | example |\n|---|---|---|");
    for Form { form, says, example, .. } in forms {
        let _ = writeln!(text, "| `{}` | {says} | `{}` |", cell(form), cell(example));
    }
    text.push('\n');
}

fn actions(text: &mut String) {
    text.push_str("## Actions\n\n| form | at |\n|---|---|\n");
    for (word, form) in Action::FORMS {
        let at = CATALOG.iter().filter(|entry| entry.action == word).map(|entry| entry.point.name());
        let _ = writeln!(text, "| `{}` | {} |", cell(form), at.collect::<Vec<_>>().join(", "));
    }
    text.push('\n');
}

fn points(text: &mut String) {
    text.push_str(
        "## Points\n\nWhich filters the operations of a point have something for. Of `op`, accesses have `read` and `write`, descriptors \
         the others.\n\n| point | asked by | filters |\n|---|---|---|\n",
    );
    for point in Point::ALL {
        let filters: Vec<_> = point.filters().map(|form| form.word).collect();
        let who = if point.is_drivers() { "the driver" } else { "the device" };
        let _ = writeln!(text, "| `{point}` | {who} | {} |", filters.join(", "));
    }
    text.push('\n');
}

fn errata(text: &mut String) {
    text.push_str(
        "## Errata\n\nA name that stands for several rules: `errata:NAME` wherever a rule may stand. `hostile` must be asked for as\n\
         `errata:hostile(opt-in)`.\n\n| name | what it reproduces | rules |\n|---|---|---|\n",
    );
    for erratum in ERRATA {
        let rules: Vec<_> = erratum.rules.iter().map(|rule| format!("`{rule}`")).collect();
        let _ = writeln!(text, "| `{}` | {} | {} |", erratum.name, erratum.says, rules.join("<br>"));
    }
    text.push('\n');
}

fn catalog(text: &mut String) {
    text.push_str(
        "## Point x action x class x place\n\nThe samples are what a sweep arms. A place with a dash: the driver does not meet it there.\n\n",
    );
    let classes: BTreeSet<Class> = CATALOG.iter().map(|entry| entry.class).collect();
    for class in classes {
        let rows: Vec<_> = CATALOG.iter().filter(|entry| entry.class == class).collect();
        let _ = writeln!(text, "### Class {}: {class} ({} faults)\n", class as u8, rows.len());
        text.push_str("| point | action | samples | what a driver sees | sim | socket | guest |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        rows.into_iter().for_each(|entry| row(text, entry));
        text.push('\n');
    }
    text.push_str("### Why not everywhere\n\n");
    let reasons: BTreeSet<_> = CATALOG.iter().filter_map(|entry| entry.reach.in_words().1).collect();
    for why in reasons {
        let rows = CATALOG.iter().filter(|entry| entry.reach.in_words().1 == Some(why));
        let rows: Vec<_> = rows.map(|entry| format!("`{} {}`", entry.point, entry.action)).collect();
        let _ = writeln!(text, "- {why}: {}", rows.join(", "));
    }
    text.push_str("- There is no connection in the simulator: the rows of `transport`\n");
    text.push_str(
        "- A guest with a driver that is not ours has none of the rows of `isr`, `queue` and `dpc`\n",
    );
}

fn row(text: &mut String, entry: &Entry) {
    let Entry { point, action, samples, only, reach, says, .. } = entry;
    let (sim, guest) = match reach {
        Reach::Everywhere => (true, true),
        Reach::Connected => (false, true),
        Reach::NotThroughVmm(_) => (true, false),
        Reach::SocketOnly(_) => (false, false),
    };
    let mark = |is: bool| if is { "yes" } else { "-" };
    let only = only.map_or(String::new(), |access| format!(" ({}s)", access.name()));
    let samples: Vec<_> = samples.iter().map(|sample| format!("`{sample}`")).collect();
    let samples = samples.join(", ");
    let (sim, guest) = (mark(sim), mark(guest));
    let _ = writeln!(text, "| `{point}` | `{action}`{only} | {samples} | {says} | {sim} | yes | {guest} |");
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
