//! The functions, one file for each group.

mod config;

mod bars;

mod named;

mod memory;

mod interrupts;

mod waiting;

mod reset;

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
const GROUPS: &[Group] = groups!(config, bars, reset, named, memory, interrupts, waiting, judging, output);

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
