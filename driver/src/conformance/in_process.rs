//! Engines in this process, as the checks want them.

use std::sync::Arc;

use ioat_stage::pause::SharedPause;

use super::bench::{Place, Unavailable, Wanted};
use crate::hw::Device;
use crate::hw::sim::{Sim, SimOptions};

/// [`Place`] for the virtual engine in this process.
pub struct InProcess {
    profile: String,
    pause: SharedPause,
}

impl InProcess {
    /// Engines of `profile` unless a check wants another one.
    #[must_use]
    pub fn new(profile: impl Into<String>, pause: SharedPause) -> Self {
        Self { profile: profile.into(), pause }
    }
}

impl Place for InProcess {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn profile(&self) -> &str {
        &self.profile
    }

    fn runs_library_checks(&self) -> bool {
        true
    }

    fn open(&self, wanted: &Wanted) -> Result<anyhow::Result<Device>, Unavailable> {
        let options = SimOptions {
            profile: wanted.profile.unwrap_or(&self.profile).to_owned(),
            channels: wanted.channels,
            vectors: wanted.vectors,
            rules: wanted.rules.clone(),
            ..SimOptions::default()
        };
        let sim = Sim::open(options, Arc::clone(&self.pause));
        Ok(sim.map(|sim| sim.device).map_err(anyhow::Error::from))
    }
}
