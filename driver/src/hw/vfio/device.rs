//! The three hardware traits over an open VFIO device.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ioat_stage::Pause;
use ioat_stage::sync::Mutex;
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX,
};
use vfio_ioctls::{VfioContainer, VfioDevice};
use vm_memory::MmapRegion;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::bar::Bar;
use super::kernel::{self, Place};
use super::{Options, route};
use crate::hw::fd::of_event;
use crate::hw::host::{Address, Host};
use crate::hw::memory::Mapper;
use crate::hw::pci;
use crate::hw::vectors::{Ended, Offers, Vectors, raw};
use crate::hw::{
    DmaAccess, Fired, HwError, InterruptKind, InterruptSource, Region, Registers, Routed, Space,
};

/// Most bytes of one access: all of configuration space.
const ACCESS: usize = 4096;

/// Fields are dropped in this order: the kernel lets go of the group only when the last copy of the device's
/// descriptor is closed, and `device` puts the group back when it goes.
pub(super) struct VfioFunction {
    mapped: Option<Bar>,
    file: File,
    device: Option<VfioDevice>,
    container: Arc<VfioContainer>,
    /// By their numbers; one that the function has not is 0 bytes.
    places: Vec<Place>,
    vectors: Vectors,
    /// What is enabled. Held while that is changed, or the line unmasked.
    enabled: Mutex<Option<InterruptKind>>,
    /// Signalled when the kernel wants the function back.
    release: Option<EventFd>,
    host: Host,
    address: Address,
}

impl VfioFunction {
    /// Makes the function ready and bus master. The error is one line without the function's name.
    pub(super) fn new(
        host: &Host,
        address: Address,
        device: VfioDevice,
        container: Arc<VfioContainer>,
        options: &Options,
    ) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        let file = kernel::file(&device).map_err(text)?;
        let places = pci::SPACES.iter().map(|(number, _)| kernel::place(&file, *number));
        let places: Vec<_> = places.collect::<Result<_, _>>().map_err(text)?;
        let count = |kind| device.get_irq_info(index(kind)).map_or(0, |irq| irq.count);
        let [line, msi, msix] = [InterruptKind::Line, InterruptKind::Msi, InterruptKind::Msix].map(count);
        let vectors = Vectors::new(Offers { line, msi, msix })
            .map_err(|error| format!("cannot make eventfds: {error}"))?;
        let mapped = match places.first().filter(|bar0| options.map_bar && bar0.mappable) {
            Some(bar0) => Some(Bar::map(&file, *bar0).map_err(|error| format!("cannot map BAR 0: {error}"))?),
            None => None,
        };
        let release = release(&device);
        let (device, enabled, host) = (Some(device), Mutex::new(None), host.clone());
        let function =
            Self { mapped, file, device, container, places, vectors, enabled, release, host, address };
        pci::set_bus_master(&function, true).map_err(|error| error.to_string())?;
        Ok(function)
    }

    /// Where the access lies in the device's file, if it lies inside the region.
    fn place(&self, space: Space, offset: u64, len: usize) -> io::Result<u64> {
        let place = pci::region_number(space).and_then(|number| self.places.get(number));
        pci::check_access(offset, len, place.map_or(0, |place| place.size), ACCESS)?;
        Ok(place.map_or(0, |place| place.offset) + offset)
    }

    fn bar(&self, space: Space) -> Option<&Bar> {
        self.mapped.as_ref().filter(|_| space == Space::BAR0)
    }

    fn device(&self) -> Result<&VfioDevice, HwError> {
        self.device.as_ref().ok_or_else(|| HwError::Gone("it is being closed".into()))
    }

    /// Turns on the first `count` vectors of one kind, and nothing else.
    fn turn_on(&self, kind: InterruptKind, count: u32, what: &'static str) -> Result<(), HwError> {
        // The kernel has one kind of interrupt on at a time, and older ones cannot add vectors to enabled ones.
        self.disable()?;
        let events = self.vectors.fresh(kind, count)?;
        if events.is_empty() {
            return Ok(());
        }
        let mut enabled = self.enabled.lock();
        let failed = |source| HwError::Interrupt { vector: 0, what, source };
        kernel::irqs_on(&self.file, index(kind), &raw(&events)).map_err(failed)?;
        *enabled = Some(kind);
        Ok(())
    }
}

