//! The one engine behind a socket or a PCI address, as the checks get it: opened anew and reset for each.

use ioat_spec::pci::{DEVICE_SKX, SUBSYSTEM_NETDMA, VENDOR_INTEL};
use ioat_stage::pause::SharedPause;

use super::bench::{Place, Unavailable, Wanted};
use crate::hw::{self, Device, HwError, Space};
use crate::ioat::{Identity, IoatError, identify};

/// Offset of the subsystem id in configuration space.
const SUBSYSTEM_ID: u64 = 0x2e;

/// [`Place`] for an engine that is not this process's own.
pub struct Elsewhere {
    name: &'static str,
    open: Box<dyn Fn() -> Result<Device, HwError>>,
    identity: Identity,
    vectors: u32,
    profile: &'static str,
    device: String,
}

impl Elsewhere {
    /// The engine of the device program behind `path`.
    ///
    /// # Errors
    /// When it cannot be opened or identified.
    pub fn socket(path: &std::path::Path, pause: SharedPause) -> Result<Self, IoatError> {
        let path = path.to_owned();
        Self::new("socket", Box::new(move || hw::socket::open(&path, pause.clone())))
    }

    /// The function at a PCI address, bound to `vfio-pci`.
    ///
    /// # Errors
    /// When it cannot be opened or identified.
    pub fn vfio(address: &str, pause: SharedPause) -> Result<Self, IoatError> {
        let address = address.to_owned();
        Self::new("vfio", Box::new(move || hw::vfio::open(&address, pause.clone())))
    }

    /// Which engine it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The device's name, for people.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    fn new(name: &'static str, open: Box<dyn Fn() -> Result<Device, HwError>>) -> Result<Self, IoatError> {
        let device = open()?;
        let identity = identify(&device)?;
        let vectors = device.interrupts.vectors();
        let profile = profile_of(&device, &identity)?;
        Ok(Self { name, open, identity, vectors, profile, device: device.name.clone() })
    }

    fn refuse(&self, wanted: &Wanted) -> Option<String> {
        if !wanted.rules.is_empty() {
            return Some(format!("faults cannot be put into the engine of a {} from here", self.name));
        }
        let profile = wanted.profile.filter(|profile| *profile != self.profile);
        if let Some(profile) = profile {
            return Some(format!("this engine is not of profile {profile}"));
        }
        let (channels, own) = (wanted.channels, self.identity.channels);
        if let Some(channels) = channels.filter(|channels| *channels != own) {
            return Some(format!("this engine has {own} channels, not {channels}"));
        }
        let (vectors, own) = (wanted.vectors, self.vectors);
        if let Some(vectors) = vectors.filter(|vectors| u32::from(*vectors) != own) {
            return Some(format!("this engine has {own} message vectors, not {vectors}"));
        }
        None
    }
}

impl Place for Elsewhere {
    fn name(&self) -> &str {
        self.name
    }

    fn profile(&self) -> &str {
        self.profile
    }

    fn open(&self, wanted: &Wanted) -> Result<anyhow::Result<Device>, Unavailable> {
        if let Some(reason) = self.refuse(wanted) {
            return Err(Unavailable(reason));
        }
        let opened = (self.open)().and_then(|device| {
            // Whatever the check before left running is over now.
            device.registers.reset()?;
            Ok(device)
        });
        Ok(opened.map_err(anyhow::Error::from))
    }
}

/// What the engine is called: the virtual device's synthetic profile says so in its subsystem id alone.
fn profile_of(device: &Device, identity: &Identity) -> Result<&'static str, HwError> {
    let subsystem = device.read16(Space::Config, SUBSYSTEM_ID)?;
    Ok(match (identity.vendor, identity.device, subsystem) {
        (VENDOR_INTEL, DEVICE_SKX, SUBSYSTEM_NETDMA) => "netdma",
        (VENDOR_INTEL, DEVICE_SKX, _) => "skx",
        _ => identity.family,
    })
}
