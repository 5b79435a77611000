//! The functions, one file for each group.

mod config;

mod bars;

mod named;

mod memory;

mod interrupts;

mod waiting;

mod reset;

mod chain;

pub(super) mod driver;

mod faults;

mod trace;

mod map;

mod judging;

mod output;

use std::rc::Rc;

use rhai::Engine;

use super::{Entry, Session};

/// A group: its functions, and their documentation.
struct Group {
    register: fn(&mut Engine, &Rc<Session>),
    entries: &'static [Entry],
}

macro_rules! groups {
    ($($name:ident),*) => {
        &[$(Group { register: $name::register, entries: $name::ENTRIES },)*]
    };
}

/// In the order of `help()`.
const GROUPS: &[Group] = groups!(
    config, bars, reset, named, memory, interrupts, waiting, chain, driver, faults, trace, judging, output
);

/// Registers all functions, working on `session`.
pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    for group in GROUPS {
        (group.register)(engine, session);
    }
}

/// The documentation of all.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    GROUPS.iter().flat_map(|group| group.entries)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What `bars.rs` registers by a macro.
    const BY_MACRO: [&str; 8] =
        ["read8", "read16", "read32", "read64", "write8", "write16", "write32", "write64"];

    /// The names in the sources below `folder`: Rhai tells what is registered only when it is built with its
    /// metadata, which would make every comment with three slashes in a script a syntax of its own.
    fn registered(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                registered(&path, names);
            } else {
                let source = std::fs::read_to_string(&path).unwrap();
                for call in ["register_fn(", "register_get("] {
                    let named = source.split(call).skip(1).map(str::trim_start);
                    let named = named.filter_map(|rest| rest.strip_prefix('"')?.split('"').next());
                    let is_name =
                        |it: &&str| it.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
                    names.extend(named.filter(is_name).map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn every_function_is_documented_and_every_documented_one_is_there() {
        let mut there = BTreeSet::new();
        registered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/script/api"), &mut there);
        there.extend(BY_MACRO.map(str::to_owned));
        // How values of ours look in texts: nobody calls these by name.
        assert!(there.remove("to_string") && there.remove("to_debug"));
        // Syntax, and Rhai's own print, which is led to the sink.
        there.extend(["case".to_owned(), "print".to_owned()]);
        let documented: BTreeSet<String> = entries().map(|entry| entry.name.to_owned()).collect();
        assert_eq!(there, documented);
    }
}
