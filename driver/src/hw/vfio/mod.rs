//! Hardware behind kernel VFIO: a function bound to `vfio-pci`, its group in a type 1 container.

mod check;

mod device;

mod bar;

mod route;

mod aperture;

mod kernel;

use std::sync::Arc;

use ioat_stage::pause::SharedPause;
use vfio_ioctls::{VfioContainer, VfioDevice};

use self::device::VfioFunction;
use super::host::Host;
use super::iova::IovaSpace;
use super::memory::{Backing, MappedMemory};
use super::{Device, HwError};

/// How to use the function.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Take any PCI function, not only an I/OAT v3 engine.
    pub any_function: bool,
    /// Reach BAR 0 through a mapping where the kernel allows one, not by a system call for each access.
    ///
    /// Off by default: an access through a mapping cannot report an error (of a function that was taken away it
    /// reads all ones, or kills the process with SIGBUS). It is faster, and makes each 64-bit access one access
    /// on the bus, where a system call may become two 32-bit ones in the kernel, the lower half first.
    pub map_bar: bool,
}

/// Opens the function at PCI address `bdf` (`0000:00:10.0` or `00:10.0`), and makes it bus master. When the last
/// of the device and its buffers is dropped, it is bus master no longer.
///
/// # Errors
/// [`HwError::Open`], one line that names what is wrong and the mend.
pub fn open(bdf: &str, pause: SharedPause) -> Result<Device, HwError> {
    open_with(bdf, pause, &Options::default())
}

/// [`open`], with options.
///
/// # Errors
/// As [`open`].
pub fn open_with(bdf: &str, pause: SharedPause, options: &Options) -> Result<Device, HwError> {
    open_on(&Host::this(), bdf, pause, options)
}

/// [`open_with`], on a host whose sysfs lies elsewhere (what the kernel opens is this host's all the same).
///
/// # Errors
/// As [`open`].
pub fn open_on(host: &Host, bdf: &str, pause: SharedPause, options: &Options) -> Result<Device, HwError> {
    let (address, group) = check::in_sysfs(host, bdf, options.any_function).map_err(HwError::Open)?;
    let explain = |error| HwError::Open(check::explain(host, address, group, &error));
    let container = Arc::new(VfioContainer::new(None).map_err(explain)?);
    let path = host.function(address).path().to_path_buf();
    let device = VfioDevice::new(&path, container.clone(), false).map_err(explain)?;
    let failed = |what| HwError::Open(format!("{address}: {what}"));
    let ranges =
        kernel::iova_ranges(&container).map_err(|error| failed(format!("VFIO_IOMMU_GET_INFO: {error}")))?;
    let function = VfioFunction::new(host, address, device, container, options).map_err(failed)?;
    let function = Arc::new(function);
    let memory = MappedMemory::new(function.clone(), Backing::Anonymous, IovaSpace::inside(&ranges));
    let (registers, interrupts) = (function.clone(), function);
    Ok(Device { name: address.to_string(), registers, memory: Arc::new(memory), interrupts, pause })
}
