//! A device that is watched and broken through its control socket: rules in, what fired and how its channels stand out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use ioat_stage::fault::catalog::{CATALOG, entry};
use ioat_stage::fault::{Action, Channels};
use ioat_stage::{Access, Point, Rule};
use serde_json::{Map, Value, json};
use vfio_user_ioat::control::Client;
use vfio_user_ioat::control::client::ClientError;

use super::Infra;
use crate::experiments::observation::{Fired, Observation};

/// Operations by point, channel and direction.
pub type Accesses = BTreeMap<(Point, Option<u8>, Option<Access>), u64>;

/// A census without its directions.
#[must_use]
pub fn without_directions(accesses: &Accesses) -> BTreeMap<(Point, Option<u8>), u64> {
    let mut operations = BTreeMap::new();
    for ((point, channel, _), count) in accesses {
        *operations.entry((*point, *channel)).or_default() += count;
    }
    operations
}

/// The device's own record of an experiment, from [`DeviceView::begin`] to [`DeviceView::end`].
#[derive(Debug)]
pub struct DeviceView {
    client: Client,
    channels: u8,
    /// What fired before the experiment began, and is not its own.
    earlier: usize,
    before: BTreeMap<String, u64>,
}

impl DeviceView {
    /// Connects to a control socket.
    ///
    /// # Errors
    /// When nobody listens there, or no device of ours does.
    pub fn connect(path: &Path) -> Result<Self, Infra> {
        // Its text holds its cause.
        let mut client = Client::connect(path).map_err(|error| Infra(anyhow::anyhow!(error.to_string())))?;
        let device = ask(&mut client, "query-device")?;
        let channels =
            device["channels"].as_u64().and_then(|channels| u8::try_from(channels).ok()).unwrap_or(0);
        Ok(Self { client, channels, earlier: 0, before: BTreeMap::new() })
    }

    /// Begins an experiment: these rules and no others are armed, and they count from here.
    ///
    /// # Errors
    /// When the device refuses a rule or is gone.
    pub fn begin(&mut self, rules: &[Rule]) -> Result<(), Infra> {
        self.disarm()?;
        self.earlier = match self.client.execute("fault-clear", Map::new()) {
            Ok(_) => 0,
            // A device program that cannot forget what fired keeps the first 4,096.
            Err(ClientError::Refused { .. }) => {
                self.client.fired().context("fault-fired").map_err(Infra)?.len()
            }
            Err(error) => return Err(Infra(anyhow::Error::new(error).context("fault-clear"))),
        };
        self.before = self.counters()?;
        for rule in rules {
            self.client.arm(rule).with_context(|| format!("arming '{rule}'")).map_err(Infra)?;
        }
        Ok(())
    }

    /// Takes every rule out; what fired is kept.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn disarm(&mut self) -> Result<(), Infra> {
        for armed in self.client.rules().context("fault-list").map_err(Infra)? {
            self.client.disarm(armed.id).context("fault-disarm").map_err(Infra)?;
        }
        Ok(())
    }

    /// Adds what the device saw since [`DeviceView::begin`] to the facts.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn end(&mut self, facts: &mut Observation) -> Result<(), Infra> {
        let fired = self.client.fired().context("fault-fired").map_err(Infra)?;
        facts.fired = fired.iter().skip(self.earlier).map(as_reported).collect();
        for (name, now) in self.counters()? {
            let before = self.before.get(&name).copied().unwrap_or(0);
            facts.device.insert(name, now.saturating_sub(before).into());
        }
        let channels = ask(&mut self.client, "query-channels")?;
        let halted: Vec<Value> =
            rows(&channels).filter(|row| row["state"] == "halted").map(halt_of).collect();
        facts.device.insert("channels-halted".to_owned(), halted.into());
        Ok(())
    }

    /// Counts every operation from here on.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn begin_census(&mut self) -> Result<(), Infra> {
        let mut rules = Vec::new();
        for entry in CATALOG.iter().filter(|entry| !entry.point.is_drivers()) {
            let Some(action) = entry.samples.first().and_then(|sample| Action::parse(sample)) else {
                continue;
            };
            let none = (entry.point.channels() != Channels::All).then_some(None);
            let some = (entry.point.channels() != Channels::None).then_some((0..self.channels).map(Some));
            for channel in none.into_iter().chain(some.into_iter().flatten()) {
                // It is counted, and never comes.
                rules.push(Rule::nth(entry.point, channel, u64::MAX, action));
            }
        }
        self.begin(&rules)
    }

    /// What was counted since [`DeviceView::begin_census`].
    ///
    /// # Errors
    /// When the device is gone.
    pub fn end_census(&mut self) -> Result<BTreeMap<(Point, Option<u8>), u64>, Infra> {
        Ok(without_directions(&self.end_accesses()?))
    }

    /// The same, with the directions of what the driver accesses.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn end_accesses(&mut self) -> Result<Accesses, Infra> {
        let mut counted: BTreeMap<_, BTreeMap<Option<Access>, u64>> = BTreeMap::new();
        for armed in self.client.rules().context("fault-list").map_err(Infra)? {
            let Rule { point, action, .. } = armed.rule;
            let only = entry(point, action.word()).and_then(|entry| entry.only);
            let count = counted.entry((point, armed.rule.channel())).or_default().entry(only).or_default();
            *count = armed.seen.max(*count);
        }
        self.disarm()?;
        let mut accesses = Accesses::new();
        for ((point, channel), counts) in counted {
            let of = |access| counts.get(&access).copied().unwrap_or(0);
            let (read, write) = (of(Some(Access::Read)), of(Some(Access::Write)));
            let neither = of(None).saturating_sub(read + write);
            for (access, count) in [(None, neither), (Some(Access::Read), read), (Some(Access::Write), write)]
            {
                if count > 0 {
                    accesses.insert((point, channel, access), count);
                }
            }
        }
        Ok(accesses)
    }

    /// Resets the function: every register as after power-on.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn reset(&mut self) -> Result<(), Infra> {
        self.client.execute("reset", Map::new()).context("reset").map_err(Infra)?;
        Ok(())
    }

    /// The counters of all channels together.
    fn counters(&mut self) -> Result<BTreeMap<String, u64>, Infra> {
        let counters = ask(&mut self.client, "query-counters")?;
        let total = counters["total"].as_object().into_iter().flatten();
        Ok(total.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?))).collect())
    }
}

fn ask(client: &mut Client, command: &'static str) -> Result<Value, Infra> {
    client.execute(command, Map::new()).context(command).map_err(Infra)
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn halt_of(row: &Value) -> Value {
    json!({ "channel": row["channel"], "chanerr": row["chanerr"], "chanerr-bits": row["chanerr-bits"] })
}

fn as_reported(fired: &ioat_stage::fault::Fired) -> Fired {
    Fired {
        rule: fired.rule.to_string(),
        nth: fired.nth,
        channel: fired.op.channel,
        channel_nth: fired.channel_nth,
        again: fired.again().to_string(),
    }
}
