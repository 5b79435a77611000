//! The numbers of a scenario that can be less: one list, with how each is read and set.

use std::fmt;

use crate::sim::scenario::{Client, Scenario, Span, Within};

/// In which order things are made less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Rules left out.
    Rules,
    /// Clients, tasks, batches, descriptors, bytes, operations.
    Workload,
    /// Channels, processors, ring slots, submissions in flight.
    Depth,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rules => "rules",
            Self::Workload => "workload",
            Self::Depth => "depth",
        })
    }
}

/// One number of a scenario. A client's carries the client's place in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Knob {
    client: Option<usize>,
    storm: Option<usize>,
    row: &'static Row,
}

/// A kind of number: its key, the least that makes sense, and the way to it.
struct Row {
    key: &'static str,
    phase: Phase,
    least: u64,
    /// Only powers of two.
    doubling: bool,
    get: fn(&Scenario, usize) -> u64,
    set: fn(&mut Scenario, usize, u64),
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Row {}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key)
    }
}

/// All numbers of a scenario, in the order of its file.
#[must_use]
pub fn of(scenario: &Scenario) -> Vec<Knob> {
    let mut all = Vec::new();
    for client in 0..scenario.client.len() {
        all.extend(CLIENT.iter().map(|row| Knob { client: Some(client), storm: None, row }));
    }
    for storm in 0..scenario.storm.len() {
        all.extend(STORM.iter().map(|row| Knob { client: None, storm: Some(storm), row }));
    }
    all.extend(WHOLE.iter().map(|row| Knob { client: None, storm: None, row }));
    all
}

impl Knob {
    /// When it is turned.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.row.phase
    }

    /// Its number.
    #[must_use]
    pub fn get(&self, scenario: &Scenario) -> u64 {
        (self.row.get)(scenario, self.at())
    }

    /// Sets its number, which is one of [`Self::steps`].
    pub fn set(&self, scenario: &mut Scenario, to: u64) {
        (self.row.set)(scenario, self.at(), to);
    }

    /// What to try instead of `now`: the least, the middle, one less.
    #[must_use]
    pub fn steps(&self, now: u64) -> Vec<u64> {
        let Row { least, doubling, .. } = *self.row;
        if now <= least {
            return Vec::new();
        }
        let mut steps = match doubling {
            true => vec![least, now / 2],
            false => vec![least, least + (now - least) / 2, now - 1],
        };
        steps.dedup();
        steps
    }

    fn at(&self) -> usize {
        self.client.or(self.storm).unwrap_or(0)
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.client, self.storm) {
            (Some(client), _) => write!(f, "client[{client}].{}", self.row.key),
            (_, Some(storm)) => write!(f, "storm[{storm}].{}", self.row.key),
            _ => f.write_str(self.row.key),
        }
    }
}

/// A row of a plain number of a client.
macro_rules! of_client {
    ($phase:ident, $least:literal, $($key:ident),+) => {
        [$(Row {
            key: stringify!($key),
            phase: Phase::$phase,
            least: $least,
            doubling: false,
            get: |scenario, at| scenario.client[at].$key.get(),
            set: |scenario, at, to| scenario.client[at].$key = Within::new(to),
        }),+]
    };
}

/// A row of an end of a span of a client.
const fn span(
    key: &'static str,
    get: fn(&Scenario, usize) -> u64,
    set: fn(&mut Scenario, usize, u64),
) -> Row {
    Row { key, phase: Phase::Workload, least: 1, doubling: false, get, set }
}

static CLIENT: [Row; 19] = {
    let [tasks, batches] = of_client!(Workload, 1, tasks, batches);
    let [suspend, abort, reset, renew, forget, poll, fence, gap_us] =
        of_client!(Workload, 0, suspend, abort, reset, renew, forget, poll, fence, gap_us);
    let [null, fill, copy] = of_client!(Workload, 0, null, fill, copy);
    let [in_flight] = of_client!(Depth, 1, in_flight);
    [
        tasks,
        batches,
        span("batch[1]", |it, at| *it.client[at].batch.0.end(), |it, at, to| high(&mut client(it, at).batch, to)),
        span("batch[0]", |it, at| *it.client[at].batch.0.start(), |it, at, to| low(&mut client(it, at).batch, to)),
        span("bytes[1]", |it, at| *it.client[at].bytes.0.end(), |it, at, to| high(&mut client(it, at).bytes, to)),
        span("bytes[0]", |it, at| *it.client[at].bytes.0.start(), |it, at, to| low(&mut client(it, at).bytes, to)),
        suspend,
        abort,
        reset,
        renew,
        forget,
        poll,
        fence,
        gap_us,
        null,
        fill,
        copy,
        in_flight,
        Row {
            key: "channels",
            phase: Phase::Depth,
            least: 1,
            doubling: false,
            get: |scenario, at| named(scenario, at),
            set: |scenario, at, to| {
                // The first ones, named: without names a client uses all.
                scenario.client[at].channels = (0..to).map(Within::new).collect();
            },
        },
    ]
};

