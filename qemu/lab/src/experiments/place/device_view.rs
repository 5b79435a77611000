//! A device that is watched and broken through its control socket: rules in, what fired and how its channels stand out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use ioat_stage::{Point, Rule};
use serde_json::{Map, Value, json};
use vfio_user_ioat::control::Client;
pub use vfio_user_ioat::control::client::Accesses;

use super::Infra;
use crate::experiments::observation::{Fired, Observation};

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
        ask(&mut client, "query-device")?;
        Ok(Self { client, before: BTreeMap::new() })
    }

    /// Begins an experiment: these rules and no others are armed, and they count from here.
    ///
    /// # Errors
    /// When the device refuses a rule or is gone.
    pub fn begin(&mut self, rules: &[Rule]) -> Result<(), Infra> {
        self.client.clear().context("fault-clear").map_err(Infra)?;
        self.before = self.counters()?;
        self.client.arm_all(rules).context("arming").map_err(Infra)?;
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
        facts.fired = fired.iter().map(as_reported).collect();
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
        self.begin(&[])?;
        self.client.census(true).context("fault-census").map_err(Infra)
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
        let counted = self.client.accesses().context("query-operations").map_err(Infra)?;
        self.client.census(false).context("fault-census").map_err(Infra)?;
        Ok(counted)
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
