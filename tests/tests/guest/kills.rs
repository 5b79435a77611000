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

/// A device program that is killed is a device that is gone: the driver says so, in time. What comes after is QEMU's:
/// when the driver unmaps its memory behind the virtual IOMMU, QEMU 11.1.3 may abort, because the UNMAP that it sends
/// on finds no server (`error_setv: Assertion`). Then the harness must name both ends, the killed program's and QEMU's.
///
/// The driver's word is what counts here, not its exit: when it closes the function, the guest's kernel tries a
/// function-level reset on a device that cannot answer, for a minute.
pub(crate) fn device_mid_copy(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    start_copying(guest, &bdf)?;
    guest.vm.devices()[0].kill()?;
    let start = Instant::now();
    loop {
        match guest.vm.get(PROGRESS) {
            Ok(said) => {
                let said = String::from_utf8_lossy(&said).into_owned();
                if said.contains("the device is gone") {
                    return Ok(());
                }
                ensure!(
                    start.elapsed() < Duration::from_secs(30),
                    "no word of a device that is gone: {said}"
                );
            }
            Err(error) => {
                let text = error.to_string();
                ensure!(
                    text.contains("SIGKILL") && text.contains("SIGABRT") && text.contains("vfio-user-ioat"),
                    "{text}"
                );
                eprintln!("    QEMU aborted after its device was killed: {text}");
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where a selftest in the background says what it does.
const PROGRESS: &str = "/tmp/progress";

/// Starts a whole selftest, and returns when its first step is done and the next one is under way.
fn start_copying(guest: &mut Guest, bdf: &str) -> Result<Running> {
    guest.run(&["rm", "-f", PROGRESS])?;
    let line = format!("exec {NETDMA} selftest --on {bdf} --seed 1 > {PROGRESS} 2>&1");
    let running = guest.vm.spawn(&["sh", "-c", &line])?;
    let start = Instant::now();
    while !guest.vm.get(PROGRESS).is_ok_and(|said| String::from_utf8_lossy(&said).contains(" ok")) {
        ensure!(start.elapsed() < Duration::from_secs(60), "the selftest never got anywhere");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}
