//! The conformance suite in the guest, over kernel VFIO.

use anyhow::Result;
use netdma_lab::guests::Guest;
use netdma_tests::conformance::judge;
use serde_json::Value;

/// On device 0, an engine as real ones are.
pub(crate) fn skx(guest: &mut Guest) -> Result<()> {
    suite(guest, 0, "skx")
}

/// On device 3 of the guest with the newest kernel, of the synthetic profile.
pub(crate) fn netdma(guest: &mut Guest) -> Result<()> {
    suite(guest, 3, "netdma")
}

fn suite(guest: &mut Guest, device: usize, profile: &str) -> Result<()> {
    let bdf = guest.vm.bdf(device);
    let (status, report) = guest.netdma::<Value>(&["conformance", "--on", &bdf, "--json"], |_| ())?;
    judge(status, &report, "vfio", profile, 4)
}
