//! The device in this process: the same engine that the device program serves, without socket and bus.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ioat_spec::pci::{BAR0_SIZE, CONFIG_SIZE};
use ioat_stage::fault::{RuleContext, RulePlace};
use ioat_stage::{FaultBook, Faults, NoFaults, NoTrace, Pause, Rule, Trace};
use vfio_user_ioat::Profile;
use vfio_user_ioat::engine::{Engine, Parts};
use vfio_user_ioat::lint::LintBook;
use vfio_user_ioat::memory::{Access, DmaTable};
use vm_memory::MmapRegion;

use super::iova::IovaSpace;
use super::memory::{Backing, MappedMemory, Mapper};
use super::sim_interrupts::SimInterrupts;
use super::{Device, DmaAccess, HwError, Region, Registers, Space, pci};

/// Which engine to run, and how.
#[derive(Clone)]
pub struct SimOptions {
    /// Its profile's name.
    pub profile: String,
    /// Its channels; none for the profile's own number.
    pub channels: Option<u8>,
    /// Its message vectors; none for one per channel, 0 for a device that has only its line.
    pub vectors: Option<u16>,
    /// What goes wrong in it.
    pub rules: Vec<Rule>,
    /// The book of its rules, where the caller has one already; `rules` are armed in it.
    pub faults: Option<Arc<FaultBook>>,
    /// Where its stages leave their events; none costs nothing.
    pub trace: Option<Arc<dyn Trace>>,
    /// What passes between a channel's start and its first visible effect. A driver must not depend on it, so
    /// there is none unless it is asked for.
    pub start_latency: Duration,
    /// Where the engine writes down what its driver must not do; none costs nothing.
    pub lint: Option<Arc<LintBook>>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            profile: Profile::SKX.name.to_owned(),
            channels: None,
            vectors: None,
            rules: Vec::new(),
            faults: None,
            trace: None,
            start_latency: Duration::ZERO,
            lint: None,
        }
    }
}

/// An engine in this process. It runs as long as its device, or memory of it, is there.
pub struct Sim {
    /// For the driver.
    pub device: Device,
    /// What the rules did.
    pub faults: Arc<FaultBook>,
}

impl Sim {
    /// Starts an engine whose threads, like its driver's, wait through `pause`.
    ///
    /// # Errors
    /// [`HwError::Open`] for an unknown profile, a number of channels or vectors that it cannot have, or no threads.
    pub fn open(options: SimOptions, pause: Arc<dyn Pause>) -> Result<Self, HwError> {
        let SimOptions { profile: name, channels, vectors, rules, faults: book, trace, start_latency, lint } =
            options;
        let profile = profile(&name, channels, vectors)?;
        let interrupts = Arc::new(SimInterrupts::new(profile.vectors(), pause.clone()));
        let parts = Parts {
            profile,
            table: DmaTable::new(),
            interrupts: interrupts.clone(),
            trace: NoTrace,
            pause: pause.clone(),
            start_latency,
        };
        let pure = rules.is_empty() && book.is_none() && trace.is_none();
        let faults = book.unwrap_or_else(|| FaultBook::new([]));
        faults.set_context(RuleContext::new(profile.channels, profile.vectors(), RulePlace::Sim));
        let clock = pause.clone();
        faults.set_clock(Arc::new(move || clock.now_ns()));
        rules.into_iter().for_each(|rule| {
            faults.arm(rule);
        });
        let (registers, mapper) = if pure {
            run(parts, |_| NoFaults, lint)?
        } else {
            let Parts { profile, table, interrupts, pause, start_latency, .. } = parts;
            let trace: Arc<dyn Trace> = trace.unwrap_or_else(|| Arc::new(NoTrace));
            let parts = Parts { profile, table, interrupts, trace, pause, start_latency };
            run(parts, |_| faults.faults(), lint)?
        };
        let memory = MappedMemory::new(mapper, Backing::Memfd, IovaSpace::default());
        let name = format!("sim {}", profile.name);
        let device = Device { name, registers, memory: Arc::new(memory), interrupts, pause };
        Ok(Self { device, faults })
    }
}

