//! Our driver in the guest, over kernel VFIO.

use anyhow::{Result, ensure};
use serde_json::Value;

use netdma_lab::guests::{Guest, NETDMA};

pub(crate) fn lists(guest: &mut Guest) -> Result<()> {
    let (status, found) = guest.netdma::<Value>(&["list", "--json"], |_| ())?;
    ensure!(status == 0, "status {status}");
    let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(found.len() == guest.vm.devices().len(), "{found:?}");
    for function in found {
        ensure!(function["driver"] == "vfio-pci", "{function}");
        ensure!(function["iommu_group"].is_u64(), "{function}");
    }
    Ok(())
}

pub(crate) fn info(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    let text = guest.run(&[NETDMA, "info", "--on", &bdf])?;
    for part in ["8086", "2021", "3.3"] {
        ensure!(text.contains(part), "no '{part}' in:\n{text}");
    }
    Ok(())
}

pub(crate) fn selftest(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    let mut words = vec!["selftest", "--on", &bdf, "--json"];
    if !netdma_tests::full() {
        words.push("--quick");
    }
    let (status, report) = guest.netdma::<Value>(&words, |_| ())?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    ensure!(sum(&report, "bytes") > 1 << 20, "{report}");
    ensure!(sum(&report, "interrupts") > 100, "{report}");
    let processors = report["processors"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(processors.len() >= 2, "{report}");
    ensure!(processors.iter().all(|p| p["dpcs"].as_u64() > Some(0)), "a processor ran no DPC: {report}");
    Ok(())
}

/// Device 1 drops its third message.
pub(crate) fn lost_interrupt(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(1);
    let (status, report) = guest.netdma::<Value>(&["selftest", "--on", &bdf, "--quick", "--json"], |_| ())?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    ensure!(sum(&report, "recovered") >= 1, "nothing was recovered: {report}");
    fired(guest, 1)
}

/// Device 2 misaddresses a completion word of channel 0.
pub(crate) fn misaddressed(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(2);
    let (status, report) =
        guest.netdma::<Value>(&["selftest", "--on", &bdf, "--quick", "--json", "--expect-fault"], |_| ())?;
    ensure!(status == 0, "status {status}: {report}");
    let named = |step: &Value| {
        step["detail"]
            .as_str()
            .is_some_and(|text| text.contains("recovered") && text.contains("no descriptor is under way"))
    };
    ensure!(steps(&report).iter().any(named), "no step names the bad completion and its recovery: {report}");
    fired(guest, 2)
}

fn fired(guest: &Guest, device: usize) -> Result<()> {
    let log = std::fs::read_to_string(guest.vm.devices()[device].log())?;
    ensure!(log.contains("fault fired"), "the rule of device {device} never fired:\n{log}");
    Ok(())
}

pub(crate) fn steps(report: &Value) -> &[Value] {
    report["steps"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn sum(report: &Value, field: &str) -> u64 {
    steps(report).iter().filter_map(|step| step[field].as_u64()).sum()
}