static STORM: [Row; 2] = [
    Row {
        key: "interrupts",
        phase: Phase::Workload,
        least: 1,
        doubling: false,
        get: |scenario, at| scenario.storm[at].interrupts.get(),
        set: |scenario, at, to| scenario.storm[at].interrupts = Within::new(to),
    },
    Row {
        key: "dpcs",
        phase: Phase::Workload,
        least: 1,
        doubling: false,
        get: |scenario, at| scenario.storm[at].dpcs.get(),
        set: |scenario, at, to| scenario.storm[at].dpcs = Within::new(to),
    },
];

static WHOLE: [Row; 6] = [
    Row {
        key: "driver.spread",
        phase: Phase::Workload,
        least: 0,
        doubling: false,
        get: |scenario, _| scenario.driver.spread.into(),
        set: |scenario, _, to| scenario.driver.spread = to != 0,
    },
    Row {
        key: "device.start_latency_us",
        phase: Phase::Workload,
        least: 0,
        doubling: false,
        get: |scenario, _| scenario.device.start_latency_us.get(),
        set: |scenario, _, to| scenario.device.start_latency_us = Within::new(to),
    },
    Row {
        key: "device.channels",
        phase: Phase::Depth,
        least: 1,
        doubling: false,
        get: |scenario, _| scenario.device.channels.get(),
        set: |scenario, _, to| {
            scenario.device.channels = Within::new(to);
            // Vectors beyond the channels are none that the device can have.
            let vectors = scenario.device.vectors.map(|vectors| vectors.get().min(to));
            scenario.device.vectors = vectors.map(Within::new);
        },
    },
    Row {
        key: "driver.processors",
        phase: Phase::Depth,
        least: 1,
        doubling: false,
        get: |scenario, _| scenario.driver.processors.get(),
        set: |scenario, _, to| scenario.driver.processors = Within::new(to),
    },
    Row {
        key: "driver.ring_slots",
        phase: Phase::Depth,
        least: 2,
        doubling: true,
        get: |scenario, _| scenario.driver.ring_slots.get(),
        set: |scenario, _, to| scenario.driver.ring_slots = Within::new(to),
    },
    Row {
        key: "device.lint",
        phase: Phase::Depth,
        least: 0,
        doubling: false,
        get: |scenario, _| scenario.device.lint.into(),
        set: |scenario, _, to| scenario.device.lint = to != 0,
    },
];

fn client(scenario: &mut Scenario, at: usize) -> &mut Client {
    &mut scenario.client[at]
}

/// Channels that a client names; all of the device's if it names none.
fn named(scenario: &Scenario, at: usize) -> u64 {
    match scenario.client[at].channels.len() {
        0 => scenario.device.channels.get(),
        count => count as u64,
    }
}

/// The upper end; the lower one goes with it.
fn high<const MIN: u64, const MAX: u64>(span: &mut Span<MIN, MAX>, to: u64) {
    span.0 = (*span.0.start()).min(to)..=to;
}

fn low<const MIN: u64, const MAX: u64>(span: &mut Span<MIN, MAX>, to: u64) {
    span.0 = to..=*span.0.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_less_and_a_scenario_that_can_be_read() {
        for (name, _) in crate::sim::scenario::SHIPPED {
            let scenario = Scenario::load(name).unwrap();
            for knob in of(&scenario) {
                let now = knob.get(&scenario);
                for to in knob.steps(now) {
                    let mut less = scenario.clone();
                    knob.set(&mut less, to);
                    assert!(to < now, "{name}: {knob}");
                    assert_eq!(knob.get(&less), to, "{name}: {knob}");
                }
            }
        }
    }

    #[test]
    fn the_largest_step_comes_first_and_the_least_has_none() {
        let knob = of(&Scenario::load("default").unwrap())[1];
        assert_eq!((knob.to_string().as_str(), knob.steps(12)), ("client[0].batches", vec![1, 6, 11]));
        assert_eq!((knob.steps(2), knob.steps(1)), (vec![1], vec![]));
    }
}
