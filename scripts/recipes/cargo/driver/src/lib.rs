//! The smallest driver that can fail: it opens a PCI function through VFIO and reads its identity.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

// From the kernel's <linux/vfio.h>: _IO(';', 100 + n).
const GET_API_VERSION: libc::c_ulong = 0x3b64;
const SET_IOMMU: libc::c_ulong = 0x3b66;
const GROUP_SET_CONTAINER: libc::c_ulong = 0x3b68;
const GROUP_GET_DEVICE_FD: libc::c_ulong = 0x3b6a;
const DEVICE_GET_REGION_INFO: libc::c_ulong = 0x3b6c;
const TYPE1_IOMMU: libc::c_ulong = 1;
const CONFIG_REGION: u32 = 7;

/// `struct vfio_region_info`.
#[repr(C)]
#[derive(Default)]
struct RegionInfo {
    argsz: u32,
    flags: u32,
    index: u32,
    cap_offset: u32,
    size: u64,
    offset: u64,
}

/// A PCI function that is bound to vfio-pci.
pub struct Function {
    device: File,
    config: u64,
    // The group and its container stay open as long as the device is.
    _group: File,
    _container: File,
}

impl Function {
    /// Opens the function at a PCI address such as `0000:00:10.0`.
    pub fn open(bdf: &str) -> io::Result<Self> {
        let group = fs::read_link(format!("/sys/bus/pci/devices/{bdf}/iommu_group"))?;
        let number = group.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let container = open("/dev/vfio/vfio")?;
        let group = open(&format!("/dev/vfio/{number}"))?;
        let name = std::ffi::CString::new(bdf)?;
        // SAFETY: each request gets what <linux/vfio.h> says of it, and all of it outlives the call.
        let device = unsafe {
            check(libc::ioctl(container.as_raw_fd(), GET_API_VERSION))?;
            check(libc::ioctl(group.as_raw_fd(), GROUP_SET_CONTAINER, &container.as_raw_fd()))?;
            check(libc::ioctl(container.as_raw_fd(), SET_IOMMU, TYPE1_IOMMU))?;
            File::from_raw_fd(check(libc::ioctl(group.as_raw_fd(), GROUP_GET_DEVICE_FD, name.as_ptr()))?)
        };
        let mut info = RegionInfo { argsz: 32, index: CONFIG_REGION, ..RegionInfo::default() };
        // SAFETY: the structure is the one that the request fills in, with its size in it.
        check(unsafe { libc::ioctl(device.as_raw_fd(), DEVICE_GET_REGION_INFO, &mut info) })?;
        Ok(Self { device, config: info.offset, _group: group, _container: container })
    }

    /// Vendor and device, from configuration space.
    pub fn identity(&self) -> io::Result<(u16, u16)> {
        let mut bytes = [0; 4];
        self.device.read_exact_at(&mut bytes, self.config)?;
        Ok((u16::from_le_bytes([bytes[0], bytes[1]]), u16::from_le_bytes([bytes[2], bytes[3]])))
    }
}

fn open(path: &str) -> io::Result<File> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
    OpenOptions::new().read(true).write(true).open(path).map_err(named)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
