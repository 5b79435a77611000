//! The three hardware traits over a vfio-user client.

use std::io;
use std::os::fd::AsRawFd;

use ioat_stage::Pause;
use ioat_stage::sync::Mutex;
use vm_memory::MmapRegion;

use super::Options;
use super::client::{ACCESS, Client};
use super::failure::Failed;
use super::wire::{DEVICE_IS_PCI, IRQ_INTX, IRQ_MSIX, REGION_BAR0, REGION_CONFIG};
use crate::hw::memory::Mapper;
use crate::hw::pci;
use crate::hw::vectors::{Ended, Vectors, raw};
use crate::hw::{Fired, HwError, InterruptSource, Registers, Routed, Space};

/// What a vfio-user PCI function has at least: regions 0 to 7 (7 is configuration space), interrupts 0 to 2.
const REGIONS: u32 = REGION_CONFIG + 1;
const IRQS: u32 = IRQ_MSIX + 1;

pub(super) struct SocketDevice {
    client: Client,
    bar0_size: u64,
    config_size: u64,
    vectors: Vectors,
    /// The line is on. Held while it is changed or unmasked.
    line: Mutex<bool>,
    posted_writes: bool,
}

impl SocketDevice {
    /// Asks what the device is and makes it bus master. The error is one line without the socket's name.
    pub(super) fn open(client: Client, options: &Options) -> Result<Self, String> {
        let text = |error: Failed| error.to_string();
        let info = client.device_info().map_err(text)?;
        let (flags, regions, irqs) = (info.flags.get(), info.regions.get(), info.irqs.get());
        if flags & DEVICE_IS_PCI == 0 || regions < REGIONS || irqs < IRQS {
            return Err(format!(
                "this is not a PCI function (flags {flags:#x}, {regions} regions, {irqs} interrupt kinds): \
                 give the socket of an I/OAT device"
            ));
        }
        let bar0_size = client.region_info(REGION_BAR0).map_err(text)?.size.get();
        let config_size = client.region_info(REGION_CONFIG).map_err(text)?.size.get();
        let offered = client.irq_info(IRQ_MSIX).map_err(text)?.count.get();
        let line = client.irq_info(IRQ_INTX).map_err(text)?.count.get() > 0;
        let vectors =
            Vectors::new(offered, line).map_err(|error| format!("cannot make eventfds: {error}"))?;
        let posted_writes = options.posted_writes;
        let device = Self { client, bar0_size, config_size, vectors, line: Mutex::new(false), posted_writes };
        if !options.any_function {
            pci::identify(&device)?;
        }
        pci::set_bus_master(&device, true).map_err(|error| error.to_string())?;
        Ok(device)
    }

    fn region(&self, space: Space) -> (u32, u64) {
        match space {
            Space::BAR0 => (REGION_BAR0, self.bar0_size),
            Space::Bar(number) => (number.into(), 0),
            Space::Config => (REGION_CONFIG, self.config_size),
        }
    }

    /// The region's number, if the access lies inside it and is not too long.
    fn place(&self, space: Space, offset: u64, len: usize) -> io::Result<u32> {
        let (region, size) = self.region(space);
        pci::check_access(offset, len, size, ACCESS).map(|()| region)
    }
}

