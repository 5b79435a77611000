//! The documentation of the functions, as `help` in a script and in the shell shows it.

use std::fmt::Write as _;

use super::Entry;

/// Everything that there is, by group, with every way of calling it.
#[must_use]
pub fn overview<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut text = String::new();
    let mut entries: Vec<_> = entries.collect();
    // Groups may be spread over several files; they stand in the order in which they begin.
    let mut groups: Vec<&str> = Vec::new();
    for entry in &entries {
        if !groups.contains(&entry.group) {
            groups.push(entry.group);
        }
    }
    entries.sort_by_key(|entry| groups.iter().position(|group| *group == entry.group));
    let mut group = "";
    for entry in entries {
        if entry.group != group {
            let space = if group.is_empty() { "" } else { "\n" };
            group = entry.group;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{space}{group}");
        }
        for call in entry.call.lines() {
            let _ = writeln!(text, "  {}", call.trim());
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// What `name` is, if it is a function. A method may be asked for with its dot.
#[must_use]
pub fn about<'a>(name: &str, entries: impl Iterator<Item = &'a Entry>) -> Option<String> {
    let name = name.trim_start_matches('.').trim_end_matches("()");
    let mut text = String::new();
    for Entry { call, says, .. } in entries.filter(|entry| entry.name == name) {
        for call in call.lines() {
            let _ = writeln!(text, "{}", call.trim());
        }
        let _ = writeln!(text, "  {says}");
    }
    text.truncate(text.trim_end().len());
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: [Entry; 3] = [
        Entry {
            name: "get",
            call: "get(name) -> value\n  get(name, field) -> value",
            says: "Reads.",
            group: "Registers",
        },
        Entry { name: "dma", call: "dma(len)", says: "Allocates.", group: "DMA" },
        Entry { name: "put", call: "put(name, value)", says: "Writes.", group: "Registers" },
    ];

    #[test]
    fn the_overview_lists_every_way_of_calling_by_group() {
        let text = overview(ENTRIES.iter());
        let listed = "Registers\n  get(name) -> value\n  get(name, field) -> value\n  put(name, value)\n\nDMA\n  dma(len)";
        assert_eq!(text, listed);
    }

    #[test]
    fn a_function_is_told_with_all_its_ways() {
        assert_eq!(
            about("get()", ENTRIES.iter()).unwrap(),
            "get(name) -> value\nget(name, field) -> value\n  Reads."
        );
        assert_eq!(about(".dma", ENTRIES.iter()).unwrap(), "dma(len)\n  Allocates.");
        assert_eq!(about("none", ENTRIES.iter()), None);
    }
}
