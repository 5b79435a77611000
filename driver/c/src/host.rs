//! The host: an open device with its processors and its NetDMA interface, in the place of a Windows machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, PoisonError};

use ioat_stage::pause::SharedPause;
use ioat_stage::{NoTrace, Rule, ThreadPause};
use netdma::contract::{InterfaceOptions, InterfaceRevision, NetDmaInterface};
use netdma::hw::{self, Device, DmaBuffer};
use netdma::ndis::{NdisVersion, Processors};

use crate::handle::{Handle, Kind, Table};

/// The open ones.
pub(crate) static HOSTS: Table<Host> = Table::new(Kind::Host);

/// The version word of the host that was opened last: `NetDmaGetVersion` has no handle.
pub(crate) static INTERFACE_VERSION: AtomicU32 = AtomicU32::new(0x0002_0000);

/// An open one.
pub(crate) struct Host {
    pub(crate) device: Device,
    pub(crate) interface: Arc<NetDmaInterface>,
    pub(crate) processors: Arc<Processors>,
    /// What `NdisMRegisterInterruptEx` registers for.
    pub(crate) ndis: NdisVersion,
    /// The device's interrupts have been registered once: a source does not start again.
    pub(crate) interrupts_used: AtomicBool,
    /// Memory that C has, by its virtual address.
    memory: Mutex<BTreeMap<usize, Arc<DmaBuffer>>>,
}

/// How to open one.
pub(crate) struct Options<'a> {
    pub(crate) place: &'a str,
    pub(crate) processors: u32,
    pub(crate) ndis: NdisVersion,
    pub(crate) revision: InterfaceRevision,
    /// Fault rules for the device in this process, one a line.
    pub(crate) faults: &'a str,
    /// Channels and message vectors of the device in this process; none for the profile's own.
    pub(crate) channels: Option<u8>,
    pub(crate) vectors: Option<u16>,
}

impl Host {
    pub(crate) fn open(options: &Options<'_>) -> Result<Self, String> {
        let pause: SharedPause = Arc::new(ThreadPause::new());
        let device = open_device(options, pause.clone())?;
        let processors = Processors::start(options.processors, pause.clone(), Arc::new(NoTrace))
            .map_err(|error| error.to_string())?;
        let interface_options = InterfaceOptions {
            revision: options.revision,
            processors: options.processors,
            message_interrupts: device.interrupts.vectors() > 0,
            ..InterfaceOptions::default()
        };
        Ok(Self {
            interface: NetDmaInterface::with(pause, interface_options),
            device,
            processors,
            ndis: options.ndis,
            interrupts_used: AtomicBool::new(false),
            memory: Mutex::default(),
        })
    }

    /// Memory for the engine: both its addresses.
    pub(crate) fn allocate(&self, bytes: usize) -> Result<(usize, u64), String> {
        let buffer = self.device.memory.allocate(bytes).map_err(|error| error.to_string())?;
        let place = (buffer.slice().ptr_guard_mut().as_ptr().expose_provenance(), buffer.iova());
        self.memory().insert(place.0, Arc::new(buffer));
        Ok(place)
    }

    /// False if there is no memory of C's at this address.
    pub(crate) fn free(&self, virtual_address: usize) -> bool {
        let freed = self.memory().remove(&virtual_address);
        freed.is_some()
    }

    /// Buffers that C has.
    pub(crate) fn buffers(&self) -> usize {
        self.memory().len()
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Arc<DmaBuffer>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host that C's handle names.
pub(crate) fn host(handle: crate::wdm_types::PVOID) -> Option<Arc<Host>> {
    HOSTS.get(Handle::from_c(handle))
}

fn open_device(options: &Options<'_>, pause: SharedPause) -> Result<Device, String> {
    let Options { place, faults, channels, vectors, .. } = options;
    if let Some(profile) = profile(place) {
        let rules = faults.lines().filter(|line| !line.trim().is_empty()).map(str::parse::<Rule>);
        let rules = rules.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let (channels, vectors) = (*channels, *vectors);
        let mut options = hw::sim::SimOptions { channels, vectors, rules, ..Default::default() };
        if !profile.is_empty() {
            profile.clone_into(&mut options.profile);
        }
        let sim = hw::sim::Sim::open(options, pause);
        return sim.map(|sim| sim.device).map_err(|error| error.to_string());
    }
    if !faults.is_empty() || channels.is_some() || vectors.is_some() {
        return Err(format!("{place}: faults, channels and vectors are for \"sim\" alone"));
    }
    let opened = match place.strip_prefix("socket:") {
        Some(path) => hw::socket::open(Path::new(path), pause),
        None => hw::vfio::open(place, pause),
    };
    opened.map_err(|error| error.to_string())
}

/// The profile of a device in this process, empty for its default; none for another place.
fn profile(place: &str) -> Option<&str> {
    if place == "sim" { Some("") } else { place.strip_prefix("sim:") }
}
