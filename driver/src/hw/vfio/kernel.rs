//! The VFIO calls that `vfio-ioctls` does not give, or gives without their errors.
#![expect(unsafe_code, reason = "ioctls, a lent descriptor, and memory given to a device")]

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use libc::c_ulong;
use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_IRQ_SET_ACTION_TRIGGER,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ,
    VFIO_REGION_INFO_FLAG_WRITE, VFIO_TYPE, vfio_iommu_type1_dma_map, vfio_iommu_type1_info, vfio_irq_set,
    vfio_region_info,
};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError};
use vm_memory::{MmapRegion, VolatileMemory};
use vmm_sys_util::ioctl::{
    _IOC_NONE, ioctl, ioctl_expr, ioctl_with_mut_ptr, ioctl_with_mut_ref, ioctl_with_ptr, ioctl_with_ref,
};

use super::aperture;
use crate::hw::DmaAccess;
use crate::hw::iova::PAGE;

const fn vfio_ioctl(number: u32) -> c_ulong {
    ioctl_expr(_IOC_NONE, VFIO_TYPE as u32, VFIO_BASE + number, 0)
}

const VFIO_DEVICE_GET_REGION_INFO: c_ulong = vfio_ioctl(8);
const VFIO_DEVICE_SET_IRQS: c_ulong = vfio_ioctl(10);
const VFIO_DEVICE_RESET: c_ulong = vfio_ioctl(11);
const VFIO_IOMMU_GET_INFO: c_ulong = vfio_ioctl(12);
const VFIO_IOMMU_MAP_DMA: c_ulong = vfio_ioctl(13);

/// No kernel's answer about an IOMMU is longer.
const LONGEST_INFO: usize = 64 * 1024;

/// Where a region lies in the device's file, and what may be done there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) mappable: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// The device's file, for reads and writes that report their errors. It must be closed before `device` is.
pub(super) fn file(device: &VfioDevice) -> io::Result<File> {
    // Why unsafe: the crate lends the descriptor as a number.
    // SAFETY: `device` owns the descriptor and keeps it open for the length of this borrow.
    let lent = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
    lent.try_clone_to_owned().map(File::from)
}

/// Where region `index` lies. The crate's own table cannot be indexed safely: it leaves out regions that
/// could not be asked about, and shifts those behind them.
pub(super) fn place(file: &File, index: u32) -> io::Result<Place> {
    let argsz = u32::try_from(size_of::<vfio_region_info>()).map_err(io::Error::other)?;
    let mut info = vfio_region_info { argsz, index, ..Default::default() };
    // SAFETY: `file` is a VFIO device, and `info` is what this ioctl fills, of the size that it says.
    checked(unsafe { ioctl_with_mut_ref(file, VFIO_DEVICE_GET_REGION_INFO, &mut info) })?;
    let has = |flag| info.flags & flag != 0;
    Ok(Place {
        offset: info.offset,
        size: info.size,
        mappable: has(VFIO_REGION_INFO_FLAG_MMAP),
        readable: has(VFIO_REGION_INFO_FLAG_READ),
        writable: has(VFIO_REGION_INFO_FLAG_WRITE),
    })
}