impl Registers for SocketDevice {
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError> {
        let width = data.len();
        let failed = |source| HwError::Access { access: "read", space, offset, width, source };
        let region = self.place(space, offset, width).map_err(failed)?;
        let given = self.client.region_read(region, offset, data).map_err(|error| split(error, failed))?;
        pci::whole(given, width).map_err(failed)
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError> {
        let width = data.len();
        let failed = |source| HwError::Access { access: "write", space, offset, width, source };
        let region = self.place(space, offset, width).map_err(failed)?;
        if self.posted_writes && space == Space::BAR0 {
            return self.client.region_post(region, offset, data).map_err(|error| split(error, failed));
        }
        let taken = self.client.region_write(region, offset, data).map_err(|error| split(error, failed))?;
        pci::whole(taken, width).map_err(failed)
    }

    fn reset(&self) -> Result<(), HwError> {
        self.client.device_reset().map_err(|error| split(error, HwError::Reset))?;
        // The reset cleared the command register; the kernel, on its side, restores it. Here we do.
        pci::set_bus_master(self, true)
    }
}

impl Mapper for SocketDevice {
    fn map(&self, iova: u64, region: &MmapRegion) -> Result<(), HwError> {
        let len = region.size();
        let failed = |source| HwError::Map { len, iova, source };
        let backing = region.file_offset();
        let backing =
            backing.ok_or_else(|| failed(io::Error::other("there is no file behind the memory")))?;
        let mapped = self.client.dma_map(iova, wide(len), backing.file().as_raw_fd(), backing.start());
        mapped.map_err(|error| split(error, failed))
    }

    fn unmap(&self, iova: u64, len: usize) -> Result<(), HwError> {
        let failed = |source| HwError::Map { len, iova, source };
        self.client.dma_unmap(iova, wide(len)).map_err(|error| split(error, failed))
    }
}

impl InterruptSource for SocketDevice {
    fn vectors(&self) -> u32 {
        self.vectors.len()
    }

    fn enable(&self, count: u32) -> Result<(), HwError> {
        // What was enabled beyond `count` must not stay so.
        self.disable()?;
        let events = self.vectors.fresh(count)?;
        let failed = |source| HwError::Interrupt { vector: 0, what: "enabling", source };
        let enabled = self.client.irqs_on(IRQ_MSIX, &raw(&events));
        enabled.map_err(|error| split(error, failed))
    }

    fn disable(&self) -> Result<(), HwError> {
        let failed = |source| HwError::Interrupt { vector: 0, what: "disabling", source };
        let mut line = self.line.lock();
        if *line {
            self.client.irqs_off(IRQ_INTX).map_err(|error| split(error, failed))?;
            *line = false;
        }
        // A device without messages has nothing to disable there, and may say so.
        if self.vectors.len() > 0 {
            self.client.irqs_off(IRQ_MSIX).map_err(|error| split(error, failed))?;
        }
        Ok(())
    }

    fn wait(&self, vector: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        match self.vectors.wait(vector, pause, Some(self.client.connection.hangup()))? {
            Ended::Fired(fired) => Ok(fired),
            Ended::Gone => Err(HwError::Gone(self.client.connection.death().to_string())),
        }
    }

    fn stop(&self) {
        self.vectors.stop();
    }

    fn route(&self, _: u32, _: u32) -> Routed {
        Routed::NotApplicable
    }

    fn has_line(&self) -> bool {
        self.vectors.has_line()
    }

    fn enable_line(&self) -> Result<(), HwError> {
        self.disable()?;
        let event = self.vectors.fresh_line()?;
        let failed = |source| HwError::Interrupt { vector: 0, what: "enabling the line", source };
        let mut line = self.line.lock();
        self.client.irqs_on(IRQ_INTX, &raw(&[event])).map_err(|error| split(error, failed))?;
        *line = true;
        Ok(())
    }

    fn unmask_line(&self) -> Result<(), HwError> {
        let failed = |source| HwError::Interrupt { vector: 0, what: "unmasking the line", source };
        let line = self.line.lock();
        if !*line {
            return Ok(());
        }
        self.client.irq_unmask(IRQ_INTX).map_err(|error| split(error, failed))
    }
}

/// A refusal is the access's own error; a dead connection is the device's end.
fn split(error: Failed, refused: impl FnOnce(io::Error) -> HwError) -> HwError {
    match error {
        Failed::Refused { errno, .. } => refused(io::Error::from_raw_os_error(errno)),
        Failed::Dead(death) => HwError::Gone(death.to_string()),
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
