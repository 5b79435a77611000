//! BAR 0 as a mapping: each access is one load or store.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory, VolatileMemoryError};

use super::kernel::Place;
use crate::hw::fd::map_error;

pub(super) struct Bar {
    region: MmapRegion,
}

impl Bar {
    /// Maps the whole region of the device's file.
    pub(super) fn map(file: &File, place: Place) -> io::Result<Self> {
        let size = usize::try_from(place.size).map_err(io::Error::other)?;
        let region = MmapRegionBuilder::new(size)
            .with_file_offset(FileOffset::new(file.try_clone()?, place.offset))
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_SHARED)
            .build()
            .map_err(map_error)?;
        Ok(Self { region })
    }

    /// Loads 1, 2, 4 or 8 aligned bytes at once.
    pub(super) fn read(&self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        match data.len() {
            1 => data.copy_from_slice(&self.load::<u8>(offset)?.to_le_bytes()),
            2 => data.copy_from_slice(&self.load::<u16>(offset)?.to_le_bytes()),
            4 => data.copy_from_slice(&self.load::<u32>(offset)?.to_le_bytes()),
            8 => data.copy_from_slice(&self.load::<u64>(offset)?.to_le_bytes()),
            _ => return Err(width()),
        }
        Ok(())
    }

    /// Stores 1, 2, 4 or 8 aligned bytes at once.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match *data {
            [value] => self.store(offset, value),
            [a, b] => self.store(offset, u16::from_le_bytes([a, b])),
            [a, b, c, d] => self.store(offset, u32::from_le_bytes([a, b, c, d])),
            _ => {
                let value = data.try_into().map_err(|_| width())?;
                self.store(offset, u64::from_le_bytes(value))
            }
        }
    }

    fn load<T: vm_memory::AtomicAccess>(&self, offset: u64) -> io::Result<T> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        // Acquire: what the device wrote to memory before this register changed is visible after the load.
        self.region.as_volatile_slice().load(at, Ordering::Acquire).map_err(misplaced)
    }

    fn store<T: vm_memory::AtomicAccess>(&self, offset: u64, value: T) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        // Release: descriptors are in memory before the doorbell rings.
        self.region.as_volatile_slice().store(value, at, Ordering::Release).map_err(misplaced)
    }
}

fn misplaced(error: VolatileMemoryError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn width() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a mapped register is 1, 2, 4 or 8 bytes wide")
}