impl Registers for VfioFunction {
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError> {
        let width = data.len();
        let failed = |source| HwError::Access { access: "read", space, offset, width, source };
        let place = self.place(space, offset, width).map_err(failed)?;
        if let Some(bar) = self.bar(space) {
            return bar.read(offset, data).map_err(failed);
        }
        // One call, one access: a loop over a short read would be a second access.
        let done = self.file.read_at(data, place).map_err(failed)?;
        pci::whole(done, width).map_err(failed)
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError> {
        let width = data.len();
        let failed = |source| HwError::Access { access: "write", space, offset, width, source };
        let place = self.place(space, offset, width).map_err(failed)?;
        if let Some(bar) = self.bar(space) {
            return bar.write(offset, data).map_err(failed);
        }
        let done = self.file.write_at(data, place).map_err(failed)?;
        pci::whole(done, width).map_err(failed)
    }

    fn flush(&self, space: Space, offset: u64) -> Result<(), HwError> {
        // PCIe lets a read of memory pass a posted write, but not a read of the device that the write goes to. A guest's
        // VMM may post writes too.
        self.read(space, offset, &mut [0; 2])
    }

    fn regions(&self) -> Vec<Region> {
        let all = pci::SPACES.iter().zip(&self.places).filter(|(_, place)| place.size > 0);
        let known = all.map(|((_, space), place)| {
            let Place { size, readable, writable, .. } = *place;
            Region { space: *space, size, readable, writable }
        });
        known.collect()
    }

    fn reset(&self) -> Result<(), HwError> {
        // The kernel saves configuration space before the reset and restores it, MSI-X included.
        kernel::reset(&self.file).map_err(HwError::Reset)
    }
}

impl Mapper for VfioFunction {
    fn map(&self, iova: u64, region: &MmapRegion, access: DmaAccess) -> Result<(), HwError> {
        let len = region.size();
        let mapped = kernel::map(&self.container, iova, region, access);
        mapped.map_err(|source| HwError::Map { len, iova, source })
    }

    fn unmap(&self, iova: u64, len: usize) -> Result<(), HwError> {
        kernel::unmap(&self.container, iova, len).map_err(|source| HwError::Map { len, iova, source })
    }
}

impl InterruptSource for VfioFunction {
    fn vectors(&self) -> u32 {
        self.vectors.offers(InterruptKind::Msix)
    }

    fn enable(&self, count: u32) -> Result<(), HwError> {
        self.turn_on(InterruptKind::Msix, count, "enabling")
    }

    fn disable(&self) -> Result<(), HwError> {
        let mut enabled = self.enabled.lock();
        // The kernel refuses to disable what is not enabled.
        if let Some(kind) = *enabled {
            self.device()?.disable_irq(index(kind)).map_err(|_| irq_error("disabling"))?;
            *enabled = None;
        }
        Ok(())
    }

    fn wait(&self, vector: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        match self.vectors.wait(vector, pause, self.release.as_ref().map(of_event))? {
            Ended::Fired(fired) => Ok(fired),
            Ended::Gone => Err(HwError::Gone(format!("the kernel wants {} back", self.address))),
        }
    }

    fn stop(&self) {
        self.vectors.stop();
    }

    fn route(&self, vector: u32, processor: u32) -> Routed {
        let kind = match *self.enabled.lock() {
            // The kernel's affinity of a line is for all devices on it.
            Some(InterruptKind::Line) => {
                return Routed::NotPermitted("the line may be shared with other devices".into());
            }
            Some(InterruptKind::Msi) => "msi",
            Some(InterruptKind::Msix) | None => "msix",
        };
        route::route(&self.host, self.address, kind, vector, processor)
    }

    fn has_line(&self) -> bool {
        self.offers(InterruptKind::Line) > 0
    }

    fn enable_line(&self) -> Result<(), HwError> {
        self.turn_on(InterruptKind::Line, 1, "enabling the line")
    }

    fn offers(&self, kind: InterruptKind) -> u32 {
        self.vectors.offers(kind)
    }

    fn enable_kind(&self, kind: InterruptKind, count: u32) -> Result<(), HwError> {
        self.turn_on(kind, count, "enabling")
    }

    /// The kernel masks the line each time that it fires (it is "automasked"). Unmasked, a line that the function still
    /// asserts fires at once.
    fn unmask_line(&self) -> Result<(), HwError> {
        let enabled = self.enabled.lock();
        if *enabled != Some(InterruptKind::Line) {
            return Ok(());
        }
        let unmasked = self.device()?.unmask_irq(VFIO_PCI_INTX_IRQ_INDEX);
        unmasked.map_err(|_| irq_error("unmasking the line"))
    }
}

impl Drop for VfioFunction {
    fn drop(&mut self) {
        if let Err(error) = pci::set_bus_master(self, false) {
            log::warn!("{}: still bus master: {error}", self.address);
        }
        // `VfioDevice` looks its group up in sysfs when it is dropped and panics if that is not there; of a
        // function that was taken away, it is better to leave the descriptor open until the process ends.
        if self.host.function(self.address).iommu_group().is_none() {
            std::mem::forget(self.device.take());
        }
    }
}

/// The kernel's number of a kind of interrupt.
fn index(kind: InterruptKind) -> u32 {
    match kind {
        InterruptKind::Line => VFIO_PCI_INTX_IRQ_INDEX,
        InterruptKind::Msi => VFIO_PCI_MSI_IRQ_INDEX,
        InterruptKind::Msix => VFIO_PCI_MSIX_IRQ_INDEX,
    }
}

/// An event for the kernel's wish to have the function back (an unbind, a removal), where the kernel offers it.
fn release(device: &VfioDevice) -> Option<EventFd> {
    let event = EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC).ok()?;
    device.enable_irq(VFIO_PCI_REQ_IRQ_INDEX, vec![&event]).ok().map(|()| event)
}

/// The crate drops the errno, but its last system call was the one that failed.
fn irq_error(what: &'static str) -> HwError {
    HwError::Interrupt { vector: 0, what, source: io::Error::last_os_error() }
}
