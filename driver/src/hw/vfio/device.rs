//! The three hardware traits over an open VFIO device.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ioat_stage::Pause;
use ioat_stage::sync::Mutex;
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_INTX_IRQ_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX,
};
use vfio_ioctls::{VfioContainer, VfioDevice};
use vm_memory::MmapRegion;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::bar::Bar;
use super::kernel::{self, Region};
use super::{Options, route};
use crate::hw::fd::of_event;
use crate::hw::host::{Address, Host};
use crate::hw::memory::Mapper;
use crate::hw::pci;
use crate::hw::vectors::{Ended, Vectors};
use crate::hw::{Fired, HwError, InterruptSource, Registers, Routed, Space};

/// Most bytes of one access: all of configuration space.
const ACCESS: usize = 4096;

/// Fields are dropped in this order: the kernel lets go of the group only when the last copy of the device's
/// descriptor is closed, and `device` puts the group back when it goes.
pub(super) struct VfioFunction {
    mapped: Option<Bar>,
    file: File,
    device: Option<VfioDevice>,
    container: Arc<VfioContainer>,
    bar0: Region,
    config: Region,
    vectors: Vectors,
    /// The kernel's index of what is enabled. Held while that is changed, or the line unmasked.
    enabled: Mutex<Option<u32>>,
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
        let bar0 = kernel::region(&file, VFIO_PCI_BAR0_REGION_INDEX).map_err(text)?;
        let config = kernel::region(&file, VFIO_PCI_CONFIG_REGION_INDEX).map_err(text)?;
        let count = |index| device.get_irq_info(index).map_or(0, |irq| irq.count);
        let line = count(VFIO_PCI_INTX_IRQ_INDEX) > 0;
        let vectors = Vectors::new(count(VFIO_PCI_MSIX_IRQ_INDEX), line)
            .map_err(|error| format!("cannot make eventfds: {error}"))?;
        let mapped = if options.map_bar && bar0.mappable {
            Some(Bar::map(&file, bar0).map_err(|error| format!("cannot map BAR 0: {error}"))?)
        } else {
            None
        };
        let release = release(&device);
        let (device, enabled, host) = (Some(device), Mutex::new(None), host.clone());
        let function =
            Self { mapped, file, device, container, bar0, config, vectors, enabled, release, host, address };
        pci::set_bus_master(&function, true).map_err(|error| error.to_string())?;
        Ok(function)
    }

    fn region(&self, space: Space) -> Region {
        match space {
            Space::BAR0 => self.bar0,
            Space::Bar(_) => Region { offset: 0, size: 0, mappable: false },
            Space::Config => self.config,
        }
    }

    /// Where the access lies in the device's file, if it lies inside the region.
    fn place(&self, space: Space, offset: u64, len: usize) -> io::Result<u64> {
        let region = self.region(space);
        pci::check_access(offset, len, region.size, ACCESS)?;
        Ok(region.offset + offset)
    }

    fn bar(&self, space: Space) -> Option<&Bar> {
        self.mapped.as_ref().filter(|_| space == Space::BAR0)
    }

    fn device(&self) -> Result<&VfioDevice, HwError> {
        self.device.as_ref().ok_or_else(|| HwError::Gone("it is being closed".into()))
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

    fn reset(&self) -> Result<(), HwError> {
        // The kernel saves configuration space before the reset and restores it, MSI-X included.
        kernel::reset(&self.file).map_err(HwError::Reset)
    }
}

impl Mapper for VfioFunction {
    fn map(&self, iova: u64, region: &MmapRegion) -> Result<(), HwError> {
        let len = region.size();
        kernel::map(&self.container, iova, region).map_err(|source| HwError::Map { len, iova, source })
    }

    fn unmap(&self, iova: u64, len: usize) -> Result<(), HwError> {
        kernel::unmap(&self.container, iova, len).map_err(|source| HwError::Map { len, iova, source })
    }
}

impl InterruptSource for VfioFunction {
    fn vectors(&self) -> u32 {
        self.vectors.len()
    }

    fn enable(&self, count: u32) -> Result<(), HwError> {
        // Older kernels cannot add vectors to enabled ones, so these go off first.
        self.disable()?;
        let events = self.vectors.fresh(count)?;
        if events.is_empty() {
            return Ok(());
        }
        let mut enabled = self.enabled.lock();
        let result = self.device()?.enable_irq(VFIO_PCI_MSIX_IRQ_INDEX, events);
        result.map_err(|_| irq_error("enabling"))?;
        *enabled = Some(VFIO_PCI_MSIX_IRQ_INDEX);
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        let mut enabled = self.enabled.lock();
        // The kernel refuses to disable what is not enabled.
        if let Some(index) = *enabled {
            self.device()?.disable_irq(index).map_err(|_| irq_error("disabling"))?;
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
        if *self.enabled.lock() == Some(VFIO_PCI_INTX_IRQ_INDEX) {
            // The kernel's affinity of a line is for all devices on it.
            return Routed::NotPermitted("the line may be shared with other devices".into());
        }
        route::route(&self.host, self.address, vector, processor)
    }

    fn has_line(&self) -> bool {
        self.vectors.has_line()
    }

    fn enable_line(&self) -> Result<(), HwError> {
        // The kernel has one kind of interrupt on at a time.
        self.disable()?;
        let event = self.vectors.fresh_line()?;
        let mut enabled = self.enabled.lock();
        let result = self.device()?.enable_irq(VFIO_PCI_INTX_IRQ_INDEX, vec![event]);
        result.map_err(|_| irq_error("enabling the line"))?;
        *enabled = Some(VFIO_PCI_INTX_IRQ_INDEX);
        Ok(())
    }

    /// The kernel masks the line each time that it fires (it is "automasked"). Unmasked, a line that the function still
    /// asserts fires at once.
    fn unmask_line(&self) -> Result<(), HwError> {
        let enabled = self.enabled.lock();
        if *enabled != Some(VFIO_PCI_INTX_IRQ_INDEX) {
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

/// An event for the kernel's wish to have the function back (an unbind, a removal), where the kernel offers it.
fn release(device: &VfioDevice) -> Option<EventFd> {
    let event = EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC).ok()?;
    device.enable_irq(VFIO_PCI_REQ_IRQ_INDEX, vec![&event]).ok().map(|()| event)
}

/// The crate drops the errno, but its last system call was the one that failed.
fn irq_error(what: &'static str) -> HwError {
    HwError::Interrupt { vector: 0, what, source: io::Error::last_os_error() }
}
