//! Processes that die in the middle of a copy.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::guest::{Guest, NETDMA, both};

/// A client that is killed leaves its descriptors behind; the kernel resets the function, and the next client works.
pub(crate) fn client_mid_copy(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    let copy = guest.vm.spawn(&[NETDMA, "selftest", "--on", &bdf])?;
    std::thread::sleep(Duration::from_millis(700));
    guest.vm.signal(&copy, libc::SIGKILL)?;
    let killed = guest.vm.wait(copy)?;
    ensure!(killed.status == 128 + libc::SIGKILL, "it was not in the middle of anything: {}", both(&killed));
    let (status, report) = guest.netdma_json(&["selftest", "--on", &bdf, "--quick", "--json"])?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    Ok(())
}

/// A device program that is killed is a device that is gone: an error, in time, and the guest goes on.
pub(crate) fn device_mid_copy(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    let copy = guest.vm.spawn(&[NETDMA, "selftest", "--on", &bdf])?;
    std::thread::sleep(Duration::from_millis(700));
    guest.vm.devices()[0].kill()?;
    let start = Instant::now();
    let output = guest.vm.wait(copy)?;
    ensure!(output.status == 1 || output.status == 3, "status {}: {}", output.status, both(&output));
    ensure!(both(&output).contains("gone"), "no word of a device that is gone: {}", both(&output));
    ensure!(start.elapsed() < Duration::from_secs(60), "took {:?}", start.elapsed());
    let alive = guest.shell("echo alive")?;
    ensure!(alive.trim() == "alive");
    Ok(())
}
