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

#[cfg(all(test, feature = "sim"))]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use ioat_stage::ThreadPause;

    use super::*;
    use crate::hw::sim::{Sim, SimOptions};
    use crate::script::{Parts, Sink};

    struct Quiet;

    impl Sink for Quiet {
        fn log(&self, _: &str) {}

        fn complain(&self, _: &str) {}

        fn warn(&self, _: &str) {}
    }

    #[test]
    fn every_function_is_documented_and_every_documented_one_is_there() {
        let sim = Sim::open(SimOptions::default(), Arc::new(ThreadPause::new())).unwrap();
        let parts = Parts {
            device: sim.device,
            place: "sim".into(),
            force: false,
            faults: None,
            events: None,
            arguments: Vec::new(),
            limit: None,
            interrupt: Arc::default(),
            table: None,
            sink: Box::new(Quiet),
        };
        let mut engine = Engine::new_raw();
        register(&mut engine, &Session::open(parts).unwrap());
        let signatures = engine.gen_fn_signatures(false);
        let name = |signature: &String| {
            let name = signature.split('(').next().unwrap_or_default().trim();
            name.trim_start_matches("get$").trim_start_matches("set$").to_owned()
        };
        let mut there: BTreeSet<String> = signatures.iter().map(name).collect();
        // The function behind the syntax `case(..)`, and Rhai's own print, which is led to the sink.
        assert!(there.remove("test_case"));
        // How values of ours look in texts: nobody calls these by name.
        assert!(there.remove("to_string") && there.remove("to_debug"));
        there.extend(["case".to_owned(), "print".to_owned()]);
        let documented: BTreeSet<String> = entries().map(|entry| entry.name.to_owned()).collect();
        assert_eq!(there, documented);
    }
}
