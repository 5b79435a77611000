//! What a scenario means outside the simulator: the device program's options, and the flags of `netdma exercise`.

use std::path::PathBuf;

use crate::programs;
use crate::sim::scenario::{Api, Client, Driver, Scenario};

/// The two programs' command lines, without the places where they meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Options of `vfio-user-ioat`.
    pub device: Vec<String>,
    /// Flags of `netdma exercise`.
    pub exercise: Vec<String>,
}

/// A scenario that only the simulator can play.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {what}")]
pub struct SetupError {
    key: String,
    what: String,
}

/// Where the programs are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Programs {
    /// `vfio-user-ioat`.
    pub device: PathBuf,
    /// `netdma`: the host's, or the guest's static one.
    pub netdma: PathBuf,
}

impl Programs {
    /// Those of this build, for a driver on this host.
    ///
    /// # Errors
    /// When one is not built; the message says how.
    pub fn of_host() -> anyhow::Result<Self> {
        Ok(Self { device: programs::host("vfio-user-ioat")?, netdma: programs::host("netdma")? })
    }

    /// Those of this build, for a driver in a guest.
    ///
    /// # Errors
    /// When one is not built; the message says how.
    pub fn of_guest() -> anyhow::Result<Self> {
        Ok(Self { device: programs::host("vfio-user-ioat")?, netdma: programs::guest("netdma")? })
    }
}

impl Setup {
    /// Of a scenario with one kind of clients that use the client API.
    ///
    /// # Errors
    /// [`SetupError`] names the key that only the simulator knows.
    pub fn of(scenario: &Scenario) -> Result<Self, SetupError> {
        let client = client(scenario)?;
        let mut device = words(&[("channels", scenario.device.channels.get())]);
        device.extend(["--profile".to_owned(), scenario.device.profile.clone()]);
        if let Some(vectors) = scenario.device.vectors {
            device.extend(words(&[("vectors", vectors.get())]));
        }
        device.extend(words(&[("start-latency-us", scenario.device.start_latency_us.get())]));
        let exercise = exercise(&scenario.driver, client);
        Ok(Self { device, exercise })
    }
}

/// The one kind of clients.
fn client(scenario: &Scenario) -> Result<&Client, SetupError> {
    let wrong = |key: &str, what: String| Err(SetupError { key: key.to_owned(), what });
    let [client] = scenario.client.as_slice() else {
        let what =
            format!("found {}, expected one: this place runs one kind of clients", scenario.client.len());
        return wrong("client", what);
    };
    if !scenario.storm.is_empty() {
        return wrong(
            "storm",
            "found one, expected none: only the simulator has interrupts from nowhere".into(),
        );
    }
    if client.api != Api::Client {
        return wrong("client.api", "found \"contract\", expected \"client\" in this place".into());
    }
    if !client.channels.is_empty() {
        return wrong("client.channels", "expected none in this place: task i uses channel i".into());
    }
    if scenario.device.lint {
        return wrong(
            "device.lint",
            "found true, expected false: only the simulator takes a violation for a finding".into(),
        );
    }
    let only_there = [("client.forget", client.forget.get()), ("client.gap_us", client.gap_us.get())];
    match only_there.into_iter().find(|(_, value)| *value != 0) {
        Some((key, value)) => wrong(key, format!("found {value}, expected 0: only the simulator knows it")),
        None => Ok(client),
    }
}

fn exercise(driver: &Driver, client: &Client) -> Vec<String> {
    let mut flags = words(&[
        ("processors", driver.processors.get()),
        ("ring-slots", driver.ring_slots.get()),
        ("watchdog-ms", driver.watchdog_ms.get()),
        ("driver-timeout-ms", driver.timeout_ms.get()),
        ("tasks", client.tasks.get()),
        ("batches", client.batches.get()),
        ("in-flight", client.in_flight.get()),
        ("copy", client.copy.get()),
        ("fill", client.fill.get()),
        ("null", client.null.get()),
        ("fence", client.fence.get()),
        ("poll", client.poll.get()),
        ("renew", client.renew.get()),
        ("suspend", client.suspend.get()),
        ("abort", client.abort.get()),
        ("restart", client.reset.get()),
        ("timeout-ms", client.timeout_ms.get()),
    ]);
    for (name, span) in [("batch", &client.batch.0), ("bytes", &client.bytes.0)] {
        flags.extend([format!("--{name}"), format!("{}..={}", span.start(), span.end())]);
    }
    let switches = [("--polled", driver.polled), ("--spread", driver.spread)];
    flags.extend(switches.into_iter().filter(|(_, on)| *on).map(|(word, _)| word.to_owned()));
    flags
}

fn words(pairs: &[(&str, u64)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| [format!("--{name}"), value.to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(text: &str) -> Result<Setup, String> {
        let scenario = Scenario::parse(text, "test.toml").unwrap();
        Setup::of(&scenario).map_err(|error| error.to_string())
    }

    #[test]
    fn a_scenario_becomes_two_command_lines() {
        let setup =
            setup("[device]\nchannels = 3\n[driver]\npolled = true\n[[client]]\nbatch = [2, 5]\n").unwrap();
        assert_eq!(setup.device[..2], ["--channels", "3"]);
        let flags = setup.exercise.join(" ");
        assert!(flags.contains("--batch 2..=5") && flags.ends_with("--polled"), "{flags}");
    }

    #[test]
    fn what_only_the_simulator_knows_is_refused_by_its_key() {
        for (text, key) in [
            ("[[client]]\n[[client]]\n", "client"),
            ("[[client]]\napi = \"contract\"\n", "client.api"),
            ("[[client]]\ngap_us = 5\n", "client.gap_us"),
            ("[[client]]\n[[storm]]\ninterrupts = 1\ndpcs = 1\n", "storm"),
        ] {
            assert!(setup(text).unwrap_err().starts_with(&format!("{key}: found")), "{text}");
        }
    }
}
