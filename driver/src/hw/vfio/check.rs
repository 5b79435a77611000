//! Whether a function can be opened through VFIO: each thing that is looked at, and the mend if it is wrong.

use std::io;

use ioat_spec::pci::family;
use vfio_ioctls::VfioError;

use crate::hw::host::{Address, Host};
use crate::hw::pci::not_an_engine;

/// The driver that gives user space a function.
const VFIO_PCI: &str = "vfio-pci";

/// Checks, as far as sysfs tells, that the function at `bdf` can be opened, and returns its address and IOMMU
/// group. The error is one line.
pub(super) fn in_sysfs(host: &Host, bdf: &str, any_function: bool) -> Result<(Address, u32), String> {
    let address: Address = bdf.parse().map_err(|error: crate::hw::host::AddressError| error.to_string())?;
    let function = host.function(address);
    if !function.exists() {
        return Err(format!(
            "{address}: there is no such PCI function: `netdma list` shows this host's engines"
        ));
    }
    let (vendor, device) =
        function.ids().map_err(|error| format!("{address}: its vendor and device id: {error}"))?;
    if family(vendor, device).is_none() && !any_function {
        return Err(format!("{address}: {}", not_an_engine(vendor, device)));
    }
    match function.driver() {
        Some(driver) if driver == VFIO_PCI => {}
        driver => return Err(not_bound(address, driver.as_deref())),
    }
    let group = function.iommu_group().ok_or_else(|| {
        format!(
            "{address}: it has no IOMMU group: enable VT-d (or AMD-Vi) in the firmware and boot with \
             intel_iommu=on (or amd_iommu=on)"
        )
    })?;
    Ok((address, group))
}

fn not_bound(address: Address, driver: Option<&str>) -> String {
    let (now, unbind) = match driver {
        Some(driver) => (
            format!("bound to {driver}"),
            format!("echo {address} > /sys/bus/pci/drivers/{driver}/unbind && "),
        ),
        None => ("bound to no driver".into(), String::new()),
    };
    format!(
        "{address}: it is {now}, not to {VFIO_PCI}: `driverctl set-override {address} {VFIO_PCI}`, or \
         `modprobe {VFIO_PCI} && echo {VFIO_PCI} > /sys/bus/pci/devices/{address}/driver_override && \
         {unbind}echo {address} > /sys/bus/pci/drivers_probe`"
    )
}

/// Why VFIO would not open the function, in one line.
pub(super) fn explain(host: &Host, address: Address, group: u32, error: &VfioError) -> String {
    let why = match error {
        VfioError::OpenContainer(error) => {
            node(error, &host.vfio("vfio").display().to_string(), "`modprobe vfio`")
        }
        VfioError::OpenGroup(error, _) => {
            node(error, &host.vfio(&group.to_string()).display().to_string(), "`modprobe vfio-pci`")
        }
        VfioError::VfioExtension | VfioError::VfioType1V2 => {
            "the kernel's VFIO has no type 1 IOMMU: `modprobe vfio_iommu_type1`".into()
        }
        VfioError::GroupViable => not_viable(host, address, group),
        VfioError::ContainerSetIOMMU(error) if error.errno() == libc::EPERM => {
            "the IOMMU cannot remap interrupts: enable interrupt remapping in the firmware, or (unsafe with \
             hostile devices) set allow_unsafe_interrupts=1 for vfio_iommu_type1"
                .into()
        }
        other => other.to_string(),
    };
    format!("{address}: {why}")
}

fn node(error: &io::Error, path: &str, missing: &str) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            format!("no permission for {path}: run as root, or give your user read and write access to it")
        }
        Some(libc::EBUSY) => format!("{path} is in use by another process: end that one first"),
        Some(libc::ENOENT) => format!("there is no {path}: {missing}"),
        _ => format!("cannot open {path}: {error}"),
    }
}

/// Every function of a group must be given up by its kernel driver, because the IOMMU cannot tell them apart.
fn not_viable(host: &Host, address: Address, group: u32) -> String {
    let own = address.to_string();
    let others = host.group_members(group).into_iter().filter(|member| *member != own);
    let others: Vec<String> = others.map(|member| with_driver(host, member)).collect();
    format!(
        "IOMMU group {group} is shared with {}: bind each of them to {VFIO_PCI}, or to no driver",
        others.join(", ")
    )
}

fn with_driver(host: &Host, member: String) -> String {
    let driver = member.parse().ok().and_then(|address| host.function(address).driver());
    match driver {
        Some(driver) => format!("{member} ({driver})"),
        None => member,
    }
}

#[cfg(test)]
mod tests;