/// Has the first interrupts of kind `index` signal these eventfds. The crate's own call takes for success what the kernel
/// says when it has fewer vectors to give (a positive number, and none is on).
pub(super) fn irqs_on(file: &File, index: u32, events: &[RawFd]) -> io::Result<()> {
    let wide = |size: usize| u32::try_from(size).map_err(io::Error::other);
    let argsz = wide(size_of::<vfio_irq_set>() + size_of_val(events))?;
    let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    let mut set = vec![argsz, flags, index, 0, wide(events.len())?];
    set.extend(events.iter().map(|event| u32::from_ne_bytes(event.to_ne_bytes())));
    // SAFETY: `file` is a VFIO device; `set` is a `vfio_irq_set` (five 32-bit words) with its descriptors behind it, of
    // the size that its first word says, and the kernel only reads it.
    match unsafe { ioctl_with_ptr(file, VFIO_DEVICE_SET_IRQS, set.as_ptr()) } {
        0 => Ok(()),
        given @ 1.. => {
            let asked = events.len();
            Err(io::Error::other(format!("the system gives {given} of {asked} vectors of this kind")))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Resets the function.
pub(super) fn reset(file: &File) -> io::Result<()> {
    // SAFETY: `file` is a VFIO device, and this ioctl has no argument.
    checked(unsafe { ioctl(file, VFIO_DEVICE_RESET) })
}

/// The addresses that the container's IOMMU translates; none when the kernel does not say.
pub(super) fn iova_ranges(container: &VfioContainer) -> io::Result<Vec<RangeInclusive<u64>>> {
    let fixed = size_of::<vfio_iommu_type1_info>();
    let needed = iommu_info(container, &mut vec![0; fixed / 4])?.max(fixed);
    let mut info = vec![0_u32; needed.min(LONGEST_INFO).div_ceil(4)];
    iommu_info(container, &mut info)?;
    let bytes: Vec<u8> = info.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Ok(aperture::ranges(&bytes))
}

/// Fills `info`, and returns how many bytes the whole answer has. The first word says how many fit.
fn iommu_info(container: &VfioContainer, info: &mut [u32]) -> io::Result<usize> {
    let size = u32::try_from(size_of_val(info)).map_err(io::Error::other)?;
    info[0] = size;
    // SAFETY: the container is open; the kernel writes no more bytes than the first word of `info` says, which
    // is its size. The structure holds 8-byte words, but the kernel copies bytes and needs no alignment.
    checked(unsafe { ioctl_with_mut_ptr(container, VFIO_IOMMU_GET_INFO, info.as_mut_ptr()) })?;
    usize::try_from(info[0]).map_err(io::Error::other)
}

/// Lets the device do with `region`, at `iova`, what `access` says. The crate's own call always grants both.
pub(super) fn map(
    container: &VfioContainer,
    iova: u64,
    region: &MmapRegion,
    access: DmaAccess,
) -> io::Result<()> {
    if !access.writes() {
        own_pages(region)?;
    }
    let flag = |granted, flag| if granted { flag } else { 0 };
    let map = vfio_iommu_type1_dma_map {
        argsz: u32::try_from(size_of::<vfio_iommu_type1_dma_map>()).map_err(io::Error::other)?,
        flags: flag(access.reads(), VFIO_DMA_MAP_FLAG_READ) | flag(access.writes(), VFIO_DMA_MAP_FLAG_WRITE),
        vaddr: u64::try_from(region.as_ptr().addr()).map_err(io::Error::other)?,
        iova,
        size: u64::try_from(region.size()).map_err(io::Error::other)?,
    };
    // Why unsafe: from now on the memory changes without the compiler's knowledge.
    // SAFETY: the container is open, and `map` is what this ioctl reads, of the size that it says. An `MmapRegion` is
    // its own mapping, to which no Rust reference exists: all access goes through `VolatileSlice`. If it is dropped
    // before the unmap, the kernel keeps the pages pinned and out of use.
    checked(unsafe { ioctl_with_ref(container, VFIO_IOMMU_MAP_DMA, &map) }).map_err(|error| {
        // Pinned memory counts against the limit of locked memory, which is small for ordinary users.
        let locked = "not enough memory may be locked: raise the limit (`ulimit -l`)";
        match error.raw_os_error() {
            Some(libc::ENOMEM) => io::Error::new(io::ErrorKind::OutOfMemory, locked),
            _ => error,
        }
    })
}

/// Stores into each page what it holds. A page that nobody has written is the kernel's page of zeroes; pinned for reading
/// alone it could stay that for the device, while the processor's first store moves to a page of its own.
fn own_pages(region: &MmapRegion) -> io::Result<()> {
    let pages = region.as_volatile_slice();
    for page in (0..region.size()).step_by(usize::try_from(PAGE).map_err(io::Error::other)?) {
        let byte = pages.get_ref::<u8>(page).map_err(io::Error::other)?;
        byte.store(byte.load());
    }
    Ok(())
}

/// Takes the mapping of exactly this range away.
pub(super) fn unmap(container: &VfioContainer, iova: u64, len: usize) -> io::Result<()> {
    container.vfio_dma_unmap(iova, len).map_err(|error| match error {
        VfioError::IommuDmaUnmap(errno) => io::Error::from_raw_os_error(errno.errno()),
        other => io::Error::other(other),
    })
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
