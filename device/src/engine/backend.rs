//! The engine behind the vfio-user server.

use std::sync::Arc;

use ioat_spec::pci::{BAR0_SIZE, CONFIG_SIZE};
use ioat_stage::{Action, Faults, Trace};

use super::Engine;
use crate::InterruptSink;
use crate::memory::{Access, MapError};
use crate::observer::Happening;
use crate::server::{
    Backend, DmaMap, DmaUnmap, Errno, FileAccess, Identity, IrqChange, IrqInfo, IrqTable, Message,
    RegionInfo, irq, region,
};

/// The region and interrupt tables of an engine with this many vectors.
#[must_use]
pub fn identity(vectors: u32) -> Identity {
    let mut identity = Identity { regions: Default::default(), irqs: Default::default() };
    let flags = region::READ | region::WRITE;
    identity.regions[0] = RegionInfo { size: BAR0_SIZE, flags };
    identity.regions[region::CONFIG as usize] = RegionInfo { size: CONFIG_SIZE as u64, flags };
    let intx = irq::EVENTFD | irq::MASKABLE | irq::AUTOMASKED;
    identity.irqs[irq::INTX as usize] = IrqInfo { count: 1, flags: intx };
    // Count 0 and no flags: the index is not there.
    let msix = if vectors == 0 { 0 } else { irq::EVENTFD };
    identity.irqs[irq::MSIX as usize] = IrqInfo { count: vectors, flags: msix };
    identity.irqs[irq::ERR as usize] = IrqInfo { count: 1, flags: irq::EVENTFD };
    identity.irqs[irq::REQ as usize] = IrqInfo { count: 1, flags: irq::EVENTFD };
    identity
}

impl InterruptSink for IrqTable {
    fn message_enabled(&self) -> bool {
        self.enabled(irq::MSIX)
    }

    fn signal(&self, vector: u16) {
        IrqTable::signal(self, irq::MSIX, u32::from(vector));
    }

    fn line(&self, asserted: bool) {
        if asserted {
            self.assert(irq::INTX, 0);
        } else {
            self.deassert(irq::INTX, 0);
        }
    }

    fn error(&self) {
        IrqTable::signal(self, irq::ERR, 0);
    }

    fn request(&self) {
        IrqTable::signal(self, irq::REQ, 0);
    }

    fn pending(&self) -> u64 {
        self.pending_word(irq::MSIX, 0)
    }
}

/// An engine with the interrupt table that the client fills.
pub struct Served<F: Faults, T: Trace> {
    engine: Engine<F, T>,
    irqs: Arc<IrqTable>,
    identity: Identity,
}

impl<F: Faults, T: Trace> Served<F, T> {
    /// Joins an engine with the table that its interrupts go to.
    pub fn new(engine: Engine<F, T>, irqs: Arc<IrqTable>, identity: Identity) -> Self {
        Self { engine, irqs, identity }
    }
}

impl<F, T> Backend for Served<F, T>
where
    F: Faults + 'static,
    T: Trace + 'static,
{
    fn identity(&self) -> Identity {
        self.identity
    }

    fn read(&self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        match region {
            0 => self.engine.bar_read(offset, data),
            region::CONFIG => self.engine.config_read(offset, data),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        match region {
            0 => self.engine.bar_write(offset, data),
            region::CONFIG => self.engine.config_write(offset, data),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn dma_map(&self, map: DmaMap) -> Result<(), Errno> {
        let access = match (map.read, map.write) {
            (true, true) => Access::READ_WRITE,
            (true, false) => Access::READ,
            (false, true) => Access::WRITE,
            (false, false) => Access::NONE,
        };
        if map.access == FileAccess::Io {
            // The engine works on mapped memory only; saying so beats DMA that fails later.
            log::warn!("refused a DMA_MAP that asks for file I/O instead of mmap");
            return Err(Errno::new(libc::EOPNOTSUPP));
        }
        let source = map.file.map(|file| (file, map.offset));
        self.engine.table().map(map.iova, map.size, access, source).map_err(|error| {
            log::warn!("DMA_MAP of {:#x} bytes at {:#x} refused: {error}", map.size, map.iova);
            map_errno(&error)
        })
    }

    fn dma_unmap(&self, what: DmaUnmap) -> Result<(), Errno> {
        match what {
            DmaUnmap::All => {
                self.engine.unmap_all();
                Ok(())
            }
            DmaUnmap::Range { iova, size } => self.engine.unmap_range(iova, size).map_err(|error| {
                log::warn!("DMA_UNMAP of {size:#x} bytes at {iova:#x} refused: {error}");
                Errno::EINVAL
            }),
        }
    }

    fn set_irq(&self, change: IrqChange) -> Result<(), Errno> {
        self.irqs.apply(change)?;
        self.engine.delivery_changed();
        Ok(())
    }

    fn reset(&self) {
        if self.engine.reset() {
            self.irqs.reset();
        }
    }

    fn deviation(&self, message: &Message) -> Option<Action> {
        self.engine.shared.function.transport_verdict(message)
    }

    fn kill(&self) {
        let effects = self.engine.shared.function.kill();
        self.engine.shared.apply(effects);
    }

    fn client_came(&self) {
        self.engine.shared.function.unaffiliated.observed.tell(Happening::ClientConnected);
    }

    fn client_gone(&self) {
        self.engine.clean();
        self.engine.unmap_all();
        self.irqs.release();
        self.engine.shared.function.unaffiliated.observed.tell(Happening::ClientDisconnected);
    }
}

fn map_errno(error: &MapError) -> Errno {
    match error {
        MapError::Exists { .. } => Errno::EEXIST,
        _ => Errno::EINVAL,
    }
}
