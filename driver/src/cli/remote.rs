//! The faults of a device program, armed and read by its control socket.

use std::path::Path;

#[cfg(feature = "script")]
use ioat_stage::ArmedRule;
use ioat_stage::fault::Fired;
use ioat_stage::sync::Mutex;
use ioat_stage::{Rule, RuleId};
#[cfg(feature = "script")]
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

    #[cfg(feature = "script")]
    fn ask<R>(&self, ask: impl FnOnce(&mut Client) -> Result<R, ClientError>) -> Result<R, String> {
        ask(&mut self.0.lock()).map_err(|error| error.to_string())
    }
}

#[cfg(feature = "script")]
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

/// Rules of the command line in a device program. It outlives this one, so they are taken out when this is dropped.
pub(crate) struct Armed {
    device: Mutex<Client>,
    ids: Vec<RuleId>,
    /// Firings of before, which are others'.
    before: usize,
}

impl Armed {
    /// The error names the path.
    pub(crate) fn arm(path: &Path, rules: &[Rule]) -> Result<Self, String> {
        let Remote(device) = Remote::connect(path)?;
        let mut armed = Self { device, ids: Vec::new(), before: 0 };
        let told = |error: ClientError| format!("{}: {error}", path.display());
        armed.before = armed.device.lock().fired().map_err(told)?.len();
        for rule in rules {
            let id = armed.device.lock().arm(rule).map_err(told)?;
            armed.ids.push(id);
        }
        Ok(armed)
    }

    /// What has fired since they were armed; nothing of a device program that is gone.
    pub(crate) fn fired(&self) -> Vec<Fired> {
        let fired = self.device.lock().fired().unwrap_or_else(|error| {
            log::warn!("which rules fired in the device program is not known: {error}");
            Vec::new()
        });
        fired.into_iter().skip(self.before).collect()
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            if let Err(error) = self.device.lock().disarm(id) {
                log::debug!("rule {id} stays armed: {error}");
            }
        }
    }
}
