//! The place that `--on` names, for the checks.

use anyhow::Context;
use ioat_stage::pause::SharedPause;
#[cfg(feature = "sim")]
use netdma::conformance::InProcess;
use netdma::conformance::{Elsewhere, Place, Wanted};
use netdma::ioat::{Identity, identify};

use super::super::config::{On, Sim};

/// A place, and what is there.
pub(super) struct At {
    place: Box<dyn Place>,
    device: String,
    identity: Identity,
}

impl At {
    pub(super) fn place(&self) -> &dyn Place {
        &*self.place
    }

    /// The device's name, for people.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Why the engine that was there cannot be opened any more.
    pub(super) fn is_gone(&self) -> Option<String> {
        match self.place.open(&Wanted::default()) {
            Ok(Ok(device)) => identify(&device).err().map(|error| error.to_string()),
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(unavailable) => Some(unavailable.to_string()),
        }
    }
}

/// Opens it once, to see what is there.
pub(super) fn open(on: &On, pause: SharedPause) -> anyhow::Result<At> {
    let named = || format!("--on {}: opening the engine", on.written());
    let elsewhere = match on {
        On::Sim(options) => return open_sim(options, pause),
        On::Socket(path, _) => Elsewhere::socket(path, pause),
        On::Function(address, _) => Elsewhere::vfio(&address.to_string(), pause),
    };
    let elsewhere = elsewhere.with_context(named)?;
    let (device, identity) = (elsewhere.device().to_owned(), *elsewhere.identity());
    Ok(At { place: Box::new(elsewhere), device, identity })
}

#[cfg(feature = "sim")]
fn open_sim(options: &Sim, pause: SharedPause) -> anyhow::Result<At> {
    let place = InProcess::new(&*options.profile, pause);
    let opened = place.open(&Wanted::default()).map_err(|unavailable| anyhow::anyhow!("{unavailable}"))?;
    let device = opened.context("--on sim")?;
    let identity = identify(&device)?;
    Ok(At { place: Box::new(place), device: device.name.clone(), identity })
}

#[cfg(not(feature = "sim"))]
fn open_sim(_: &Sim, _: SharedPause) -> anyhow::Result<At> {
    Err(super::super::exit::Usage(
        "this program was built without the in-process device: build it with the feature `sim`, or give \
         --on socket:PATH or a PCI address"
            .into(),
    )
    .into())
}
