//! The VFIO calls that `vfio-ioctls` does not give, or gives without their errors.
#![expect(unsafe_code, reason = "ioctls, a lent descriptor, and memory given to a device")]

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_ulong;
use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_REGION_INFO_FLAG_MMAP, VFIO_TYPE, vfio_iommu_type1_info, vfio_region_info,
};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError};
use vm_memory::MmapRegion;
use vmm_sys_util::ioctl::{_IOC_NONE, ioctl, ioctl_expr, ioctl_with_mut_ptr, ioctl_with_mut_ref};

use super::aperture;

const fn vfio_ioctl(number: u32) -> c_ulong {
    ioctl_expr(_IOC_NONE, VFIO_TYPE as u32, VFIO_BASE + number, 0)
}

const VFIO_DEVICE_GET_REGION_INFO: c_ulong = vfio_ioctl(8);
const VFIO_DEVICE_RESET: c_ulong = vfio_ioctl(11);
const VFIO_IOMMU_GET_INFO: c_ulong = vfio_ioctl(12);

/// No kernel's answer about an IOMMU is longer.
const LONGEST_INFO: usize = 64 * 1024;

/// Where a region lies in the device's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) mappable: bool,
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
pub(super) fn region(file: &File, index: u32) -> io::Result<Region> {
    let argsz = u32::try_from(size_of::<vfio_region_info>()).map_err(io::Error::other)?;
    let mut info = vfio_region_info { argsz, index, ..Default::default() };
    // SAFETY: `file` is a VFIO device, and `info` is what this ioctl fills, of the size that it says.
    checked(unsafe { ioctl_with_mut_ref(file, VFIO_DEVICE_GET_REGION_INFO, &mut info) })?;
    let mappable = info.flags & VFIO_REGION_INFO_FLAG_MMAP != 0;
    Ok(Region { offset: info.offset, size: info.size, mappable })
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

/// Lets the device read and write `region` at `iova`.
pub(super) fn map(container: &VfioContainer, iova: u64, region: &MmapRegion) -> io::Result<()> {
    // Why unsafe: from now on the memory changes without the compiler's knowledge.
    // SAFETY: an `MmapRegion` is its own mapping, to which no Rust reference exists: all access goes through
    // `VolatileSlice`. If it is dropped before the unmap, the kernel keeps the pages pinned and out of use.
    let mapped = unsafe { container.vfio_dma_map(iova, region.size(), region.as_ptr()) };
    mapped.map_err(map_error)
}

/// Takes the mapping of exactly this range away.
pub(super) fn unmap(container: &VfioContainer, iova: u64, len: usize) -> io::Result<()> {
    container.vfio_dma_unmap(iova, len).map_err(map_error)
}

fn map_error(error: VfioError) -> io::Error {
    match error {
        // Pinned memory counts against the limit of locked memory, which is small for ordinary users.
        VfioError::IommuDmaMap(errno) if errno.errno() == libc::ENOMEM => io::Error::new(
            io::ErrorKind::OutOfMemory,
            "not enough memory may be locked: raise the limit (`ulimit -l`)",
        ),
        VfioError::IommuDmaMap(errno) | VfioError::IommuDmaUnmap(errno) => {
            io::Error::from_raw_os_error(errno.errno())
        }
        other => io::Error::other(other),
    }
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
