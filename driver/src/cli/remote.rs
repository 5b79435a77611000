//! The faults of a device program, armed and read by its control socket.

use std::path::Path;

use ioat_stage::fault::Fired;
use ioat_stage::sync::Mutex;
use ioat_stage::{ArmedRule, Rule, RuleId};
use netdma::script::{FaultDesk, Operations};
use vfio_user_ioat::control::Client;
use vfio_user_ioat::control::client::ClientError;

/// A connection that waits for each answer.
pub(crate) struct Remote(Mutex<Client>);

impl Remote {
    /// The error names the path.
    pub(crate) fn connect(path: &Path) -> Result<Self, String> {
        let client = Client::connect(path).map_err(|error| match error {
            named @ ClientError::Connect { .. } => named.to_string(),
            other => format!("{}: {other}: give what vfio-user-ioat got as --control", path.display()),
        })?;
        Ok(Self(Mutex::new(client)))
    }

    fn ask<R>(&self, ask: impl FnOnce(&mut Client) -> Result<R, ClientError>) -> Result<R, String> {
        ask(&mut self.0.lock()).map_err(|error| error.to_string())
    }
}

impl FaultDesk for Remote {
    fn arm(&self, rule: Rule) -> Result<RuleId, String> {
        self.ask(|device| device.arm(&rule))
    }

    fn arm_all(&self, rules: Vec<Rule>) -> Result<Vec<RuleId>, String> {
        self.ask(|device| device.arm_all(&rules))
    }

    fn arm_named(&self, name: &str) -> Result<Option<RuleId>, String> {
        self.ask(|device| device.arm_named(name))
    }

    fn disarm(&self, id: RuleId) -> Result<bool, String> {
        self.ask(|device| device.disarm(id))
    }

    fn rules(&self) -> Result<Vec<ArmedRule>, String> {
        self.ask(Client::rules)
    }

    fn fired(&self) -> Result<Vec<Fired>, String> {
        self.ask(Client::fired)
    }

    fn clear(&self) -> Result<(), String> {
        self.ask(Client::clear)
    }

    fn census(&self, on: bool) -> Result<(), String> {
        self.ask(|device| device.census(on))
    }

    fn operations(&self) -> Result<Operations, String> {
        self.ask(Client::operations)
    }
}
