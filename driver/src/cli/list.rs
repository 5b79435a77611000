//! `netdma list`: the engines of this host.

use std::io::{self, Write};

use anyhow::Context;
use netdma::hw;
use netdma::hw::list::Found;

use super::table::{Align, Table};

/// Prints them.
pub(crate) fn run(json: bool) -> anyhow::Result<()> {
    let found = hw::list::list().context("cannot read this host's PCI functions in /sys/bus/pci/devices")?;
    let text = if json { serde_json::to_string(&found)? + "\n" } else { text(&found) };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn text(found: &[Found]) -> String {
    if found.is_empty() {
        return "none found: this host has no I/OAT v3 function (`netdma selftest` runs on a virtual one)\n"
            .into();
    }
    let left = |name| (name, Align::Left);
    let columns = ["address", "ids", "family", "driver", "IOMMU group", "NUMA node"].map(left);
    let mut table = Table::new(&columns);
    let or = |value: Option<u32>, none: &str| value.map_or(none.to_owned(), |value| value.to_string());
    for Found { bdf, vendor, device, family, driver, iommu_group, numa_node } in found {
        table.row([
            bdf.clone(),
            format!("{vendor:04x}:{device:04x}"),
            (*family).into(),
            driver.clone().unwrap_or_else(|| "none".into()),
            or(*iommu_group, "none: VFIO cannot reach it"),
            or(*numa_node, "not said"),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_without_driver_and_group_is_shown_as_such() {
        let found = Found {
            bdf: "0000:00:04.0".into(),
            vendor: 0x8086,
            device: 0x2021,
            family: "SKX",
            driver: None,
            iommu_group: None,
            numa_node: Some(1),
        };
        let text = text(&[found]);
        let row = text.lines().nth(1).unwrap();
        assert!(
            row.starts_with("0000:00:04.0  8086:2021  SKX     none    none: VFIO cannot reach it"),
            "{row}"
        );
        assert!(row.ends_with('1'), "{row}");
    }
}