fn profile(name: &str, channels: Option<u8>, vectors: Option<u16>) -> Result<Profile, HwError> {
    let open = |error: String| HwError::Open(error);
    let mut profile = Profile::by_name(name).ok_or_else(|| {
        let known: Vec<_> = Profile::ALL.iter().map(|profile| profile.name).collect();
        open(format!("no device profile is called {name:?}; known: {}", known.join(", ")))
    })?;
    if let Some(count) = channels {
        profile = profile.with_channels(count).map_err(|error| open(error.to_string()))?;
    }
    if let Some(count) = vectors {
        profile = profile.with_vectors(count).map_err(|error| open(error.to_string()))?;
    }
    Ok(profile)
}

type Faces = (Arc<dyn Registers>, Arc<dyn Mapper>);

fn run<F, T>(
    parts: Parts<T>,
    faults: impl FnMut(Option<u8>) -> F,
    lint: Option<Arc<LintBook>>,
) -> Result<Faces, HwError>
where
    F: Faults + 'static,
    T: Trace + 'static,
{
    let engine = Engine::start_watched(parts, faults, lint);
    let engine =
        engine.map_err(|error| HwError::Open(format!("cannot start the device's threads: {error}")))?;
    let engine = Arc::new(InProcess(engine));
    Ok((engine.clone(), engine))
}

struct InProcess<F: Faults, T: Trace>(Engine<F, T>);

impl<F: Faults + 'static, T: Trace + 'static> Registers for InProcess<F, T> {
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError> {
        check("read", space, offset, data.len())?;
        match space {
            Space::Bar(_) => self.0.bar_read(offset, data),
            Space::Config => self.0.config_read(offset, data),
        }
        Ok(())
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError> {
        check("write", space, offset, data.len())?;
        match space {
            Space::Bar(_) => self.0.bar_write(offset, data),
            Space::Config => self.0.config_write(offset, data),
        }
        Ok(())
    }

    fn regions(&self) -> Vec<Region> {
        let all = [(Space::BAR0, BAR0_SIZE), (Space::Config, CONFIG_SIZE as u64)];
        all.map(|(space, size)| Region { space, size, readable: true, writable: true }).into()
    }

    fn reset(&self) -> Result<(), HwError> {
        self.0.reset();
        Ok(())
    }
}

impl<F: Faults + 'static, T: Trace + 'static> Mapper for InProcess<F, T> {
    fn map(&self, iova: u64, region: &MmapRegion, access: DmaAccess) -> Result<(), HwError> {
        let len = region.size();
        let failed = |source| HwError::Map { len, iova, source };
        let place = region.file_offset().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let file = place.file().try_clone().map_err(failed)?;
        let source = Some((file, place.start()));
        let mapped = self.0.table().map(iova, len as u64, allowed(access), source);
        mapped.map_err(|error| failed(io::Error::other(error)))
    }

    fn unmap(&self, iova: u64, len: usize) -> Result<(), HwError> {
        let unmapped = self.0.unmap_range(iova, len as u64);
        unmapped.map_err(|error| HwError::Map { len, iova, source: io::Error::other(error) })
    }
}

fn allowed(access: DmaAccess) -> Access {
    match access {
        DmaAccess::ReadWrite => Access::READ_WRITE,
        DmaAccess::ReadOnly => Access::READ,
        DmaAccess::WriteOnly => Access::WRITE,
    }
}

fn check(access: &'static str, space: Space, offset: u64, width: usize) -> Result<(), HwError> {
    let size = match space {
        Space::BAR0 => BAR0_SIZE,
        Space::Bar(_) => 0,
        Space::Config => CONFIG_SIZE as u64,
    };
    let inside = pci::check_access(offset, width, size, CONFIG_SIZE);
    inside.map_err(|source| HwError::Access { access, space, offset, width, source })
}
