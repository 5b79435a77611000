//! The engines of this host.

use std::io;

use ioat_spec::pci::family;

use super::host::{Address, Host};

/// An I/OAT v3 function that was found.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Found {
    /// Its PCI address, as in `0000:00:10.0`.
    pub bdf: String,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// The platform family.
    pub family: &'static str,
    /// The driver that it is bound to.
    pub driver: Option<String>,
    /// Its IOMMU group; without one, VFIO cannot reach it.
    pub iommu_group: Option<u32>,
    /// Its NUMA node, where the platform says.
    pub numa_node: Option<u32>,
}

/// The I/OAT v3 functions of this host, by address.
///
/// # Errors
/// When sysfs cannot be read.
pub fn list() -> io::Result<Vec<Found>> {
    list_of(&Host::this())
}

/// The I/OAT v3 functions of `host`, by address.
///
/// # Errors
/// When its sysfs cannot be read.
pub fn list_of(host: &Host) -> io::Result<Vec<Found>> {
    Ok(host.functions()?.into_iter().filter_map(|address| found(host, address)).collect())
}

fn found(host: &Host, address: Address) -> Option<Found> {
    let function = host.function(address);
    // A function may vanish between the listing and this look.
    let (vendor, device) = function.ids().ok()?;
    Some(Found {
        bdf: address.to_string(),
        vendor,
        device,
        family: family(vendor, device)?,
        driver: function.driver(),
        iommu_group: function.iommu_group(),
        numa_node: function.numa_node(),
    })
}
