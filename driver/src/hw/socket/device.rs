//! The three hardware traits over a vfio-user client.

use std::io;
use std::os::fd::AsRawFd;

use ioat_stage::Pause;
use ioat_stage::sync::Mutex;
use vm_memory::MmapRegion;

use super::Options;
use super::client::{ACCESS, Client};
use super::failure::Failed;
use super::wire::{
    DEVICE_IS_PCI, DMA_READ, DMA_WRITE, IRQ_INTX, IRQ_MSI, IRQ_MSIX, REGION_CONFIG, REGION_READABLE,
    REGION_WRITABLE,
};
use crate::hw::memory::Mapper;
use crate::hw::pci;
use crate::hw::vectors::{Ended, Offers, Vectors, raw};
use crate::hw::{
    DmaAccess, Fired, HwError, InterruptKind, InterruptSource, Region, Registers, Routed, Space,
};

/// What a vfio-user PCI function has at least: regions 0 to 7 (7 is configuration space), interrupts 0 to 2.
const REGIONS: u32 = REGION_CONFIG + 1;
const IRQS: u32 = IRQ_MSIX + 1;

pub(super) struct SocketDevice {
    client: Client,
    /// By their numbers; one that the function has not is 0 bytes.
    regions: Vec<Region>,
    vectors: Vectors,
    /// What is on. Held while that is changed, or the line unmasked.
    enabled: Mutex<Option<InterruptKind>>,
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
        let known = pci::SPACES.iter().map(|(number, space)| region(&client, *number, *space));
        let regions = known.collect::<Result<_, _>>().map_err(text)?;
        let count = |index| client.irq_info(index).map(|info| info.count.get()).map_err(text);
        let offers = Offers { line: count(IRQ_INTX)?, msi: count(IRQ_MSI)?, msix: count(IRQ_MSIX)? };
        let vectors = Vectors::new(offers).map_err(|error| format!("cannot make eventfds: {error}"))?;
        let posted_writes = options.posted_writes;
        let device = Self { client, regions, vectors, enabled: Mutex::new(None), posted_writes };
        if !options.any_function {
            pci::identify(&device)?;
        }
        pci::set_bus_master(&device, true).map_err(|error| error.to_string())?;
        Ok(device)
    }

    /// The region's number, if the access lies inside it and is not too long.
    fn place(&self, space: Space, offset: u64, len: usize) -> io::Result<u32> {
        let number = pci::region_number(space);
        let size = number.and_then(|number| self.regions.get(number)).map_or(0, |region| region.size);
        pci::check_access(offset, len, size, ACCESS)?;
        u32::try_from(number.unwrap_or(usize::MAX)).map_err(io::Error::other)
    }

    /// Turns on the first `count` vectors of one kind, and nothing else.
    fn turn_on(&self, kind: InterruptKind, count: u32, what: &'static str) -> Result<(), HwError> {
        // What was enabled beyond `count`, or of another kind, must not stay so.
        self.disable()?;
        let events = self.vectors.fresh(kind, count)?;
        let failed = |source| HwError::Interrupt { vector: 0, what, source };
        if events.is_empty() {
            return Ok(());
        }
        let mut enabled = self.enabled.lock();
        // Before it is asked for: of many vectors, some may be on when one is refused.
        *enabled = Some(kind);
        self.client.irqs_on(index(kind), &raw(&events)).map_err(|error| split(error, failed))
    }
}

fn region(client: &Client, number: u32, space: Space) -> Result<Region, Failed> {
    let info = client.region_info(number)?;
    let (size, flags) = (info.size.get(), info.flags.get());
    let (readable, writable) = (flags & REGION_READABLE != 0, flags & REGION_WRITABLE != 0);
    Ok(Region { space, size, readable, writable })
}

/// VFIO's number of a kind of interrupt.
fn index(kind: InterruptKind) -> u32 {
    match kind {
        InterruptKind::Line => IRQ_INTX,
        InterruptKind::Msi => IRQ_MSI,
        InterruptKind::Msix => IRQ_MSIX,
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
        if self.posted_writes && space != Space::Config {
            return self.client.region_post(region, offset, data).map_err(|error| split(error, failed));
        }
        let taken = self.client.region_write(region, offset, data).map_err(|error| split(error, failed))?;
        pci::whole(taken, width).map_err(failed)
    }

    fn regions(&self) -> Vec<Region> {
        self.regions.iter().filter(|region| region.size > 0).copied().collect()
    }

    fn reset(&self) -> Result<(), HwError> {
        self.client.device_reset().map_err(|error| split(error, HwError::Reset))?;
        // The reset cleared the command register; the kernel, on its side, restores it. Here we do.
        pci::set_bus_master(self, true)
    }
}

impl Mapper for SocketDevice {
    fn map(&self, iova: u64, region: &MmapRegion, access: DmaAccess) -> Result<(), HwError> {
        let len = region.size();
        let failed = |source| HwError::Map { len, iova, source };
        let backing = region.file_offset();
        let backing =
            backing.ok_or_else(|| failed(io::Error::other("there is no file behind the memory")))?;
        let flags = match access {
            DmaAccess::ReadWrite => DMA_READ | DMA_WRITE,
            DmaAccess::ReadOnly => DMA_READ,
            DmaAccess::WriteOnly => DMA_WRITE,
        };
        let fd = backing.file().as_raw_fd();
        let mapped = self.client.dma_map((iova, wide(len)), flags, fd, backing.start());
        mapped.map_err(|error| split(error, failed))
    }

    fn unmap(&self, iova: u64, len: usize) -> Result<(), HwError> {
        let failed = |source| HwError::Map { len, iova, source };
        self.client.dma_unmap(iova, wide(len)).map_err(|error| split(error, failed))
    }
}

impl InterruptSource for SocketDevice {
    fn vectors(&self) -> u32 {
        self.vectors.offers(InterruptKind::Msix)
    }

    fn enable(&self, count: u32) -> Result<(), HwError> {
        self.turn_on(InterruptKind::Msix, count, "enabling")
    }

    fn disable(&self) -> Result<(), HwError> {
        let failed = |source| HwError::Interrupt { vector: 0, what: "disabling", source };
        let mut enabled = self.enabled.lock();
        if let Some(kind) = *enabled {
            self.client.irqs_off(index(kind)).map_err(|error| split(error, failed))?;
            *enabled = None;
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

    fn unmask_line(&self) -> Result<(), HwError> {
        let failed = |source| HwError::Interrupt { vector: 0, what: "unmasking the line", source };
        let enabled = self.enabled.lock();
        if *enabled != Some(InterruptKind::Line) {
            return Ok(());
        }
        self.client.irq_unmask(IRQ_INTX).map_err(|error| split(error, failed))
    }
}

impl Drop for SocketDevice {
    fn drop(&mut self) {
        // A server may go on with what its client left running. One that is gone needs to be told nothing.
        match pci::set_bus_master(self, false) {
            Ok(()) | Err(HwError::Gone(_)) => {}
            Err(error) => log::warn!("the device may still be bus master: {error}"),
        }
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
