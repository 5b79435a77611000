//! Processes that die in the middle of a copy.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netdma_vm::machine::Running;
use serde_json::Value;

use netdma_lab::guests::{Guest, NETDMA, both};

/// A client that is killed leaves its descriptors behind; the kernel resets the function, and the next client works.
pub(crate) fn client_mid_copy(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    let copy = start_copying(guest, &bdf)?;
    guest.vm.signal(&copy, libc::SIGKILL)?;
    let killed = guest.vm.wait(copy)?;
    ensure!(killed.status == 128 + libc::SIGKILL, "it had ended before: {}", both(&killed));
    let (status, report) = guest.netdma::<Value>(&["selftest", "--on", &bdf, "--quick", "--json"], |_| ())?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    Ok(())
}

/// A device program that is killed is a device that is gone: an error, in time, and the guest goes on.
pub(crate) fn device_mid_copy(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    let copy = start_copying(guest, &bdf)?;
    guest.vm.devices()[0].kill()?;
    let start = Instant::now();
    let output = guest.vm.wait(copy)?;
    let said = String::from_utf8_lossy(&guest.vm.get(PROGRESS)?).into_owned();
    ensure!(output.status == 1 || output.status == 3, "status {}: {said}", output.status);
    ensure!(said.contains("gone"), "no word of a device that is gone: {said}");
    ensure!(start.elapsed() < Duration::from_secs(60), "took {:?}", start.elapsed());
    let alive = guest.shell("echo alive")?;
    ensure!(alive.trim() == "alive");
    Ok(())
}

/// Where a selftest in the background says what it does.
const PROGRESS: &str = "/tmp/progress";

/// Starts a whole selftest, and returns when its first step is done and the next one is under way.
fn start_copying(guest: &mut Guest, bdf: &str) -> Result<Running> {
    let line = format!("exec {NETDMA} selftest --on {bdf} --seed 1 > {PROGRESS} 2>&1");
    let running = guest.vm.spawn(&["sh", "-c", &line])?;
    let start = Instant::now();
    while !guest.vm.get(PROGRESS).is_ok_and(|said| String::from_utf8_lossy(&said).contains(" ok")) {
        ensure!(start.elapsed() < Duration::from_secs(60), "the selftest never got anywhere");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}
